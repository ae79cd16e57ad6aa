//! `bridge serve`.

use std::io::IsTerminal;

use crate::logging;
use crate::paths::Overrides;

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
pub struct Args {}

/// Serves until the client goes away.
///
/// # Errors
/// When stdin or stdout is closed from the start, or there is no place for the data.
pub fn run(_args: &Args, overrides: Overrides) -> anyhow::Result<()> {
    let _log = logging::start(None);
    if std::io::stdin().is_terminal() {
        tracing::info!("stdin is a terminal: this is what an AI client starts; see bridge serve --help");
    }
    crate::serve::run(overrides)
}
