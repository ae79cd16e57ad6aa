//! The process that a client starts: it owns stdin and stdout and outlives every hub.
//!
//! Two threads, and nothing else of the bridge: one takes the client's lines to the hub, one takes what the
//! hub says to the client. Both write down what they do in one [`Book`], so that whoever finds the hub dead
//! knows what the next one has to be told. Lock order: the way to the hub, then the book.

mod batch;
pub mod hubs;
mod input;
mod ledger;
mod output;
pub mod resume;
pub mod run;
mod shadow;
pub mod signals;
pub mod starts;
mod threads;
mod words;

use std::io::{self, BufWriter, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::frames::{Ends, Framed, HEAD_BYTES, Kind, UNANSWERED_BYTES_MAX, head};
use crate::front::ledger::{Due, Ended, Heard, Ledger};
use crate::front::shadow::Shadow;
use crate::front::words::Why;
use crate::store::ids::CallIds;
use crate::store::stamp;

/// So many bytes of frames are copied together to be written at once; a longer line is written as it lies.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// One client's session, as both threads see it.
#[derive(Debug, Default)]
pub struct Front {
    /// The way to the hub, held while a frame is written.
    way: Mutex<Option<UnixStream>>,
    book: Mutex<Book>,
    /// Requests were answered.
    answered: Condvar,
    /// A request came while there is no hub, or the session ends.
    came: Condvar,
    /// A hub knows why the session ends.
    is_told: AtomicBool,
    ids: CallIds,
}

/// What a session is, whichever hub serves it.
#[derive(Debug, Default)]
struct Book {
    ledger: Ledger,
    shadow: Shadow,
    /// Whatever was read is heard at once, whether there is room or not.
    is_hurried: bool,
}

impl Book {
    /// Whether too much has no answer for one more request.
    fn is_full(&self) -> bool {
        self.ledger.bytes() >= UNANSWERED_BYTES_MAX
    }
}

impl Front {
    /// Hears lines of the client that came together, and gives them to the hub if there is one. Waits while too
    /// much has no answer, and while the hub does not read.
    pub fn hear(&self, lines: &[Bytes]) {
        drop(self.room());
        let mut way = lock(&self.way);
        let mut due = Vec::with_capacity(lines.len());
        {
            let mut book = lock(&self.book);
            for line in lines {
                let batch = book.ledger.has_batches().then(|| batch::messages(line)).flatten();
                for message in batch.as_deref().unwrap_or(std::slice::from_ref(line)) {
                    due.extend(self.note(message, &mut book, way.is_some()));
                }
            }
        }
        write_due(&mut way, &due);
    }

    /// Hears that the client sent a line that is too long. The hub says so to whoever waits for it.
    pub fn hear_too_long(&self, ends: &Ends<'_>) {
        drop(self.room());
        let mut way = lock(&self.way);
        let (seq, line) = (self.next_seq(), ends.body());
        let mut book = lock(&self.book);
        let due = match book.ledger.hear_too_long(&line, ends, seq) {
            Heard::Line => {
                book.shadow.spoiled(ends);
                Some(Due { seq: 0, kind: Kind::TooLong, line })
            }
            Heard::Request if way.is_some() => book.ledger.give(seq),
            Heard::Request => {
                self.came.notify_all();
                None
            }
        };
        drop(book);
        write_due(&mut way, due.as_slice());
    }

    /// Writes one message of the client down; what the hub is to be given of it, if there is one.
    fn note(&self, message: &Bytes, book: &mut Book, has_hub: bool) -> Option<Due> {
        let seq = self.next_seq();
        match book.ledger.hear(message, seq) {
            Heard::Request if has_hub => book.ledger.give(seq),
            Heard::Line if book.shadow.hear(message) => {
                Some(Due { seq: 0, kind: Kind::Line, line: message.clone() })
            }
            Heard::Request => {
                self.came.notify_all();
                None
            }
            Heard::Line => None,
        }
    }

    /// Takes one frame of the hub's; what is for the client goes to `out`.
    ///
    /// # Errors
    /// When the client does not read any more.
    pub fn take(&self, framed: &Framed, out: &mut impl Write) -> io::Result<()> {
        let Framed { kind, seq, body } = framed;
        match kind {
            Kind::Answer => {
                let mut book = lock(&self.book);
                let was_full = book.is_full();
                // It had one already: this one comes too late.
                let Some(request) = book.ledger.answered(*seq) else { return Ok(()) };
                book.shadow.answered(request, body);
                drop(book);
                if was_full {
                    self.answered.notify_all();
                }
                out.write_all(body)
            }
            Kind::Line => {
                lock(&self.book).shadow.said(body);
                out.write_all(body)
            }
            _ => Ok(()),
        }
    }

    /// A request is about to be written to a server.
    pub fn dispatched(&self, seq: u64) {
        lock(&self.book).ledger.dispatched(seq);
    }

    /// The hub is gone, and whatever it had said was taken. The way is closed until [`Front::attach`].
    ///
    /// # Errors
    /// When the client does not read any more.
    pub fn hub_died(&self, out: &mut impl Write) -> io::Result<()> {
        *lock(&self.way) = None;
        let mut book = lock(&self.book);
        let (ended, asked) = (book.ledger.hub_died(), book.shadow.hub_died());
        drop(book);
        self.answered.notify_all();
        asked.iter().try_for_each(|id| out.write_all(&words::taken_back(id)))?;
        self.tell(&ended, Why::Deadly, out)
    }

    /// The hub has ended in peace, and whatever it had said was taken. The way is closed until [`Front::attach`].
    ///
    /// # Errors
    /// When the client does not read any more.
    pub fn hub_left(&self, out: &mut impl Write) -> io::Result<()> {
        *lock(&self.way) = None;
        let mut book = lock(&self.book);
        book.ledger.hub_left();
        let asked = book.shadow.hub_died();
        drop(book);
        self.answered.notify_all();
        asked.iter().try_for_each(|id| out.write_all(&words::taken_back(id)))
    }

    /// There has been no hub for so long that a client should not wait: what can be said without one is said.
    ///
    /// # Errors
    /// When the client does not read any more.
    pub fn no_hub(&self, out: &mut impl Write) -> io::Result<()> {
        // A session cannot be opened by half, and who waits to be told of changes has time.
        let waits = |request: &Ended| !matches!(&*request.method, "initialize" | "subscriptions/listen");
        self.give_up(&[Kind::Request, Kind::TooLong, Kind::Again, Kind::Spent], waits, Why::NoHub, out)?;
        self.give_up(&[Kind::Lost, Kind::Unknown], waits, Why::Lost, out)
    }

    /// No hub is to be started before its user says so: what a client should not wait for is answered.
    ///
    /// # Errors
    /// When the client does not read any more.
    pub fn held(&self, out: &mut impl Write) -> io::Result<()> {
        let not_done = [Kind::Request, Kind::TooLong, Kind::Again, Kind::Spent];
        let waits = |request: &Ended| *request.method != *"subscriptions/listen";
        self.give_up(&not_done, waits, Why::Held, out)?;
        self.give_up(&[Kind::Lost, Kind::Unknown], waits, Why::Stopped, out)
    }

    /// Answers what needs no hub, also if one had it and ended.
    ///
    /// # Errors
    /// When the client does not read any more.
    pub fn answer_pings(&self, out: &mut impl Write) -> io::Result<()> {
        let unanswered = [Kind::Request, Kind::Again, Kind::Spent];
        self.give_up(&unanswered, |request| *request.method == *"ping", Why::NoHub, out)
    }

    /// Waits until a request comes, the session ends, or so much time has passed.
    pub fn rest(&self, within: Duration) {
        drop(self.came.wait_timeout(lock(&self.book), within));
    }

    /// Waits until something needs a hub, the session ends, or so much time has passed; whether something does.
    #[must_use]
    pub fn is_hub_wanted(&self, within: Duration) -> bool {
        let book = lock(&self.book);
        if book.ledger.wants_hub() {
            return true;
        }
        let waited = self.came.wait_timeout(book, within).unwrap_or_else(PoisonError::into_inner);
        waited.0.ledger.wants_hub()
    }

    fn give_up(
        &self,
        as_what: &[Kind],
        by_front: impl Fn(&Ended) -> bool,
        why: Why,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let ended = lock(&self.book).ledger.give_up(as_what, by_front);
        self.answered.notify_all();
        self.tell(&ended, why, out)
    }

    /// A hub is there: it hears what the session is, then everything that has no answer, in order. Waits for
    /// the hub to read, so that somebody else has to read the hub at the same time.
    pub fn attach(&self, stream: UnixStream) {
        let mut way = lock(&self.way);
        let due = {
            let mut book = lock(&self.book);
            let restore = |line| Due { seq: 0, kind: Kind::Restore, line };
            let mut due: Vec<Due> = book.shadow.lines().into_iter().map(restore).collect();
            due.extend(book.ledger.due());
            due
        };
        *way = Some(stream);
        write_due(&mut way, &due);
    }

    /// Says a frame without a request to the hub, unless somebody else is saying something or there is no room
    /// for it: whoever counts a hub's silences must not wait for it.
    pub fn say(&self, kind: Kind, seq: u64) {
        let mut way = match self.way.try_lock() {
            Ok(way) => way,
            Err(std::sync::TryLockError::Poisoned(way)) => way.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return,
        };
        if way.as_ref().is_some_and(has_room) {
            write_due(&mut way, &[Due { seq, kind, line: Bytes::new() }]);
        }
    }

    /// Says why the session ends.
    pub fn bye(&self, reason: &'static str) {
        let mut way = lock(&self.way);
        write_due(&mut way, &[Due { seq: 0, kind: Kind::Bye, line: Bytes::from_static(reason.as_bytes()) }]);
        if way.is_some() {
            self.is_told.store(true, Ordering::Release);
        }
        drop(way);
        self.came.notify_all();
    }

    /// Whether a hub was told why the session ends.
    #[must_use]
    pub fn is_told(&self) -> bool {
        // Who is just telling it has its answer sooner than it knows.
        let _way = lock(&self.way);
        self.is_told.load(Ordering::Acquire)
    }

    /// The newest id under which the client was asked something.
    #[must_use]
    pub fn last_ask(&self) -> u32 {
        lock(&self.book).shadow.last_ask()
    }

    /// How many requests have no answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        lock(&self.book).ledger.len()
    }

    /// Waits for no room from here on: whoever reads is to stop.
    pub fn hurry(&self) {
        lock(&self.book).is_hurried = true;
        self.answered.notify_all();
    }

    /// Waits for room again.
    pub fn take_time(&self) {
        lock(&self.book).is_hurried = false;
    }

    fn next_seq(&self) -> u64 {
        self.ids.next(stamp::now_ms()).number().unsigned_abs()
    }

    fn tell(&self, ended: &[Ended], why: Why, out: &mut impl Write) -> io::Result<()> {
        let tools = lock(&self.book).shadow.tools().map(str::to_owned);
        ended.iter().try_for_each(|request| out.write_all(&words::answer(request, why, tools.as_deref())))
    }

    /// Waits until there is room for one more request.
    fn room(&self) -> MutexGuard<'_, Book> {
        let mut book = lock(&self.book);
        while book.is_full() && !book.is_hurried {
            book = self.answered.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
        book
    }
}

/// Writes frames to a hub that is there. One that is gone is closed for good: whoever reads it finds out.
fn write_due(way: &mut MutexGuard<'_, Option<UnixStream>>, due: &[Due]) {
    let Some(stream) = way.as_mut() else { return };
    if write(stream, due).is_err() {
        let _ = stream.shutdown(Shutdown::Both);
        **way = None;
    }
}

/// Whether a frame without a body can be written at once: a socket that can be written to has room for far more.
fn has_room(stream: &UnixStream) -> bool {
    poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

fn write(stream: &mut UnixStream, due: &[Due]) -> io::Result<()> {
    let bytes = due.iter().map(|due| HEAD_BYTES + due.line.len()).sum::<usize>().min(COPIED_BYTES_MAX);
    let mut together = BufWriter::with_capacity(bytes, stream);
    for due in due {
        together.write_all(&head(due.kind, due.seq, due.line.len()))?;
        together.write_all(&due.line)?;
    }
    together.flush()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
