//! `bridge upgrade`: another program takes the hub's place, or everything stays as it was.

use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::cli::hub::WAIT_S;
use crate::cli::hub::up::{self, Log, READY_WITHIN};
use crate::cli::words;
use crate::front::starts::{SUCCEED, Starts, end, own_program};
use crate::local::Hall;
use crate::paths::Paths;
use crate::version;

/// A program says its version within this.
const VERSION_WITHIN: Duration = Duration::from_secs(5);

/// What it says then is no longer, in bytes.
const VERSION_BYTES_MAX: u64 = 1024;

/// A hub that makes way has ended its servers and closed the record within this.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// Have another program take the hub's place
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "The program is asked for its version and started beside the hub that serves. When
that has finished what is under way, the new one takes its place; clients stay
attached and notice nothing. If the new one fails, or is not ready 5 s after the
old one has ended, the old program serves on: rolled back. From then on hubs are
started from the new program, by older bridges too; a bridge serve that is newer
than the hub takes its place by itself.

Exits with 1 when the old program goes on.

Examples:
  bridge upgrade                       this program takes over
  bridge upgrade ~/Downloads/bridge    that one does")]
pub struct Args {
    /// The program; without it, the one that runs this command
    #[arg(value_name = "PATH")]
    program: Option<PathBuf>,
    /// What is under way has so long; what is not done then is the next hub's
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_S)]
    wait: u64,
}

/// Has the program take the hub's place, and prints who serves now.
///
/// # Errors
/// When the program is none, or does not serve in time; the one that served before then serves on.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    paths.create()?;
    let hall = Hall::of(&paths.data_dir);
    hall.make()?;
    anyhow::ensure!(!hall.notes().is_held(), "The hub is stopped and held: `bridge start` starts it again.");
    let program = match &args.program {
        Some(path) => std::path::absolute(path)?,
        None => std::env::current_exe().context("the system does not say where this program lies")?,
    };
    let version = version_of(&program)?;
    let before = up::hub(paths);
    if let Some(hub) = before.as_ref().filter(|hub| !serves(hub)) {
        anyhow::bail!(
            "{} is ending already, or makes way for another one; try again in a moment.",
            up::named(hub)
        );
    }
    let starts = Starts::of(paths);
    let log = Log::from_here(&starts.log);
    let mut child = starts
        .start(&program, &[SUCCEED, "--wait", &args.wait.to_string()])
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let watched = watch(paths, &mut child, before.as_ref(), Duration::from_secs(args.wait));
    let Err(because) = watched else {
        let was = before.map(|hub| format!(" in place of {}", up::named(&hub))).unwrap_or_default();
        return words::say(out, &format!("hub {} (version {version}) serves{was}", child.id()));
    };
    end(&mut child);
    let said = log.since();
    starts.roll_back(&program, &because);
    let now = serve_again(paths, &starts, before.as_ref())?;
    anyhow::bail!("{} did not take over: {because}; rolled back, {now}.{said}", program.display())
}

/// Asks a program which bridge it is.
fn version_of(program: &Path) -> anyhow::Result<String> {
    let what = program.display();
    let found = program.metadata().with_context(|| format!("{what} cannot be used"))?;
    anyhow::ensure!(found.is_file(), "{what} is no file");
    anyhow::ensure!(found.permissions().mode() & 0o111 != 0, "{what} may not be executed; see chmod(1)");
    let mut said = tempfile::tempfile().context("no room for what it says")?;
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(said.try_clone()?).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{what} cannot be run"))?;
    let deadline = Instant::now() + VERSION_WITHIN;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            end(&mut child);
            anyhow::bail!("{what} does not say its version within {} s", VERSION_WITHIN.as_secs());
        }
        up::rest();
    }
    let mut text = Vec::new();
    said.rewind()?;
    said.take(VERSION_BYTES_MAX).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let version = text.trim().strip_prefix("bridge ").filter(|version| version::is_one(version));
    let version =
        version.with_context(|| format!("{what} is no bridge: it does not answer --version as one"))?;
    Ok(version.to_owned())
}

/// Whether a hub serves, and is not about to end.
fn serves(hub: &Value) -> bool {
    hub["state"] == "serving"
}

/// Waits until the process is the hub, or why it never will be.
fn watch(paths: &Paths, child: &mut Child, before: Option<&Value>, wait: Duration) -> Result<(), String> {
    let old = before.and_then(|hub| hub["pid"].as_u64());
    let mut deadline = Instant::now() + READY_WITHIN;
    let (mut has_asked, mut has_ended) = (false, old.is_none());
    loop {
        let hub = up::hub(paths);
        match &hub {
            Some(hub) if hub["pid"].as_u64() == Some(child.id().into()) => return Ok(()),
            Some(hub) if hub["pid"].as_u64() == old && has_asked && serves(hub) => {
                return Err("it did not go on when the hub made way".into());
            }
            Some(hub) if !has_asked && !serves(hub) => {
                has_asked = true;
                deadline = Instant::now() + wait + GONE_WITHIN;
            }
            _ => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended with {status}"));
        }
        if !has_ended && old.is_none_or(|old| up::has_ended(paths, old, Duration::ZERO)) {
            has_ended = true;
            deadline = Instant::now() + READY_WITHIN;
        }
        if Instant::now() >= deadline {
            return Err(up::late());
        }
        up::rest();
    }
}

/// Sees to it that the old program serves, where one did; who does, in words.
fn serve_again(paths: &Paths, starts: &Starts, before: Option<&Value>) -> anyhow::Result<String> {
    let Some(before) = before else { return Ok("no hub ran before".into()) };
    if let Some(hub) = up::hub(paths) {
        return Ok(format!("{} serves", up::named(&hub)));
    }
    let program = before["program"].as_str().map(PathBuf::from);
    let program = program.filter(|program| program.is_file()).map_or_else(own_program, Ok)?;
    let hub = up::start_from(paths, starts, &program).context("and the old program does not serve either")?;
    Ok(format!("{} serves", up::named(&hub)))
}
