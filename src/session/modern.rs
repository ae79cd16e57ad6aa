//! What revision 2026-07-28 asks of us: every request says who sends it and what it can do.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::greeting::Face;
use crate::era::{Era, MODERN_VERSION};
use crate::session::legacy::{Implementation, capabilities, server_info};
use crate::session::reply::{Rpc, code};
use crate::store::rows::ClientInfo;
use crate::wire::{Frame, Meta, object};

/// Where a notification names the `subscriptions/listen` that it belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

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

/// A `subscriptions/listen` that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The request's id, in JSON.
    pub id: Box<str>,
    /// Whether it wants to hear that the tools changed.
    pub tools: bool,
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
        Ok(Self { id: id.into(), tools: filter.tools_list_changed == Some(true) })
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
    use super::*;

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
