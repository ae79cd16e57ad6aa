//! `bridge __man`: the manual pages that a package brings.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder for the pages; it is made where there is none.
    folder: PathBuf,
}

/// Writes a page for the program and one for each verb that is shown: `bridge.1`, `bridge-stats.1`, …
///
/// # Errors
/// When they cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(super::Cli::command().disable_help_subcommand(true), folder));
    written.with_context(|| format!("cannot write manual pages into {}", folder.display()))
}
