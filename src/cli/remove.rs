//! `bridge remove`: a server's entry is taken out of the configuration.

use std::io::Write;

use crate::cli::own::{self, Own};
use crate::cli::{server, words};
use crate::paths::Paths;

/// Take a server out of the configuration
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Its entry goes, with the comment right above it; every other byte of the file
stays. A bridge that runs hears of it by itself, and running calls go on to
their ends. That bridge stop held it is forgotten. To keep the entry, bridge
disable SERVER.

Exits with 1 when it is not there.

Example:
  bridge remove github")]
pub struct Args {
    /// The server's name in the configuration
    #[arg(value_name = "SERVER")]
    server: String,
}

/// Takes it out.
///
/// # Errors
/// When it is not there, or the configuration cannot be changed.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut own = Own::open(paths)?;
    let server = &args.server;
    anyhow::ensure!(own.draft.names().contains(server), "{}", own.unknown(server));
    let failed =
        |why: String| anyhow::anyhow!("{server} cannot be removed from {}: it {why}", own.file.display());
    own.draft.remove(server).map_err(failed)?;
    let removed = format!("removed {server} from {}", own.file.display());
    own.write()?;
    server::lift(paths, server)?;
    words::say(out, &removed)?;
    own::heard(&paths.data_dir).map_or(Ok(()), |heard| words::say(out, heard))
}
