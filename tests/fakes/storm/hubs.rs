//! The hubs that come and go behind one front.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal};

/// A killed hub has a successor within this.
const NEXT_WITHIN: Duration = Duration::from_secs(20);

/// A hub that was asked to end has ended within this.
const END_WITHIN: Duration = Duration::from_secs(10);

/// The hubs of one data folder.
pub struct Hubs {
    lock: PathBuf,
}

impl Hubs {
    /// Those of the room.
    pub fn of(room: &Path) -> Self {
        Self { lock: room.join("data/run/hub.lock") }
    }

    /// Waits for a hub that is another one.
    ///
    /// # Errors
    /// When none comes.
    pub fn next(&self, last: Option<Pid>) -> Result<Pid> {
        let before = Instant::now();
        loop {
            if let Some(pid) = self.now().filter(|pid| Some(*pid) != last) {
                return Ok(pid);
            }
            if before.elapsed() > NEXT_WITHIN {
                bail!("no hub came within {NEXT_WITHIN:?}");
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// `kill -9`.
    pub fn kill(&self, hub: Pid) {
        let _gone = rustix::process::kill_process(hub, Signal::KILL);
    }

    /// Ends the last one.
    pub fn end(&self) {
        let Some(hub) = self.now() else { return };
        let _gone = rustix::process::kill_process(hub, Signal::TERM);
        let before = Instant::now();
        while is_alive(hub) && before.elapsed() < END_WITHIN {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn now(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(&self.lock).ok()?;
        text.parse().ok().and_then(Pid::from_raw).filter(|pid| is_alive(*pid))
    }
}

/// One that only waits to be reaped is gone.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
