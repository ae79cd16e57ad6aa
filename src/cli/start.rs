//! `bridge start`: the hub may serve, and does.

use std::io::Write;

use anyhow::Context;

use crate::cli::hub::up;
use crate::cli::words;
use crate::local::Hall;
use crate::paths::Paths;

/// Start the hub, also after bridge stop --hold
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Nobody has to: the first client that needs a hub starts it. A hub that nobody
is attached to ends after hub_idle_m minutes.

Exits with 1 when the hub does not come up.

Example:
  bridge start")]
pub struct Args {}

/// Lifts the hold, if there is one, and starts the hub, if none runs.
///
/// # Errors
/// When the hub does not come up.
pub fn run(_args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    paths.create()?;
    let hall = Hall::of(&paths.data_dir);
    hall.make()?;
    if hall.notes().lift().context("the hold cannot be lifted")? {
        words::say(out, "the hold is lifted")?;
    }
    let told = match up::hub(paths) {
        Some(hub) => format!("{} serves already", up::named(&hub)),
        None => format!("{} serves", up::named(&up::start(paths)?)),
    };
    words::say(out, &told)
}
