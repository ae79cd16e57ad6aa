//! Requests whose client was asked something and will come back: a server of the older era waits for its
//! answer meanwhile (specification 2026-07-28, "Multi Round-Trip Requests").

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::downstream::question::Question;
use crate::session::IN_FLIGHT_BYTES_MAX;
use crate::session::exchange::Exchange;
use crate::session::request::Thing;
use crate::wire::members;

/// Requests that may be parked; one more ends the oldest.
const PARKED_MAX: usize = 64;

/// Their lines may have so many bytes in all, as those of requests without an answer; more ends the oldest.
const PARKED_BYTES_MAX: usize = IN_FLIGHT_BYTES_MAX;

/// A request that waits for its client.
pub struct Parked {
    /// The request and its server.
    pub exchange: Exchange,
    /// Its method.
    method: Box<str>,
    /// What it names.
    thing: Thing,
    /// What the client was asked, each under its key.
    questions: Vec<(String, Question)>,
}

impl Parked {
    /// A request whose server asks something.
    #[must_use]
    pub fn new(exchange: Exchange, questions: VecDeque<Question>, method: &str, thing: &Thing) -> Self {
        let questions = questions.into_iter().enumerate();
        let questions = questions.map(|(index, question)| (format!("q{}", index + 1), question)).collect();
        Self { exchange, method: method.into(), thing: thing.clone(), questions }
    }

    /// What is kept for it: its line, for a server that has to be asked again.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.exchange.call.line.len()
    }

    /// Whether a request that comes back with its state can be the same one.
    fn is(&self, method: &str, thing: &Thing) -> bool {
        *self.method == *method && self.thing == *thing
    }

    /// The questions in the form of an `inputRequests` object, in JSON.
    #[must_use]
    pub fn requests(&self) -> String {
        let request = |(key, question): &(String, Question)| {
            let params = question.params().map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
            format!(r#""{key}":{{"method":{}{params}}}"#, json!(question.method()))
        };
        let requests: Vec<String> = self.questions.iter().map(request).collect();
        format!("{{{}}}", requests.join(","))
    }

    /// Gives the server the client's answers; whether it has all of them now.
    #[must_use]
    pub fn answer(&mut self, responses: Option<&RawValue>) -> bool {
        let responses = responses.and_then(members).unwrap_or_default();
        for (key, result) in responses {
            if let Some(place) = self.questions.iter().position(|(asked, _)| *asked == key) {
                let (_, question) = self.questions.remove(place);
                question.answer_result(result.get());
            }
        }
        self.questions.is_empty()
    }
}

/// The parked requests of one client.
pub struct Parking {
    /// What every state of ours begins with; a server's own, and another bridge's, would not.
    prefix: String,
    /// How long a client may take to come back.
    expiry: Duration,
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    parked: HashMap<String, (Parked, Timer)>,
    /// The states in the order in which they were given.
    order: VecDeque<String>,
    /// Of their lines.
    bytes: usize,
}

/// The task that ends a parked request; it goes with it.
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Parking {
    /// Nothing is parked; a client has this long to come back.
    #[must_use]
    pub fn new(expiry: Duration) -> Self {
        Self { prefix: format!("bridge:{:016x}:", fastrand::u64(..)), expiry, table: Arc::default() }
    }

    /// Parks a request; gives the state under which the client finds it again.
    pub fn park(&self, parked: Parked) -> String {
        let state = format!("{}{:032x}", self.prefix, fastrand::u128(..));
        parked.exchange.asking.park();
        let timer = {
            let (table, state, expiry) = (Arc::downgrade(&self.table), state.clone(), self.expiry);
            Timer(tokio::spawn(async move {
                tokio::time::sleep(expiry).await;
                // What goes is dropped after the lock is free.
                let gone = table.upgrade().and_then(|table| lock(&table).take(&state));
                if gone.is_some() {
                    tracing::info!("client did not come back to answer a server's question");
                }
            }))
        };
        let oldest: Vec<(Parked, Timer)> = {
            let mut table = lock(&self.table);
            let oldest = table.make_room(parked.bytes());
            table.bytes += parked.bytes();
            table.parked.insert(state.clone(), (parked, timer));
            table.order.push_back(state.clone());
            oldest
        };
        drop(oldest);
        state
    }

    /// Whether a state is one of ours: the text of it, from its JSON.
    #[must_use]
    pub fn own_state(&self, state: &RawValue) -> Option<String> {
        let state: Value = serde_json::from_str(state.get()).ok()?;
        state.as_str().filter(|state| state.starts_with(&self.prefix)).map(str::to_owned)
    }

    /// Takes the request that was parked under a state; `None` when it is not there any more, or was
    /// another one.
    pub fn take(&self, state: &str, method: &str, thing: &Thing) -> Option<Parked> {
        let mut table = lock(&self.table);
        table.parked.get(state).filter(|(parked, _)| parked.is(method, thing))?;
        table.take(state).map(|(parked, _)| parked)
    }

    /// Ends everything that is parked.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *lock(&self.table));
        drop(all);
    }
}

impl Table {
    fn take(&mut self, state: &str) -> Option<(Parked, Timer)> {
        let taken = self.parked.remove(state)?;
        self.order.retain(|other| other != state);
        self.bytes -= taken.0.bytes();
        Some(taken)
    }

    /// Takes out the oldest, until one more of this size has room.
    fn make_room(&mut self, bytes: usize) -> Vec<(Parked, Timer)> {
        let mut gone = Vec::new();
        while self.parked.len() >= PARKED_MAX || self.bytes + bytes > PARKED_BYTES_MAX {
            let oldest = self.order.front().cloned();
            let Some(taken) = oldest.and_then(|oldest| self.take(&oldest)) else { break };
            gone.push(taken);
        }
        gone
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
