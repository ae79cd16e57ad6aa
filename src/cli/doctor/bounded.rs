//! Work on a thread of its own that nobody waits for longer than it may take.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::cli::doctor::finding::Finding;

/// Some work that has begun.
pub struct Bounded<T> {
    what: &'static str,
    until: Instant,
    bound: Duration,
    result: Receiver<T>,
}

impl<T: Send + 'static> Bounded<T> {
    /// Begins to look at something, for so long at most. Work that hangs is left behind; it ends with the process.
    pub fn begin(what: &'static str, bound: Duration, work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (done, result) = sync_channel(1);
        // Nobody may be there any more who wants to know.
        std::thread::spawn(move || drop(done.send(work())));
        Self { what, until: Instant::now() + bound, bound, result }
    }

    /// Waits for what came of it.
    ///
    /// # Errors
    /// What is to be said when nothing came of it.
    pub fn done(self) -> Result<T, Box<Finding>> {
        let left = self.until.saturating_duration_since(Instant::now());
        let error = match self.result.recv_timeout(left) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        Err(Box::new(match error {
            RecvTimeoutError::Timeout => {
                let message = format!("it took longer than {} s", self.bound.as_secs());
                let advice = "see whether a disk, a network folder or a process there hangs";
                Finding::error("doctor.late", self.what, message, advice)
            }
            RecvTimeoutError::Disconnected => {
                let advice = "say so to whoever makes the bridge, with what stands above";
                Finding::error("doctor.failed", self.what, "the doctor itself failed at it", advice)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_time_is_given_and_what_hangs_or_fails_is_named() {
        assert_eq!(Bounded::begin("it", Duration::from_secs(20), || 7).done().ok(), Some(7));
        let (_held, hangs) = sync_channel::<()>(1);
        let late = Bounded::begin("the disk", Duration::ZERO, move || hangs.recv());
        assert_eq!(late.done().unwrap_err().check, "doctor.late");
        let failed = Bounded::begin("it", Duration::from_secs(20), || panic!("on purpose"));
        assert_eq!(failed.done().unwrap_err().check, "doctor.failed");
    }
}
