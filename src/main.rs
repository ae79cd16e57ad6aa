//! The binary: parse, run, print one error.

use std::process::ExitCode;

use bridge::cli::{Cli, report};
use clap::Parser;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}
