//! One pipe to one server, shared by every request that is under way on it.
//!
//! Every request carries an id of the bridge's own, from [`FIRST_ID`] up.

pub mod in_flight;
pub mod outflow;
pub mod owned;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};

use crate::downstream::Ending;
use crate::downstream::connection::in_flight::InFlight;
use crate::downstream::greeting::{Face, Greeting};
use crate::downstream::relay::{Hears, Relay};
use crate::era::Era;
use crate::queue::{ByteQueue, Weighs};
use crate::wire::{Cut, Envelope, Frame, Kind, Span, span_of, splice};

/// The bridge's first id towards a server (protocol.md, "Ids, tokens, order").
pub const FIRST_ID: u64 = 1 << 40;

/// Requests that wait to be written to one server have room for this many bytes.
const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

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
    /// Who hears what the server says of this request before it answers.
    pub hears: Arc<dyn Hears>,
}

type Reply = Result<Answer, Lost>;

struct Waiter {
    reply: oneshot::Sender<Reply>,
    written: bool,
    token: Option<Box<str>>,
    hears: Option<Arc<dyn Hears>>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<u64, Waiter>,
    tokens: HashMap<Box<str>, u64>,
    ending: Option<Arc<Ending>>,
}

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

/// A server that was greeted.
struct Greeted {
    greeting: Greeting,
    /// What the bridge's own requests carry in their `_meta`; only a modern server needs it.
    own_meta: Option<Box<str>>,
}

/// A live connection to a server.
pub struct Connection {
    server: Arc<str>,
    table: Mutex<Table>,
    out: ByteQueue<Outbound>,
    next_id: AtomicU64,
    greeting: OnceLock<Greeted>,
    relay: Arc<dyn Relay>,
    ended: watch::Sender<bool>,
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
    /// A connection on which nothing was sent yet.
    #[must_use]
    pub fn new(server: Arc<str>, relay: Arc<dyn Relay>) -> Arc<Self> {
        Arc::new(Self {
            server,
            table: Mutex::default(),
            out: ByteQueue::new(OUT_BYTES_MAX),
            next_id: AtomicU64::new(FIRST_ID),
            greeting: OnceLock::new(),
            relay,
            ended: watch::Sender::new(false),
            garbage: AtomicU64::new(0),
            late: AtomicU64::new(0),
        })
    }

    /// The server was greeted as this client.
    pub fn greeted(&self, greeting: Greeting, face: &Face) {
        let own_meta = match greeting.era {
            Era::Legacy => None,
            Era::Modern => Some(face.modern_members().into()),
        };
        // It is greeted once.
        let _ = self.greeting.set(Greeted { greeting, own_meta });
    }

    /// What the server said of itself; `None` before it was greeted.
    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.get().map(|greeted| &greeted.greeting)
    }

    /// By which rules the server is spoken to.
    #[must_use]
    pub fn era(&self) -> Era {
        self.greeting().map_or(Era::Legacy, |greeting| greeting.era)
    }

    /// Asks for one page of a list; `cursor` is JSON.
    ///
    /// # Errors
    /// When the connection has ended; the request was not written.
    pub fn ask_list(self: &Arc<Self>, method: &str, cursor: Option<&RawValue>) -> Result<InFlight, Lost> {
        let cursor = cursor.map(|cursor| format!(r#""cursor":{cursor}"#));
        let meta = self.greeting.get().and_then(|greeted| greeted.own_meta.as_ref());
        let meta = meta.map(|meta| format!(r#""_meta":{{{meta}}}"#));
        let members: Vec<String> = cursor.into_iter().chain(meta).collect();
        self.ask_own(method, &format!("{{{}}}", members.join(",")))
    }

    /// Sends a line of the bridge's own, without waiting.
    ///
    /// # Errors
    /// The line's frame, when the connection has ended.
    pub fn say(&self, line: Vec<u8>) -> Result<(), Frame> {
        self.out.push(Outbound { frame: Frame::own(line), request: None }).map_err(|outbound| outbound.frame)
    }

    /// Puts a client's request on its way. Dropping what comes back takes the request back: the server
    /// is told, and its late answer is swallowed.
    ///
    /// # Errors
    /// When the connection has ended; the request was not written.
    pub fn ask<'a>(self: &Arc<Self>, outgoing: Outgoing<'a>) -> Result<InFlight, Lost> {
        self.put(outgoing.token, Some(outgoing.hears), |id| {
            let mut cuts: Vec<Cut<'_>> = outgoing.cuts;
            cuts.push(Cut { span: outgoing.id, text: id.as_bytes() });
            splice(outgoing.line, &cuts)
        })
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
        token: Option<&str>,
        hears: Option<Arc<dyn Hears>>,
        frame: impl FnOnce(&str) -> Frame,
    ) -> Result<InFlight, Lost> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = frame(&id.to_string());
        let (reply, answer) = oneshot::channel();
        let token = token.map(Box::<str>::from);
        {
            let mut table = self.lock();
            if let Some(ending) = &table.ending {
                return Err(Lost::Ended { written: false, ending: Arc::clone(ending) });
            }
            if let Some(token) = &token {
                table.tokens.insert(token.clone(), id);
            }
            table.waiting.insert(id, Waiter { reply, written: false, token, hears });
        }
        // A closed queue means that the ending is being told to all who wait; this one hears it too.
        let _ = self.out.push(Outbound { frame, request: Some(id) });
        Ok(InFlight { connection: Arc::clone(self), id, answer })
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Ends the connection: everyone who waits hears how the server ended.
    pub fn end(&self, ending: Arc<Ending>) {
        let waiting = {
            let mut table = self.lock();
            if table.ending.is_some() {
                return;
            }
            table.ending = Some(Arc::clone(&ending));
            table.tokens.clear();
            // Before anybody hears of it: who asks again must not get this connection a second time.
            self.ended.send_replace(true);
            std::mem::take(&mut table.waiting)
        };
        self.out.close();
        for waiter in waiting.into_values() {
            // Whoever waited may have given up in this very moment.
            let _ =
                waiter.reply.send(Err(Lost::Ended { written: waiter.written, ending: Arc::clone(&ending) }));
        }
    }

    /// How many requests are under way.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Lines on the server's output that were no messages, and answers that came too late.
    #[must_use]
    pub fn noise(&self) -> (u64, u64) {
        (self.garbage.load(Ordering::Relaxed), self.late.load(Ordering::Relaxed))
    }

    /// Waits until what this server says can be passed on.
    pub async fn room_for_more(&self) {
        if !self.relay.has_room() {
            self.relay.room().await;
        }
    }

    /// Hears one line of the server.
    pub fn hear(&self, line: Bytes) -> Heard {
        let Ok(envelope) = Envelope::parse(&line) else {
            self.garbage.fetch_add(1, Ordering::Relaxed);
            return Heard::Garbage(line);
        };
        match envelope.kind() {
            Kind::Response => {
                let id = envelope.id.map(RawValue::get).and_then(|id| id.parse::<u64>().ok());
                match id {
                    Some(id) if id >= FIRST_ID => self.hear_answer(id, &line, &envelope),
                    _ => {
                        self.late.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            // A server that asks and does not read gets no answers that could only pile up.
            Kind::Request if !self.out.has_room() => {
                self.garbage.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Request => self.hear_request(&envelope),
            Kind::Notification => self.hear_notification(&line, &envelope),
            Kind::Stray => {
                self.garbage.fetch_add(1, Ordering::Relaxed);
                return Heard::Garbage(line);
            }
        }
        Heard::Message
    }

    /// Hears that a line was over the limit, of which only head and tail are left.
    pub fn hear_too_long(&self, head: &[u8], tail: &[u8], bytes: usize) {
        let in_head = crate::wire::id_in_head(head).and_then(|id| id.parse::<u64>().ok());
        let Some(id) = in_head.or_else(|| id_in_tail(tail)) else {
            self.garbage.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(waiter) = self.forget(id) {
            let _ = waiter.reply.send(Err(Lost::TooLarge { bytes }));
        }
    }

    fn hear_answer(&self, id: u64, line: &Bytes, envelope: &Envelope<'_>) {
        let (Some(waiter), Some(span)) =
            (self.forget(id), envelope.id.and_then(|raw| span_of(line, raw.get())))
        else {
            self.late.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(server = %self.server, "late answer dropped");
            return;
        };
        let verdict = match &envelope.result {
            None => Verdict::RpcError,
            Some(result) if result.is_error => Verdict::ToolError,
            Some(_) => Verdict::Ok,
        };
        let has_result_type = envelope.result.as_ref().is_some_and(|result| result.has_result_type);
        let _ = waiter.reply.send(Ok(Answer { line: line.clone(), id: span, verdict, has_result_type }));
    }

    fn hear_notification(&self, line: &Bytes, envelope: &Envelope<'_>) {
        match envelope.method.as_deref() {
            Some("notifications/progress") => {
                let hears = crate::wire::progress_token(envelope.params).and_then(|token| {
                    let table = self.lock();
                    let id = table.tokens.get(token)?;
                    table.waiting.get(id)?.hears.clone()
                });
                // Progress that follows its response is dropped.
                if let Some(hears) = hears {
                    hears.progress(Frame::whole(line));
                }
            }
            Some(method) => self.relay.notification(&self.server, method, line, envelope.params),
            None => {}
        }
    }

    fn hear_request(&self, envelope: &Envelope<'_>) {
        let (Some(id), Some(method)) = (envelope.id, envelope.method.as_deref()) else { return };
        let answer = match method {
            "ping" => r#""result":{}"#,
            _ => r#""error":{"code":-32601,"message":"this client has no such method"}"#,
        };
        // A connection that has ended needs no answer.
        let _ = self.say(format!(r#"{{"jsonrpc":"2.0","id":{id},{answer}}}"#).into_bytes());
    }

    fn forget(&self, id: u64) -> Option<Waiter> {
        let mut table = self.lock();
        let waiter = table.waiting.remove(&id)?;
        if let Some(token) = &waiter.token
            && table.tokens.get(token) == Some(&id)
        {
            table.tokens.remove(token);
        }
        Some(waiter)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a line turned out to be.
#[derive(Debug)]
pub enum Heard {
    /// A message, which was dealt with.
    Message,
    /// No message.
    Garbage(Bytes),
}

/// The id at the end of a line that was too long to keep: some servers write it last.
fn id_in_tail(tail: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(tail);
    let (_, after) = text.rsplit_once("\"id\":")?;
    let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|id| *id >= FIRST_ID)
}
