//! `bridge hub`.

use crate::logging;
use crate::paths::Overrides;

/// Serves every client of this user and data folder; `bridge serve` starts it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every bridge serve is a thin front of one hub. Where a hub serves the data folder already, this one
ends at once; else it ends when nobody has been attached for hub_idle_m minutes. Its log is
logs/hub.log in the data folder.

Example, to see its log as it comes:
  BRIDGE_LOG=debug bridge hub"
)]
pub struct Args {}

/// Serves until nobody has been attached for a while.
///
/// # Errors
/// When the data folder cannot be used.
pub fn run(_args: &Args, overrides: Overrides) -> anyhow::Result<()> {
    let _log = logging::start(None);
    #[cfg(unix)]
    return crate::serve::hub::run(overrides);
    #[cfg(not(unix))]
    anyhow::bail!("there is no hub on this system: {overrides:?}")
}
