//! Hubs that a verb starts, until they serve or have failed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{running, words};
use crate::control::Request;
use crate::front::starts::{Starts, end, own_program};
use crate::local::{self, Hall};
use crate::paths::Paths;

/// A hub that nothing stands in the way of serves within this.
pub const READY_WITHIN: Duration = Duration::from_secs(5);

/// How often it is looked whether it does.
const LOOK: Duration = Duration::from_millis(10);

/// A hub says who it is within this, or is busy with its start.
const WORD_WITHIN: Duration = Duration::from_millis(500);

/// So many lines of a log are shown, of at most so many characters.
const LINES_SHOWN: usize = 5;
const LINE_CHARS_MAX: usize = 160;

/// The hub that serves now, as it says.
pub fn hub(paths: &Paths) -> Option<Value> {
    running::ask_hub(&paths.data_dir, &Request::Status, WORD_WITHIN).ok().flatten()
}

/// A hub in words: `hub 4711 (version 0.1.0)`.
pub fn named(hub: &Value) -> String {
    format!("hub {} (version {})", hub["pid"], hub["version"].as_str().unwrap_or("?"))
}

/// Whether the hub with this process has let go of its place; waits for it so long.
pub fn has_ended(paths: &Paths, pid: u64, within: Duration) -> bool {
    let door = Hall::of(&paths.data_dir).door(local::HUB);
    let deadline = Instant::now() + within;
    loop {
        if door.keeper().is_none_or(|keeper| u64::from(keeper) != pid) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Starts a hub, from the program that is chosen or else from this one, and waits until one serves.
///
/// # Errors
/// When none does in time.
pub fn start(paths: &Paths) -> anyhow::Result<Value> {
    let starts = Starts::of(paths);
    if let Some(chosen) = starts.chosen() {
        match start_from(paths, &starts, &chosen.path) {
            Ok(hub) => return Ok(hub),
            Err(error) => starts.roll_back(&chosen.path, &error.to_string()),
        }
    }
    start_from(paths, &starts, &own_program()?)
}

/// Starts a hub from a program, and waits until one serves.
///
/// # Errors
/// When none does in time.
pub fn start_from(paths: &Paths, starts: &Starts, program: &Path) -> anyhow::Result<Value> {
    let log = Log::from_here(&starts.log);
    let mut child = starts.start(program, &[])?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Some(hub) = hub(paths) {
            return Ok(hub);
        }
        let because = match failed(&mut child) {
            Some(status) => status,
            None if Instant::now() >= deadline => late(),
            None => {
                std::thread::sleep(LOOK);
                continue;
            }
        };
        end(&mut child);
        anyhow::bail!("no hub serves: {because}{}", log.since());
    }
}

/// Waits for a moment.
pub fn rest() {
    std::thread::sleep(LOOK);
}

/// How a process that was to be the hub has ended, unless it ended because there is one.
pub fn failed(child: &mut Child) -> Option<String> {
    let status = child.try_wait().ok().flatten()?;
    (!status.success()).then(|| format!("it ended with {status}"))
}

/// What is said of one that hangs.
pub fn late() -> String {
    format!("it was not ready within {} s", READY_WITHIN.as_secs())
}

/// The hubs' log from some moment on.
pub struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// What is written from now on.
    pub fn from_here(path: &Path) -> Self {
        Self { path: path.to_owned(), from: path.metadata().map_or(0, |found| found.len()) }
    }

    /// The last lines that were written since, on lines of their own; nothing when there are none.
    pub fn since(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.from))?;
            file.read_to_end(&mut text)
        });
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        if read.is_err() || lines.is_empty() {
            return String::new();
        }
        let last = lines.iter().rev().take(LINES_SHOWN).rev().map(|line| words::cut(line, LINE_CHARS_MAX));
        format!("\nThe hubs' log says last:\n  {}", last.collect::<Vec<_>>().join("\n  "))
    }
}
