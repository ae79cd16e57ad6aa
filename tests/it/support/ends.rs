//! What else there is to see of a bridge, and how it ends.

use std::process::ExitStatus;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{Bridge, DEADLINE, POLL, rows, send_signal, wait_for};

impl Bridge {
    /// What the bridge has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a line of stderr holds the text, and returns that line.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut log = self.log.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the log never said {text:?}:\n{log}");
            log = self.log.grown.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Rows of the record, read-only.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&self.room.path().join("data"), sql)
    }

    // --- how it ends ---

    /// Sends a signal to the bridge.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child().wait();
    }

    /// Waits until the bridge has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_for("the bridge ends", || self.child().try_wait().unwrap())
    }

    /// Ends its input and waits until it has ended.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        self.close_stdin();
        self.wait_exit()
    }
}

/// A test that fails leaves no process behind: the bridge gets a moment to end its servers.
impl Drop for Bridge {
    fn drop(&mut self) {
        self.stdin = None;
        self.unread = None;
        let Some(child) = &mut self.child else { return };
        if matches!(child.try_wait(), Ok(None)) {
            send_signal(child.id(), Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(3);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(POLL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
