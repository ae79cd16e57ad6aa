//! The definitions of the bridge's own tools, as clients see them.

use serde_json::{Value, json};

use crate::names::RESULT_TOOL;

/// Every tool, sorted by name.
pub fn all(selftest: bool) -> Vec<Value> {
    let mut tools = Vec::new();
    tools.push(result());
    if selftest {
        tools.push(self::selftest());
    }
    tools.extend([stats(), status()]);
    tools
}

fn status() -> Value {
    json!({
        "name": "bridge_status",
        "title": "Bridge: status",
        "description": "Shows what the bridge and the servers behind it are doing: each server's state and why, \
                        its tools, every mistake in the configuration, and whether the record is complete. \
                        Use it when a tool is missing or a call came back as unavailable.",
        "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
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
        "description": "Shows how often each tool was called, how often it failed, and how long it took.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "sinceHours": {
                    "type": "number",
                    "description": "Only calls of the last so many hours; all that were ever made if left out.",
                    "exclusiveMinimum": 0
                },
                "server": { "type": "string", "description": "Only calls of this server." }
            },
            "additionalProperties": false
        },
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
