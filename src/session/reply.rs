//! The bridge's own answers: results, protocol faults, and what a person or a model is told when a
//! tool could not run (protocol.md, "Errors a person or a model can act on").

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::catalog::{Off, Why};
use crate::downstream::Ending;
use crate::era::Era;
use crate::outcome::{Cause, Outcome};
use crate::wire::Frame;

/// Codes of JSON-RPC 2.0 and of the specification.
pub mod code {
    /// Not JSON.
    pub const PARSE_ERROR: i32 = -32700;
    /// JSON, and no request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The method's params are not of its form.
    pub const INVALID_PARAMS: i32 = -32602;
    /// A fault of the bridge.
    pub const INTERNAL: i32 = -32603;
    /// The request needs a capability that its client does not have (revision 2026-07-28).
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// A protocol version that the bridge does not speak (revision 2026-07-28).
    pub const UNSUPPORTED_VERSION: i32 = -32022;
}

/// A protocol fault, before it is told to anybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Rpc {
    /// The code.
    pub code: i32,
    /// One sentence.
    pub message: String,
    /// What kind of fault it is, and what else is known.
    pub data: Value,
}

impl Rpc {
    /// A fault of a kind, with nothing else to say.
    #[must_use]
    pub fn new(code: i32, kind: &str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: json!({ "kind": kind }) }
    }

    /// The params of a request are not of its method's form.
    #[must_use]
    pub fn bad_params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, Cause::BadParams.word(), message)
    }

    /// A tool is called that its server has and clients are not shown.
    #[must_use]
    pub fn off(off: &Off) -> Self {
        let Off { server, tool, why } = off;
        let (cause, message) = match why {
            Why::SwitchedOff => (
                Cause::SwitchedOff,
                format!(
                    "the tool {tool:?} of {server} is switched off: the bridge's configuration keeps it from clients"
                ),
            ),
            Why::Quarantined => (
                Cause::Quarantined,
                format!(
                    "the tool {tool:?} of {server} is held back, because it is not what it was when it was first seen: \
                     its user can look at it with `bridge tools --changed`, and let it through with `bridge approve \
                     {server}/{tool}`"
                ),
            ),
        };
        Self::new(code::INVALID_PARAMS, cause.word(), message)
    }

    /// The answer to the request with this id, in JSON.
    #[must_use]
    pub fn frame(&self, id: &str) -> Frame {
        let error = json!({ "code": self.code, "message": self.message, "data": self.data });
        Frame::own(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into_bytes())
    }
}

/// The answer with a result, both in JSON.
#[must_use]
pub fn result(id: &str, result: &str) -> Frame {
    Frame::own(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes())
}

/// What a client is told that cannot read so much.
#[must_use]
pub fn too_large(bytes: usize, bytes_max: usize) -> Rpc {
    let message =
        format!("the answer has {bytes} bytes, more than the {bytes_max} that this client can read");
    let data = json!({ "kind": Outcome::TooLarge.word(), "bytes": bytes });
    Rpc { code: code::INTERNAL, message, data }
}

/// The answer, if its client can read so much.
#[must_use]
pub fn readable(frame: Frame, id: &str, bytes_max: usize) -> Frame {
    match frame.len() {
        bytes if bytes <= bytes_max => frame,
        bytes => too_large(bytes, bytes_max).frame(id),
    }
}

/// A notification without params.
#[must_use]
pub fn notification(method: &str) -> Frame {
    Frame::own(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#).into_bytes())
}

/// A log message of the bridge itself, for the user of an older client.
#[must_use]
pub fn warning(words: &str) -> Frame {
    let params = json!({ "level": "warning", "logger": "bridge", "data": words });
    Frame::own(
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{params}}}"#).into_bytes(),
    )
}

/// A tool that could not run, or whose end is not known.
#[derive(Debug)]
pub struct Failure<'a> {
    /// How the call ended.
    pub outcome: Outcome,
    /// The classified reason.
    pub cause: Option<Cause>,
    /// One sentence for the model.
    pub text: String,
    /// The server; `None` is the bridge itself.
    pub server: Option<&'a str>,
    /// The tool as its server calls it.
    pub tool: &'a str,
    /// The call in the record.
    pub call: String,
    /// Whether trying again can help, and does no harm.
    pub retryable: bool,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// How the server ended.
    pub ending: Option<&'a Ending>,
    /// How many bytes the answer has that is too large.
    pub bytes: Option<usize>,
}

impl Failure<'_> {
    /// The answer: a result that says `isError`, so that clients show it whole.
    #[must_use]
    pub fn frame(&self, id: &str, era: Era) -> Frame {
        let mut text = self.text.clone();
        if let Some(ending) = self.ending.filter(|ending| !ending.stderr.is_empty()) {
            // Writing to a string cannot fail.
            let _ = write!(text, " Its last output:\n{}", ending.stderr.join("\n"));
        }
        let mut result = json!({
            "content": [{ "type": "text", "text": text }],
            "isError": true,
            "_meta": { "bridge/error": Value::Object(self.details()) },
        });
        if era == Era::Modern
            && let Some(object) = result.as_object_mut()
        {
            object.insert("resultType".into(), "complete".into());
        }
        self::result(id, &result.to_string())
    }

    /// The same as an error: for what is no call of a tool.
    #[must_use]
    pub fn rpc(&self) -> Rpc {
        let mut details = self.details();
        details.remove("tool");
        details.remove("call");
        Rpc { code: code::INTERNAL, message: self.text.clone(), data: Value::Object(details) }
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        let mut put = |key: &str, value: Value| details.insert(key.to_owned(), value);
        put("kind", self.outcome.word().into());
        put("server", self.server.into());
        put("tool", self.tool.into());
        put("call", self.call.as_str().into());
        put("retryable", self.retryable.into());
        if let Some(cause) = self.cause {
            put("cause", cause.word().into());
        }
        if let Some(after) = self.retry_after {
            put("retryAfterMs", u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into());
        }
        if let Some(bytes) = self.bytes {
            put("bytes", bytes.into());
        }
        if let Some(ending) = self.ending {
            put("exitCode", ending.exit_code.into());
            put("signal", ending.signal.into());
            put("stderr", ending.stderr.as_slice().into());
        }
        details
    }
}
