//! What an answer says.

use serde_json::Value;

/// The bridge's own tools, by name.
pub const OWN: [&str; 7] = [
    "bridge_connections",
    "bridge_dashboard",
    "bridge_disconnect",
    "bridge_restart",
    "bridge_result",
    "bridge_stats",
    "bridge_status",
];

/// `_meta["bridge/error"]` of a tool's result.
pub fn fault(answer: &Value) -> &Value {
    &answer["result"]["_meta"]["bridge/error"]
}

/// The kind of a failure; empty where there is none.
pub fn kind(answer: &Value) -> &str {
    fault(answer)["kind"].as_str().unwrap_or_default()
}

/// The text of a tool's result.
pub fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// The arguments that the scripted server's `echo` gives back.
pub fn echoed(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]
}

/// The names in a `tools/list` answer, in its order.
pub fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}
