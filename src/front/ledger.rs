//! Every request of the client that has no answer yet, and what becomes of it when a hub dies.
//!
//! Pure: lines and facts go in, decisions come out. The rules are those of a server's death (faults.md,
//! "Retry"), with the hub in the server's place: what was certainly not written to a server is sent again,
//! and so is what only reads; of the rest nobody knows whether it was done. A request that was under way in
//! two hub deaths may be what they died of, and is not sent a third time.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::wire::{Envelope, Kind, cancelled_id};

/// A hub that lived so long with a request did not die of it.
const DEATHS_MAX: u8 = 2;

/// What a line of the client is for its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A request; it goes to the hub under this number and is answered once.
    Request(u64),
    /// Anything else; it goes to the hub, and nobody waits.
    Line,
}

/// What becomes of a request whose hub died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The next hub gets it again.
    Again {
        /// Its number.
        seq: u64,
        /// The client's line.
        line: Bytes,
    },
    /// The client is told that nobody knows what became of it.
    Unknown(Told),
    /// The client is told that it was not done.
    Refused(Told),
}

/// A request that ends with a word of the front's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its number.
    pub seq: u64,
    /// Its id, in JSON.
    pub id: Box<str>,
    /// Whether it calls a tool: such a call is told in a result.
    pub is_call: bool,
}

/// The requests without an answer.
#[derive(Debug, Default)]
pub struct Ledger {
    open: BTreeMap<u64, Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    line: Bytes,
    id: Box<str>,
    method: Box<str>,
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
        let Ok(envelope) = Envelope::parse(line) else {
            // Whether it can be answered is for the hub to find out.
            return Heard::Line;
        };
        let method = envelope.method.as_deref().unwrap_or_default();
        match (envelope.kind(), envelope.id) {
            (Kind::Request, Some(id)) => {
                self.bytes += line.len();
                self.open.insert(seq, Open::new(line, id, method));
                Heard::Request(seq)
            }
            (Kind::Notification, _) => {
                if let ("notifications/cancelled", Some(id)) = (method, cancelled_id(envelope.params)) {
                    self.withdraw(id);
                }
                Heard::Line
            }
            _ => Heard::Line,
        }
    }

    /// The hub was given a request.
    pub fn sent(&mut self, seq: u64) {
        if let Some(open) = self.open.get_mut(&seq) {
            open.is_sent = true;
        }
    }

    /// A request is about to be written to a server.
    pub fn dispatched(&mut self, seq: u64) {
        if let Some(open) = self.open.get_mut(&seq) {
            open.is_dispatched = true;
        }
    }

    /// The answer to a request came; false when it had one already, and this one is to be dropped.
    pub fn answered(&mut self, seq: u64) -> bool {
        let Some(open) = self.open.remove(&seq) else { return false };
        self.bytes -= open.line.len();
        true
    }

    /// How many bytes the lines have that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many requests have no answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether every request is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The hub died: what becomes of each request, in the order in which they came. Whoever is to be told
    /// something is answered by that.
    pub fn hub_died(&mut self) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(self.open.len());
        for (seq, mut open) in std::mem::take(&mut self.open) {
            let fate = open.fate(seq);
            match fate {
                Some(Fate::Again { .. }) => {
                    open.is_sent = false;
                    open.is_dispatched = false;
                    self.open.insert(seq, open);
                }
                _ => self.bytes -= open.line.len(),
            }
            fates.extend(fate);
        }
        fates
    }

    fn withdraw(&mut self, id: &str) {
        // The client's ids are its own: the newest with this one is meant, and an older one too.
        self.open.values_mut().filter(|open| *open.id == *id).for_each(|open| open.is_withdrawn = true);
    }
}

impl Open {
    fn new(line: &Bytes, id: &RawValue, method: &str) -> Self {
        Self {
            line: line.clone(),
            id: id.get().into(),
            method: method.into(),
            is_sent: false,
            is_dispatched: false,
            is_withdrawn: false,
            deaths: 0,
        }
    }

    /// What becomes of it; `None` when nobody wants to know.
    fn fate(&mut self, seq: u64) -> Option<Fate> {
        // It stays open as long as its client likes, and does nothing.
        let lives_long = *self.method == *"subscriptions/listen";
        self.deaths += u8::from(self.is_sent && !lives_long);
        let told = || Told { seq, id: self.id.clone(), is_call: *self.method == *"tools/call" };
        if self.is_withdrawn {
            None
        } else if self.is_dispatched && !only_reads(&self.method) {
            Some(Fate::Unknown(told()))
        } else if self.deaths >= DEATHS_MAX {
            Some(if self.is_dispatched { Fate::Unknown(told()) } else { Fate::Refused(told()) })
        } else {
            Some(Fate::Again { seq, line: self.line.clone() })
        }
    }
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
