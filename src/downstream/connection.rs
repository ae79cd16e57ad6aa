//! One pipe to one server, shared by every request that is under way on it.
//!
//! Every request carries an id of the bridge's own, from [`FIRST_ID`] up.

mod greeted;
mod health;
mod hear;
pub mod in_flight;
pub mod outflow;
pub mod owned;
mod questions;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

use crate::downstream::Ending;
use crate::downstream::client::{ClientId, Owner};
use crate::downstream::connection::greeted::Greeted;
use crate::downstream::connection::in_flight::InFlight;
use crate::downstream::connection::questions::Questions;
use crate::downstream::connection::table::{Table, Token, Waiter};
use crate::downstream::relay::{Carries, Hears, Relay};
use crate::downstream::wake::Wake;
use crate::queue::{ByteQueue, Share, Weighs};
use crate::wire::{Cut, Envelope, Frame, Span, object, splice};

pub use crate::downstream::connection::hear::{Granted, Heard, Listening, SUBSCRIPTION_ID};

/// The bridge's first id towards a server (protocol.md, "Ids, tokens, order").
pub const FIRST_ID: u64 = 1 << 40;

/// Requests that wait to be written to one server have room for this many bytes.
const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// So much of what a server says unasked may wait for the client to read it, in bytes; then the server is not read
/// for a while. The answers of others wait behind no more of it.
pub const SAID_BYTES_MAX: usize = 256 * 1024;

/// The number of the next connection.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// How the answer of a server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A result.
    Ok,
    /// A result that says `isError: true`.
    ToolError,
    /// A JSON-RPC error.
    RpcError,
}

/// A server's answer: its own line, and where the id stands in it.
#[derive(Debug)]
pub struct Answer {
    /// The line as the server wrote it.
    pub line: Bytes,
    /// Where the id stands.
    pub id: Span,
    /// How it reads.
    pub verdict: Verdict,
    /// Whether the result carries a `resultType`.
    pub has_result_type: bool,
    /// Whether it is no result yet: the server asks the client something first.
    pub is_input_required: bool,
    /// The id of the task that it gives in place of a result.
    pub task: Option<String>,
}

impl Answer {
    /// The code of an answer that is an error; 0 where there is none.
    #[must_use]
    pub fn error_code(&self) -> i64 {
        #[derive(Deserialize)]
        struct Error {
            code: i64,
        }
        let envelope = Envelope::parse(&self.line).ok();
        let error: Option<Error> = envelope.and_then(|envelope| envelope.error).and_then(object);
        error.map_or(0, |error| error.code)
    }
}

/// How a request ended that got no answer of the server's own.
#[derive(Debug)]
pub enum Lost {
    /// The connection ended.
    Ended {
        /// Whether the request may have reached the server.
        written: bool,
        /// How the server ended.
        ending: Arc<Ending>,
    },
    /// The answer was over the limit for a line.
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
}

/// One request as the client wrote it, and what has to change in it.
pub struct Outgoing<'a> {
    /// The client's line.
    pub line: &'a Bytes,
    /// Where its id stands.
    pub id: Span,
    /// What else changes in it: the tool's name, above all.
    pub cuts: Vec<Cut<'a>>,
    /// The progress token, in JSON.
    pub token: Option<&'a str>,
    /// The token that the client gave, where the bridge has put its own in its place.
    pub shown_token: Option<&'a str>,
    /// Who hears what the server says of this request before it answers.
    pub hears: Arc<dyn Hears>,
}

type Reply = Result<Answer, Lost>;

/// One frame on its way to a server.
#[derive(Debug)]
pub struct Outbound {
    frame: Frame,
    /// The request whose frame this is, when somebody waits for its answer.
    request: Option<u64>,
}

impl Weighs for Outbound {
    fn bytes(&self) -> usize {
        self.frame.len()
    }
}

/// A live connection to a server.
pub struct Connection {
    server: Arc<str>,
    /// The client whose it is, if it is one's alone.
    owner: Arc<Owner>,
    /// The client as which the server is greeted.
    shown: OnceLock<ClientId>,
    /// Tells connections apart.
    number: u64,
    table: Mutex<Table>,
    out: ByteQueue<Outbound>,
    next_id: AtomicU64,
    greeting: OnceLock<Greeted>,
    relay: Arc<dyn Relay>,
    /// What it said unasked and waits for the client to read it.
    said: Arc<Share>,
    ended: watch::Sender<bool>,
    /// Places for calls, from the first one on; closed with the connection.
    slots: OnceLock<Arc<Semaphore>>,
    /// The server's requests that have no answer yet, by the client that is asked.
    questions: watch::Sender<Questions>,
    /// The bridge's own `subscriptions/listen` whose notifications count.
    listening: watch::Sender<Listening>,
    /// Deadlines that were missed since the last answer.
    missed: AtomicU32,
    hangs: Notify,
    /// When a client used it last, in milliseconds since `born`.
    used_ms: AtomicU64,
    born: Instant,
    wake: Option<Arc<Wake>>,
    /// The jump of the clocks after which the server was looked at last.
    looked_at: AtomicU64,
    /// Lines on the server's output that were no messages.
    garbage: AtomicU64,
    /// Answers that came after their request had ended.
    late: AtomicU64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection on which nothing was sent yet; `wake` for a server that a sleep of the machine can harm.
    #[must_use]
    pub fn new(
        server: Arc<str>,
        owner: Arc<Owner>,
        relay: Arc<dyn Relay>,
        wake: Option<Arc<Wake>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            server,
            owner,
            shown: OnceLock::new(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            table: Mutex::default(),
            out: ByteQueue::new(OUT_BYTES_MAX),
            next_id: AtomicU64::new(FIRST_ID),
            greeting: OnceLock::new(),
            relay,
            said: Share::new(SAID_BYTES_MAX),
            ended: watch::Sender::new(false),
            slots: OnceLock::new(),
            questions: watch::Sender::default(),
            listening: watch::Sender::default(),
            missed: AtomicU32::new(0),
            hangs: Notify::new(),
            used_ms: AtomicU64::new(0),
            born: Instant::now(),
            looked_at: AtomicU64::new(wake.as_ref().map_or(0, |wake| wake.jumps())),
            wake,
            garbage: AtomicU64::new(0),
            late: AtomicU64::new(0),
        })
    }

    /// Asks for one page of a list; `cursor` is JSON.
    ///
    /// # Errors
    /// When the connection has ended; the request was not written.
    pub fn ask_list(self: &Arc<Self>, method: &str, cursor: Option<&RawValue>) -> Result<InFlight, Lost> {
        let cursor = cursor.map(|cursor| format!(r#""cursor":{cursor}"#)).unwrap_or_default();
        self.ask_own(method, &self.own_params(&cursor))
    }

    /// The params of a request of the bridge's own: these members, and what a modern server wants to know.
    #[must_use]
    pub fn own_params(&self, members: &str) -> String {
        let meta = match self.own_meta() {
            "" => String::new(),
            meta => format!(r#""_meta":{{{meta}}}"#),
        };
        let comma = if members.is_empty() || meta.is_empty() { "" } else { "," };
        format!("{{{members}{comma}{meta}}}")
    }

    /// Waits until the server has acknowledged the bridge's own `subscriptions/listen` with this id.
    pub async fn listening(&self, id: u64) -> Listening {
        let mut acknowledged = self.listening.subscribe();
        // The sender is ours.
        acknowledged
            .wait_for(|listening| listening.id == id)
            .await
            .map(|told| told.clone())
            .unwrap_or_default()
    }

    /// The client that it belongs to; `None` when it serves whoever comes.
    #[must_use]
    pub fn owner(&self) -> Option<ClientId> {
        self.owner.get()
    }

    /// Its number, which no other connection of this process has.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Sends a line of the bridge's own, without waiting.
    ///
    /// # Errors
    /// The line's frame, when the connection has ended.
    pub fn say(&self, line: Vec<u8>) -> Result<(), Frame> {
        self.out.push(Outbound { frame: Frame::own(line), request: None }).map_err(|outbound| outbound.frame)
    }

    /// Sends what is no request: an answer or a notification of the client. A connection that has ended
    /// needs none.
    pub fn say_frame(&self, frame: Frame) {
        let _ = self.out.push(Outbound { frame, request: None });
    }

    /// Puts a client's request on its way; a connection that has just ended says so in the answer's place.
    /// Dropping what comes back takes the request back: the server is told, its late answer is swallowed.
    pub fn ask<'a>(self: &Arc<Self>, outgoing: Outgoing<'a>) -> InFlight {
        self.is_used();
        let token = outgoing
            .token
            .map(|token| Token { own: token.into(), shown: outgoing.shown_token.map(Box::from) });
        let asked = self.put(token, Some(outgoing.hears), |id| {
            let mut cuts: Vec<Cut<'_>> = outgoing.cuts;
            cuts.push(Cut { span: outgoing.id, text: id.as_bytes() });
            splice(outgoing.line, &cuts)
        });
        asked.unwrap_or_else(|lost| InFlight::lost(self, lost))
    }

    /// Puts a request of the bridge's own on its way; `params` is a JSON object.
    ///
    /// # Errors
    /// When the connection has ended; the request was not written.
    pub fn ask_own(self: &Arc<Self>, method: &str, params: &str) -> Result<InFlight, Lost> {
        self.put(None, None, |id| {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            Frame::own(line.into_bytes())
        })
    }

    fn put(
        self: &Arc<Self>,
        token: Option<Token>,
        hears: Option<Arc<dyn Hears>>,
        frame: impl FnOnce(&str) -> Frame,
    ) -> Result<InFlight, Lost> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = frame(&id.to_string());
        let (reply, answer) = oneshot::channel();
        let carries = hears.as_ref().is_some_and(|hears| hears.carries() == Carries::AtOnce);
        let asker = hears.clone().filter(|_| carries);
        let held = {
            let mut table = self.lock();
            if let Some(ending) = &table.ending {
                return Err(Lost::Ended { written: false, ending: Arc::clone(ending) });
            }
            if let Some(token) = &token {
                table.tokens.insert(token.own.clone(), id);
            }
            table.waiting.insert(id, Waiter { reply, written: false, token, hears });
            asker.map(|asker| (table.take_held(asker.client()), asker))
        };
        // A closed queue means that the ending is being told to all who wait; this one hears it too.
        let _ = self.out.push(Outbound { frame, request: Some(id) });
        if let Some((held, asker)) = held {
            held.into_iter().for_each(|question| asker.asked(question));
        }
        Ok(InFlight { connection: Arc::clone(self), id, answer, hold: None })
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until what this server says can be passed on.
    pub async fn room_for_more(&self) {
        let owner = self.owner();
        if !self.relay.has_room(owner, &self.said) {
            self.relay.room(owner, &self.said).await;
        }
    }

    fn forget(&self, id: u64) -> Option<Waiter> {
        let mut table = self.lock();
        let waiter = table.waiting.remove(&id)?;
        if let Some(token) = &waiter.token
            && table.tokens.get(&token.own) == Some(&id)
        {
            table.tokens.remove(&token.own);
        }
        Some(waiter)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
