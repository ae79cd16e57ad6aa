//! What revision 2026-07-28 asks of us: every request says who sends it and what it can do.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::connection::SUBSCRIPTION_ID;
use crate::downstream::greeting::Face;
use crate::era::{Era, MODERN_VERSION};
use crate::session::legacy::{Implementation, capabilities, server_info};
use crate::session::reply::{self, Rpc, code};
use crate::store::rows::ClientInfo;
use crate::wire::{Frame, Meta, Params, Span, object, span_of};

/// How long a list may be kept by the client, in milliseconds: not at all, `list_changed` tells.
const TTL_MS: u64 = 0;

/// Who sends a modern request; `None` when its `_meta` names no revision.
///
/// # Errors
/// When the revision is not ours, or `clientCapabilities` is missing.
pub fn client_of(meta: &Meta<'_>) -> Result<Option<ClientInfo>, Rpc> {
    let Some(version) = meta.protocol_version else { return Ok(None) };
    let requested: Option<String> = serde_json::from_str(version.get()).ok();
    if requested.as_deref() != Some(MODERN_VERSION) {
        let message = format!("protocol version {version} is not spoken here");
        let mut rpc = Rpc::new(code::UNSUPPORTED_VERSION, "unsupported_version", message);
        rpc.data =
            json!({ "kind": "unsupported_version", "supported": [MODERN_VERSION], "requested": version });
        return Err(rpc);
    }
    if meta.client_capabilities.is_none_or(|capabilities| !capabilities.get().starts_with('{')) {
        return Err(Rpc::bad_params("_meta needs io.modelcontextprotocol/clientCapabilities as an object"));
    }
    let info: Option<Implementation> = meta.client_info.and_then(object);
    let mut client = info.map(Implementation::into_client).unwrap_or_default();
    client.protocol_version = Some(MODERN_VERSION.to_owned());
    Ok(Some(client))
}

/// Shows servers the client of a modern request; false when they see it already.
pub fn show(face: &mut Face, meta: &Meta<'_>) -> bool {
    let capabilities = meta.client_capabilities.map_or("{}", RawValue::get);
    let info = meta.client_info.map(RawValue::get).filter(|info| info.starts_with('{'));
    if face.era == Era::Modern && &*face.capabilities == capabilities && face.info.as_deref() == info {
        return false;
    }
    *face = Face {
        era: Era::Modern,
        protocol_version: MODERN_VERSION.into(),
        capabilities: capabilities.into(),
        info: info.map(Arc::from),
    };
    true
}

/// What a request without a session is told.
#[must_use]
pub fn no_session() -> Rpc {
    Rpc::bad_params(
        "no session is open: send initialize first, or name io.modelcontextprotocol/protocolVersion and \
         io.modelcontextprotocol/clientCapabilities in params._meta",
    )
}

/// The result of `server/discover`, in JSON.
#[must_use]
pub fn discover(instructions: &str) -> String {
    json!({
        "resultType": "complete",
        "supportedVersions": [MODERN_VERSION],
        "capabilities": capabilities(),
        "instructions": instructions,
        "ttlMs": TTL_MS,
        "cacheScope": "private",
        "_meta": { "io.modelcontextprotocol/serverInfo": server_info() },
    })
    .to_string()
}

/// The members that a list's result carries beside the list, in JSON, with a comma at the end.
#[must_use]
pub fn list_members() -> String {
    format!(r#""resultType":"complete","ttlMs":{TTL_MS},"cacheScope":"private","#)
}

/// What makes the result of an older server one that a modern client takes: where it stands, and what comes
/// there. Revision 2026-07-28 asks for `resultType` in every result, for `ttlMs` and `cacheScope` in those
/// that can be kept, and for the server's name in each.
#[must_use]
pub fn result_members(line: &[u8], cacheable: bool, server_info: Option<&str>) -> Vec<(Span, String)> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    let Ok(response) = serde_json::from_slice::<Response<'_>>(line) else { return Vec::new() };
    let Some(peek) = Params::parse(response.result) else { return Vec::new() };
    let info = server_info.map(|info| format!(r#""io.modelcontextprotocol/serverInfo":{info}"#));
    let mut members = String::from(r#""resultType":"complete""#);
    if cacheable {
        members.push_str(&format!(r#","ttlMs":{TTL_MS},"cacheScope":"private""#));
    }
    let mut inserted = Vec::new();
    match (info, peek.meta) {
        (Some(info), None) => members.push_str(&format!(r#","_meta":{{{info}}}"#)),
        (Some(info), Some(meta)) => inserted.extend(inside(line, meta, info)),
        (None, _) => {}
    }
    inserted.extend(inside(line, response.result, members));
    inserted
}

/// Members put before those that an object of a line has.
#[must_use]
pub fn inside(line: &[u8], object: &RawValue, members: String) -> Option<(Span, String)> {
    let rest = object.get().strip_prefix('{')?;
    let start = span_of(line, object.get())?.start + 1;
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    Some((start..start, members + comma))
}

/// A `subscriptions/listen` that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The request's id, in JSON.
    pub id: Box<str>,
    /// Whether it wants to hear that the tools changed.
    pub tools: bool,
    /// Resources whose updates it wants to hear of, by URI.
    pub resources: Vec<Arc<str>>,
    /// Tasks that it wants to hear of, by id.
    pub tasks: Vec<Arc<str>>,
}

impl Listen {
    /// Reads a listen request.
    ///
    /// # Errors
    /// When it names no notifications.
    pub fn read(id: &str, params: Option<&RawValue>) -> Result<Self, Rpc> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Filter {
            #[serde(default)]
            tools_list_changed: Option<bool>,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            notifications: &'a RawValue,
        }
        let bad =
            || Rpc::bad_params("subscriptions/listen needs params.notifications as an object of booleans");
        let params: Params<'_> = params.and_then(object).ok_or_else(bad)?;
        let filter: Filter = object(params.notifications).ok_or_else(bad)?;
        Ok(Self {
            id: id.into(),
            tools: filter.tools_list_changed == Some(true),
            resources: Vec::new(),
            tasks: Vec::new(),
        })
    }

    /// Whether it wants to hear of a resource.
    #[must_use]
    pub fn wants_resource(&self, uri: &str) -> bool {
        self.resources.iter().any(|wanted| **wanted == *uri)
    }

    /// Whether it wants to hear of a task.
    #[must_use]
    pub fn wants_task(&self, id: &str) -> bool {
        self.tasks.iter().any(|wanted| **wanted == *id)
    }

    /// What the client is told first: the part of its wish that is granted.
    #[must_use]
    pub fn acknowledged(&self) -> Frame {
        let granted = if self.tools { r#"{"toolsListChanged":true}"# } else { "{}" };
        self.notification(
            "notifications/subscriptions/acknowledged",
            &format!(r#","notifications":{granted}"#),
        )
    }

    /// It ends, and not because the client wants it.
    #[must_use]
    pub fn ended(&self) -> Frame {
        let id = &self.id;
        let result = format!(r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}"#);
        reply::result(id, &result)
    }

    /// The tools changed.
    #[must_use]
    pub fn tools_changed(&self) -> Frame {
        self.notification("notifications/tools/list_changed", "")
    }

    fn notification(&self, method: &str, members: &str) -> Frame {
        let id = &self.id;
        let params = format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{id}}}{members}}}"#);
        Frame::own(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Cut, splice};

    fn meta(json: &'static str) -> Meta<'static> {
        let params: &'static RawValue =
            serde_json::from_str(Box::leak(format!(r#"{{"_meta":{json}}}"#).into_boxed_str())).unwrap();
        Meta::of(Some(params))
    }

    #[test]
    fn a_modern_request_says_its_revision_and_what_it_can_do() {
        let both = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        assert!(client_of(&meta(both)).unwrap().is_some());
        assert_eq!(client_of(&meta("{}")).unwrap(), None);
        let one = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        assert_eq!(client_of(&meta(one)).unwrap_err().code, -32602);
        let other =
            client_of(&meta(r#"{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}"#)).unwrap_err();
        assert_eq!((other.code, other.data["requested"].as_str()), (-32022, Some("2025-11-25")));
    }

    #[track_caller]
    fn check_members(line: &str, cacheable: bool, info: Option<&str>, expected: &str) {
        let line = Bytes::copy_from_slice(line.as_bytes());
        let members = result_members(&line, cacheable, info);
        let cuts: Vec<Cut<'_>> =
            members.iter().map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }).collect();
        let spliced = splice(&line, &cuts).pieces().concat();
        assert_eq!(String::from_utf8(spliced).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn a_result_for_a_modern_client_carries_what_the_revision_asks_for() {
        check_members(
            r#"{"id":1,"result": {"content":[]}}"#,
            false,
            None,
            r#"{"id":1,"result": {"resultType":"complete","content":[]}}"#,
        );
        check_members(
            r#"{"result":{ },"id":1}"#,
            true,
            None,
            r#"{"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private" },"id":1}"#,
        );
        check_members(
            r#"{"result":{"_meta":{"a":1}}}"#,
            false,
            Some(r#"{"name":"x"}"#),
            r#"{"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"},"a":1}}}"#,
        );
        check_members(
            r#"{"result":{}}"#,
            false,
            Some("{}"),
            r#"{"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#,
        );
        check_members(r#"{"result":[],"id":1}"#, true, None, r#"{"result":[],"id":1}"#);
    }

    #[test]
    fn a_listen_is_acknowledged_under_its_own_id() {
        let params: &RawValue =
            serde_json::from_str(r#"{"notifications":{"toolsListChanged":true}}"#).unwrap();
        let listen = Listen::read("\"l-1\"", Some(params)).unwrap();
        assert_eq!(
            String::from_utf8(listen.acknowledged().pieces().concat()).unwrap(),
            concat!(
                r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":"#,
                r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"},"notifications":{"toolsListChanged":true}}}"#,
                "\n"
            )
        );
        assert_eq!(Listen::read("1", None).unwrap_err().code, -32602);
    }
}
