//! The binary: parse, run, print one error.

use std::process::ExitCode;

use bridge::cli::{Cli, report};
#[cfg(unix)]
use bridge::downstream::guardian::watch;
use clap::Parser;

fn main() -> ExitCode {
    // Before anything else: it has to be small, and quick to start.
    #[cfg(unix)]
    if watch::is_wanted() {
        return watch::stand();
    }
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}
