//! The form of what the bridge's own tools answer: the output schemas of their definitions.
//!
//! What is required is always there; more may come with a later version.

use serde_json::{Map, Value, json};

use crate::figures::By;

/// What `bridge_status` answers.
pub fn status() -> Value {
    let server = object(&[
        ("name", text()),
        ("state", text()),
        ("since", text()),
        ("pid", maybe(&number())),
        ("era", maybe(&text())),
        ("protocolVersion", maybe(&text())),
        ("because", maybe(&text())),
        ("held", json!({ "type": "boolean" })),
        ("breaker", text()),
        ("retryAfterSeconds", maybe(&number())),
        ("lastEnding", maybe(&text())),
        ("stderr", json!({ "type": ["array", "null"], "items": text() })),
        ("starts", number()),
        ("failedStarts", number()),
        ("tools", maybe(&number())),
        ("prompts", maybe(&number())),
        ("resources", maybe(&number())),
        ("resourceTemplates", maybe(&number())),
        ("linesOutsideTheProtocol", number()),
        ("lateAnswers", number()),
        ("callTimeoutSeconds", number()),
        ("scope", text()),
        ("connections", pool()),
    ]);
    object(&[
        ("bridge", object(&[("version", text()), ("pid", number()), ("uptimeSeconds", number())])),
        ("config", config()),
        ("sessions", list(session())),
        ("servers", list(server)),
        ("retiring", list(retiring())),
        ("tools", number()),
        ("prompts", number()),
        ("resources", number()),
        ("resourceTemplates", number()),
        ("nameClashes", list(clash())),
        ("toolChanges", list(change())),
        ("record", object(&[("lostRows", number()), ("lastError", maybe(&text()))])),
    ])
}

fn config() -> Value {
    object(&[
        ("keptFromBefore", json!({ "type": "boolean" })),
        ("file", maybe(&text())),
        ("mistakes", list(text())),
        ("needNewStart", list(text())),
        ("notes", list(text())),
    ])
}

fn session() -> Value {
    object(&[
        ("session", text()),
        ("client", maybe(&text())),
        ("clientVersion", maybe(&text())),
        ("protocolVersion", maybe(&text())),
        ("pid", number()),
        ("since", text()),
        ("uses", list(text())),
    ])
}

fn pool() -> Value {
    object(&[
        ("total", number()),
        ("active", number()),
        ("idle", number()),
        ("waiting", number()),
        ("waitingMax", number()),
        ("inFlight", number()),
        ("byUser", json!({ "type": "object" })),
        ("byThread", json!({ "type": "object" })),
        ("requests", number()),
        ("reused", number()),
        ("reuseRate", json!({ "type": ["number", "null"] })),
    ])
}

fn retiring() -> Value {
    let because = ("because", maybe(&text()));
    object(&[("server", text()), ("pid", maybe(&number())), ("activeRequests", number()), because])
}

fn clash() -> Value {
    let shown = ("shown", maybe(&text()));
    object(&[("list", text()), ("server", text()), ("name", text()), ("wanted", text()), shown])
}

fn change() -> Value {
    let held = ("held", json!({ "type": "boolean" }));
    object(&[("server", text()), ("tool", text()), ("change", text()), held])
}

/// What `bridge_stats` answers: one of the lists, by what was asked.
pub fn stats() -> Value {
    let error = object(&[
        ("startedAt", text()),
        ("client", maybe(&text())),
        ("server", maybe(&text())),
        ("tool", text()),
        ("outcome", text()),
        ("errorKind", maybe(&text())),
        ("durationMs", json!({ "type": ["number", "null"] })),
    ]);
    let mut schema = object(&[
        ("since", maybe(&text())),
        ("until", maybe(&text())),
        ("server", maybe(&text())),
        ("tool", maybe(&text())),
        ("calls", number()),
        ("errors", number()),
        ("latestErrors", list(error)),
        ("rowsSince", maybe(&text())),
    ]);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(By::ALL.map(|by| (by.list().to_owned(), list(sums(by)))));
    }
    schema
}

fn sums(by: By) -> Value {
    let own = match by {
        By::Hour => vec![("hour", text())],
        By::Day => vec![("day", text()), ("from", text())],
        By::Client => vec![("client", maybe(&text()))],
        By::Server => vec![("server", maybe(&text()))],
        By::Tool => vec![("server", maybe(&text())), ("tool", text())],
    };
    let time = json!({ "type": ["number", "null"] });
    let sums = vec![
        ("calls", number()),
        ("errors", number()),
        ("cancelled", number()),
        ("errorRate", json!({ "type": "number" })),
        ("p50Ms", time.clone()),
        ("p95Ms", time),
        ("requestBytes", number()),
        ("responseBytes", number()),
        ("lastUsed", text()),
    ];
    object(&[own, sums].concat())
}

/// What `bridge_connections` answers.
pub fn connections() -> Value {
    let connection = object(&[
        ("server", text()),
        ("scope", text()),
        ("session", maybe(&text())),
        ("thread", maybe(&text())),
        ("user", maybe(&text())),
        ("state", text()),
        ("pid", maybe(&number())),
        ("since", text()),
        ("activeRequests", number()),
        ("requests", number()),
        ("idleSeconds", number()),
        ("endsBecause", maybe(&text())),
    ]);
    object(&[("connections", list(connection))])
}

/// What `bridge_disconnect` answers.
pub fn disconnect() -> Value {
    let server = object(&[("server", text()), ("closed", number())]);
    object(&[("closed", number()), ("servers", list(server))])
}

fn object(members: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        members.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn number() -> Value {
    json!({ "type": "integer" })
}

/// The same, or null.
fn maybe(schema: &Value) -> Value {
    json!({ "type": [schema["type"], "null"] })
}
