//! The writing thread: takes what waits, and whatever nobody should wait for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::store::dead;
use crate::store::queue::{Batch, Wake};
use crate::store::shared::{Shared, panic_text};
use crate::store::stamp;
use crate::store::upkeep::{self, Checkpointer};
use crate::store::writer::{Patience, Writer};

/// Rows in one transaction: about 10 ms during which other bridges wait.
const TRANSACTION_ROWS: usize = 1024;
/// How often it looks after the file when nothing else happens.
const IDLE: Duration = Duration::from_secs(30);
/// How long until a record that cannot be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Between two steps of the retention, so that calls come through.
const BREATH: Duration = Duration::from_millis(20);
/// Between two sweeps of the retention.
const SWEEP: Duration = Duration::from_secs(3600);
/// Starts the thread. Where the system refuses one, the record is given up and the gap counted.
pub(super) fn start(shared: &Arc<Shared>) {
    let own = Arc::clone(shared);
    let started = thread::Builder::new().name("store".into()).spawn(move || supervise(&own));
    if let Err(error) = started {
        shared.trouble.note(&error, shared.queue.end().jobs.len());
    }
}

/// A panic costs the rows in hand and the connection, never the thread.
fn supervise(shared: &Shared) {
    let mut worker = Worker { shared, next_sweep: Instant::now() + IDLE };
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
        shared.trouble.note(&panic_text(&*panic), 0);
        *shared.writer() = None;
    }
    *shared.writer() = None;
    let left = shared.queue.end();
    if !left.jobs.is_empty() {
        shared.trouble.note(&"the record was closed", left.jobs.len());
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    next_sweep: Instant,
}

impl Worker<'_> {
    fn run(&mut self) {
        self.work();
        loop {
            match self.shared.queue.wait(self.patience()) {
                Wake::Work => self.work(),
                Wake::Recover => self.recover(),
                Wake::Checkpoint => self.checkpoint(),
                Wake::Idle => self.idle(),
                Wake::Closed => return self.close(),
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.shared.is_down() { RETRY } else { IDLE.min(self.next_sweep - Instant::now()).max(BREATH) }
    }

    /// Writes everything that waits.
    fn work(&self) {
        let mut slot = self.shared.writer();
        if slot.is_none() {
            *slot = self.shared.reopen();
        }
        let batch = self.shared.queue.take();
        let Batch { jobs, tickets } = batch;
        for rows in jobs.chunks(TRANSACTION_ROWS) {
            let patience = if self.shared.trouble.is_ongoing() { Patience::Little } else { Patience::Full };
            self.shared.write(&mut slot, rows, patience);
        }
        drop(slot);
        drop(tickets);
    }

    /// Closes what dead bridges left open, for those who asked.
    fn recover(&self) {
        let mut slot = self.shared.writer();
        let recovered = slot
            .as_mut()
            .map(|writer| dead::close_dead(writer, &self.shared.data_dir, &|id| self.shared.is_ours(id)));
        let recovered = recovered.transpose().unwrap_or_else(|error| {
            self.shared.trouble.note(&error, 0);
            None
        });
        self.shared.queue.answer_recovery(&recovered.unwrap_or_default());
    }

    /// Looks after the file, and removes a few old rows.
    fn idle(&mut self) {
        let mut slot = self.shared.writer();
        if slot.as_ref().is_some_and(Writer::was_moved) {
            tracing::warn!("record was moved or removed, a new one is made");
            *slot = None;
        }
        if slot.is_none() {
            *slot = self.shared.reopen();
        }
        if let Some(writer) = slot.as_mut()
            && self.next_sweep <= Instant::now()
        {
            let more = upkeep::remove_old(writer, self.shared.options.retention_days, stamp::now_ms());
            let more = more.unwrap_or_else(|error| {
                tracing::warn!(%error, "old rows not removed");
                false
            });
            self.next_sweep = Instant::now() + if more { BREATH } else { SWEEP };
        }
    }

    fn checkpoint(&self) {
        if let Err(error) = self.try_checkpoint() {
            tracing::warn!(%error, "checkpoint failed");
        }
    }

    /// Two passes beside the writers, the second over the little that came during the first; then the
    /// rest, so that the log can begin anew.
    fn try_checkpoint(&self) -> rusqlite::Result<()> {
        let checkpointer = Checkpointer::open(&self.shared.data_dir)?;
        checkpointer.copy()?;
        checkpointer.copy()?;
        let mut slot = self.shared.writer();
        slot.as_mut().map_or(Ok(()), |writer| upkeep::begin_log_anew(writer, &checkpointer))
    }

    /// The last one out folds the log away.
    fn close(&self) {
        let mut slot = self.shared.writer();
        if let Some(Err(error)) = slot.take().map(Writer::close) {
            tracing::debug!(%error, "record closed with its log");
        }
    }
}
