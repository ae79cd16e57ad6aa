//! One client of a house: its lines, from its first word to its last, and what is given back when it has gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::downstream::client::ClientId;
use crate::downstream::greeting::Face;
use crate::environment::Folder;
use crate::frames::{Leaving, Why};
use crate::guard;
use crate::lines::Lines;
use crate::pipes::{Sink, Source};
use crate::serve::house::doors::Doors;
use crate::session::attached::Fronted;
use crate::session::outlet::Outlet;
use crate::session::unasked::Unasked;
use crate::session::{Around, Client};
use crate::shutdown::{Closing, StopReason};
use crate::store::ids::SessionId;
use crate::store::lock::SessionLock;

/// After the end of input, calls that are under way have this long to be answered.
const LAST_ANSWERS: Duration = Duration::from_millis(40);

/// The rows of a client that goes are flushed at once, and within this when another process holds the record.
pub const FLUSH: Duration = Duration::from_secs(2);

/// A client that still reads gets what waits for it within this.
const LAST_LINES: Duration = Duration::from_millis(50);

/// A front that still reads gets what waits for it within this.
const LAST_FRAMES: Duration = Duration::from_secs(1);

/// A client that is attached. Dropped, it has gone: nothing of it is left in the house.
pub struct Attached {
    id: ClientId,
    client: Arc<Client>,
    unasked: Arc<Unasked>,
    outlet: Arc<Outlet>,
    doors: Arc<Doors>,
}

/// What a client says.
#[derive(Debug)]
pub enum Input {
    /// Line by line.
    Lines(Source),
    /// Through its front, frame by frame; while this is false, nothing that it says is begun.
    Frames(Source, watch::Receiver<bool>),
}

/// A client that is served on its two streams.
pub struct Served {
    attached: Attached,
    closing: Closing,
    writer: JoinHandle<()>,
    reader: JoinHandle<std::io::Result<StopReason>>,
    settling: JoinHandle<()>,
    changes: JoinHandle<()>,
}

impl Input {
    /// Has the client hear all of it; why it ended.
    async fn read_in(self, client: &Arc<Client>, line_bytes_max: usize) -> std::io::Result<StopReason> {
        match self {
            Self::Lines(source) => {
                client.read_in(Lines::new(source, line_bytes_max)).await?;
                Ok(StopReason::EndOfInput)
            }
            Self::Frames(source, hears) => {
                let word = client.read_frames(source, hears).await?;
                Ok(word.map_or(StopReason::FrontGone, |word| StopReason::of_word(&word)))
            }
        }
    }
}

impl Attached {
    /// A client that has said nothing yet, here or to an earlier hub of its front.
    pub(super) fn new(doors: &Arc<Doors>, outlet: Outlet, front: Option<Fronted>, folder: Folder) -> Self {
        let (id, outlet) = (ClientId::next(), Arc::new(outlet));
        let (face, shown) = tokio::sync::watch::channel(Face::default());
        let unasked = Unasked::new(id, Arc::clone(&outlet), shown.clone());
        let client = Client::new(Around {
            router: Arc::clone(&doors.router),
            journal: doors.journal.clone(),
            outlet: Arc::clone(&outlet),
            unasked: Arc::clone(&unasked),
            switchboard: Arc::clone(&doors.switchboard),
            call_ids: Arc::clone(&doors.call_ids),
            face,
            question_expiry: doors.question_expiry,
            clients: doors.clients.clone(),
            roster: Arc::clone(&doors.roster),
            front,
        });
        doors.faces.add(id, shown, folder);
        doors.switchboard.add(&unasked);
        Self { id, client, unasked, outlet, doors: Arc::clone(doors) }
    }

    /// The longest line that it may send, in bytes.
    #[must_use]
    pub fn line_bytes_max(&self) -> usize {
        self.doors.in_line_bytes_max
    }

    /// An earlier hub of its front died: what that left running is closed in the record.
    pub fn hub_lost(&self, session: SessionId) {
        self.doors.journal.hub_lost(session);
    }

    /// Serves a client that has a front until either stream ends, or `left` says why it is let go: its requests and
    /// its sessions are then the front's again. Others are served on.
    pub async fn serve_front(self, input: Input, sink: Sink, left: impl Future<Output = Why>) {
        let mut served = self.begin(input, sink, Closing::default());
        let over = tokio::select! {
            reason = served.over() => Ok(reason),
            why = left => Err(why),
        };
        match over {
            Ok(reason) => {
                served.hush(reason).await;
                served.end(reason).await;
                tracing::info!(%reason, "client has gone");
            }
            Err(why) => served.let_go(why).await,
        }
    }

    /// What it has under way.
    #[must_use]
    pub fn client(&self) -> Weak<Client> {
        Arc::downgrade(&self.client)
    }

    /// Begins to serve it, on the runtime that has all lines.
    pub fn begin(self, input: Input, sink: Sink, closing: Closing) -> Served {
        let line_bytes_max = self.doors.in_line_bytes_max;
        let outlet = Arc::clone(&self.outlet);
        let writer = tokio::spawn({
            let closing = closing.clone();
            async move {
                if let Err(error) = outlet.write_out(sink).await {
                    tracing::warn!(%error, "client does not read any more");
                    closing.raise(StopReason::OutputClosed);
                }
            }
        });
        let reader = tokio::spawn({
            let client = Arc::clone(&self.client);
            async move { input.read_in(&client, line_bytes_max).await }
        });
        let settling = tokio::spawn({
            let client = Arc::clone(&self.client);
            async move { guard::keep("settling", || client.settle()).await }
        });
        let changes = tokio::spawn({
            let client = Arc::clone(&self.client);
            async move { guard::keep("changes", || client.tell_changes()).await }
        });
        Served { attached: self, closing, writer, reader, settling, changes }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let Self { id, client, unasked, outlet, doors } = self;
        // From the outside in: nobody new comes to it, then what it leaves open is closed.
        doors.switchboard.remove(*id);
        doors.faces.remove(*id);
        client.call_off();
        // Where it was not served to its end: its rows.
        drop(client.close(StopReason::OutputClosed.word()));
        unasked.asks.left();
        doors.router.fleet.left(*id);
        outlet.discard();
    }
}

impl Served {
    /// Waits until the client's streams end, or somebody asks to stop.
    pub async fn over(&mut self) -> StopReason {
        let Self { closing, reader, writer, .. } = self;
        loop {
            tokio::select! {
                reason = closing.raised() => return reason,
                ended = &mut *reader => closing.raise(match ended {
                    Ok(Ok(reason)) => reason,
                    Ok(Err(error)) => {
                        tracing::error!(%error, "client's input cannot be read");
                        StopReason::InputFault
                    }
                    Err(error) => {
                        tracing::error!(%error, "reader ended unexpectedly");
                        StopReason::InputFault
                    }
                }),
                ended = &mut *writer, if closing.reason().is_none() => if ended.is_err() {
                    tracing::error!("writer ended unexpectedly");
                    closing.raise(StopReason::OutputClosed);
                },
            }
            if let Some(reason) = closing.reason() {
                return reason;
            }
        }
    }

    /// Hears nothing more of it.
    pub async fn hush(&self, reason: StopReason) {
        self.reader.abort();
        self.changes.abort();
        if reason == StopReason::EndOfInput {
            // A script that writes its requests and closes the pipe still gets quick answers.
            let _ = tokio::time::timeout(LAST_ANSWERS, self.attached.client.answered()).await;
        }
    }

    /// Ends its requests and its sessions; what waits for it is written, if it still reads.
    pub async fn end(&mut self, reason: StopReason) {
        let Attached { client, outlet, doors, .. } = &self.attached;
        client.call_off_all().await;
        if tokio::time::timeout(FLUSH, &mut self.settling).await.is_err() {
            tracing::error!("rows of the last calls could not be written in time");
        }
        let mut locks = client.close(reason.word());
        if tokio::time::timeout(FLUSH, doors.journal.flush()).await.is_ok() {
            locks.drain(..).for_each(SessionLock::release);
        }
        outlet.close();
        if !self.writer.is_finished() {
            let _ = tokio::time::timeout(LAST_LINES, &mut self.writer).await;
        }
    }
}

impl Served {
    /// What is answered is still said; everything else is the front's.
    async fn let_go(&mut self, why: Why) {
        self.reader.abort();
        self.changes.abort();
        let Attached { client, outlet, .. } = &self.attached;
        client.let_go();
        if tokio::time::timeout(FLUSH, &mut self.settling).await.is_err() {
            tracing::error!("rows of the last calls could not be written in time");
        }
        outlet.leaving(Leaving { why });
        outlet.close();
        // Whoever does not read gets the rest of the next hub.
        let _ = tokio::time::timeout(LAST_FRAMES, &mut self.writer).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Whatever has not ended by now has nobody to work for.
        for task in [self.writer.abort_handle(), self.reader.abort_handle(), self.settling.abort_handle()] {
            task.abort();
        }
        self.changes.abort();
    }
}
