//! The place where a call ends: its row is committed, then its answer is written.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::queue::{ByteQueue, Weighs};
use crate::session::outlet::Outlet;
use crate::session::ticket::Ticket;
use crate::store::Journal;
use crate::store::rows::CallFinished;
use crate::wire::Frame;

/// A call that has ended and is not told yet.
#[derive(Debug)]
pub struct Settled {
    /// Its row.
    pub row: CallFinished,
    /// Its answer; a request that was taken back gets none.
    pub frame: Option<Frame>,
    /// The room that the request took.
    pub permit: Option<Ticket>,
}

impl Weighs for Settled {
    fn bytes(&self) -> usize {
        self.frame.as_ref().map_or(0, Frame::len)
    }
}

/// The calls that wait for their row. Those that end together share one commit. Their answers count
/// as waiting for the client already, so that a slow record holds servers back, and not memory.
#[derive(Debug)]
pub struct Settling {
    waiting: ByteQueue<Settled>,
    outlet: Arc<Outlet>,
}

impl Settling {
    /// Nothing waits; answers will go to `outlet`.
    #[must_use]
    pub fn new(outlet: Arc<Outlet>) -> Self {
        // The outlet's limit is the one that counts.
        Self { waiting: ByteQueue::new(usize::MAX), outlet }
    }

    /// Hands over a call that has ended.
    pub fn settle(&self, settled: Settled) {
        if settled.frame.is_some() {
            self.outlet.expect(settled.bytes());
        }
        // It is closed only when every call has ended.
        let _ = self.waiting.push(settled);
    }

    /// Takes nothing more; what waits is still settled.
    pub fn close(&self) {
        self.waiting.close();
    }

    /// Commits rows and lets their answers go, until closed and empty.
    pub async fn run(&self, journal: &Journal) {
        let mut waiting = VecDeque::new();
        while self.waiting.take(&mut waiting).await {
            let mut rows = Vec::with_capacity(waiting.len());
            let mut answers = Vec::with_capacity(waiting.len());
            for settled in waiting.drain(..) {
                rows.push(settled.row);
                answers.push((settled.frame, settled.permit));
            }
            journal.finish(rows).await;
            for (frame, permit) in answers {
                if let Some(frame) = frame {
                    self.waiting.written(frame.len());
                    self.outlet.expected(frame, permit);
                }
            }
        }
    }
}
