//! The row of a call: begun when the request comes, finished with the answer.

use std::sync::Arc;
use std::time::Instant;

use crate::outcome::{Cause, Outcome};
use crate::router::{Call, Routed};
use crate::session::pending::Place;
use crate::session::settle::Settled;
use crate::session::teller::End;
use crate::session::{Client, Rules};
use crate::store::ids::CallId;
use crate::store::rows::{CallBegun, CallFinished};
use crate::store::stamp;
use crate::wire::Frame;

/// So much of an id and of a name that nobody offers goes into the record, in characters: a client may
/// write megabytes, and totals are kept for ever.
const KEPT_CHARS_MAX: usize = 256;

/// The row of a call that is under way.
pub struct Row {
    /// What is known at its beginning.
    pub begun: CallBegun,
    /// When that was.
    pub started: Instant,
}

impl Row {
    /// The row of a call that came just now.
    pub fn new(client: &Client, rules: Rules, place: &Place, call: &Call) -> Self {
        let (id, started_at_ms) = numbered(client, place.asking().call());
        let begun = CallBegun {
            call: id,
            session: rules.session,
            request_id: kept(place.id()).to_owned(),
            server: None,
            tool: kept(&call.shown).into(),
            started_at_ms,
            request_bytes: call.line.len() as u64,
        };
        Self { begun, started: Instant::now() }
    }

    /// The call goes there.
    pub fn route(&mut self, routed: &Routed) {
        self.begun.server = routed.server.as_ref().map(|server| server.shared());
        self.begun.tool = Arc::clone(&routed.name);
    }

    /// The row of a call that has ended so.
    #[must_use]
    pub fn finished(self, end: &End) -> CallFinished {
        CallFinished {
            begun: self.begun,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            outcome: end.outcome,
            error_kind: end.cause.map(Cause::word),
            response_bytes: end.frame.as_ref().map_or(0, Frame::len) as u64,
        }
    }
}

/// The row of a call that could not even be read.
pub fn rejected(
    client: &Client,
    rules: Rules,
    (request_id, given): (&str, Option<CallId>),
    bytes: usize,
    answer: Frame,
) -> Settled {
    let (call, started_at_ms) = numbered(client, given);
    let begun = CallBegun {
        call,
        session: rules.session,
        request_id: kept(request_id).to_owned(),
        server: None,
        tool: "".into(),
        started_at_ms,
        request_bytes: bytes as u64,
    };
    let row = CallFinished {
        begun,
        duration_us: 0,
        outcome: Outcome::Rejected,
        error_kind: Some(Cause::BadParams.word()),
        response_bytes: answer.len() as u64,
    };
    Settled { row, frame: Some(answer), permit: None }
}

/// The id of a call and when it began, in Unix milliseconds: its front's word counts.
fn numbered(client: &Client, given: Option<CallId>) -> (CallId, i64) {
    let now_ms = stamp::now_ms();
    given.map_or_else(|| (client.call_ids.next(now_ms), now_ms), |call| (call, call.started_at_ms()))
}

/// What is kept of a client's own words.
#[must_use]
pub fn kept(words: &str) -> &str {
    let end = words.char_indices().nth(KEPT_CHARS_MAX).map(|(end, _)| end);
    end.and_then(|end| words.get(..end)).unwrap_or(words)
}
