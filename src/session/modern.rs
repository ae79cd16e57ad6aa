//! What revision 2026-07-28 asks of us: every request says who sends it and what it can do.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::greeting::Face;
use crate::era::{Era, MODERN_VERSION};
use crate::session::introduction::Introduction;
use crate::session::legacy::{Implementation, server_info};
use crate::session::reply::{Rpc, code};
use crate::store::rows::ClientInfo;
use crate::wire::{Meta, Params, Span, object, result_of, span_of};

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
        params: None,
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
pub fn discover(introduction: &Introduction) -> String {
    let (capabilities, instructions) =
        (introduction.capabilities(Era::Modern), json!(introduction.instructions));
    let members = list_members();
    format!(
        r#"{{{members}"supportedVersions":["{MODERN_VERSION}"],"capabilities":{capabilities},"instructions":{instructions}}}"#
    )
}

/// The members that a list's result carries beside the list, in JSON, with a comma at the end.
#[must_use]
pub fn list_members() -> String {
    let info = server_info();
    format!(
        r#""resultType":"complete","ttlMs":{TTL_MS},"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{info}}},"#
    )
}

/// What makes the result of an older server one that a modern client takes: where it stands, and what comes
/// there. Revision 2026-07-28 asks for `resultType` in every result, for `ttlMs` and `cacheScope` in those
/// that can be kept, and for the server's name in each.
#[must_use]
pub fn result_members(line: &[u8], cacheable: bool, server_info: Option<&str>) -> Vec<(Span, String)> {
    let Some(result) = result_of(line) else { return Vec::new() };
    let Some(peek) = Params::parse(result) else { return Vec::new() };
    let info = server_info.map(|info| format!(r#""io.modelcontextprotocol/serverInfo":{info}"#));
    let mut members = String::from(r#""resultType":"complete""#);
    if cacheable {
        // Writing to a string cannot fail.
        let _ = write!(members, r#","ttlMs":{TTL_MS},"cacheScope":"private""#);
    }
    let mut inserted = Vec::new();
    match (info, peek.meta) {
        (Some(info), None) => {
            let _ = write!(members, r#","_meta":{{{info}}}"#);
        }
        (Some(info), Some(meta)) if !meta.get().starts_with('{') => {
            inserted.extend(span_of(line, meta.get()).map(|span| (span, format!("{{{info}}}"))));
        }
        (Some(info), Some(meta)) => inserted.extend(inside(line, meta, info)),
        (None, _) => {}
    }
    inserted.extend(inside(line, result, members));
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
            r#"{"result":{"_meta":null}}"#,
            false,
            Some("{}"),
            r#"{"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#,
        );
        check_members(
            r#"{"result":{}}"#,
            false,
            Some("{}"),
            r#"{"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#,
        );
        check_members(r#"{"result":[],"id":1}"#, true, None, r#"{"result":[],"id":1}"#);
    }
}
