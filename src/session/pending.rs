//! The requests of a client that have no answer yet, by the id that the client wrote.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::downstream::client::ClientId;
use crate::downstream::question::Question;
use crate::downstream::relay::{Carries, Hears, Unread};
use crate::guard::CalledOff;
use crate::session::exchange::is_able;
use crate::session::outlet::Outlet;
use crate::session::ticket::Comes;
use crate::store::ids::CallId;
use crate::wire::{Cut, Frame, Span, splice};

/// The table of one client. Two requests may carry one id: both are answered.
#[derive(Debug)]
pub struct Pending {
    client: ClientId,
    outlet: Arc<Outlet>,
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    waiting: HashMap<Box<str>, Vec<Arc<Asking>>>,
}

/// What a request may have beside its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// Its answer can be a question of the server (specification 2026-07-28, "Multi Round-Trip Requests").
    pub carries: bool,
    /// What its client can answer: the JSON object that it sent.
    pub capabilities: Box<str>,
    /// The least severe log message that it asked for, as an index into the levels.
    pub log_level: Option<u8>,
}

/// One request of the client, as everybody sees it who works for it.
#[derive(Debug)]
pub struct Asking {
    number: u64,
    since: Instant,
    client: ClientId,
    extras: Extras,
    outlet: Arc<Outlet>,
    state: Mutex<State>,
    changed: Notify,
    /// The client's own words when it took the request back, and where the id stands in them.
    withdrawn: OnceLock<(Bytes, Span)>,
    /// What its front says of it: its id in the record, and how it comes.
    known: OnceLock<(Option<CallId>, Comes)>,
}

#[derive(Debug, Default)]
struct State {
    called_off: Option<CalledOff>,
    questions: VecDeque<Question>,
    /// The request has ended.
    closed: bool,
    /// The client has a question in its hands, or word that the call runs on, and will come back with
    /// another request.
    parked: bool,
    /// The request with which it came back.
    follower: Option<Follower>,
}

#[derive(Debug, Clone)]
struct Follower {
    asking: Arc<Asking>,
    /// Its progress token, in JSON.
    token: Option<Box<str>>,
}

/// One request's place in the table, held until it is answered.
#[derive(Debug)]
pub struct Place {
    pending: Arc<Pending>,
    id: Box<str>,
    asking: Arc<Asking>,
}

impl Pending {
    /// No request of this client waits; what is said of one before its answer goes to `outlet`.
    #[must_use]
    pub fn new(client: ClientId, outlet: Arc<Outlet>) -> Self {
        Self { client, outlet, table: Mutex::default(), emptied: Notify::new() }
    }

    /// Enters a request; `id` is its JSON text.
    pub fn enter(self: &Arc<Self>, id: &str, extras: Extras) -> Place {
        let mut table = self.lock();
        table.next += 1;
        let asking = Arc::new(Asking {
            number: table.next,
            since: Instant::now(),
            client: self.client,
            extras,
            outlet: Arc::clone(&self.outlet),
            state: Mutex::default(),
            changed: Notify::new(),
            withdrawn: OnceLock::new(),
            known: OnceLock::new(),
        });
        let same = table.waiting.entry(id.into()).or_default();
        same.push(Arc::clone(&asking));
        if same.len() > 1 {
            tracing::warn!(request = id, "two outstanding requests with one id, both are answered");
        }
        drop(table);
        Place { pending: Arc::clone(self), id: id.into(), asking }
    }

    /// Calls off every request with this id; false when there is none. `notification` is how the client
    /// said so, and where the id stands in it.
    pub fn call_off(&self, id: &str, notification: Option<&(Bytes, Span)>) -> bool {
        let same = self.lock().waiting.get(id).cloned().unwrap_or_default();
        for asking in &same {
            if let Some(words) = notification {
                // The first word counts.
                let _ = asking.withdrawn.set(words.clone());
            }
            asking.call_off(CalledOff::ByClient);
        }
        !same.is_empty()
    }

    /// Calls off everything, because the bridge stops.
    pub fn call_off_all(&self) {
        let all: Vec<Arc<Asking>> = self.lock().waiting.values().flatten().cloned().collect();
        all.iter().for_each(|asking| asking.call_off(CalledOff::ByStop));
    }

    /// How many wait, and since when the oldest does.
    #[must_use]
    pub fn under_way(&self) -> (usize, Option<Instant>) {
        let table = self.lock();
        let all = || table.waiting.values().flatten();
        (all().count(), all().map(|asking| asking.since).min())
    }

    /// Waits until nothing waits.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.lock().waiting.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The id as the client wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The request.
    #[must_use]
    pub fn asking(&self) -> &Arc<Asking> {
        &self.asking
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.pending.lock();
        if let Some(same) = table.waiting.get_mut(&self.id) {
            same.retain(|asking| asking.number != self.asking.number);
            if same.is_empty() {
                table.waiting.remove(&self.id);
            }
        }
        let empty = table.waiting.is_empty();
        drop(table);
        if empty {
            self.pending.emptied.notify_waiters();
        }
    }
}

impl Asking {
    /// What its front says of it.
    pub fn is_known_as(&self, call: Option<CallId>, comes: Comes) {
        // It is said once.
        let _ = self.known.set((call, comes));
    }

    /// Its id in the record, where its front gave it one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        self.known.get()?.0
    }

    /// How it comes.
    #[must_use]
    pub fn comes(&self) -> Comes {
        self.known.get().map_or(Comes::New, |(_, comes)| *comes)
    }

    /// Calls the request off; the first reason counts.
    pub fn call_off(&self, why: CalledOff) {
        self.lock().called_off.get_or_insert(why);
        self.changed.notify_waiters();
    }

    /// Waits until the request is called off.
    pub async fn called_off(&self) -> CalledOff {
        self.until(|state| state.called_off).await
    }

    /// Waits until the server asks something in the course of this request; takes all that it has asked.
    pub async fn questions(&self) -> VecDeque<Question> {
        self.until(|state| (!state.questions.is_empty()).then(|| std::mem::take(&mut state.questions))).await
    }

    /// The request has ended: what the server has asked in its course goes with another one.
    pub fn close(&self) {
        let questions = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.questions)
        };
        questions.into_iter().for_each(|question| question.go_along(self.client));
    }

    /// The client has an answer, if no result: it will come back with another request.
    pub fn park(&self) {
        self.lock().parked = true;
    }

    /// The client has come back; what is said from now on is said of its new request.
    pub fn follow(&self, asking: &Arc<Self>, token: Option<Box<str>>) {
        let mut state = self.lock();
        state.parked = false;
        state.follower = Some(Follower { asking: Arc::clone(asking), token });
    }

    /// The request that followed is answered too, unless another one has followed it.
    pub fn unfollow(&self, asking: &Arc<Self>) {
        let mut state = self.lock();
        if state.follower.take_if(|follower| Arc::ptr_eq(&follower.asking, asking)).is_some() {
            state.parked = true;
        }
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hears for Asking {
    fn leaves(&self) -> bool {
        self.call().is_none_or(|call| self.outlet.dispatched(call))
    }

    fn progress(&self, line: &Bytes, token: Span, said: Unread<'_>) {
        let follower = match &*self.lock() {
            // Its client has an answer, if only a question; progress never follows that.
            State { parked: true, .. } => return,
            State { follower, .. } => follower.clone(),
        };
        let frame = match &follower {
            None => Frame::whole(line),
            // The request with which the client came back may carry another token, or none.
            Some(Follower { token: Some(text), .. }) => {
                splice(line, &[Cut { span: token, text: text.as_bytes() }])
            }
            Some(_) => return,
        };
        self.outlet.pass(frame, said);
    }

    fn client(&self) -> Option<ClientId> {
        Some(self.client)
    }

    fn carries(&self) -> Carries {
        match self.extras.carries {
            false => Carries::Nothing,
            true => {
                let state = self.lock();
                match (state.closed, state.parked) {
                    (true, _) => Carries::Nothing,
                    (false, true) => Carries::Later,
                    (false, false) => Carries::AtOnce,
                }
            }
        }
    }

    fn can_answer(&self, question: &Question) -> bool {
        let follower = self.lock().follower.clone();
        let extras = follower.as_ref().map_or(&self.extras, |follower| &follower.asking.extras);
        question.needs().is_some_and(|needs| is_able(&extras.capabilities, needs).is_ok())
    }

    fn asked(&self, question: Question) {
        let late = {
            let mut state = self.lock();
            match state.closed {
                true => Some(question),
                false => {
                    state.questions.push_back(question);
                    None
                }
            }
        };
        match late {
            Some(question) => question.go_along(self.client),
            None => self.changed.notify_waiters(),
        }
    }

    fn taken_back(&self, id: &str) {
        let taken = {
            let mut state = self.lock();
            let place = state.questions.iter().position(|question| question.has_id(id));
            place.and_then(|place| state.questions.remove(place))
        };
        if let Some(question) = taken {
            question.forget();
        }
    }

    fn log_level(&self) -> Option<u8> {
        match &*self.lock() {
            State { parked: true, .. } => None,
            State { follower: Some(follower), .. } => follower.asking.extras.log_level,
            State { follower: None, .. } => self.extras.log_level,
        }
    }

    fn withdrawn(&self) -> Option<(Bytes, Span)> {
        let follower = self.lock().follower.clone();
        match follower {
            Some(follower) => follower.asking.withdrawn.get().cloned(),
            None => self.withdrawn.get().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_requests_with_one_id_are_two() {
        let pending = Arc::new(Pending::new(ClientId::next(), Arc::default()));
        let first = pending.enter("1", Extras::default());
        let second = pending.enter("1", Extras::default());
        drop(first);
        assert!(pending.call_off("1", None));
        assert_eq!(second.asking().called_off().await, CalledOff::ByClient);
        assert!(!pending.call_off("\"1\"", None));
        drop(second);
        assert!(!pending.call_off("1", None));
        pending.emptied().await;
    }

    #[tokio::test]
    async fn a_call_called_off_for_two_reasons_hears_the_first() {
        let pending = Arc::new(Pending::new(ClientId::next(), Arc::default()));
        let place = pending.enter("\"a\"", Extras::default());
        pending.call_off_all();
        pending.call_off("\"a\"", None);
        assert_eq!(place.asking().called_off().await, CalledOff::ByStop);
    }
}
