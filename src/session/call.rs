//! One `tools/call`: from its line to its one row and its one answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::downstream::connection::{Answer, Verdict};
use crate::downstream::relay::Hears;
use crate::guard::{self, CalledOff, Guarded};
use crate::outcome::{Cause, Outcome};
use crate::router::{Call, Fault, Routed};
use crate::session::pending::Place;
use crate::session::reply::{Failure, Rpc, code};
use crate::session::settle::Settled;
use crate::session::{Client, Era};
use crate::store::ids::CallId;
use crate::store::rows::{CallBegun, CallFinished};
use crate::store::stamp;
use crate::wire::{CallParams, Cut, Envelope, Frame, Meta, Span, legacy_meta, object, span_of, splice};

/// So much of an id and of a name that nobody offers goes into the record, in characters: a client may
/// write megabytes, and totals are kept for ever.
const KEPT_CHARS_MAX: usize = 256;

/// A `tools/call` that was read and not yet routed.
pub struct Request {
    pub(super) call: Call,
    pub(super) era: Era,
    pub(super) place: Place,
    pub(super) call_off: oneshot::Receiver<CalledOff>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// How a call ended, and what is said about it.
struct End {
    outcome: Outcome,
    cause: Option<Cause>,
    frame: Option<Frame>,
}

impl Request {
    /// Reads what the bridge needs of a `tools/call`.
    ///
    /// # Errors
    /// When it has no name, or one that is no string.
    pub(super) fn read(
        line: &Bytes,
        envelope: &Envelope<'_>,
        meta: &Meta<'_>,
        hears: Arc<dyn Hears>,
    ) -> Result<Call, Rpc> {
        let missing = || Rpc::bad_params("tools/call needs params with the tool's name as a string");
        let params = envelope.params.and_then(CallParams::parse).ok_or_else(missing)?;
        let name = params.name.ok_or_else(missing)?;
        let shown: String = serde_json::from_str(name.get()).map_err(|_| missing())?;
        let span = |raw: &RawValue| span_of(line, raw.get()).unwrap_or_default();
        // Every server's session is opened by `initialize`.
        let modern = params.meta.filter(|_| meta.protocol_version.is_some());
        Ok(Call {
            line: line.clone(),
            id: envelope.id.map(span).unwrap_or_default(),
            name: span(name),
            meta: modern.and_then(|meta| Some((span(meta), legacy_meta(meta)?))),
            shown,
            token: meta.progress_token.map(|token| token.get().into()),
            hears,
        })
    }
}

/// Runs a call to its end, whatever that is.
pub async fn run(client: Arc<Client>, request: Request) {
    let Request { call, era, place, call_off, permit } = request;
    let started = Instant::now();
    let started_at_ms = stamp::now_ms();
    let id = client.call_ids.next(started_at_ms);
    let begun = |routed: Option<&Routed>| CallBegun {
        call: id,
        session: era.session,
        request_id: kept(place.id()).to_owned(),
        server: routed.and_then(|routed| routed.server.as_ref()).map(|server| server.shared()),
        tool: routed.map_or_else(|| kept(&call.shown).into(), |routed| Arc::clone(&routed.tool)),
        started_at_ms,
        request_bytes: call.line.len() as u64,
    };
    let (row, end) = match client.router.route(&call.shown).await {
        None => (begun(None), unknown_tool(&call, &place)),
        Some(routed) => {
            let row = begun(Some(&routed));
            let teller = Teller {
                routed: &routed,
                call: &call,
                id: place.id(),
                number: id.to_string(),
                modern: era.modern,
            };
            let guarded = {
                let work = guard::run(|| client.router.forward(&routed, &call), call_off);
                tokio::pin!(work);
                tokio::select! {
                    biased;
                    guarded = &mut work => guarded,
                    // A quicker call is written once, whole.
                    () = client.router.pulse.passed() => {
                        client.journal.begin(row.clone());
                        work.await
                    }
                }
            };
            (row, teller.end(guarded))
        }
    };
    let row = CallFinished {
        begun: row,
        duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        outcome: end.outcome,
        error_kind: end.cause.map(Cause::word),
        response_bytes: end.frame.as_ref().map_or(0, Frame::len) as u64,
    };
    client.settling.settle(Settled { row, frame: end.frame, permit });
}

fn unknown_tool(call: &Call, place: &Place) -> End {
    let message = format!("no server offers a tool {:?}; tools/list shows what there is", call.shown);
    let rpc = Rpc::new(code::INVALID_PARAMS, Cause::UnknownTool.word(), message);
    End { outcome: Outcome::Rejected, cause: Some(Cause::UnknownTool), frame: Some(rpc.frame(place.id())) }
}

/// What the record keeps of a client's own words.
fn kept(words: &str) -> &str {
    let end = words.char_indices().nth(KEPT_CHARS_MAX).map(|(end, _)| end);
    end.and_then(|end| words.get(..end)).unwrap_or(words)
}

/// The row of a call that could not even be read.
pub(super) fn rejected(
    era: Era,
    request_id: &str,
    call: CallId,
    bytes: usize,
    answer: &Frame,
) -> CallFinished {
    let begun = CallBegun {
        call,
        session: era.session,
        request_id: kept(request_id).to_owned(),
        server: None,
        tool: "".into(),
        started_at_ms: stamp::now_ms(),
        request_bytes: bytes as u64,
    };
    let error_kind = Some(Cause::BadParams.word());
    let response_bytes = answer.len() as u64;
    CallFinished { begun, duration_us: 0, outcome: Outcome::Rejected, error_kind, response_bytes }
}

/// Puts the end of a routed call into words.
struct Teller<'a> {
    routed: &'a Routed,
    call: &'a Call,
    /// The client's id, in JSON.
    id: &'a str,
    /// The call's id in the record.
    number: String,
    modern: bool,
}

impl Teller<'_> {
    fn end(&self, guarded: Guarded<Result<Answer, Fault>>) -> End {
        match guarded {
            Guarded::Done(Ok(answer)) => self.answer(&answer),
            Guarded::Done(Err(fault)) => self.fault(&fault),
            Guarded::Panicked(text) => {
                tracing::error!(call = self.number, tool = %self.routed.tool, text, "call panicked");
                self.panicked()
            }
            Guarded::CalledOff(CalledOff::ByClient) => {
                End { outcome: Outcome::Cancelled, cause: None, frame: None }
            }
            Guarded::CalledOff(CalledOff::ByStop) => {
                let text = "The bridge was stopped while the call ran; whether it took effect is not known.";
                self.failure(Outcome::OutcomeUnknown, Some(Cause::BridgeStopped), text.to_owned())
            }
        }
    }

    fn answer(&self, answer: &Answer) -> End {
        let outcome = match answer.verdict {
            Verdict::Ok => Outcome::Ok,
            Verdict::ToolError => Outcome::ToolError,
            Verdict::RpcError if self.routed.server.is_none() && says_panic(&answer.line) => {
                return self.panicked();
            }
            Verdict::RpcError => Outcome::RpcError,
        };
        let mut cuts = vec![Cut { span: answer.id.clone(), text: self.id.as_bytes() }];
        if self.modern && answer.verdict != Verdict::RpcError && !answer.has_result_type {
            cuts.extend(result_type(&answer.line));
        }
        End { outcome, cause: None, frame: Some(splice(&answer.line, &cuts)) }
    }

    fn fault(&self, fault: &Fault) -> End {
        let server = self.server();
        match fault {
            Fault::NotReady(not_ready) => {
                let again = match not_ready.retry_after {
                    Some(after) => format!("Try again in {} s.", after.as_secs() + 1),
                    None => "Try again later.".to_owned(),
                };
                let ending = &not_ready.ending;
                let text = format!(
                    "The server {server:?} is not available: it {ending}. The call was not sent. {again}"
                );
                self.end_with(Failure {
                    retryable: true,
                    retry_after: not_ready.retry_after,
                    ending: Some(ending),
                    ..self.told(Outcome::Unavailable, Some(ending.cause), text)
                })
            }
            Fault::Ended(ending) => {
                let text = format!(
                    "The server {server:?} {ending} while the call ran; whether the call took effect is not known. \
                     The server is started again when it is called."
                );
                let outcome = Outcome::OutcomeUnknown;
                self.end_with(Failure {
                    ending: Some(ending),
                    ..self.told(outcome, Some(ending.cause), text)
                })
            }
            Fault::TooLarge { bytes } => {
                let text = format!(
                    "The answer of {server:?} has {bytes} bytes, more than a line may have. Ask for less at once."
                );
                self.failure(Outcome::TooLarge, None, text)
            }
            Fault::TimedOut { after } => {
                let text = format!(
                    "The server {server:?} did not answer within {} s, and was told to cancel the call; whether it \
                     took effect is not known.",
                    after.as_secs_f64()
                );
                self.failure(Outcome::Timeout, Some(Cause::Hung), text)
            }
            Fault::UnknownTool => {
                let message = format!("the server {server:?} has no tool {:?}", self.routed.tool);
                let rpc = Rpc::new(code::INVALID_PARAMS, Cause::UnknownTool.word(), message);
                End {
                    outcome: Outcome::Rejected,
                    cause: Some(Cause::UnknownTool),
                    frame: Some(rpc.frame(self.id)),
                }
            }
        }
    }

    fn panicked(&self) -> End {
        let text = format!(
            "The tool {:?} failed inside the bridge; the log has it under call {}.",
            self.call.shown, self.number
        );
        self.failure(Outcome::Panic, None, text)
    }

    fn failure(&self, outcome: Outcome, cause: Option<Cause>, text: String) -> End {
        self.end_with(self.told(outcome, cause, text))
    }

    fn told(&self, outcome: Outcome, cause: Option<Cause>, text: String) -> Failure<'_> {
        Failure {
            outcome,
            cause,
            text,
            server: self.routed.server.as_ref().map(|server| server.as_str()),
            tool: &self.routed.tool,
            call: self.number.clone(),
            retryable: false,
            retry_after: None,
            ending: None,
        }
    }

    fn end_with(&self, failure: Failure<'_>) -> End {
        let frame = Some(failure.frame(self.id, self.modern));
        End { outcome: failure.outcome, cause: failure.cause, frame }
    }

    fn server(&self) -> &str {
        self.routed.server.as_ref().map_or("bridge", |server| server.as_str())
    }
}

/// What makes the result of an older server one that a modern client takes: revision 2026-07-28 asks
/// for `resultType` in every result.
fn result_type(line: &[u8]) -> Option<Cut<'static>> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    let response: Response<'_> = serde_json::from_slice(line).ok()?;
    let Span { start, .. } = span_of(line, response.result.get())?;
    let inner = response.result.get().strip_prefix('{')?;
    let text: &[u8] = match inner.trim_start().starts_with('}') {
        true => br#""resultType":"complete""#,
        false => br#""resultType":"complete","#,
    };
    Some(Cut { span: start + 1..start + 1, text })
}

/// Whether one of the bridge's own tools says that it panicked.
fn says_panic(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let error = Envelope::parse(line).ok().and_then(|envelope| object::<Error<'_>>(envelope.error?));
    let data = error.and_then(|error| object::<Data<'_>>(error.data));
    data.is_some_and(|data| data.kind == Outcome::Panic.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_result_type(line: &str, expected: &str) {
        let line = Bytes::copy_from_slice(line.as_bytes());
        let cuts: Vec<Cut<'_>> = result_type(&line).into_iter().collect();
        assert_eq!(
            String::from_utf8(splice(&line, &cuts).pieces().concat()).unwrap(),
            format!("{expected}\n")
        );
    }

    #[test]
    fn a_result_for_a_modern_client_carries_its_type() {
        check_result_type(
            r#"{"id":1,"result": {"content":[]}}"#,
            r#"{"id":1,"result": {"resultType":"complete","content":[]}}"#,
        );
        check_result_type(r#"{"result":{ },"id":1}"#, r#"{"result":{"resultType":"complete" },"id":1}"#);
        check_result_type(r#"{"result":[],"id":1}"#, r#"{"result":[],"id":1}"#);
    }

    #[test]
    fn only_the_bridges_own_word_is_a_panic() {
        assert!(says_panic(br#"{"id":1,"error":{"code":-32603,"message":"x","data":{"kind":"panic"}}}"#));
        assert!(!says_panic(br#"{"id":1,"error":{"code":-32603,"message":"panic"}}"#));
    }
}
