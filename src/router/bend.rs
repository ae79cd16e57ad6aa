//! What changes in a request when client and server speak by different rules.

use serde_json::value::RawValue;

use crate::downstream::Link;
use crate::downstream::connection::Connection;
use crate::downstream::level;
use crate::era::Era;
use crate::router::Call;
use crate::wire::{Meta, Span, legacy_meta, span_of};

/// What a modern server is asked to log for a client that has set no level.
const DEFAULT_LEVEL: &str = "info";

/// The places that change, and what comes there.
pub(super) fn bend(
    call: &Call,
    connection: &Connection,
    link: &Link,
    token: Option<&str>,
) -> Vec<(Span, String)> {
    let mut bent = Vec::new();
    if let (Some(token), Some(span)) = (token, &call.meta) {
        let place = raw(call, span).and_then(|meta| token_in(meta.get()));
        bent.extend(place.map(|place| (span.start + place.start..span.start + place.end, token.to_owned())));
    }
    let mut params: Vec<String> = call.more.iter().cloned().collect();
    match (call.era, connection.era()) {
        (Era::Modern, Era::Legacy) => {
            // The modern envelope means nothing there, and some servers refuse it.
            let meta = call.meta.as_ref().and_then(|span| Some((span, raw(call, span)?)));
            if let Some((span, meta)) = meta.and_then(|(span, meta)| Some((span, legacy_meta(meta)?))) {
                // The token goes with the rest.
                bent = vec![(span.clone(), with_token(meta, token))];
            }
        }
        (Era::Legacy, Era::Modern) => {
            let level =
                call.tenant.client.and_then(|client| link.interest.look(|wants| wants.level_of(client)));
            let level = level.and_then(level::word).unwrap_or(DEFAULT_LEVEL);
            let own = call.sender.as_deref().unwrap_or_else(|| connection.own_meta());
            let members = format!(r#"{own},"io.modelcontextprotocol/logLevel":"{level}""#);
            match &call.meta {
                Some(span) => bent.push(inserted(call, span, &members)),
                None => params.push(format!(r#""_meta":{{{members}}}"#)),
            }
        }
        _ => {}
    }
    if !params.is_empty() {
        let members = params.join(",");
        match &call.params {
            Some(span) => bent.push(inserted(call, span, &members)),
            None => bent.push((call.id.end..call.id.end, format!(r#","params":{{{members}}}"#))),
        }
    }
    bent
}

/// Where the progress token stands in the metadata of a request.
fn token_in(meta: &str) -> Option<Span> {
    let parsed: Meta<'_> = serde_json::from_str(meta).ok()?;
    span_of(meta.as_bytes(), parsed.progress_token?.get())
}

/// Metadata under another progress token, if there is another.
fn with_token(mut meta: String, token: Option<&str>) -> String {
    if let (Some(token), Some(place)) = (token, token_in(&meta)) {
        meta.replace_range(place, token);
    }
    meta
}

/// Members put before those that an object has; what is no object gives way to one.
fn inserted(call: &Call, object: &Span, members: &str) -> (Span, String) {
    let inside = raw(call, object).and_then(|value| value.get().strip_prefix('{'));
    let Some(inside) = inside else { return (object.clone(), format!("{{{members}}}")) };
    let is_empty = inside.trim_start().starts_with('}');
    let place = object.start + 1;
    (place..place, if is_empty { members.to_owned() } else { format!("{members},") })
}

fn raw<'a>(call: &'a Call, span: &Span) -> Option<&'a RawValue> {
    serde_json::from_slice(call.line.get(span.clone())?).ok()
}
