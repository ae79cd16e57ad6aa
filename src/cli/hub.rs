//! `bridge hub`.

#[cfg(unix)]
pub mod up;

use crate::logging;
use crate::paths::Overrides;

/// A hub that is to end has so many seconds for what is under way, unless somebody says otherwise.
pub const WAIT_S: u64 = 10;

/// Serves every client of this user and data folder; `bridge serve` starts it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every bridge serve is a thin front of one hub. Where a hub serves the data folder already, this one
ends at once; else it ends when nobody has been attached for hub_idle_m minutes. Its log is
logs/hub.log in the data folder.

Example, to see its log as it comes:
  BRIDGE_LOG=debug bridge hub"
)]
pub struct Args {
    /// Takes the place of the hub that serves, when that has finished what is under way
    #[arg(long, hide = true)]
    succeed: bool,
    /// The same, if its version is older
    #[arg(long, hide = true)]
    succeed_older: bool,
    /// So many seconds that one has to finish what is under way
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = WAIT_S)]
    wait: u64,
}

/// Serves until nobody has been attached for a while.
///
/// # Errors
/// When the data folder cannot be used.
pub fn run(args: &Args, overrides: Overrides) -> anyhow::Result<()> {
    let _log = logging::start(None);
    #[cfg(unix)]
    {
        use crate::serve::hub::succession::Succession;
        let wait = std::time::Duration::from_secs(args.wait);
        let succession = match (args.succeed, args.succeed_older) {
            (true, _) => Succession::Any(wait),
            (false, true) => Succession::Older(wait),
            (false, false) => Succession::None,
        };
        crate::serve::hub::run(overrides, succession)
    }
    #[cfg(not(unix))]
    anyhow::bail!("there is no hub on this system: {args:?}, {overrides:?}")
}
