//! What a server says: each line finds the one whom it concerns.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::Ending;
use crate::downstream::connection::{Answer, Connection, FIRST_ID, Lost, OUT_BYTES_MAX, Verdict};
use crate::downstream::question::Question;
use crate::downstream::relay::{Carries, Hears, Notification};
use crate::era::Era;
use crate::wire::{self, Envelope, Kind, Malformed, object, span_of};

/// Requests of one server that wait for the client's answer.
const QUESTIONS_MAX: usize = 64;

/// So much may wait to be written to a server that still gets an answer to what it asks: more than the
/// longest line of a client, in bytes.
const QUESTION_ROOM_BYTES: usize = OUT_BYTES_MAX * 2;

/// Questions that wait for a request of the client to carry them.
const HELD_MAX: usize = 16;

/// Tasks whose progress finds its request, and the longest token that is kept for it, in bytes.
const TASK_TOKENS_MAX: usize = 1000;
const TASK_TOKEN_BYTES_MAX: usize = 4096;

/// Where a notification names the `subscriptions/listen` that it belongs to (specification 2026-07-28).
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A `subscriptions/listen` that a server has acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Listening {
    /// Its id; 0 is none.
    pub id: u64,
    /// What the server grants; `None` when it does not say.
    pub granted: Option<Granted>,
}

/// What a server grants of the things that a subscription names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Granted {
    /// Resources, by URI.
    pub resource_subscriptions: Vec<String>,
    /// Tasks, by id.
    pub task_ids: Vec<String>,
}

/// What a line turned out to be.
#[derive(Debug)]
pub enum Heard {
    /// A message, which was dealt with.
    Message,
    /// No message.
    Garbage(Bytes),
}

impl Connection {
    /// Hears one line of the server.
    pub fn hear(self: &Arc<Self>, line: Bytes) -> Heard {
        match Envelope::parse(&line) {
            Ok(envelope) => match self.hear_message(&line, &envelope) {
                true => Heard::Message,
                false => self.garbage(line),
            },
            Err(Malformed::Batch) => match wire::batch(&line) {
                // Revision 2025-03-26 has them, in both directions.
                Ok(members) => {
                    for member in members {
                        let member = Bytes::copy_from_slice(member.get().as_bytes());
                        let understood = Envelope::parse(&member)
                            .is_ok_and(|envelope| self.hear_message(&member, &envelope));
                        if !understood {
                            self.garbage.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Heard::Message
                }
                Err(_) => self.garbage(line),
            },
            Err(_) => self.garbage(line),
        }
    }

    fn garbage(&self, line: Bytes) -> Heard {
        self.garbage.fetch_add(1, Ordering::Relaxed);
        Heard::Garbage(line)
    }

    fn hear_message(self: &Arc<Self>, line: &Bytes, envelope: &Envelope<'_>) -> bool {
        match envelope.kind() {
            Kind::Response => self.hear_answer(line, envelope),
            // A server that asks and does not read gets no answers that could only pile up.
            Kind::Request if self.out.bytes() > QUESTION_ROOM_BYTES => {
                self.garbage.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Request => self.hear_request(line, envelope),
            Kind::Notification => self.hear_notification(line, envelope),
            Kind::Stray => return false,
        }
        true
    }

    /// Hears that a line was over the limit, of which only head and tail are left.
    pub fn hear_too_long(&self, head: &[u8], tail: &[u8], bytes: usize) {
        let in_head = wire::id_in_head(head).and_then(|id| id.parse::<u64>().ok());
        let in_tail = || wire::id_in_tail(tail).filter(|id| *id >= FIRST_ID);
        let Some(id) = in_head.or_else(in_tail) else {
            self.garbage.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Some(waiter) = self.forget(id) {
            let _ = waiter.reply.send(Err(Lost::TooLarge { bytes }));
        }
    }

    fn hear_answer(&self, line: &Bytes, envelope: &Envelope<'_>) {
        let id = envelope.id.and_then(|id| id.get().parse::<u64>().ok()).filter(|id| *id >= FIRST_ID);
        let (Some(waiter), Some(span)) =
            (id.and_then(|id| self.forget(id)), envelope.id.and_then(|raw| span_of(line, raw.get())))
        else {
            self.late.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(server = %self.server, "late answer dropped");
            return;
        };
        self.answered();
        let peek = envelope.result.as_ref();
        let verdict = match peek {
            None => Verdict::RpcError,
            Some(result) if result.is_error => Verdict::ToolError,
            Some(_) => Verdict::Ok,
        };
        if peek.is_some_and(|result| result.task.is_some())
            && let (Some(token), Some(hears)) = (waiter.token, waiter.hears)
            && token.len() <= TASK_TOKEN_BYTES_MAX
        {
            let mut table = self.lock();
            table.task_tokens.push_back((token, hears));
            if table.task_tokens.len() > TASK_TOKENS_MAX {
                table.task_tokens.pop_front();
            }
        }
        let answer = Answer {
            line: line.clone(),
            id: span,
            verdict,
            has_result_type: peek.is_some_and(|result| result.has_result_type),
            is_input_required: peek.is_some_and(|result| result.is_input_required),
            task: peek.and_then(wire::task_of),
        };
        let _ = waiter.reply.send(Ok(answer));
    }

    fn hear_request(self: &Arc<Self>, line: &Bytes, envelope: &Envelope<'_>) {
        let (Some(id), Some(method)) = (envelope.id, envelope.method.as_deref()) else { return };
        if method == "ping" {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
            // A connection that has ended needs no answer.
            let _ = self.say(answer.into_bytes());
            return;
        }
        let open = *self.questions.borrow();
        self.questions.send_modify(|open| *open += 1);
        let Some(question) = Question::read(self, line, envelope) else {
            self.question_closed();
            return;
        };
        if open >= QUESTIONS_MAX {
            question.refuse(-32603, "too many requests of this server wait for an answer");
        } else if self.relay.asks_directly() {
            self.relay.asked(question);
        } else if question.needs().is_none() {
            question.refuse(-32601, "this client has no such method");
        } else {
            self.give_along(question);
        }
    }

    /// Finds the request of the client that carries a question: the oldest whose client waits and can
    /// answer it. When only one request is under way, the question is its, and so is the want of a
    /// capability.
    pub(in crate::downstream) fn give_along(&self, question: Question) {
        let carrier = {
            let mut table = self.lock();
            let mut carriers: Vec<_> = table
                .waiting
                .iter()
                .filter_map(|(id, waiter)| {
                    let hears = waiter.hears.as_ref()?;
                    let carries = hears.carries();
                    let rank = (!hears.can_answer(&question), carries, *id);
                    (carries != Carries::Nothing).then(|| (rank, Arc::clone(hears)))
                })
                .collect();
            carriers.sort_by_key(|(rank, _)| *rank);
            let is_only = carriers.len() == 1;
            match carriers.into_iter().next() {
                Some(((cannot, ..), hears)) if !cannot || is_only => Ok((hears, question)),
                Some(_) => Err((question, "no request under way has a client that can answer this")),
                None if table.held.len() < HELD_MAX && table.ending.is_none() => {
                    table.held.push_back(question);
                    return;
                }
                None => Err((question, "no request of the client is under way that could carry this")),
            }
        };
        match carrier {
            Ok((hears, question)) => hears.asked(question),
            Err((question, why)) => question.refuse(-32603, why),
        }
    }

    fn hear_notification(&self, line: &Bytes, envelope: &Envelope<'_>) {
        let Some(method) = envelope.method.as_deref() else { return };
        let params = envelope.params;
        match method {
            "notifications/progress" => {
                let Some(token) = wire::progress_token(params) else { return };
                let hears = {
                    let table = self.lock();
                    let waiting =
                        table.tokens.get(token).and_then(|id| table.waiting.get(id)?.hears.as_ref());
                    let of_task = || table.task_tokens.iter().rfind(|(of, _)| &**of == token);
                    waiting.or_else(|| of_task().map(|(_, hears)| hears)).cloned()
                };
                // Progress that follows its response is dropped.
                if let (Some(hears), Some(span)) = (hears, span_of(line, token)) {
                    hears.progress(line, span, &self.said);
                }
            }
            "notifications/cancelled" => self.hear_taken_back(line, params),
            "notifications/subscriptions/acknowledged" => {
                if let Some(id) = subscription(params).and_then(|id| id.parse().ok()) {
                    self.listening.send_replace(Listening { id, granted: granted(params) });
                }
            }
            // Of two subscriptions while one takes the other's place, one counts.
            _ if subscription(params).is_some_and(|id| !self.is_listening(id)) => {}
            _ => {
                let asked_level = (method == "notifications/message").then(|| self.asked_level()).flatten();
                let (server, share) = (&self.server, &self.said);
                self.relay.notification(&Notification { server, method, line, params, asked_level, share });
            }
        }
    }

    fn hear_taken_back(&self, line: &Bytes, params: Option<&RawValue>) {
        let Some(id) = wire::cancelled_id(params) else { return };
        // A modern server takes back nothing but a subscription of ours.
        if let Some(waiter) =
            id.parse().ok().filter(|_| self.era() == Era::Modern).and_then(|id| self.forget(id))
        {
            let _ =
                waiter.reply.send(Err(Lost::Ended { written: true, ending: Arc::new(Ending::unknown()) }));
            return;
        }
        let (hears, held): (Vec<Arc<dyn Hears>>, Option<Question>) = {
            let mut table = self.lock();
            let place = table.held.iter().position(|question| question.has_id(id));
            let held = place.and_then(|place| table.held.remove(place));
            (table.waiting.values().filter_map(|waiter| waiter.hears.clone()).collect(), held)
        };
        if let Some(question) = held {
            return question.forget();
        }
        hears.iter().for_each(|hears| hears.taken_back(id));
        self.relay.taken_back(self, id, line);
    }

    /// The least severe level that a request under way asks for.
    fn asked_level(&self) -> Option<u8> {
        self.lock().waiting.values().filter_map(|waiter| waiter.hears.as_ref()?.log_level()).min()
    }

    fn is_listening(&self, id: &str) -> bool {
        id.parse() == Ok(self.listening.borrow().id)
    }
}

/// The `subscriptions/listen` that a notification belongs to, in JSON.
fn subscription(params: Option<&RawValue>) -> Option<&str> {
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
        id: &'a RawValue,
    }
    let meta = wire::Params::parse(params?)?.meta?;
    object::<Meta<'_>>(meta).map(|meta| meta.id.get())
}

/// What an acknowledgement grants.
fn granted(params: Option<&RawValue>) -> Option<Granted> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        notifications: &'a RawValue,
    }
    object(object::<Params<'_>>(params?)?.notifications)
}
