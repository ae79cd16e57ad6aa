//! What a server says: each line finds the one whom it concerns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::Ending;
use crate::downstream::client::ClientId;
use crate::downstream::connection::{Answer, Connection, FIRST_ID, Lost, OUT_BYTES_MAX, Verdict};
use crate::downstream::question::Question;
use crate::downstream::relay::{Carries, Hears, Notification, UnderWay, Unread};
use crate::era::Era;
use crate::wire::{self, Cut, Envelope, Kind, Malformed, Span, object, span_of, splice};

/// So much may wait to be written to a server that still gets an answer to what it asks: more than the
/// longest line of a client, in bytes.
const QUESTION_ROOM_BYTES: usize = OUT_BYTES_MAX * 2;

/// Questions that wait for a request of the client to carry them.
const HELD_MAX: usize = 16;

/// Tasks whose progress finds its request, and the longest token that is kept for it, in bytes.
const TASK_TOKENS_MAX: usize = 1000;
const TASK_TOKEN_BYTES_MAX: usize = 4096;

/// The next progress token of the bridge's own.
static TOKENS: AtomicU64 = AtomicU64::new(1);

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

/// Who makes progress, and the token under which its client knows it, where that is another.
type Making = (Arc<dyn Hears>, Option<Box<str>>);

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
            && token.own.len() + token.shown.as_ref().map_or(0, |shown| shown.len()) <= TASK_TOKEN_BYTES_MAX
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
        let Some(question) = Question::read(self, line, envelope) else { return };
        let under_way = self.under_way(&question);
        self.relay.asked(question, &under_way);
    }

    /// The clients with requests under way, that with the oldest first.
    fn under_way(&self, question: &Question) -> Vec<UnderWay> {
        let mut found: Vec<UnderWay> = Vec::new();
        for hears in self.hearing() {
            let Some(client) = hears.client() else { continue };
            let can_carry = hears.carries() != Carries::Nothing && hears.can_answer(question);
            match found.iter_mut().find(|other| other.client == client) {
                Some(other) => other.can_carry |= can_carry,
                None => found.push(UnderWay { client, can_carry }),
            }
        }
        found
    }

    /// Who waits for an answer, the oldest request first.
    fn hearing(&self) -> Vec<Arc<dyn Hears>> {
        let table = self.lock();
        let waiting = table.waiting.iter().filter_map(|(id, waiter)| Some((*id, waiter.hears.clone()?)));
        let mut hearing: Vec<_> = waiting.collect();
        drop(table);
        hearing.sort_by_key(|(id, _)| *id);
        hearing.into_iter().map(|(_, hears)| hears).collect()
    }

    /// A client has gone: what is held for it has nobody to answer it.
    pub(in crate::downstream) fn left(&self, client: ClientId) {
        let gone = {
            let mut table = self.lock();
            table.task_tokens.retain(|(_, hears)| hears.client() != Some(client));
            table.take_held(Some(client))
        };
        gone.into_iter().for_each(|question| question.refuse(-32603, "the client has gone"));
    }

    /// Finds the request of a client that carries a question to it: the oldest whose client waits and can
    /// answer it. When only one request is under way, the question is its, and so is the want of a
    /// capability.
    pub(in crate::downstream) fn give_along(&self, question: Question, client: ClientId) {
        let carrier = {
            let mut table = self.lock();
            let mut carriers: Vec<_> = table
                .waiting
                .iter()
                .filter_map(|(id, waiter)| {
                    let hears = waiter.hears.as_ref().filter(|hears| hears.client() == Some(client))?;
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
                    table.held.push_back((client, question));
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
                // Progress that follows its response is dropped.
                if let (Some((hears, shown)), Some(span)) = (self.makes(token), span_of(line, token)) {
                    let (line, span) = match shown {
                        None => (line.clone(), span),
                        Some(shown) => with_token(line, span, &shown),
                    };
                    hears.progress(&line, span, self.said());
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
                let (asked_levels, under_way) = match method {
                    "notifications/message" => (self.asked_levels(), Vec::new()),
                    _ => (Vec::new(), self.hearing().iter().filter_map(|hears| hears.client()).collect()),
                };
                self.relay.notification(&Notification {
                    server: &self.server,
                    method,
                    line,
                    params,
                    owner: self.owner(),
                    asked_levels: &asked_levels,
                    under_way: &under_way,
                    said: self.said(),
                });
            }
        }
    }

    /// Who makes progress under a token, and its own word for that.
    fn makes(&self, token: &str) -> Option<Making> {
        let table = self.lock();
        let waiting = table.tokens.get(token).and_then(|id| table.waiting.get(id));
        let waiting = waiting.and_then(|waiter| waiter.token.as_ref().zip(waiter.hears.as_ref()));
        let of_task =
            || table.task_tokens.iter().rfind(|(of, _)| *of.own == *token).map(|(of, hears)| (of, hears));
        waiting.or_else(of_task).map(|(token, hears)| (Arc::clone(hears), token.shown.clone()))
    }

    /// A token of the bridge's own in place of a client's, where several clients may count theirs alike.
    #[must_use]
    pub fn own_token(&self, token: Option<&str>) -> Option<String> {
        token.filter(|_| self.relay.is_for_many(self.owner()))?;
        Some(format!("\"bridge-{:x}\"", TOKENS.fetch_add(1, Ordering::Relaxed)))
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
            let place = table.held.iter().position(|(_, question)| question.has_id(id));
            let held = place.and_then(|place| table.held.remove(place)).map(|(_, question)| question);
            (table.waiting.values().filter_map(|waiter| waiter.hears.clone()).collect(), held)
        };
        if let Some(question) = held {
            return question.forget();
        }
        hears.iter().for_each(|hears| hears.taken_back(id));
        self.relay.taken_back(self, id, line);
    }

    /// The levels that requests under way ask for, each with its client.
    fn asked_levels(&self) -> Vec<(ClientId, u8)> {
        let table = self.lock();
        let hearing = table.waiting.values().filter_map(|waiter| waiter.hears.as_ref());
        hearing.filter_map(|hears| Some((hears.client()?, hears.log_level()?))).collect()
    }

    /// What it has said, and who hears it.
    fn said(&self) -> Unread<'_> {
        let is_for_many = self.relay.is_for_many(self.owner());
        Unread { number: self.number, share: &self.said, is_for_many }
    }

    fn is_listening(&self, id: &str) -> bool {
        id.parse() == Ok(self.listening.borrow().id)
    }
}

/// A notification of progress under another token, and where that stands.
fn with_token(line: &Bytes, span: Span, token: &str) -> (Bytes, Span) {
    let mut line = splice(line, &[Cut { span: span.clone(), text: token.as_bytes() }]).pieces().concat();
    // The line's end.
    line.pop();
    (line.into(), span.start..span.start + token.len())
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
