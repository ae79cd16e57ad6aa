//! `bridge enable` and `bridge disable`: servers are switched on and off in the configuration.

use std::io::Write;

use crate::cli::own::{self, Own};
use crate::cli::words;
use crate::paths::Paths;

/// Switch servers on
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Only the key enabled of their entries changes in the configuration. A bridge
that runs hears of it by itself.

Exits with 1, and changes nothing, when one of them is not there.

Example:
  bridge enable github time")]
pub struct Enable {
    /// The servers' names in the configuration
    #[arg(value_name = "SERVER", required = true)]
    servers: Vec<String>,
}

/// Switch servers off, and keep their entries
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Only the key enabled of their entries changes in the configuration. A bridge
that runs hears of it by itself: running calls go on to their ends, and their
tools are gone from the clients' lists.

Exits with 1, and changes nothing, when one of them is not there.

Example:
  bridge disable github")]
pub struct Disable {
    /// The servers' names in the configuration
    #[arg(value_name = "SERVER", required = true)]
    servers: Vec<String>,
}

/// What became of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// Its name.
    pub server: String,
    /// Whether it was not so before.
    pub changed: bool,
}

/// Switches them on.
///
/// # Errors
/// When one of them is not there, or the configuration cannot be changed.
pub fn enable(args: &Enable, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    told(&args.servers, paths, true, out)
}

/// Switches them off.
///
/// # Errors
/// As [`enable`].
pub fn disable(args: &Disable, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    told(&args.servers, paths, false, out)
}

/// Switches servers on or off in the configuration, all of them or none.
///
/// # Errors
/// When one of them is not there, or the configuration cannot be changed.
pub fn switch(servers: &[String], paths: &Paths, on: bool) -> anyhow::Result<Vec<Switched>> {
    let mut own = Own::open(paths)?;
    let names = own.draft.names();
    if let Some(unknown) = servers.iter().find(|server| !names.contains(server)) {
        anyhow::bail!("{}", own.unknown(unknown));
    }
    let mut switched = Vec::new();
    for server in servers {
        let failed =
            |why: String| anyhow::anyhow!("{server} cannot be switched in {}: it {why}", own.file.display());
        let changed = own.draft.switch(server, on).map_err(failed)?;
        switched.push(Switched { server: server.clone(), changed });
    }
    if switched.iter().any(|switched| switched.changed) {
        own.write()?;
    }
    Ok(switched)
}

fn told(servers: &[String], paths: &Paths, on: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let (switched, word) = (switch(servers, paths, on)?, if on { "on" } else { "off" });
    for Switched { server, changed } in &switched {
        let how = if *changed { "is switched" } else { "was already" };
        words::say(out, &format!("{server} {how} {word}"))?;
    }
    let changed = switched.iter().any(|switched| switched.changed);
    own::heard(&paths.data_dir).filter(|_| changed).map_or(Ok(()), |heard| words::say(out, heard))
}
