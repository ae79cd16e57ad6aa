//! The end of a request in words: the server's own answer, or what a person or a model is told in its place.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::downstream::budget;
use crate::downstream::connection::{Answer, Connection, Verdict};
use crate::downstream::pool::key::Tenant;
use crate::era::Era;
use crate::guard::{CalledOff, Guarded};
use crate::list::List;
use crate::outcome::{Cause, Outcome};
use crate::policy::Nature;
use crate::router::{Fault, Routed};
use crate::session::modern;
use crate::session::reply::{Failure, Rpc, code};
use crate::store::ids::CallId;
use crate::wire::{Cut, Envelope, Frame, object, splice};

/// How a request ended, and what is said about it.
pub struct End {
    /// The outcome of a call.
    pub outcome: Outcome,
    /// The classified reason.
    pub cause: Option<Cause>,
    /// The answer; a request that was taken back gets none.
    pub frame: Option<Frame>,
}

impl End {
    /// The end of a request that the bridge itself refuses.
    #[must_use]
    pub fn rejected(rpc: &Rpc, id: &str) -> Self {
        let kind = rpc.data.get("kind").and_then(Value::as_str);
        let cause = kind.and_then(Cause::parse);
        Self { outcome: Outcome::Rejected, cause, frame: Some(rpc.frame(id)) }
    }
}

/// Puts the end of a routed request into words.
pub struct Teller<'a> {
    /// Where the request went.
    pub routed: &'a Routed,
    /// What the client called the thing; its method where it named none.
    pub shown: &'a str,
    /// The client's id, in JSON.
    pub id: &'a str,
    /// The call's id in the record; `None` for what is no call of a tool.
    pub number: Option<CallId>,
    /// By which rules the client speaks.
    pub era: Era,
    /// The longest line that it can read, in bytes.
    pub line_bytes_max: usize,
    /// Whether the result of a modern server would say how long it may be kept.
    pub cacheable: bool,
    /// Where the request was sent.
    pub connection: Option<&'a Connection>,
    /// Whose it is.
    pub tenant: &'a Tenant,
}

impl Teller<'_> {
    /// The end of a request that went its whole way, or was called off.
    #[must_use]
    pub fn end(&self, guarded: Guarded<Result<Answer, Fault>>) -> End {
        match guarded {
            Guarded::Done(Ok(answer)) => self.readable(self.answer(&answer)),
            Guarded::Done(Err(fault)) => self.fault(&fault),
            Guarded::Panicked(text) => {
                let (session, thread) = self.tenant.logged();
                let name = &*self.routed.name;
                tracing::error!(call = self.call(), session, thread, name, text, "request panicked");
                self.panicked()
            }
            Guarded::CalledOff(CalledOff::ByClient) => {
                End { outcome: Outcome::Cancelled, cause: None, frame: None }
            }
            Guarded::CalledOff(CalledOff::ByCrash) => {
                let text = "The bridge's hub died while the call ran; whether it took effect is not known: look \
                            before you repeat it.";
                self.failure(Outcome::OutcomeUnknown, Some(Cause::BridgeCrashed), text.to_owned())
            }
            Guarded::CalledOff(CalledOff::ByCrashes) => {
                let text = "The bridge's hub died twice before the call was sent. It was not sent, and may be \
                            repeated.";
                let told = self.told(Outcome::Unavailable, Some(Cause::BridgeCrashed), text.to_owned());
                self.end_with(Failure { retryable: true, ..told })
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
        let mut more = Vec::new();
        if self.era == Era::Modern && answer.verdict != Verdict::RpcError && !answer.has_result_type {
            let greeting = self.connection.and_then(Connection::greeting);
            let server_info = greeting.and_then(|greeting| greeting.server_info.as_deref());
            more = modern::result_members(&answer.line, self.cacheable, server_info);
        }
        cuts.extend(more.iter().map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }));
        End { outcome, cause: None, frame: Some(splice(&answer.line, &cuts)) }
    }

    /// A longer line would cost the client its session.
    fn readable(&self, end: End) -> End {
        let bytes = end.frame.as_ref().map_or(0, Frame::len);
        match bytes <= self.line_bytes_max {
            true => end,
            false => self.too_large(bytes, &format!("the {} that this client can read", self.line_bytes_max)),
        }
    }

    fn too_large(&self, bytes: usize, limit: &str) -> End {
        let server = self.server();
        let text =
            format!("The answer of {server:?} has {bytes} bytes, more than {limit}. Ask for less at once.");
        self.end_with(Failure { bytes: Some(bytes), ..self.told(Outcome::TooLarge, None, text) })
    }

    fn fault(&self, fault: &Fault) -> End {
        let server = self.server();
        match fault {
            Fault::NotReady(not_ready) => {
                let ending = &not_ready.ending;
                let lasts = budget::nature(ending) == Nature::Lasting;
                let again = match not_ready.retry_after {
                    _ if ending.cause == Cause::Held => held(server),
                    _ if lasts => {
                        "It will not be, until its entry in the bridge's configuration is right, or \
                                   what that names is there."
                            .to_owned()
                    }
                    Some(after) => format!("Try again in {} s.", whole_seconds(after)),
                    None => "Try again later.".to_owned(),
                };
                let text = format!(
                    "The server {server:?} is not available: it {ending}. The call was not sent. {again}"
                );
                self.end_with(Failure {
                    retryable: !lasts,
                    retry_after: not_ready.retry_after,
                    ending: Some(ending),
                    ..self.told(Outcome::Unavailable, Some(ending.cause), text)
                })
            }
            Fault::Ended(ending) => {
                let retry_after = ending.retry_after();
                let again = match retry_after {
                    Some(after) if after.as_secs() > 0 => {
                        format!("The server can be called again in {} s.", whole_seconds(after))
                    }
                    _ if ending.cause == Cause::Held => held(server),
                    _ => "The server is started again when it is called.".to_owned(),
                };
                let text = format!(
                    "The server {server:?} {ending} while the call ran; whether the call took effect is not known: \
                     look before you repeat it. {again}"
                );
                let outcome = Outcome::OutcomeUnknown;
                self.end_with(Failure {
                    retry_after,
                    ending: Some(ending),
                    ..self.told(outcome, Some(ending.cause), text)
                })
            }
            Fault::TooLarge { bytes } => self.too_large(*bytes, "a line may have"),
            Fault::TimedOut { after } => {
                let text = format!(
                    "The server {server:?} did not answer within {} s, and was told to cancel the call; whether it \
                     took effect is not known: look before you repeat it.",
                    after.as_secs_f64()
                );
                self.failure(Outcome::Timeout, Some(Cause::Hung), text)
            }
            Fault::Unknown => {
                let message = format!("the server {server:?} has no {:?}", self.routed.name);
                let kind = match self.routed.list() {
                    Some(List::Prompts) => "unknown_prompt",
                    _ => Cause::UnknownTool.word(),
                };
                End::rejected(&Rpc::new(code::INVALID_PARAMS, kind, message), self.id)
            }
            Fault::Off(off) => End::rejected(&Rpc::off(off), self.id),
            Fault::NotAsked => End::rejected(&not_asked(), self.id),
            Fault::NotAble { needed } => {
                let message = "the server asks what this client does not say it can answer";
                let mut rpc = Rpc::new(code::MISSING_CAPABILITY, "missing_capability", message);
                let needed: Value = serde_json::from_str(needed).unwrap_or_default();
                rpc.data = json!({ "kind": "missing_capability", "requiredCapabilities": needed });
                End::rejected(&rpc, self.id)
            }
            Fault::Declined(error) => {
                let id = self.id;
                let frame = Frame::own(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into());
                End { outcome: Outcome::RpcError, cause: None, frame: Some(frame) }
            }
            Fault::Endless => {
                let text = format!("The server {server:?} asks more and more and comes to no end.");
                self.failure(Outcome::RpcError, Some(Cause::ProtocolGarbage), text)
            }
        }
    }

    fn call(&self) -> String {
        self.number.map(|number| number.to_string()).unwrap_or_default()
    }

    fn panicked(&self) -> End {
        let text = format!(
            "The request {:?} failed inside the bridge; the log has it under call {}.",
            self.shown,
            self.call()
        );
        self.failure(Outcome::Panic, None, text)
    }

    /// The end of a request that failed here, in words.
    #[must_use]
    pub fn failure(&self, outcome: Outcome, cause: Option<Cause>, text: String) -> End {
        self.end_with(self.told(outcome, cause, text))
    }

    fn told(&self, outcome: Outcome, cause: Option<Cause>, text: String) -> Failure<'_> {
        Failure {
            outcome,
            cause,
            text,
            server: self.routed.server.as_ref().map(|server| server.as_str()),
            tool: &self.routed.name,
            call: self.call(),
            retryable: false,
            retry_after: None,
            ending: None,
            bytes: None,
        }
    }

    fn end_with(&self, failure: Failure<'_>) -> End {
        let frame = Some(match self.number {
            Some(_) => failure.frame(self.id, self.era),
            None => failure.rpc().frame(self.id),
        });
        End { outcome: failure.outcome, cause: failure.cause, frame }
    }

    fn server(&self) -> &str {
        self.routed.server.as_ref().map_or("bridge", |server| server.as_str())
    }
}

/// What a request is told that answers what nobody asks.
#[must_use]
pub fn not_asked() -> Rpc {
    let message = "what this request answers is not asked any more: send it again without requestState and \
                   inputResponses";
    Rpc::new(code::INVALID_PARAMS, Cause::Expired.word(), message)
}

/// How a server comes back that a person stopped.
fn held(server: &str) -> String {
    format!("It stays stopped until somebody runs `bridge start {server}`.")
}

/// A time to wait in whole seconds, none too short.
fn whole_seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1_000).max(1)
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

    #[test]
    fn whoever_waits_whole_seconds_does_not_come_too_soon() {
        let told = [0, 1, 999, 1_000, 1_001, 59_998].map(|ms| whole_seconds(Duration::from_millis(ms)));
        assert_eq!(told, [1, 1, 1, 1, 2, 60]);
    }

    #[test]
    fn only_the_bridges_own_word_is_a_panic() {
        assert!(says_panic(br#"{"id":1,"error":{"code":-32603,"message":"x","data":{"kind":"panic"}}}"#));
        assert!(!says_panic(br#"{"id":1,"error":{"code":-32603,"message":"panic"}}"#));
    }
}
