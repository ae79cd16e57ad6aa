//! What waits for a server leaves: to its pipe, or to one that lives in this process.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::downstream::connection::{Connection, Outbound};
use crate::pipes::Sink;
use crate::queue::Weighs;

/// At most this much is marked as written at once, in bytes.
const BATCH_BYTES_MAX: usize = 256 * 1024;

impl Connection {
    /// Marks what is about to be written and leaves out what nobody waits for any more.
    fn mark_written(&self, batch: &mut Vec<Outbound>) {
        let mut table = self.lock();
        batch.retain(|outbound| match outbound.request {
            None => true,
            Some(id) => {
                let Some(waiter) = table.waiting.get_mut(&id) else { return false };
                let leaves = waiter.written || waiter.hears.as_ref().is_none_or(|hears| hears.leaves());
                waiter.written = true;
                if !leaves {
                    table.waiting.remove(&id);
                }
                leaves
            }
        });
    }

    /// Takes back the mark of what certainly never left: of the batch, `left` bytes were not written.
    fn mark_unwritten(&self, batch: &[Outbound], mut left: usize) {
        let mut table = self.lock();
        for outbound in batch.iter().rev() {
            let Some(rest) = left.checked_sub(outbound.bytes()) else { return };
            left = rest;
            if let Some(waiter) = outbound.request.and_then(|id| table.waiting.get_mut(&id)) {
                waiter.written = false;
            }
        }
    }
}

/// Writes what waits to the server until the connection ends.
///
/// # Errors
/// Any fault of the pipe.
pub async fn write_out(connection: &Connection, mut sink: Sink) -> std::io::Result<()> {
    let mut waiting = VecDeque::new();
    let mut pieces = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let more = tokio::select! {
                biased;
                more = connection.out.take(&mut waiting) => more,
                // It will never read what it was sent last, and nothing more would tell.
                () = sink.closed() => return Err(std::io::ErrorKind::BrokenPipe.into()),
            };
            if !more {
                return Ok(());
            }
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX
            && let Some(outbound) = waiting.pop_front()
        {
            bytes += outbound.bytes();
            batch.push(outbound);
        }
        connection.mark_written(&mut batch);
        pieces.extend(batch.iter().flat_map(|outbound| outbound.frame.pieces().iter().cloned()));
        while !pieces.is_empty() {
            if let Err(error) = sink.write_some(&mut pieces).await {
                connection.mark_unwritten(&batch, pieces.iter().map(Bytes::len).sum());
                return Err(error);
            }
        }
        connection.out.written(bytes);
    }
}

/// What waits for a server that lives in this process, line by line.
pub struct HandOut {
    connection: Arc<Connection>,
    waiting: VecDeque<Outbound>,
}

impl HandOut {
    /// Takes what is sent on this connection.
    #[must_use]
    pub fn of(connection: &Arc<Connection>) -> Self {
        Self { connection: Arc::clone(connection), waiting: VecDeque::new() }
    }

    /// Waits for the next line; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.waiting.is_empty() && !self.connection.out.take(&mut self.waiting).await {
                return None;
            }
            let mut batch: Vec<Outbound> = self.waiting.pop_front().into_iter().collect();
            self.connection.out.written(batch.iter().map(Outbound::bytes).sum());
            self.connection.mark_written(&mut batch);
            if let Some(outbound) = batch.pop() {
                return Some(outbound.frame.pieces().concat());
            }
        }
    }
}
