//! `bridge restart`: a server gets new processes and a new chance.

use std::io::Write;

use crate::cli::running;
use crate::cli::server::{self, PATIENCE};
use crate::control::Request;
use crate::paths::Paths;

/// End a server's processes and start it anew
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "It forgets that the server failed, and that it was stopped: one that is parked
is tried at once. Calls that run in it end with an unknown outcome. Every
bridge that runs does it.

Exits with 1 when no bridge runs, or one of them does not have the server or
cannot start it.

Example:
  bridge restart github")]
pub struct Args {
    /// The server's name in the configuration
    #[arg(value_name = "SERVER")]
    server: String,
}

/// Tells every bridge of a data folder, and prints how the start went.
///
/// # Errors
/// When nobody runs, or one of them does not have the server, or it could not be started.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    restart(paths, &args.server, out)
}

/// The same for a server's name.
///
/// # Errors
/// As [`run`].
pub fn restart(paths: &Paths, server: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    // It may be started again by bridges that come later, too.
    server::lift(paths, server)?;
    let request = Request::Restart { server: server.to_owned() };
    running::tell_all(&paths.data_dir, &request, PATIENCE, out, running::started)
}
