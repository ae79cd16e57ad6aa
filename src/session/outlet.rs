//! What goes to one client: a queue of lines in order, bounded in bytes, and who may add to it.

use std::collections::{HashMap, VecDeque};
use std::io::{PipeWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::downstream::connection::SAID_BYTES_MAX;
use crate::downstream::level::severity;
use crate::downstream::relay::Unread;
use crate::frames::{self, Kind, Leaving};
use crate::pipes::Sink;
use crate::queue::{ByteQueue, Portion, Share, Weighs};
use crate::session::ticket::Ticket;
use crate::store::ids::CallId;
use crate::wire::Frame;

/// What may wait for a client that does not read, in bytes, before its servers are not read either.
pub const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// At most this many pieces are handed to the pipe at once.
const PIECES_MAX: usize = 256;

/// One line on its way to the client.
#[derive(Debug)]
pub struct Out {
    frame: Frame,
    /// What it is for a front, and what that calls the request that it speaks of; 0 for none.
    kind: Kind,
    seq: u64,
    /// The room that the request took; given back when its answer is written.
    _permit: Option<OwnedSemaphorePermit>,
    /// What it takes of its server's share.
    _portion: Option<Portion>,
}

impl Weighs for Out {
    fn bytes(&self) -> usize {
        self.frame.len() + frames::HEAD_BYTES
    }
}

/// The way to one client.
#[derive(Debug)]
pub struct Outlet {
    queue: ByteQueue<Out>,
    /// Index of the least severe level that the client wants to hear.
    level: AtomicU8,
    /// Whether the client has said that it is ready for what it did not ask for.
    open: AtomicBool,
    /// The longest line that the client can read, in bytes.
    line_bytes_max: AtomicUsize,
    /// What waits of each connection that serves others too, by its number.
    shares: Mutex<HashMap<u64, Arc<Share>>>,
    /// Notifications that the client missed because it did not read.
    dropped: AtomicU64,
    /// For a front.
    front: Option<Front>,
}

/// What a front is told beside lines.
#[derive(Debug)]
struct Front {
    /// Where it hears which requests are about to be written to a server; nothing once it is let go.
    dispatched: Mutex<Option<PipeWriter>>,
}

impl Default for Outlet {
    fn default() -> Self {
        let queue = ByteQueue::new(OUT_BYTES_MAX);
        let line_bytes_max = AtomicUsize::new(usize::MAX);
        Self {
            queue,
            level: AtomicU8::new(0),
            open: AtomicBool::new(false),
            line_bytes_max,
            shares: Mutex::default(),
            dropped: AtomicU64::new(0),
            front: None,
        }
    }
}

impl Outlet {
    /// The way to a front: every line goes in a frame ([`frames`]), and `dispatched` is told of each request
    /// before it is written to a server. Writing to it must not block.
    #[must_use]
    pub fn framed(dispatched: PipeWriter) -> Self {
        let front = Front { dispatched: Mutex::new(Some(dispatched)) };
        Self { front: Some(front), ..Self::default() }
    }

    /// Lets a front go: from here on no request is written to a server, and of those without an answer nothing is
    /// said, because they are the front's again. Answers that are on their way through the record still come.
    pub fn let_go(&self) {
        if let Some(front) = &self.front {
            front.lock().take();
        }
    }

    /// Whether requests are somebody else's by now.
    fn has_let_go(&self) -> bool {
        self.front.as_ref().is_some_and(|front| front.lock().is_none())
    }

    /// Tells a front that nothing follows, and why.
    pub fn leaving(&self, leaving: Leaving) {
        let body = serde_json::to_vec(&leaving).unwrap_or_default();
        self.push(Kind::Leaving, 0, Frame::Flat(body.into()));
    }

    /// Adds an answer, or what else is said in any case; `ticket` is the answered request's.
    pub fn answer(&self, frame: Frame, ticket: Option<Ticket>) {
        let Some((seq, permit)) = ticket.unwrap_or_default().answered() else { return };
        if self.has_let_go() {
            return;
        }
        // After the end of the session nobody reads it.
        let _ = self.queue.push(Out { frame, kind: kind(seq), seq, _permit: permit, _portion: None });
    }

    /// Tells a front that a request has no answer.
    pub fn unanswered(&self, seq: u64) {
        if !self.has_let_go() {
            self.push(Kind::Answer, seq, Frame::Flat(Bytes::new()));
        }
    }

    /// Tells a front that somebody is here.
    pub fn pong(&self, seq: u64) {
        self.push(Kind::Pong, seq, Frame::Flat(Bytes::new()));
    }

    fn push(&self, kind: Kind, seq: u64, frame: Frame) {
        // After the end of the session nobody reads it.
        let _ = self.queue.push(Out { frame, kind, seq, _permit: None, _portion: None });
    }

    /// Tells a front that a request is about to be written to a server; false when it cannot be told, and the
    /// request must not be written.
    #[must_use]
    pub fn dispatched(&self, call: CallId) -> bool {
        let Some(front) = &self.front else { return true };
        let mut dispatched = front.lock();
        let Some(dispatched) = dispatched.as_mut() else { return false };
        let told = dispatched.write(&call.number().to_le_bytes());
        told.inspect_err(|error| tracing::error!(%call, %error, "front cannot be told of a request")).is_ok()
    }

    /// Counts the bytes of an answer that is on its way through the record.
    pub fn expect(&self, bytes: usize) {
        self.queue.reserve(bytes + frames::HEAD_BYTES);
    }

    /// Adds an answer that was expected.
    pub fn expected(&self, frame: Frame, ticket: Option<Ticket>) {
        let Some((seq, permit)) = ticket.unwrap_or_default().answered() else {
            return self.queue.written(frame.len() + frames::HEAD_BYTES);
        };
        // After the end of the session nobody reads it.
        let _ =
            self.queue.push_reserved(Out { frame, kind: kind(seq), seq, _permit: permit, _portion: None });
    }

    /// Adds what a server said unasked: others are not kept waiting by more of it than its share. Of a server that
    /// serves others too, more than that is dropped.
    pub fn pass(&self, frame: Frame, said: Unread<'_>) {
        if !said.is_for_many {
            return self.say(frame, Some(said.share));
        }
        let share = self.share(said.number);
        if share.has_room() && self.has_room() {
            return self.say(frame, Some(&share));
        }
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "client does not read fast enough, and misses what servers tell");
        }
    }

    /// What this client may have waiting of one connection that others hear too.
    fn share(&self, connection: u64) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(connection).or_insert_with(|| Share::new(SAID_BYTES_MAX)))
    }

    /// A connection says nothing more.
    pub fn ended(&self, connection: u64) {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    }

    /// How much was dropped of what servers told.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Adds a notification, if the client is ready for it.
    pub fn notify(&self, frame: Frame) {
        if self.open.load(Ordering::Acquire) {
            self.say(frame, None);
        }
    }

    /// Adds what the client did not ask for; a line that would cost it its session is dropped.
    fn say(&self, frame: Frame, share: Option<&Arc<Share>>) {
        if !self.can_take(&frame) {
            return tracing::warn!(bytes = frame.len(), "notification dropped that the client cannot read");
        }
        let portion = share.map(|share| share.take(frame.len()));
        // After the end of the session nobody reads it.
        let _ = self.queue.push(Out { frame, kind: Kind::Line, seq: 0, _permit: None, _portion: portion });
    }

    /// From now on the client reads lines of at most so many bytes.
    pub fn set_line_bytes_max(&self, bytes: usize) {
        self.line_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Whether the client can read a line.
    #[must_use]
    pub fn can_take(&self, frame: &Frame) -> bool {
        frame.len() <= self.line_bytes_max.load(Ordering::Relaxed)
    }

    /// The client is ready for notifications.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Whether the client is ready for notifications.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Sets the least severe level and gives its index; `None` when there is no such level.
    pub fn set_level(&self, level: &str) -> Option<u8> {
        let index = severity(level)?;
        self.level.store(index, Ordering::Relaxed);
        Some(index)
    }

    /// The index of the least severe level.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    /// Whether a client that does not read leaves room for more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// Waits for room.
    pub async fn room(&self) {
        self.queue.room().await;
    }

    /// Takes nothing more; what waits is still written.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Takes nothing more, and drops what waits: the client has gone.
    pub fn discard(&self) {
        self.queue.discard();
    }

    /// Writes what waits until the outlet is closed and empty.
    ///
    /// # Errors
    /// Any fault of the pipe; `BrokenPipe` when the client has closed its end.
    pub async fn write_out(&self, mut sink: Sink) -> std::io::Result<()> {
        let mut waiting = VecDeque::new();
        let mut pieces = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let more = tokio::select! {
                    more = self.queue.take(&mut waiting) => more,
                    () = sink.closed() => return Err(std::io::ErrorKind::BrokenPipe.into()),
                };
                if !more {
                    return Ok(());
                }
            }
            let mut taken: Vec<Out> = Vec::new();
            let mut bytes = 0;
            while pieces.len() < PIECES_MAX
                && let Some(out) = waiting.pop_front()
            {
                bytes += out.bytes();
                pieces.extend(self.head(&out));
                pieces.extend(out.frame.pieces().iter().cloned());
                taken.push(out);
            }
            while !pieces.is_empty() {
                sink.write_some(&mut pieces).await?;
            }
            drop(taken);
            self.queue.written(bytes);
        }
    }
}

impl Outlet {
    fn head(&self, out: &Out) -> Option<Bytes> {
        self.front.as_ref()?;
        Some(Bytes::copy_from_slice(&frames::head(out.kind, out.seq, out.frame.len())))
    }
}

impl Front {
    fn lock(&self) -> MutexGuard<'_, Option<PipeWriter>> {
        self.dispatched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a line is that answers this request.
fn kind(seq: u64) -> Kind {
    if seq == 0 { Kind::Line } else { Kind::Answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_that_is_let_go_hears_of_no_request_any_more() {
        let (mut dispatched, theirs) = std::io::pipe().unwrap();
        let outlet = Outlet::framed(theirs);
        let call = |number| CallId::given(number).unwrap();
        assert!(outlet.dispatched(call(7)));
        let before = outlet.queue.bytes();
        outlet.let_go();
        assert!(!outlet.dispatched(call(8)));
        outlet.answer(Frame::own(b"x".to_vec()), None);
        outlet.unanswered(8);
        assert_eq!(outlet.queue.bytes(), before);
        outlet.leaving(Leaving { why: frames::Why::Stop });
        assert!(outlet.queue.bytes() > before);
        let mut numbers = Vec::new();
        std::io::Read::read_to_end(&mut dispatched, &mut numbers).unwrap();
        assert_eq!(numbers, 7_u64.to_le_bytes(), "and the pipe has its end");
    }

    #[test]
    fn a_client_that_does_not_read_misses_what_others_hear_too_and_nothing_else() {
        let (outlet, share) = (Outlet::default(), Share::new(1));
        let line = || Frame::own(vec![b'x'; SAID_BYTES_MAX]);
        let unread = |number, is_for_many| Unread { number, share: &share, is_for_many };
        outlet.pass(line(), unread(1, true));
        outlet.pass(line(), unread(2, true));
        assert_eq!(outlet.dropped(), 0, "each connection has its share");
        outlet.pass(line(), unread(1, true));
        assert_eq!(outlet.dropped(), 1);
        outlet.pass(line(), unread(1, false));
        outlet.answer(line(), None);
        assert_eq!((outlet.dropped(), share.has_room()), (1, false));
        outlet.ended(1);
        outlet.pass(line(), unread(1, true));
        assert_eq!(outlet.dropped(), 1);
        outlet.discard();
        assert!(share.has_room(), "what a client that has gone did not read is nobody's");
    }
}
