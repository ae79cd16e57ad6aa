//! The record: opens the database and hands out the [`Journal`], which never fails a call.
//!
//! One connection of each bridge writes. Mostly a caller commits on its own thread (about 15 µs);
//! when the connection is taken, or another bridge writes, the rows go to the writing thread. Nothing
//! that a caller does here ever waits, but for the futures that say so.

pub mod checkup;
pub mod ids;
pub mod lock;
pub mod migrate;
pub mod place;
pub mod read;
pub mod rows;
pub mod stamp;
pub mod totals;
pub mod trouble;

mod dead;
mod queue;
mod shared;
mod sql;
mod tally;
mod upkeep;
mod worker;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::store::ids::SessionId;
use crate::store::queue::Hurry;
use crate::store::read::Reader;
use crate::store::rows::{
    CallBegun, CallFinished, CatalogRow, ClientInfo, Job, PinRow, Recovered, ServerEvent, SessionOpened,
};
use crate::store::shared::Shared;
use crate::store::trouble::Trouble;
use crate::tools::pin::Pins;

/// The longest request id that a row keeps, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 1024;

/// What an answered call has to outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of every process: nothing that was committed is lost.
    #[default]
    Process,
    /// Power loss too: every commit waits for the disk (2–4 ms), on the writing thread.
    Power,
}

/// How the record is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// What an answered call has to outlive.
    pub durability: Durability,
    /// Age in days at which rows of `tool_calls` and `server_events` are removed.
    pub retention_days: u32,
    /// Rows that may wait for the writing thread; more are lost, and counted.
    pub queue_rows_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Process, retention_days: 90, queue_rows_max: 65_536 }
    }
}

/// The handle to the record. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Journal {
    /// Opens the record in a data folder. Returns at once: the writing thread opens the file, makes
    /// it, brings it up to date. What cannot be opened is [`Journal::trouble`], and tried again.
    #[must_use]
    pub fn open(data_dir: &Path, options: Options) -> Self {
        let shared = Arc::new(Shared::new(data_dir.to_path_buf(), options));
        worker::start(&shared);
        Self(Arc::new(Handle { shared }))
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> &PathBuf {
        &self.0.shared.data_dir
    }

    /// A client attached. Its [`lock::SessionLock`] has to exist already.
    pub fn session_opened(&self, session: SessionOpened) {
        self.0.shared.live().insert(session.id, session.clone());
        self.tell(Job::Opened(session));
    }

    /// A client said (again) what it is. What it leaves out stays as it was.
    pub fn session_renewed(&self, id: SessionId, client: ClientInfo) {
        if let Some(session) = self.0.shared.live().get_mut(&id) {
            let known = &mut session.client;
            known.name = client.name.clone().or(known.name.take());
            known.version = client.version.clone().or(known.version.take());
            known.protocol_version = client.protocol_version.clone().or(known.protocol_version.take());
        }
        self.tell(Job::Renewed { id, client, at_ms: stamp::now_ms() });
    }

    /// A session ended. Release its lock after the [`Journal::flush`] that follows.
    pub fn session_closed(&self, id: SessionId, reason: &str) {
        self.0.shared.live().remove(&id);
        self.tell(Job::Closed { id, reason: reason.to_owned(), at_ms: stamp::now_ms() });
    }

    /// A front lives on whose hub died: the calls that ran in that are lost. What is told of one of them later
    /// replaces it.
    pub fn hub_lost(&self, front: SessionId) {
        self.tell(Job::Lost(front));
    }

    /// Something happened to a server.
    pub fn server_event(&self, event: ServerEvent) {
        self.tell(Job::Event(event));
    }

    /// A server was asked what it offers.
    pub fn catalog_saved(&self, row: CatalogRow) {
        self.tell(Job::Catalog(row));
    }

    /// Tools were seen for the first time. Whoever saw one first says what it was.
    pub fn tools_pinned(&self, rows: Vec<PinRow>) {
        if !rows.is_empty() {
            self.tell(Job::Pinned(rows));
        }
    }

    /// The user approved tools as they are, all or none.
    pub fn tools_approved(&self, rows: Vec<PinRow>) {
        self.tell(Job::Approved(rows));
    }

    /// What is pinned of these servers, by their names; `None` when it cannot be read. Blocks for a millisecond
    /// or so: it reads the file with a connection of its own.
    #[must_use]
    pub fn load_pins(&self, servers: &[&str]) -> Option<HashMap<String, Pins>> {
        if servers.is_empty() {
            return Some(HashMap::new());
        }
        let pins = Reader::open(self.data_dir()).map(|reader| match reader {
            Some(reader) => reader.pins(servers),
            None => Ok(HashMap::new()),
        });
        let pins = pins.map_err(anyhow::Error::from).and_then(|pins| pins.map_err(anyhow::Error::from));
        pins.map_err(|error| tracing::warn!(%error, "pins of tools not read")).ok()
    }

    /// What servers offered when they were last asked, for those keys that are known. Blocks for a
    /// millisecond or so: it reads the file with a connection of its own.
    #[must_use]
    pub fn load_catalog(&self, keys: &[String]) -> Vec<CatalogRow> {
        let rows = Reader::open(self.data_dir()).map(|reader| match reader {
            Some(reader) => reader.catalog(keys),
            None => Ok(Vec::new()),
        });
        let rows = rows.map_err(anyhow::Error::from).and_then(|rows| rows.map_err(anyhow::Error::from));
        rows.unwrap_or_else(|error| {
            tracing::warn!(%error, "stored catalog not read");
            Vec::new()
        })
    }

    /// A call came in. Written within some milliseconds, so that a crash leaves a trace of it; not
    /// needed for one that ends sooner.
    pub fn begin(&self, mut call: CallBegun) {
        shorten(&mut call.request_id);
        self.tell(Job::Begun(call));
    }

    /// Calls ended. The work is done, or handed over, when this returns; the future is ready when the
    /// rows are committed, or given up and counted.
    pub fn finish(&self, calls: Vec<CallFinished>) -> Committed {
        let rows = calls.into_iter().map(|mut call| {
            shorten(&mut call.begun.request_id);
            Job::Finished(call)
        });
        Committed(self.0.shared.submit(rows.collect()))
    }

    /// Ready when everything that was told before is committed, or given up and counted.
    pub fn flush(&self) -> Committed {
        Committed(self.0.shared.submit(Vec::new()))
    }

    /// Writes what waits and closes the file. What is told later is lost, and counted. Ready when the
    /// file is closed.
    pub fn close(&self) -> Committed {
        Committed(self.0.shared.queue.close())
    }

    /// Closes what dead bridges left open; see [`crate::recovery`].
    pub async fn close_dead(&self) -> Recovered {
        self.0.shared.queue.ask_recovery().await.unwrap_or_default()
    }

    /// What the record lost so far.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.0.shared.trouble.read()
    }

    fn tell(&self, job: Job) {
        self.0.shared.enqueue(vec![job], Hurry::Soon);
    }
}

/// Ready when rows are committed, or given up and counted. Needs no polling to make progress.
#[derive(Debug)]
#[must_use = "the rows are safe only when this is ready"]
pub struct Committed(Option<oneshot::Receiver<()>>);

impl Committed {
    /// Whether there is nothing to wait for.
    #[cfg(test)]
    const fn is_done(&self) -> bool {
        self.0.is_none()
    }
}

impl Future for Committed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(receiver) = self.0.as_mut() else { return Poll::Ready(()) };
        // A dropped sender says the same: nobody will write these rows any more.
        let polled = Pin::new(receiver).poll(cx).map(drop);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

/// A hostile id may be megabytes long.
fn shorten(request_id: &mut String) {
    if request_id.len() > REQUEST_ID_BYTES_MAX {
        let is_boundary = |&at: &usize| request_id.is_char_boundary(at);
        request_id.truncate((0..=REQUEST_ID_BYTES_MAX).rev().find(is_boundary).unwrap_or(0));
        request_id.push('…');
    }
}

#[cfg(test)]
mod tests;
