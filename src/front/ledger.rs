//! Every request of the client that has no answer yet, and what becomes of it when a hub dies.
//!
//! Pure: lines and facts go in, decisions come out. The rules are those of a server's death (faults.md,
//! "Retry"), with the hub in the server's place: what was certainly not written to a server is sent again,
//! and so is what only reads; of the rest nobody knows whether it was done, and the next hub decides whether
//! it may be done twice. A request that was under way in two hub deaths may be what they died of, and is not
//! done a third time. The next hub records what became of a request, and answers it.

pub mod kept;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::frames::{self, Ends};
use crate::front::batch::{first_id, opens_with_batches};
use crate::wire::{Envelope, Kind, Malformed, cancelled_id, id_at_ends, id_in_head, is_answer_in_head};

/// A request that was with so many hubs when they died is not done again.
const DEATHS_MAX: u8 = 2;

/// One with which so many died is answered by the front itself, without a row: even to speak of it may be what
/// kills them. Far more than a bad minute has, in which no hub lives long enough to open the record.
const TELLINGS_MAX: u8 = 50;

/// Calls that the front answered without a hub wait for one that records them: so many bytes of them, then the
/// next ones have no row.
const TOLD_BYTES_MAX: usize = 1024 * 1024;

/// What a line of the client is for its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A request; it goes to the hub under its number and is answered once.
    Request,
    /// Anything else; it goes to the hub, and nobody waits.
    Line,
}

/// A request that a hub is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub seq: u64,
    /// As what it is given.
    pub kind: frames::Kind,
    /// The client's line.
    pub line: Bytes,
}

/// A request that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The client's line.
    pub line: Bytes,
    /// Its id, in JSON.
    pub id: Box<str>,
    /// Its method; empty for a line that is no message and has an id all the same.
    pub method: Box<str>,
}

/// The requests without an answer.
#[derive(Debug, Default)]
pub struct Ledger {
    open: BTreeMap<u64, Open>,
    bytes: usize,
    /// Calls that the front answered itself.
    told: BTreeMap<u64, Told>,
    has_batches: bool,
}

/// A call that the front answered itself, to be recorded as this.
#[derive(Debug)]
struct Told {
    line: Bytes,
    kind: frames::Kind,
    deaths: u8,
}

#[derive(Debug)]
struct Open {
    request: Ended,
    /// As what the next hub gets it.
    kind: frames::Kind,
    /// This life of the hub has it.
    is_sent: bool,
    /// It was about to be written to a server.
    is_dispatched: bool,
    /// The client took it back.
    is_withdrawn: bool,
    deaths: u8,
}

impl Ledger {
    /// Hears a line of the client; `seq` is its number, greater than all before, if it needs one.
    pub fn hear(&mut self, line: &Bytes, seq: u64) -> Heard {
        let envelope = match Envelope::parse(line) {
            Ok(envelope) => envelope,
            Err(Malformed::Batch) => return self.hear_misfit(line, first_id(line), seq),
            Err(_) => return self.hear_misfit(line, id_in_head(line).map(Into::into), seq),
        };
        let method = envelope.method.as_deref().unwrap_or_default();
        match (envelope.kind(), envelope.id) {
            (Kind::Request, Some(id)) => {
                if method == "initialize" {
                    self.has_batches = opens_with_batches(envelope.params).unwrap_or(self.has_batches);
                }
                self.enter(seq, line, frames::Kind::Request, (id.get(), method));
                Heard::Request
            }
            (Kind::Notification, _) => {
                if let ("notifications/cancelled", Some(id)) = (method, cancelled_id(envelope.params)) {
                    self.withdraw(id);
                }
                Heard::Line
            }
            (Kind::Response, _) => Heard::Line,
            _ => self.hear_misfit(line, id_in_head(line).map(Into::into), seq),
        }
    }

    /// Whether the client may put several messages into one line: then they are to be heard one by one.
    #[must_use]
    pub fn has_batches(&self) -> bool {
        self.has_batches
    }

    /// A line that is no message; one that shows an id is refused under it.
    fn hear_misfit(&mut self, line: &Bytes, id: Option<Box<str>>, seq: u64) -> Heard {
        let Some(id) = id else { return Heard::Line };
        self.enter(seq, line, frames::Kind::Request, (&id, ""));
        Heard::Request
    }

    /// A line that is too long, of which this is left; a request is refused under the id that its ends show.
    pub fn hear_too_long(&mut self, left: &Bytes, ends: &Ends<'_>, seq: u64) -> Heard {
        let id = id_at_ends(ends.head, ends.tail).filter(|_| !is_answer_in_head(ends.head));
        let Some(id) = id else { return Heard::Line };
        self.enter(seq, left, frames::Kind::TooLong, (&id, ""));
        Heard::Request
    }

    /// What a new hub is to be given, in the order in which it came; from now on it has it.
    pub fn due(&mut self) -> Vec<Due> {
        self.open.values_mut().filter(|open| !open.is_sent && open.is_withdrawn).for_each(Open::withdraw);
        self.forget();
        let waiting = self.open.iter_mut().filter(|(_, open)| !open.is_sent);
        let mut due: Vec<Due> = waiting.map(|(seq, open)| open.give(*seq)).collect();
        due.extend(self.told.iter().map(|(seq, told)| Due {
            seq: *seq,
            kind: told.kind,
            line: told.line.clone(),
        }));
        due.sort_by_key(|due| due.seq);
        due
    }

    /// A request that has just come; from now on the hub has it.
    pub fn give(&mut self, seq: u64) -> Option<Due> {
        self.open.get_mut(&seq).map(|open| open.give(seq))
    }

    /// A request is about to be written to a server.
    pub fn dispatched(&mut self, seq: u64) {
        if let Some(open) = self.open.get_mut(&seq) {
            open.is_dispatched = true;
        }
    }

    /// The answer to a request came; `None` when it had one already, and this one is to be dropped.
    pub fn answered(&mut self, seq: u64) -> Option<Ended> {
        self.told.remove(&seq);
        let open = self.open.remove(&seq)?;
        self.bytes -= cost(&open.request.line);
        Some(open.request)
    }

    /// How many bytes it takes to keep the lines.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.told_bytes()
    }

    /// How many requests have no answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The hub died: it is decided what becomes of each request. Those that come back are not given to any
    /// hub again, and the front answers them itself.
    pub fn hub_died(&mut self) -> Vec<Ended> {
        self.open.values_mut().for_each(Open::hub_died);
        self.told.values_mut().for_each(|told| told.deaths += 1);
        self.told.retain(|_, told| told.deaths < TELLINGS_MAX);
        self.forget();
        let (kept, ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.open).into_iter().partition(|(_, open)| open.deaths < TELLINGS_MAX);
        self.open = kept;
        self.bytes -= ended.values().map(|open| cost(&open.request.line)).sum::<usize>();
        ended.into_values().filter(|open| !open.is_withdrawn).map(|open| open.request).collect()
    }

    /// The hub ended in peace: what it has not answered is decided as at its death, which it was not.
    pub fn hub_left(&mut self) {
        self.open.values_mut().for_each(Open::hub_left);
        self.forget();
    }

    /// Whether anything waits for a hub to be there. A ping does not, nor a subscription that an earlier one had.
    #[must_use]
    pub fn wants_hub(&self) -> bool {
        self.open.values().any(|open| {
            let is_again = open.kind == frames::Kind::Again;
            let can_wait =
                open.is_withdrawn || *open.request.method == *"ping" || is_again && open.lives_long();
            !open.is_sent && !can_wait
        })
    }

    /// There is no hub, and will not be for a while: of those that would be given to it like this, and that nobody
    /// took back, the front itself answers which `by_front` names. The next hub records what was a call.
    pub fn give_up(&mut self, as_what: &[frames::Kind], by_front: impl Fn(&Ended) -> bool) -> Vec<Ended> {
        let is_over = |open: &Open| {
            !open.is_sent && !open.is_withdrawn && as_what.contains(&open.kind) && by_front(&open.request)
        };
        let over: Vec<(u64, frames::Kind)> =
            self.open.iter().filter(|(_, open)| is_over(open)).map(|(seq, open)| (*seq, open.kind)).collect();
        over.into_iter().filter_map(|(seq, kind)| self.told(seq, kind)).collect()
    }

    fn told_bytes(&self) -> usize {
        self.told.values().map(|told| cost(&told.line)).sum()
    }

    fn told(&mut self, seq: u64, kind: frames::Kind) -> Option<Ended> {
        let request = self.answered(seq)?;
        if *request.method == *"tools/call" && self.told_bytes() + cost(&request.line) <= TOLD_BYTES_MAX {
            let kind = match kind {
                frames::Kind::Lost | frames::Kind::Unknown => frames::Kind::Unknown,
                _ => frames::Kind::Spent,
            };
            self.told.insert(seq, Told { line: request.line.clone(), kind, deaths: 0 });
        }
        Some(request)
    }

    fn enter(&mut self, seq: u64, line: &Bytes, kind: frames::Kind, (id, method): (&str, &str)) {
        self.bytes += cost(line);
        let request = Ended { line: line.clone(), id: id.into(), method: method.into() };
        let open =
            Open { request, kind, is_sent: false, is_dispatched: false, is_withdrawn: false, deaths: 0 };
        self.open.insert(seq, open);
    }

    /// Only what has a row has to be spoken of when nobody waits for it.
    fn forget(&mut self) {
        let bytes = &mut self.bytes;
        self.open.retain(|_, open| {
            let is_spoken_of = open.kind != frames::Kind::Withdrawn || *open.request.method == *"tools/call";
            *bytes -= if is_spoken_of { 0 } else { cost(&open.request.line) };
            is_spoken_of
        });
    }

    fn withdraw(&mut self, id: &str) {
        // The client's ids are its own: the newest with this one is meant, and an older one too.
        self.open
            .values_mut()
            .filter(|open| *open.request.id == *id)
            .for_each(|open| open.is_withdrawn = true);
    }
}

impl Open {
    fn give(&mut self, seq: u64) -> Due {
        self.is_sent = true;
        Due { seq, kind: self.kind, line: self.request.line.clone() }
    }

    fn hub_died(&mut self) {
        self.deaths += u8::from(self.is_sent && !self.lives_long());
        self.hub_left();
    }

    /// A subscription stays open as long as its client likes, and does nothing.
    fn lives_long(&self) -> bool {
        *self.request.method == *"subscriptions/listen"
    }

    fn hub_left(&mut self) {
        self.kind = match self.kind {
            _ if self.is_withdrawn => frames::Kind::Withdrawn,
            frames::Kind::Request | frames::Kind::Again => self.fate(),
            frames::Kind::Lost => self.lost(),
            told => told,
        };
        self.is_sent = false;
        self.is_dispatched = false;
    }

    fn fate(&self) -> frames::Kind {
        if self.is_dispatched && !only_reads(&self.request.method) {
            self.lost()
        } else if self.deaths >= DEATHS_MAX {
            if self.is_dispatched { frames::Kind::Unknown } else { frames::Kind::Spent }
        } else if self.deaths > 0 || self.is_sent {
            frames::Kind::Again
        } else {
            self.kind
        }
    }

    fn lost(&self) -> frames::Kind {
        if self.deaths < DEATHS_MAX { frames::Kind::Lost } else { frames::Kind::Unknown }
    }

    fn withdraw(&mut self) {
        self.kind = frames::Kind::Withdrawn;
    }
}

/// What it takes to keep a line, in bytes.
fn cost(line: &Bytes) -> usize {
    line.len() + frames::REQUEST_BYTES
}

/// Whether a request changes nothing, wherever it is answered.
fn only_reads(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "server/discover"
            | "subscriptions/listen"
            | "tools/list"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "completion/complete"
            | "logging/setLevel"
            | "tasks/get"
            | "tasks/list"
            | "tasks/result"
    )
}

#[cfg(test)]
mod tests;
