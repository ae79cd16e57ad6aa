//! The few members of params and results that the bridge itself looks at.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What the bridge reads of a request's params: the words that name a thing, all still as JSON text.
#[derive(Debug, Default, Deserialize)]
pub struct Params<'a> {
    /// The name of a tool or a prompt.
    #[serde(borrow, default)]
    pub name: Option<&'a RawValue>,
    /// The request's metadata, also when it is null.
    #[serde(borrow, default, rename = "_meta", deserialize_with = "super::present")]
    pub meta: Option<&'a RawValue>,
    /// A resource.
    #[serde(borrow, default)]
    pub uri: Option<&'a RawValue>,
    /// A task.
    #[serde(borrow, default, rename = "taskId")]
    pub task_id: Option<&'a RawValue>,
    /// What a completion is for.
    #[serde(borrow, default, rename = "ref")]
    pub reference: Option<&'a RawValue>,
    /// Where a page of a list begins.
    #[serde(borrow, default)]
    pub cursor: Option<&'a RawValue>,
    /// What the server gave with its questions (specification 2026-07-28, "Multi Round-Trip Requests").
    #[serde(borrow, default, rename = "requestState")]
    pub request_state: Option<&'a RawValue>,
    /// The client's answers to them.
    #[serde(borrow, default, rename = "inputResponses")]
    pub input_responses: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// Reads the params of a request; `None` when they are not an object.
    #[must_use]
    pub fn parse(params: &'a RawValue) -> Option<Self> {
        object(params)
    }
}

/// What the bridge reads of a request's `_meta` (specification 2026-07-28, "Request metadata").
#[derive(Debug, Default, Deserialize)]
pub struct Meta<'a> {
    /// The revision that the request is written in; its presence makes the request a modern one.
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    /// What the client can do; a modern request has to say it.
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub client_capabilities: Option<&'a RawValue>,
    /// Who the client is.
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
    pub client_info: Option<&'a RawValue>,
    /// The least severe log message that this request wants to hear of.
    #[serde(borrow, default, rename = "io.modelcontextprotocol/logLevel")]
    pub log_level: Option<&'a RawValue>,
    /// The token that progress of this request carries.
    #[serde(borrow, default, rename = "progressToken")]
    pub progress_token: Option<&'a RawValue>,
    /// The conversation that the request belongs to: a member of the bridge's own.
    #[serde(borrow, default, rename = "bridge/threadId")]
    pub thread_id: Option<&'a RawValue>,
    /// The user whose request it is: a member of the bridge's own.
    #[serde(borrow, default, rename = "bridge/userId")]
    pub user_id: Option<&'a RawValue>,
}

impl<'a> Meta<'a> {
    /// Reads the `_meta` of a request's params; empty when there is none.
    #[must_use]
    pub fn of(params: Option<&'a RawValue>) -> Self {
        params.and_then(Params::parse).and_then(|params| params.meta).and_then(object).unwrap_or_default()
    }
}

/// What belongs to the envelope of a modern request and means nothing to an older server.
const MODERN_MEMBERS: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];

/// A request's `_meta` as a server takes it whose session was opened by `initialize`: without the
/// members of the modern envelope, which some servers refuse there.
#[must_use]
pub fn legacy_meta(meta: &RawValue) -> Option<String> {
    without(meta, &MODERN_MEMBERS)
}

/// An object without some of its members. Every other byte stays.
#[must_use]
pub fn without(value: &RawValue, keys: &[&str]) -> Option<String> {
    let text = value.get();
    let members = object::<Members<'_>>(value)?.0;
    let mut kept = String::from("{");
    let mut from = 1;
    for (key, value) in members {
        let end = super::span_of(text.as_bytes(), value.get())?.end;
        let member = text.get(from..end)?;
        from = end;
        if !keys.contains(&key.as_ref()) {
            // Between two members stands one comma, wherever the white space is.
            let member = member.trim_start().strip_prefix(',').unwrap_or(member);
            kept.push_str(if kept.len() > 1 { "," } else { "" });
            kept.push_str(member);
        }
    }
    kept.push_str(text.get(from..)?);
    Some(kept)
}

/// The members of an object in their order.
#[must_use]
pub fn members(value: &RawValue) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    object::<Members<'_>>(value).map(|members| members.0)
}

/// The members of an object in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    members.push((key.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The progress token of a `notifications/progress`, in JSON.
#[must_use]
pub fn progress_token(params: Option<&RawValue>) -> Option<&str> {
    #[derive(Deserialize)]
    struct Progress<'a> {
        #[serde(borrow, rename = "progressToken")]
        token: &'a RawValue,
    }
    object::<Progress<'_>>(params?).map(|progress| progress.token.get())
}

/// The result of a response, in its own bytes.
#[must_use]
pub fn result_of(line: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    serde_json::from_slice::<Response<'_>>(line).ok().map(|response| response.result)
}

/// The id that a `notifications/cancelled` names, in JSON.
#[must_use]
pub fn cancelled_id(params: Option<&RawValue>) -> Option<&str> {
    #[derive(Deserialize)]
    struct Cancelled<'a> {
        #[serde(borrow, rename = "requestId")]
        id: &'a RawValue,
    }
    object::<Cancelled<'_>>(params?).map(|cancelled| cancelled.id.get())
}

/// Reads an object; an array, which a derived struct would take for its members in order, is none.
#[must_use]
pub fn object<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    value.get().starts_with('{').then(|| serde_json::from_str(value.get()).ok()).flatten()
}

/// What stands out in a result. It is found while the line is scanned anyway, so that a result of
/// many megabytes is read once.
#[derive(Debug, Default)]
pub struct ResultPeek<'a> {
    /// Whether it says `isError: true`.
    pub is_error: bool,
    /// Whether it carries a `resultType`, as every result of a modern server does.
    pub has_result_type: bool,
    /// Whether it is no result yet: the server asks the client something first.
    pub is_input_required: bool,
    /// The task that it gives in place of a result: its object (revision 2025-11-25), still as JSON text.
    pub task: Option<&'a RawValue>,
    /// The same, its id alone (the tasks extension of revision 2026-07-28).
    pub task_id: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ResultPeek<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeekVisitor)
    }
}

/// The `resultType` of a result that asks for more, in JSON.
pub(super) const INPUT_REQUIRED: &str = "\"input_required\"";

struct PeekVisitor;

impl<'de> Visitor<'de> for PeekVisitor {
    type Value = ResultPeek<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut peek = ResultPeek::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match key.0.as_ref() {
                "isError" => peek.is_error = map.next_value::<&RawValue>()?.get() == "true",
                "resultType" => {
                    peek.has_result_type = true;
                    peek.is_input_required = map.next_value::<&RawValue>()?.get() == INPUT_REQUIRED;
                }
                "task" => peek.task = Some(map.next_value()?),
                "taskId" => peek.task_id = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(peek)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ResultPeek::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(ResultPeek::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(ResultPeek::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(ResultPeek::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(ResultPeek::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(ResultPeek::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(ResultPeek::default())
    }
}

/// The id of the task that a result gives, in either revision's form.
#[must_use]
pub fn task_of(peek: &ResultPeek<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Task<'a> {
        #[serde(borrow, rename = "taskId")]
        id: &'a RawValue,
    }
    let id = match (peek.task, peek.task_id) {
        (Some(task), _) => object::<Task<'_>>(task)?.id,
        (None, id) => id?,
    };
    serde_json::from_str(id.get()).ok()
}

/// A member's key: borrowed where it was written without escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: &str, is_error: bool, has_result_type: bool) {
        let peek: ResultPeek<'_> = serde_json::from_str(result).unwrap();
        assert_eq!((peek.is_error, peek.has_result_type), (is_error, has_result_type), "{result}");
    }

    #[test]
    fn a_result_shows_its_flags_whatever_its_form() {
        check(r#"{"content":[],"isError":true}"#, true, false);
        check(r#"{"resultType":"complete","isError":false}"#, false, true);
        check(r#"{"nested":{"isError":true}}"#, false, false);
        check(r#"{"is\u0045rror":true}"#, true, false);
        check(r#"{"isError":"true"}"#, false, false);
        for other in ["[1,{}]", "1", "-1", "1e400000", "\"x\"", "true"] {
            if let Ok(peek) = serde_json::from_str::<ResultPeek<'_>>(other) {
                assert!(!peek.is_error);
            }
        }
    }

    #[test]
    fn a_number_of_any_size_inside_a_result_is_fine() {
        check(r#"{"n":1180591620717411303424,"e":1e999999,"isError":true}"#, true, false);
    }

    #[track_caller]
    fn check_legacy_meta(meta: &str, expected: &str) {
        let raw: &RawValue = serde_json::from_str(meta).unwrap();
        assert_eq!(legacy_meta(raw).unwrap(), expected);
    }

    #[test]
    fn an_older_server_gets_the_metadata_without_the_modern_envelope() {
        let version = r#""io.modelcontextprotocol/protocolVersion": "2026-07-28""#;
        let client = r#""io.modelcontextprotocol/clientInfo":{"name":"a,}"}"#;
        check_legacy_meta(&format!("{{{version}}}"), "{}");
        check_legacy_meta(
            &format!(r#"{{ {version} ,"progressToken": 1E2, {client} }}"#),
            r#"{"progressToken": 1E2 }"#,
        );
        check_legacy_meta(&format!(r#"{{"a":1, {version},{client} , "b":[2] }}"#), r#"{"a":1, "b":[2] }"#);
        check_legacy_meta(r#"{"x":{"y":"\u0041"}}"#, r#"{"x":{"y":"\u0041"}}"#);
    }

    #[test]
    fn the_metadata_of_a_request_is_found_under_its_long_names() {
        let params = r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":7}}"#;
        let raw: &RawValue = serde_json::from_str(params).unwrap();
        let meta = Meta::of(Some(raw));
        assert_eq!(meta.protocol_version.map(RawValue::get), Some("\"2026-07-28\""));
        assert_eq!(meta.progress_token.map(RawValue::get), Some("7"));
    }
}
