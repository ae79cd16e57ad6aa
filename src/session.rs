//! One attached client: a pair of line streams, its era, and exactly one answer to each request.

pub mod call;
pub mod legacy;
mod lists;
mod misfit;
pub mod modern;
pub mod outlet;
pub mod pending;
mod record;
pub mod reply;
pub mod settle;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::catalog::Catalog;
use crate::downstream::greeting::Face;
use crate::downstream::relay::Hears;
use crate::guard;
use crate::lines::{Line, Lines};
use crate::router::Router;
use crate::session::call::Request;
use crate::session::modern::Listen;
use crate::session::outlet::Outlet;
use crate::session::pending::Pending;
use crate::session::record::Sessions;
use crate::session::reply::{Rpc, code};
use crate::session::settle::{Settled, Settling};
use crate::store::Journal;
use crate::store::ids::{CallIds, SessionId};
use crate::store::lock::SessionLock;
use crate::store::stamp;
use crate::wire::{Envelope, Kind, Malformed, Meta, object};

/// Requests that have no answer yet have room for this many bytes; beyond it the client is not read.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a request takes of that room beside its own bytes.
const REQUEST_BYTES: usize = 1024;

/// One client, as everything that works for it sees it.
pub struct Client {
    router: Arc<Router>,
    journal: Journal,
    outlet: Arc<Outlet>,
    settling: Settling,
    pending: Arc<Pending>,
    room: Arc<Semaphore>,
    call_ids: CallIds,
    sessions: Sessions,
    /// What servers are told about the client.
    face: watch::Sender<Face>,
    instructions: String,
    /// The client was shown a list.
    listed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The revision of the session that `initialize` opened.
    legacy: Option<&'static str>,
    listens: Vec<Listen>,
    /// What the client was shown last.
    shown: Option<Arc<Catalog>>,
    /// Lines that were no messages.
    malformed: u64,
}

/// In which session and by which rules a request is answered.
#[derive(Debug, Clone, Copy)]
pub struct Era {
    session: SessionId,
    modern: bool,
}

type Permit = Option<OwnedSemaphorePermit>;

impl Client {
    /// A client that has said nothing yet. `instructions` is what it tells its model about us.
    #[must_use]
    pub fn new(
        router: Arc<Router>,
        journal: Journal,
        outlet: Arc<Outlet>,
        face: watch::Sender<Face>,
        instructions: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            sessions: Sessions::new(journal.clone()),
            router,
            journal,
            settling: Settling::new(Arc::clone(&outlet)),
            outlet,
            pending: Arc::default(),
            room: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
            call_ids: CallIds::new(),
            face,
            instructions,
            listed: Notify::new(),
            state: Mutex::default(),
        })
    }

    /// Reads the client's lines to the end of its input.
    ///
    /// # Errors
    /// Any fault of the pipe.
    pub async fn read_in(self: &Arc<Self>, mut lines: Lines) -> std::io::Result<()> {
        while lines.fill().await? {
            while let Some(line) = lines.next_line() {
                match line {
                    Line::Whole(line) => {
                        let permit = self.make_room(line.len()).await;
                        self.hear_guarded(&line, permit);
                    }
                    Line::TooLong { head, bytes, .. } => {
                        let permit = self.make_room(head.len()).await;
                        let fault = (code::INVALID_REQUEST, "too_long", "the line is too long");
                        self.refuse(&head, bytes, fault, permit);
                    }
                }
            }
        }
        Ok(())
    }

    /// Commits rows and lets answers go, until [`Client::end`].
    pub async fn settle(&self) {
        self.settling.run(&self.journal).await;
    }

    /// Tells calls that they are not quick.
    pub async fn keep_time(&self) {
        self.router.pulse.run().await;
    }

    /// Waits until every request is answered.
    pub async fn answered(&self) {
        self.pending.emptied().await;
    }

    /// Ends every request that is under way, and waits until all of them are told.
    pub async fn call_off_all(&self) {
        self.pending.call_off_all();
        self.pending.emptied().await;
        self.settling.close();
    }

    /// Closes the client's sessions in the record; their locks are to be released when that is committed.
    pub fn close(&self, reason: &str) -> Vec<SessionLock> {
        self.sessions.close(reason)
    }

    async fn make_room(&self, bytes: usize) -> Permit {
        let cost = u32::try_from((bytes + REQUEST_BYTES).min(IN_FLIGHT_BYTES_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(cost).await.ok()
    }

    /// Hears one line; a panic of ours costs this line only.
    fn hear_guarded(self: &Arc<Self>, line: &Bytes, permit: Permit) {
        if let Err(text) = guard::run_now(|| self.hear(line, permit)) {
            tracing::error!(text, "line panicked");
            let fault = (code::INTERNAL, "panic", "the bridge failed on this message");
            self.refuse(line, line.len(), fault, None);
        }
    }

    fn hear(self: &Arc<Self>, line: &Bytes, permit: Permit) {
        let envelope = match Envelope::parse(line) {
            Ok(envelope) => envelope,
            Err(Malformed::Batch) => return self.hear_batch(line, permit),
            Err(error) => return self.refuse_malformed(line, &error, permit),
        };
        match envelope.kind() {
            Kind::Request => self.hear_request(line, &envelope, permit),
            Kind::Notification => self.hear_notification(&envelope),
            // Nothing is asked of the client yet.
            Kind::Response => tracing::debug!("answer without a request dropped"),
            Kind::Stray => self.refuse_malformed(line, &Malformed::Form, permit),
        }
    }

    fn hear_request(self: &Arc<Self>, line: &Bytes, envelope: &Envelope<'_>, mut permit: Permit) {
        let (Some(id), Some(method)) = (envelope.id, envelope.method.as_deref()) else { return };
        let meta = Meta::of(envelope.params);
        let answer = match method {
            "initialize" => self.initialize(envelope.params),
            "server/discover" => self.discover(&meta),
            "ping" if meta.protocol_version.is_none() => Ok("{}".to_owned()),
            "tools/call" => match self.era(&meta) {
                Ok(era) => return self.call(line, envelope, &meta, era, permit),
                Err(rpc) => Err(rpc),
            },
            "tools/list" => match self.era(&meta) {
                Ok(era) => return self.list(id.get(), era, envelope.params, permit),
                Err(rpc) => Err(rpc),
            },
            "logging/setLevel" => self.era(&meta).and_then(|era| self.set_level(era, envelope.params)),
            "subscriptions/listen" => {
                match self.era(&meta).and_then(|era| self.listen(era, id.get(), envelope.params, &mut permit))
                {
                    // It is answered when it ends.
                    Ok(()) => return,
                    Err(rpc) => Err(rpc),
                }
            }
            _ => Err(unknown_method(method)),
        };
        let frame = match answer {
            Ok(result) => reply::result(id.get(), &result),
            Err(rpc) => rpc.frame(id.get()),
        };
        self.outlet.answer(frame, permit);
    }

    fn hear_notification(&self, envelope: &Envelope<'_>) {
        match envelope.method.as_deref() {
            Some("notifications/initialized") => {
                self.outlet.open();
                self.listed.notify_one();
            }
            Some("notifications/cancelled") => {
                #[derive(Deserialize)]
                struct Cancelled<'a> {
                    #[serde(borrow, rename = "requestId")]
                    id: &'a RawValue,
                }
                let cancelled: Option<Cancelled<'_>> = envelope.params.and_then(object);
                if let Some(id) = cancelled.map(|cancelled| cancelled.id.get())
                    && !self.pending.call_off(id)
                {
                    self.lock().listens.retain(|listen| &*listen.id != id);
                }
            }
            // What we do not know, and what concerns features that are not advertised.
            _ => {}
        }
    }

    fn initialize(&self, params: Option<&RawValue>) -> Result<String, Rpc> {
        let initialized = legacy::initialize(params, &self.instructions)?;
        self.sessions.initialized(initialized.client);
        self.face.send_replace(initialized.face);
        self.lock().legacy = Some(initialized.version);
        Ok(initialized.result)
    }

    /// A probe is no session and leaves no row.
    fn discover(&self, meta: &Meta<'_>) -> Result<String, Rpc> {
        match modern::client_of(meta)? {
            Some(_) => Ok(modern::discover(&self.instructions)),
            None => Err(modern::no_session()),
        }
    }

    /// By which rules a request is answered: its own word counts first, then the open session.
    fn era(&self, meta: &Meta<'_>) -> Result<Era, Rpc> {
        if let Some(client) = modern::client_of(meta)? {
            if self.lock().legacy.is_none() {
                self.face.send_if_modified(|face| modern::show(face, meta));
            }
            return Ok(Era { session: self.sessions.modern(client), modern: true });
        }
        let session = self.sessions.legacy().ok_or_else(modern::no_session)?;
        Ok(Era { session, modern: false })
    }

    fn call(
        self: &Arc<Self>,
        line: &Bytes,
        envelope: &Envelope<'_>,
        meta: &Meta<'_>,
        era: Era,
        permit: Permit,
    ) {
        let id = envelope.id.map(RawValue::get).unwrap_or_default();
        let hears: Arc<dyn Hears> = Arc::clone(&self.outlet) as Arc<dyn Hears>;
        match Request::read(line, envelope, meta, hears) {
            Ok(call) => {
                let (place, call_off) = self.pending.enter(id);
                self.spawn(id, call::run(Arc::clone(self), Request { call, era, place, call_off, permit }));
            }
            Err(rpc) => {
                let (number, frame) = (self.call_ids.next(stamp::now_ms()), rpc.frame(id));
                let row = call::rejected(era, id, number, line.len(), &frame);
                self.settling.settle(Settled { row, frame: Some(frame), permit });
            }
        }
    }

    fn set_level(&self, era: Era, params: Option<&RawValue>) -> Result<String, Rpc> {
        #[derive(Deserialize)]
        struct Level {
            level: String,
        }
        if era.modern {
            return Err(unknown_method("logging/setLevel"));
        }
        let level: Option<Level> = params.and_then(object);
        match level.filter(|level| self.outlet.set_level(&level.level)) {
            Some(_) => Ok("{}".to_owned()),
            None => Err(Rpc::bad_params(
                "logging/setLevel needs params.level, one of debug, info, notice, warning, error, critical, alert, emergency",
            )),
        }
    }

    /// Spawns the work for a request. A panic that no guard caught is still an answer.
    fn spawn(self: &Arc<Self>, id: &str, work: impl Future<Output = ()> + Send + 'static) {
        let (client, id) = (Arc::clone(self), id.to_owned());
        // It ends with its own deadline, or is called off through the table of pending requests.
        tokio::spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(request = id, "request panicked outside its guard");
                let rpc = Rpc::new(code::INTERNAL, "panic", "the bridge failed on this request");
                client.outlet.answer(rpc.frame(&id), None);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown_method(method: &str) -> Rpc {
    Rpc::new(code::METHOD_NOT_FOUND, "method_not_found", format!("method {method:?} is not known here"))
}
