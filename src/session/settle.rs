//! The place where a call ends: its row is committed, then its answer is written.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::queue::{ByteQueue, Weighs};
use crate::session::outlet::Outlet;
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
    pub permit: Option<OwnedSemaphorePermit>,
}

impl Weighs for Settled {
    fn bytes(&self) -> usize {
        self.frame.as_ref().map_or(0, Frame::len)
    }
}

/// The calls that wait for their row. Those that end together share one commit.
#[derive(Debug)]
pub struct Settling(ByteQueue<Settled>);

impl Default for Settling {
    fn default() -> Self {
        // Whoever adds to it is held back by the client's own limits.
        Self(ByteQueue::new(usize::MAX))
    }
}

impl Settling {
    /// Hands over a call that has ended.
    pub fn settle(&self, settled: Settled) {
        // It is closed only when every call has ended.
        let _ = self.0.push(settled);
    }

    /// Takes nothing more; what waits is still settled.
    pub fn close(&self) {
        self.0.close();
    }

    /// Commits rows and lets their answers go, until closed and empty.
    pub async fn run(&self, journal: &Journal, outlet: &Arc<Outlet>) {
        let mut waiting = VecDeque::new();
        while self.0.take(&mut waiting).await {
            let mut rows = Vec::with_capacity(waiting.len());
            let mut answers = Vec::with_capacity(waiting.len());
            for settled in waiting.drain(..) {
                rows.push(settled.row);
                answers.push((settled.frame, settled.permit));
            }
            journal.finish(rows).await;
            for (frame, permit) in answers {
                if let Some(frame) = frame {
                    self.0.written(frame.len());
                    outlet.answer(frame, permit);
                }
            }
        }
    }
}
