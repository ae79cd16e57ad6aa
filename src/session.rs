//! One attached client: a pair of line streams, its era, and exactly one answer to each request.

mod around;
mod asks;
pub mod attached;
pub mod call;
mod exchange;
mod grants;
mod handoff;
pub mod introduction;
pub mod legacy;
pub mod listen;
mod listens;
mod lists;
mod misfit;
pub mod modern;
mod opening;
pub mod outlet;
mod parked;
pub mod pending;
pub mod record;
pub mod reply;
mod request;
mod row;
pub mod settle;
mod subscribe;
pub mod subscribed;
pub mod switchboard;
mod tasks;
mod teller;
mod tenant;
mod ticket;
pub mod unasked;
mod whereabouts;
mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, watch};

use crate::config::clients::{Clients, Limits};
use crate::downstream::client::ClientId;
use crate::downstream::greeting::Face;
use crate::downstream::relay::Relay;
use crate::era::Era;
use crate::frames::{REQUEST_BYTES, UNANSWERED_BYTES_MAX};
use crate::guard;
use crate::lines::{Line, Lines};
use crate::list::List;
use crate::router::{Call, Router};
pub use crate::session::around::Around;
use crate::session::handoff::HandedOff;
use crate::session::lists::Shown;
use crate::session::outlet::Outlet;
use crate::session::parked::Parking;
use crate::session::pending::Pending;
use crate::session::record::Sessions;
use crate::session::reply::{Rpc, code};
use crate::session::request::Request;
use crate::session::settle::{Settled, Settling};
use crate::session::switchboard::Switchboard;
use crate::session::ticket::Ticket;
use crate::session::unasked::Unasked;
use crate::store::Journal;
use crate::store::ids::{CallIds, SessionId};
use crate::store::lock::SessionLock;
use crate::wire::{Envelope, Kind, Malformed, Meta, cancelled_id, span_of};

/// Requests that have no answer yet have room for this many bytes; beyond it the client is not read. Of a front,
/// which keeps to the same bound itself, everything is read.
pub const IN_FLIGHT_BYTES_MAX: usize = UNANSWERED_BYTES_MAX;

/// One client, as everything that works for it sees it.
pub struct Client {
    /// Which one it is.
    id: ClientId,
    router: Arc<Router>,
    journal: Journal,
    outlet: Arc<Outlet>,
    settling: Settling,
    pending: Arc<Pending>,
    /// What servers say to the client unasked, and ask of it.
    unasked: Arc<Unasked>,
    /// Who else is there.
    switchboard: Arc<Switchboard>,
    /// Requests whose client was asked something and will come back.
    parking: Parking,
    /// Calls that run on after their client was answered so.
    handed_off: Arc<HandedOff>,
    room: Arc<Semaphore>,
    call_ids: Arc<CallIds>,
    sessions: Sessions,
    /// What clients can stand.
    clients: Clients,
    /// What servers are told about the client.
    face: watch::Sender<Face>,
    /// The client was shown a list.
    listed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The revision of the session that `initialize` opened.
    legacy: Option<&'static str>,
    /// Who opened it, as a modern request says it.
    sender: Option<Arc<str>>,
    /// What the client of that session can stand.
    limits: Option<Limits>,
    /// What the client was shown last.
    shown: Shown,
    /// Lines that were no messages.
    malformed: u64,
}

/// In which session and by which rules a request is answered.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    session: SessionId,
    era: Era,
    limits: Limits,
}

type Permit = Option<Ticket>;

impl Client {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(around: Around) -> Arc<Self> {
        let Around {
            router,
            journal,
            outlet,
            unasked,
            switchboard,
            call_ids,
            face,
            question_expiry,
            clients,
            roster,
            front,
        } = around;
        if let Some(front) = front {
            unasked.asks.count_on(front.last_ask);
        }
        // The last request may be as large as all of them.
        let room = if front.is_some() { 2 * IN_FLIGHT_BYTES_MAX } else { IN_FLIGHT_BYTES_MAX };
        let process = front.map_or_else(std::process::id, |front| front.pid);
        let sessions = Sessions::new(journal.clone(), roster, (process, front.map(|front| front.session)));
        Arc::new(Self {
            sessions,
            router,
            journal,
            settling: Settling::new(Arc::clone(&outlet)),
            id: unasked.client,
            pending: Arc::new(Pending::new(unasked.client, Arc::clone(&outlet))),
            outlet,
            unasked,
            switchboard,
            parking: Parking::new(question_expiry),
            handed_off: Arc::default(),
            room: Arc::new(Semaphore::new(room)),
            call_ids,
            clients,
            face,
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
                    Line::TooLong { head, tail, bytes } => {
                        let permit = self.make_room(head.len()).await;
                        self.refuse_too_long(&head, &tail, bytes, permit);
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

    /// Waits until every request is answered.
    pub async fn answered(&self) {
        self.pending.emptied().await;
    }

    /// Ends every request that is under way.
    pub fn call_off(&self) {
        self.parking.clear();
        self.end_listens();
        self.pending.call_off_all();
        self.handed_off.call_off_all();
    }

    /// The same, and waits until all of them are told.
    pub async fn call_off_all(&self) {
        self.call_off();
        self.pending.emptied().await;
        self.handed_off.emptied().await;
        // One more may have been acknowledged in between.
        self.end_listens();
        self.settling.close();
    }

    /// Closes the client's sessions in the record; their locks are to be released when that is committed.
    pub fn close(&self, reason: &str) -> Vec<SessionLock> {
        self.sessions.close(reason)
    }

    async fn make_room(&self, bytes: usize) -> Permit {
        // Servers that serve others too go on, whether it reads what they answer or not.
        if self.switchboard.is_for_many(None) && !self.outlet.has_room() {
            self.outlet.room().await;
        }
        let cost = u32::try_from((bytes + REQUEST_BYTES).min(IN_FLIGHT_BYTES_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).acquire_many_owned(cost).await.ok().map(|room| Ticket::new(Some(room)))
    }

    /// Hears one line; a panic of ours costs this line only.
    fn hear_guarded(self: &Arc<Self>, line: &Bytes, permit: Permit) {
        if let Err(text) = guard::run_now(|| self.hear(line, permit)) {
            tracing::error!(text, "line panicked");
            let fault = (code::INTERNAL, "panic", "the bridge failed on this message");
            self.refuse(line, line, line.len(), fault, None);
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
            Kind::Notification => self.hear_notification(line, &envelope),
            Kind::Response => self.unasked.asks.hear(line, &envelope),
            Kind::Stray => self.refuse_malformed(line, &Malformed::Form, permit),
        }
    }

    fn hear_request(self: &Arc<Self>, line: &Bytes, envelope: &Envelope<'_>, mut permit: Permit) {
        let (Some(id), Some(method)) = (envelope.id, envelope.method.as_deref()) else { return };
        let meta = Meta::of(envelope.params);
        let answer = match method {
            "initialize" => return self.initialize(id.get(), envelope.params, permit),
            "server/discover" => return self.discover(id.get(), &meta, permit),
            "ping" if meta.protocol_version.is_none() => Ok("{}".to_owned()),
            _ => match self.rules(&meta) {
                Ok(rules) => match self.hear_in_session(line, envelope, &meta, rules, &mut permit) {
                    // It is answered when it is done.
                    Ok(()) => return,
                    Err(rpc) => Err(rpc),
                },
                Err(rpc) => Err(rpc),
            },
        };
        let frame = match answer {
            Ok(result) => reply::result(id.get(), &result),
            Err(rpc) => rpc.frame(id.get()),
        };
        self.outlet.answer(frame, permit);
    }

    /// A request of an open session, or one that says itself who sends it.
    fn hear_in_session(
        self: &Arc<Self>,
        line: &Bytes,
        envelope: &Envelope<'_>,
        meta: &Meta<'_>,
        rules: Rules,
        permit: &mut Permit,
    ) -> Result<(), Rpc> {
        let (id, method) = (envelope.id.map_or("null", RawValue::get), envelope.method.as_deref());
        let method = method.unwrap_or_default();
        if let Some(list) = List::of_method(method) {
            self.list(list, id, rules, envelope.params, permit.take());
            return Ok(());
        }
        match (method, rules.era) {
            ("logging/setLevel", Era::Legacy) => self.set_level(id, envelope.params, permit.take())?,
            ("tasks/list", Era::Legacy) => self.list_tasks(line, envelope, meta, rules, permit.take())?,
            ("subscriptions/listen", Era::Modern) => self.listen(id, envelope.params, rules, permit)?,
            // What one revision has and the other has not.
            (
                "logging/setLevel"
                | "resources/subscribe"
                | "resources/unsubscribe"
                | "ping"
                | "tasks/list"
                | "tasks/result",
                Era::Modern,
            )
            | ("subscriptions/listen", Era::Legacy) => return Err(unknown_method(method)),
            _ => self.pass(line, envelope, meta, rules, permit.take()),
        }
        Ok(())
    }

    fn hear_notification(&self, line: &Bytes, envelope: &Envelope<'_>) {
        let params = envelope.params;
        match envelope.method.as_deref() {
            Some("notifications/initialized") => {
                self.outlet.open();
                self.unasked.asks.ready();
                self.listed.notify_one();
            }
            Some("notifications/cancelled") => {
                let Some(id) = cancelled_id(params) else { return };
                let words = span_of(line, id).map(|span| (line.clone(), span));
                if !self.pending.call_off(id, words.as_ref()) {
                    self.unlisten(id);
                }
            }
            Some("notifications/progress") => self.unasked.asks.hear_progress(line, params),
            Some(method) => self.pass_notification(method, line, params),
            None => {}
        }
    }

    /// A request that goes to a server.
    fn pass(
        self: &Arc<Self>,
        line: &Bytes,
        envelope: &Envelope<'_>,
        meta: &Meta<'_>,
        rules: Rules,
        permit: Permit,
    ) {
        let id = envelope.id.map(RawValue::get).unwrap_or_default();
        match Request::read(line, envelope, meta, rules, self) {
            Ok(request) => {
                let sender = self.lock().sender.clone().filter(|_| rules.era == Era::Legacy);
                if let Some(permit) = &permit {
                    request.place.asking().is_known_as(permit.call(), permit.comes());
                }
                let request = Request { permit, call: Call { sender, ..request.call }, ..request };
                match &*request.method {
                    "resources/subscribe" | "resources/unsubscribe" => {
                        self.spawn(id, Arc::clone(self).subscribe(request));
                    }
                    "tools/call" if request.is_for_result() => {
                        self.spawn(id, handoff::fetch(Arc::clone(self), request));
                    }
                    // Its state is large: it is moved to where it stays once, and not from task to task.
                    _ => self.spawn(id, Box::pin(call::run(Arc::clone(self), request))),
                }
            }
            Err(rpc) if envelope.method.as_deref() == Some("tools/call") => {
                let given = permit.as_ref().and_then(Ticket::call);
                let settled = row::rejected(self, rules, (id, given), line.len(), rpc.frame(id));
                self.settling.settle(Settled { permit, ..settled });
            }
            Err(rpc) => self.outlet.answer(rpc.frame(id), permit),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown_method(method: &str) -> Rpc {
    Rpc::new(code::METHOD_NOT_FOUND, "method_not_found", format!("method {method:?} is not known here"))
}
