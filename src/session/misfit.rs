//! Lines that are not well formed, and batches (protocol.md, "Lines that are not well formed").

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::era::BATCH_VERSION;
use crate::session::reply::{Rpc, code};
use crate::session::{Client, Permit};
use crate::wire::{Envelope, Malformed, batch, id_at_ends, id_in_head, id_in_tail, is_answer_in_head};

/// A code, a kind and a sentence.
type Fault<'a> = (i32, &'a str, &'a str);

impl Client {
    /// A batch was part of one revision only.
    pub(super) fn hear_batch(self: &Arc<Self>, line: &Bytes, mut permit: Permit) {
        let Ok(members) = batch(line) else {
            return self.refuse_malformed(line, &Malformed::Syntax, permit);
        };
        if self.lock().legacy == Some(BATCH_VERSION) && !members.is_empty() {
            // Each answer holds its share of the room that the line took.
            let mut left = members.len();
            for member in members {
                let permit = permit.as_mut().map(|permit| permit.share(left));
                left -= 1;
                let member = Bytes::copy_from_slice(member.get().as_bytes());
                // A batch in a batch is none, and must not take our stack.
                if member.starts_with(b"[") {
                    self.refuse_malformed(&member, &Malformed::Form, permit);
                } else {
                    self.hear_guarded(&member, permit);
                }
            }
            return;
        }
        let ids = members.iter().filter_map(|member| Envelope::parse(member.get().as_bytes()).ok()?.id);
        let id = ids.map(RawValue::get).next().unwrap_or("null");
        let text = "a batch is no message in this revision of the protocol";
        self.outlet.answer(Rpc::new(code::INVALID_REQUEST, "batch", text).frame(id), permit);
    }

    /// Refuses a whole line by what is wrong with it.
    pub(super) fn refuse_malformed(&self, line: &[u8], error: &Malformed, permit: Permit) {
        let code = match error {
            Malformed::Form | Malformed::Batch => code::INVALID_REQUEST,
            Malformed::Encoding | Malformed::Syntax => code::PARSE_ERROR,
        };
        self.refuse(line, line, line.len(), (code, "malformed", &error.to_string()), permit);
    }

    /// Refuses a line that is too long.
    pub(super) fn refuse_too_long(&self, head: &[u8], tail: &[u8], bytes: usize, permit: Permit) {
        let words = format!(
            "the line is too long: it has {bytes} bytes, and in_line_max_mib in the configuration allows fewer"
        );
        self.refuse(head, tail, bytes, (code::INVALID_REQUEST, "too_long", &words), permit);
    }

    /// Answers a line that is no message, when its id can be found: an error without one makes clients
    /// fail. An answer that cannot be read is none, and who asked is told so.
    pub(super) fn refuse(&self, head: &[u8], tail: &[u8], bytes: usize, fault: Fault<'_>, permit: Permit) {
        let (code, kind, message) = fault;
        let is_answer = is_answer_in_head(head);
        let id = id_in_head(head);
        if is_answer {
            let in_head = id.as_deref().and_then(|id| id.parse().ok());
            if let Some(id) = in_head.or_else(|| id_in_tail(tail)) {
                self.unasked.asks.spoil(id, message);
            }
        }
        // What cannot be read has no end to trust.
        let id = if kind == "too_long" { id_at_ends(head, tail) } else { id.map(Into::into) };
        let id = id.filter(|_| !is_answer);
        let count = {
            let mut state = self.lock();
            state.malformed += 1;
            state.malformed
        };
        if count.is_power_of_two() {
            tracing::warn!(
                bytes,
                count,
                kind,
                answered = id.is_some(),
                "client sent a line that is no message"
            );
        }
        if let Some(id) = id {
            self.outlet.answer(Rpc::new(code, kind, message).frame(&id), permit);
        }
    }
}
