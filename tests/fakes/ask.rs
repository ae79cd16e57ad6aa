//! One received line, with every member as the bytes it came in.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A JSON-RPC line of any kind.
#[derive(Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A request, or a notification when it has no id.
#[derive(Default)]
pub struct Ask<'a> {
    /// The id's bytes.
    pub id: Option<&'a str>,
    /// The method.
    pub method: Cow<'a, str>,
    /// `params.name`: the tool.
    pub tool: Option<Cow<'a, str>>,
    /// The bytes of `params.arguments`.
    pub arguments: Option<&'a str>,
    /// The bytes of `params._meta.progressToken`.
    pub token: Option<&'a str>,
    /// `params.cursor`.
    pub cursor: Option<Cow<'a, str>>,
    /// The bytes of `params.protocolVersion`.
    pub version: Option<&'a str>,
    /// The bytes of `params.requestId`, in `notifications/cancelled`.
    pub cancelled: Option<&'a str>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    progress_token: Option<&'a RawValue>,
}

/// What a line is.
pub enum Said<'a> {
    /// A request or a notification.
    Ask(Ask<'a>),
    /// The answer to a request of ours: the bytes of its id, and its result or its whole error as JSON.
    Answer(&'a str, String),
}

/// Reads a line; None when it is no JSON-RPC.
pub fn read(line: &[u8]) -> Option<Said<'_>> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let Some(method) = line.method else {
        let value = match (line.result, line.error) {
            (Some(result), _) => result.get().to_owned(),
            (None, Some(error)) => format!(r#"{{"error":{}}}"#, error.get()),
            (None, None) => return None,
        };
        return Some(Said::Answer(line.id?.get(), value));
    };
    let params: Params<'_> =
        line.params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    Some(Said::Ask(Ask {
        id: line.id.map(RawValue::get),
        method: text(method),
        tool: params.name.map(text),
        arguments: params.arguments.map(RawValue::get),
        token: params.meta.and_then(|meta| meta.progress_token).map(RawValue::get),
        cursor: params.cursor.map(text),
        version: params.protocol_version.map(RawValue::get),
        cancelled: params.request_id.map(RawValue::get),
    }))
}

/// The value of a JSON string, borrowed when it has no escapes.
fn text(raw: &RawValue) -> Cow<'_, str> {
    let plain = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(raw.get()).unwrap_or_default()),
    }
}
