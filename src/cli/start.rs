//! `bridge start`: the hub may serve, and does; or one server.

use std::io::Write;

use anyhow::Context;

use crate::cli::hub::up;
use crate::cli::{server, words};
use crate::local::Hall;
use crate::paths::Paths;

/// Start the hub, also after bridge stop --hold, or one server
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "With a server: every bridge that runs starts it, also after bridge stop SERVER or
many failures; one that runs already is left alone. With no bridge running it
may be started again, and is with the next call.

Without one nobody has to: the first client that needs a hub starts it. A hub
that nobody is attached to ends after hub_idle_m minutes.

Exits with 1 when there is no such server, or it or the hub does not come up.

Examples:
  bridge start          the hub
  bridge start github   this server, after bridge stop github")]
pub struct Args {
    /// Only this server; its name in the configuration
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

/// Starts one server, or lifts the hold, if there is one, and starts the hub, if none runs.
///
/// # Errors
/// When there is no such server, or it or the hub does not come up.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(server) = &args.server {
        return server::start(paths, server, out);
    }
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
