//! What a front says itself: what it must, when there is no hub to say it.

use serde_json::json;

use crate::front::ledger::Ended;

/// A fault within the bridge (JSON-RPC 2.0, section 5.1).
const INTERNAL: i32 = -32603;

/// Why a request has no answer of a hub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No server saw it.
    NoHub,
    /// A hub died while a server had it.
    Lost,
    /// Too many hubs died while they had it.
    Deadly,
    /// Its user wants no hub to be started.
    Held,
    /// The hub that had it was stopped, and no other is to be started.
    Stopped,
}

impl Why {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NoHub => (
                "unavailable",
                "The bridge cannot start its hub at the moment; nothing was done. See logs/hub.log in its data folder.",
            ),
            Self::Lost => (
                "outcome_unknown",
                "The bridge's hub died while the call ran; whether it took effect is not known: look before you repeat it.",
            ),
            Self::Held => (
                "unavailable",
                "The bridge was stopped by its user (bridge stop --hold); nothing was done. `bridge start` starts it again.",
            ),
            Self::Stopped => (
                "outcome_unknown",
                "The bridge was stopped by its user while it had this request; whether it took effect is not known. \
                 `bridge start` starts it again.",
            ),
            Self::Deadly => (
                "outcome_unknown",
                "The bridge's hub died again and again while it had this request; whether it took effect is not known.",
            ),
        }
    }
}

/// The answer to a request, with its line end.
#[must_use]
pub fn answer(request: &Ended, why: Why, tools: Option<&str>) -> Vec<u8> {
    let (kind, text) = why.words();
    let id = &request.id;
    let rest = match (&*request.method, tools) {
        ("ping", _) => r#""result":{}"#.to_owned(),
        ("tools/list", Some(tools)) => format!(r#""result":{tools}"#),
        ("tools/call", _) => {
            let error = json!({ "kind": kind, "retryable": matches!(why, Why::NoHub | Why::Held) });
            let content = json!([{ "type": "text", "text": text }]);
            let result = json!({ "content": content, "isError": true, "_meta": { "bridge/error": error } });
            format!(r#""result":{result}"#)
        }
        _ => format!(r#""error":{}"#, json!({ "code": INTERNAL, "message": text, "data": { "kind": kind } })),
    };
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{rest}}}\n").into_bytes()
}

/// Takes a question back that the client was asked, by its id in JSON.
#[must_use]
pub fn taken_back(id: &str) -> Vec<u8> {
    let params = format!(r#"{{"requestId":{id},"reason":"the hub of the bridge that asked has ended"}}"#);
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{params}}}\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[track_caller]
    fn check(method: &str, why: Why, expected: &str) {
        let request = Ended { line: Bytes::new(), id: "\"a\"".into(), method: method.into() };
        let said = String::from_utf8(answer(&request, why, Some(r#"{"tools":[]}"#))).unwrap();
        assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":"a","#) && said.ends_with("}\n"), "{said}");
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn each_kind_of_request_is_answered_in_its_own_form() {
        check("ping", Why::NoHub, r#""result":{}"#);
        check("tools/list", Why::NoHub, r#""result":{"tools":[]}"#);
        check("tools/call", Why::NoHub, r#""bridge/error":{"kind":"unavailable","retryable":true}"#);
        check("tools/call", Why::Lost, r#""kind":"outcome_unknown","retryable":false"#);
        check("initialize", Why::Held, "`bridge start`");
        check("tools/call", Why::Held, r#""kind":"unavailable","retryable":true"#);
        check("tools/call", Why::Stopped, r#""kind":"outcome_unknown","retryable":false"#);
        check("tools/call", Why::Deadly, r#""kind":"outcome_unknown","retryable":false"#);
        check("prompts/list", Why::NoHub, r#""error":{"code":-32603,"data":{"kind":"unavailable"}"#);
    }
}
