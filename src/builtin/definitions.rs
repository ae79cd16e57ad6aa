//! The definitions of the bridge's own tools, as clients see them.

use serde_json::{Value, json};

use crate::builtin::dashboard::{PAGE_URI, SPAN};
use crate::builtin::schemas;
use crate::figures::By;
use crate::names::RESULT_TOOL;

/// Every tool, sorted by name.
pub fn all(selftest: bool) -> Vec<Value> {
    let mut tools = vec![connections(), dashboard(), disconnect(), restart(), result()];
    if selftest {
        tools.push(self::selftest());
    }
    tools.extend([stats(), status()]);
    tools
}

fn connections() -> Value {
    json!({
        "name": "bridge_connections",
        "title": "Bridge: connections",
        "description": "Shows every connection to every server: whose it is (everybody's, or a session's, thread's, \
                        user's or single call's), its state and process, how many requests are under way on it, how \
                        many it had, and how long it has been idle.",
        "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
        "outputSchema": schemas::connections(),
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

/// The shape of its data is `dashboard/data.rs`'s to tell.
fn dashboard() -> Value {
    json!({
        "name": "bridge_dashboard",
        "title": "Bridge: dashboard",
        "description": "Shows a person the servers, and the calls, errors and times of a span, as a page with charts where \
                        the client can show pages. Use bridge_status or bridge_stats to find something out yourself.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "since": { "type": "string", "description": "How far back: 24h, 7d, 30d.", "default": SPAN }
            },
            "additionalProperties": false
        },
        "outputSchema": dashboard_data(),
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
        "_meta": { "ui": { "resourceUri": PAGE_URI, "visibility": ["model", "app"] } },
    })
}

fn dashboard_data() -> Value {
    let (count, text) = (json!({ "type": "integer", "minimum": 0 }), json!({ "type": "string" }));
    let (no_time, no_text) = (json!({ "type": ["number", "null"] }), json!({ "type": ["string", "null"] }));
    let no_count = json!({ "type": ["integer", "null"] });
    let object = |properties: &Value| {
        let names: Vec<&String> = properties.as_object().into_iter().flat_map(|all| all.keys()).collect();
        json!({ "type": "object", "properties": properties, "required": names })
    };
    let list = |items: &Value| json!({ "type": "array", "items": items });
    let figures = [
        ("calls", &count),
        ("errors", &count),
        ("cancelled", &count),
        ("p50Ms", &no_time),
        ("p95Ms", &no_time),
    ];
    let with = |more: &[(&str, &Value)]| {
        object(&figures.iter().chain(more).map(|(key, of)| ((*key).to_owned(), (*of).clone())).collect())
    };
    object(&json!({
        "version": { "const": 1 },
        "madeAt": text,
        "live": { "type": "boolean", "description": "Whether the servers' states are those of now." },
        "span": object(&json!({ "asked": text, "since": text, "stepHours": count })),
        "totals": with(&[("sessions", &count), ("sessionsOpen", &count)]),
        "series": object(&figures.iter().map(|(key, of)| ((*key).to_owned(), list(of))).collect()),
        "servers": list(&with(&[
            ("name", &text), ("state", &text), ("since", &no_text), ("because", &no_text), ("pid", &no_count),
            ("tools", &no_count), ("retryAfterSeconds", &no_count), ("bridge", &no_count),
        ])),
        "notes": list(&text),
    }))
}

fn disconnect() -> Value {
    json!({
        "name": "bridge_disconnect",
        "title": "Bridge: disconnect",
        "description": "Closes the connections that fit everything that is named, over all servers: their processes \
                        end, and calls under way on them fail. The next call makes a new connection. Use it when a \
                        server has to begin anew, or when a thread, a user or a session is gone for good.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "server": { "type": "string", "description": "Only connections to this server." },
                "thread": { "type": "string", "description": "Only connections of this thread." },
                "user": { "type": "string", "description": "Only connections of this user, all threads included." },
                "session": { "type": "string", "description": "Only connections of this client session, by its id." }
            },
            "minProperties": 1,
            "additionalProperties": false
        },
        "outputSchema": schemas::disconnect(),
        "annotations": { "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": false },
    })
}

fn restart() -> Value {
    json!({
        "name": "bridge_restart",
        "title": "Bridge: restart a server",
        "description": "Ends a server's processes, forgets its failures and starts it anew; calls under way on it fail. \
                        Use it when a server hangs, is parked, or has to begin anew. Waits for the start, 10 seconds at \
                        most.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "server": { "type": "string", "description": "The server's name, as bridge_status shows it." }
            },
            "required": ["server"],
            "additionalProperties": false
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "server": { "type": "string" },
                "endedPid": { "type": ["integer", "null"], "description": "The process that was ended." },
                "state": { "type": "string", "description": "The server's state now: ready, starting, resting, …" },
                "pid": { "type": ["integer", "null"], "description": "Its process now." },
                "error": { "type": ["string", "null"], "description": "Why it did not start." },
                "stderr": { "type": ["array", "null"], "items": { "type": "string" }, "description": "What it wrote last." }
            },
            "required": ["server", "endedPid", "state", "pid", "error"]
        },
        "annotations": { "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": false },
    })
}

fn status() -> Value {
    json!({
        "name": "bridge_status",
        "title": "Bridge: status",
        "description": "Shows what the bridge and the servers behind it are doing: each server's state and why, \
                        its tools, every mistake in the configuration, and whether the record is complete. \
                        Use it when a tool is missing or a call came back as unavailable.",
        "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
        "outputSchema": schemas::status(),
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

/// It is answered where its calls are kept, in `session/handoff`, since it gives a server's own bytes. It has
/// no output schema, so that clients take any tool's result from it.
fn result() -> Value {
    json!({
        "name": RESULT_TOOL,
        "title": "Bridge: result of a call",
        "description": "Waits for a call that was answered with the word that it still runs, and gives its result as the \
                        tool gave it. Call it again when it says that the call still runs. A result can be had for 10 \
                        minutes.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "call": { "type": "string", "description": "The call's number, as that answer named it." },
                "cancel": { "type": "boolean", "description": "Cancels the call if it still runs.", "default": false }
            },
            "required": ["call"],
            "additionalProperties": false
        },
        "annotations": {
            "readOnlyHint": false,
            "destructiveHint": false,
            "idempotentHint": true,
            "openWorldHint": false
        },
    })
}

fn stats() -> Value {
    json!({
        "name": "bridge_stats",
        "title": "Bridge: statistics",
        "description": "Shows how often tools were called, how often they failed, how long they took, and the latest \
                        errors with their causes: by tool, server, client, day or hour. Use it to find out what is \
                        slow or fails.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "since": {
                    "type": "string",
                    "description": "Only calls since then: 90m, 24h, 7d, 2026-11-21, or an RFC 3339 time; all if left out."
                },
                "until": { "type": "string", "description": "Only calls before then, likewise." },
                "server": {
                    "type": "string",
                    "description": "Only calls of this server; the bridge's own tools are those of \"(bridge)\"."
                },
                "tool": { "type": "string", "description": "Only this tool, by its server's name for it." },
                "by": {
                    "type": "string",
                    "enum": By::ALL.map(By::word),
                    "description": "A row for each of these.",
                    "default": By::Tool.word()
                }
            },
            "additionalProperties": false
        },
        "outputSchema": schemas::stats(),
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

fn selftest() -> Value {
    json!({
        "name": "bridge_selftest",
        "title": "Bridge: self-test",
        "description": "Fails on purpose, to prove that a failing tool costs one clear error and nothing else.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "kind": { "type": "string", "enum": ["panic", "panic_late", "error", "hang", "big"] },
                "bytes": { "type": "integer", "description": "For big: the size of the text.", "default": 1_048_576 }
            },
            "required": ["kind"]
        },
    })
}
