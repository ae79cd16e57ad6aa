//! What waits to be written. Bounded; whoever adds to it never waits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::rows::{Job, Recovered};

/// How long rows that nobody waits for (a call that began) may gather before they are written.
const LINGER: Duration = Duration::from_millis(2);

/// Rows, and those who wait until they are committed: a ticket that is dropped tells them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub jobs: Vec<Job>,
    pub tickets: Vec<oneshot::Sender<()>>,
}

impl Batch {
    /// One more who waits.
    pub fn ticket(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.tickets.push(sender);
        receiver
    }
}

/// Why the writing thread wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Rows or tickets wait.
    Work,
    /// Somebody wants what dead bridges left open to be closed.
    Recover,
    /// The write-ahead log has grown.
    Checkpoint,
    /// Nothing happened for the time given.
    Idle,
    /// The last handle is gone, or asked to close; everything before is written.
    Closed,
}

/// How long rows may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hurry {
    /// Somebody may be waiting.
    Now,
    /// They may gather for [`LINGER`].
    Soon,
}

/// The queue between everybody and the writing thread.
#[derive(Debug)]
pub(super) struct Queue {
    rows_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    urgent: bool,
    lingering: bool,
    recovery: Vec<oneshot::Sender<Recovered>>,
    checkpoint_due: bool,
    closed: bool,
    ended: bool,
    farewells: Vec<oneshot::Sender<()>>,
}

impl Queue {
    pub fn new(rows_max: usize) -> Self {
        Self { rows_max, state: Mutex::default(), wake: Condvar::new() }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// How many rows did not fit; none of them is kept.
    pub fn push(&self, jobs: Vec<Job>, hurry: Hurry) -> Result<Option<oneshot::Receiver<()>>, usize> {
        let mut state = self.state();
        if state.closed || state.batch.jobs.len() + jobs.len() > self.rows_max {
            return Err(jobs.len());
        }
        let first = state.batch.jobs.is_empty();
        state.batch.jobs.extend(jobs);
        let ticket = (hurry == Hurry::Now).then(|| state.batch.ticket());
        state.urgent |= ticket.is_some();
        if ticket.is_some() || (first && !state.lingering) {
            self.wake.notify_one();
        }
        Ok(ticket)
    }

    /// Takes everything. The caller holds the writer, so that rows are written in their order.
    pub fn take(&self) -> Batch {
        let mut state = self.state();
        state.urgent = false;
        std::mem::take(&mut state.batch)
    }

    /// Gives back what could not be written yet, before all that came since.
    pub fn put_back(&self, mut batch: Batch) {
        let mut state = self.state();
        batch.jobs.append(&mut state.batch.jobs);
        batch.tickets.append(&mut state.batch.tickets);
        state.batch = batch;
        state.urgent = true;
        self.wake.notify_one();
    }

    /// Asks the writing thread to close what dead bridges left open.
    pub fn ask_recovery(&self) -> oneshot::Receiver<Recovered> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if !state.closed {
            state.recovery.push(sender);
            self.wake.notify_one();
        }
        receiver
    }

    /// Tells those who asked.
    pub fn answer_recovery(&self, recovered: &Recovered) {
        for asked in std::mem::take(&mut self.state().recovery) {
            let _ = asked.send(recovered.clone());
        }
    }

    /// Asks the writing thread for a checkpoint.
    pub fn ask_checkpoint(&self) {
        self.state().checkpoint_due = true;
        self.wake.notify_one();
    }

    /// Takes no more rows. What waits is still written; the receiver hears when that is done.
    pub fn close(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state();
        state.closed = true;
        self.wake.notify_one();
        (!state.ended).then(|| {
            let (sender, receiver) = oneshot::channel();
            state.farewells.push(sender);
            receiver
        })
    }

    /// The writing thread is done, or never began: nobody waits any more.
    pub fn end(&self) -> Batch {
        let mut state = self.state();
        (state.closed, state.ended) = (true, true);
        state.farewells.clear();
        state.recovery.clear();
        std::mem::take(&mut state.batch)
    }

    /// Waits for a reason to work; at most `idle`.
    pub fn wait(&self, idle: Duration) -> Wake {
        let mut state = self.state();
        loop {
            if state.urgent || (state.closed && !state.batch.jobs.is_empty()) {
                return Wake::Work;
            }
            if !state.recovery.is_empty() {
                return Wake::Recover;
            }
            if std::mem::take(&mut state.checkpoint_due) {
                return Wake::Checkpoint;
            }
            if state.closed {
                return Wake::Closed;
            }
            state.lingering = !state.batch.jobs.is_empty();
            let limit = if state.lingering { LINGER } else { idle };
            let (woken, waited) =
                self.wake.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && !state.urgent {
                let lingered = std::mem::take(&mut state.lingering);
                if !state.batch.jobs.is_empty() {
                    return Wake::Work;
                }
                if !lingered {
                    return Wake::Idle;
                }
            }
        }
    }

    /// No code panics while it holds this lock, so a poisoned one is sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ids::SessionId;

    fn job() -> Job {
        Job::Closed { id: SessionId::new(1), reason: "test".into(), at_ms: 0 }
    }

    #[test]
    fn a_full_queue_refuses_and_says_how_many() {
        let queue = Queue::new(2);
        assert!(queue.push(vec![job(), job()], Hurry::Soon).is_ok());
        assert_eq!(queue.push(vec![job()], Hurry::Soon).unwrap_err(), 1);
        assert_eq!(queue.take().jobs.len(), 2);
    }

    #[test]
    fn rows_that_nobody_waits_for_are_work_after_a_while() {
        let queue = Queue::new(2);
        queue.push(vec![job()], Hurry::Soon).unwrap();
        assert_eq!(queue.wait(Duration::from_secs(60)), Wake::Work);
    }

    #[test]
    fn a_closed_queue_gives_out_what_it_holds_before_it_ends() {
        let queue = Queue::new(2);
        queue.push(vec![job()], Hurry::Soon).unwrap();
        queue.close();
        assert!(queue.push(vec![job()], Hurry::Soon).is_err());
        assert_eq!(queue.wait(Duration::ZERO), Wake::Work);
        queue.take();
        assert_eq!(queue.wait(Duration::ZERO), Wake::Closed);
    }
}
