//! `bridge serve`.

use std::io::IsTerminal;

#[cfg(unix)]
use crate::front;
use crate::logging;
use crate::paths::Overrides;
#[cfg(unix)]
use crate::paths::Paths;

/// Serves one client on stdin and stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without a configuration the bridge serves its own tools only; with a broken one
it still serves, and its tool bridge_status names every mistake with its line.
It hears when its configuration changes, see bridge reload --help.

The log goes to stderr; BRIDGE_LOG (or RUST_LOG) sets its filter, as in
BRIDGE_LOG=debug.

Example of an entry in a client's configuration:
  {\"mcpServers\": {\"bridge\": {
    \"command\": \"/absolute/path/to/bridge\", \"args\": [\"serve\"]
  }}}")]
pub struct Args {
    /// Serves in this one process, without a hub behind it: what dies then is the session
    #[arg(long)]
    in_process: bool,
    /// Goes on with a session that an older bridge left in this process; its state is open under this number
    #[cfg(unix)]
    #[arg(long, value_name = "NUMBER", hide = true, require_equals = true)]
    resume: Option<std::os::fd::RawFd>,
}

/// Serves until the client goes away.
///
/// # Errors
/// When stdin or stdout is closed from the start, or there is no place for the data.
pub fn run(args: &Args, overrides: Overrides) -> anyhow::Result<()> {
    #[cfg(unix)]
    let _log = front::signals::quiet(|| logging::start(None));
    #[cfg(not(unix))]
    let _log = logging::start(None);
    #[cfg(unix)]
    if let Some(state) = args.resume {
        return Ok(front::run::resume(&Paths::find(overrides)?, state)?);
    }
    if std::io::stdin().is_terminal() {
        tracing::info!("stdin is a terminal: this is what an AI client starts; see bridge serve --help");
    }
    #[cfg(unix)]
    if !args.in_process {
        match front(&overrides) {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "serving in this process"),
        }
    }
    crate::serve::run(overrides)
}

/// Serves through a hub.
///
/// # Errors
/// When there is none, and nothing was read yet.
#[cfg(unix)]
fn front(overrides: &Overrides) -> anyhow::Result<()> {
    let paths = Paths::find(overrides.clone())?;
    paths.create()?;
    Ok(front::run::run(&paths)?)
}
