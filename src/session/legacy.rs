//! What the older revisions ask of us: `initialize` opens a session that lasts.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::greeting::Face;
use crate::era::{Era, LEGACY_VERSIONS};
use crate::session::introduction::Introduction;
use crate::session::reply::Rpc;
use crate::store::rows::ClientInfo;
use crate::version;
use crate::wire::object;

/// The record keeps so much of what a client calls itself, in characters.
const KEPT_CHARS_MAX: usize = 256;

/// An accepted `initialize`.
#[derive(Debug)]
pub struct Initialized {
    /// Who the client is, and the revision that both speak.
    pub client: ClientInfo,
    /// The revision.
    pub version: &'static str,
    /// The client, as servers are told of it.
    pub face: Face,
}

/// Reads `initialize`: the client's revision where we speak it, else our newest.
///
/// # Errors
/// When the params have no `protocolVersion`.
pub fn initialize(params: Option<&RawValue>) -> Result<Initialized, Rpc> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        protocol_version: String,
        #[serde(borrow, default)]
        client_info: Option<&'a RawValue>,
        #[serde(borrow, default)]
        capabilities: Option<&'a RawValue>,
    }
    let own = params.map(|params| params.get().into());
    let params: Params<'_> = params
        .and_then(object)
        .ok_or_else(|| Rpc::bad_params("initialize needs params with protocolVersion as a string"))?;
    let version = LEGACY_VERSIONS
        .into_iter()
        .find(|version| *version == params.protocol_version)
        .unwrap_or(LEGACY_VERSIONS[0]);
    // Who the client is does not decide whether it is served.
    let info: Option<Implementation> = params.client_info.and_then(object);
    let mut client = info.map(Implementation::into_client).unwrap_or_default();
    client.protocol_version = Some(version.to_owned());
    let object_text = |raw: &RawValue| raw.get().starts_with('{').then(|| raw.get().into());
    let is_object = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get().starts_with('{'));
    let is_whole = is_object(params.capabilities) && is_object(params.client_info);
    let face = Face {
        era: Era::Legacy,
        protocol_version: version.into(),
        capabilities: params.capabilities.and_then(object_text).unwrap_or_else(|| "{}".into()),
        info: params.client_info.and_then(object_text),
        // Whole, where nothing of it is missing that servers insist on.
        params: own.filter(|_| version == params.protocol_version && is_whole),
    };
    Ok(Initialized { client, version, face })
}

/// What a client says about itself.
#[derive(Debug, Deserialize)]
pub struct Implementation {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

impl Implementation {
    /// The same, as the record keeps it.
    #[must_use]
    pub fn into_client(self) -> ClientInfo {
        let kept = |words: String| words.chars().take(KEPT_CHARS_MAX).collect();
        ClientInfo { name: self.name.map(kept), version: self.version.map(kept), protocol_version: None }
    }
}

/// The result of `initialize`, in JSON.
#[must_use]
pub fn initialized(version: &str, introduction: &Introduction) -> String {
    let (capabilities, instructions) =
        (introduction.capabilities(Era::Legacy), json!(introduction.instructions));
    let info = server_info();
    format!(
        r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{info},"instructions":{instructions}}}"#
    )
}

/// Who the bridge is.
#[must_use]
pub fn server_info() -> serde_json::Value {
    json!({ "name": "bridge", "title": "bridge", "version": version::own() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(params: &str) -> Result<&'static str, i32> {
        let raw: &RawValue = serde_json::from_str(params).unwrap();
        initialize(Some(raw)).map(|initialized| initialized.version).map_err(|rpc| rpc.code)
    }

    #[test]
    fn the_clients_revision_counts_where_we_speak_it() {
        assert_eq!(version(r#"{"protocolVersion":"2024-11-05"}"#), Ok("2024-11-05"));
        assert_eq!(version(r#"{"protocolVersion":"2099-01-01","clientInfo":{}}"#), Ok("2025-11-25"));
        assert_eq!(version(r#"{"protocolVersion":1}"#), Err(-32602));
        assert_eq!(version("[]"), Err(-32602));
    }
}
