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
    /// What it is about: `params.name`, `.uri` or `.taskId`, or the name or URI in `params.ref`.
    pub name: Option<Cow<'a, str>>,
    /// What else it carries.
    pub params: Params<'a>,
    /// The place of the task that gets its answer.
    pub task: Option<usize>,
}

/// The members of `params` that a fake server looks at.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Params<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow)]
    task_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    pub about: Option<&'a RawValue>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub argument: Option<&'a RawValue>,
    #[serde(borrow)]
    pub context: Option<&'a RawValue>,
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    pub protocol_version: Option<&'a RawValue>,
    /// In `notifications/cancelled`.
    #[serde(borrow)]
    pub request_id: Option<&'a RawValue>,
    /// In `subscriptions/listen`: what the client wants to hear.
    #[serde(borrow)]
    pub notifications: Option<&'a RawValue>,
    /// The client wants a task instead of the answer.
    #[serde(borrow)]
    pub task: Option<&'a RawValue>,
    #[serde(borrow)]
    pub input_responses: Option<&'a RawValue>,
    #[serde(borrow)]
    pub request_state: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta", default)]
    pub meta: Meta<'a>,
}

/// The members of `params._meta` that a fake server looks at.
#[derive(Deserialize, Default)]
pub struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    pub token: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub version: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/logLevel")]
    pub log_level: Option<&'a RawValue>,
}

/// What `params.ref` is about.
#[derive(Deserialize)]
struct About<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
}

/// What a line is.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Said<'a> {
    /// A request or a notification.
    Ask(Ask<'a>),
    /// The answer to a request of ours: the bytes of its id, and its result or its whole error as JSON.
    Answer(&'a str, String),
}

impl<'a> Ask<'a> {
    /// `params.cursor`.
    pub fn cursor(&self) -> Option<Cow<'a, str>> {
        self.params.cursor.map(text)
    }

    /// `params._meta["io.modelcontextprotocol/protocolVersion"]`, if it is there as text.
    pub fn version(&self) -> Option<Cow<'a, str>> {
        self.params.meta.version.filter(|raw| raw.get().starts_with('"')).map(text)
    }

    /// True when it brings what an earlier answer asked for.
    pub fn is_retry(&self) -> bool {
        self.params.input_responses.is_some() || self.params.request_state.is_some()
    }

    /// True when the client says in this request that it can do that: `["elicitation"]`.
    pub fn client_can(&self, path: &[&str]) -> bool {
        let said = self.params.meta.capabilities.map_or("{}", RawValue::get);
        let said: serde_json::Value = serde_json::from_str(said).unwrap_or_default();
        path.iter().try_fold(&said, |at, key| at.get(key)).is_some()
    }
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
    let name = params.name.or(params.uri).or(params.task_id).or_else(|| {
        let about: About<'_> = serde_json::from_str(params.about?.get()).ok()?;
        about.name.or(about.uri)
    });
    Some(Said::Ask(Ask {
        id: line.id.map(RawValue::get),
        method: text(method),
        name: name.map(text),
        params,
        task: None,
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
