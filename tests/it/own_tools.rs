//! What the bridge's own tools answer is of the form that their definitions promise, in every state.

use serde_json::{Value, json};

use crate::support::{Bridge, Room};

/// What of a value is not as a schema says, by its path. Knows the words that the bridge's own schemas use, and takes
/// any other for a fault.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (word, says) in schema.as_object().unwrap() {
        match word.as_str() {
            "type" => {
                let types: Vec<&str> = says.as_str().map_or_else(
                    || says.as_array().unwrap().iter().map(|of| of.as_str().unwrap()).collect(),
                    |one| vec![one],
                );
                if !types.iter().any(|of| is(of, value)) {
                    found.push(format!("{at} is {value} and not {says}"));
                }
            }
            "required" => {
                let names = says.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                let missing =
                    names.filter(|name| value.as_object().is_some_and(|all| !all.contains_key(*name)));
                found.extend(missing.map(|name| format!("{at} has no {name}")));
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match says.get(name) {
                        Some(schema) => found.extend(faults(schema, value, &format!("{at}.{name}"))),
                        None => found.push(format!("{at}.{name} is promised nowhere")),
                    }
                }
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.for_each(|(n, item)| found.extend(faults(says, item, &format!("{at}[{n}]"))));
            }
            "const" if says == value => {}
            "minimum" if value.as_f64().is_none_or(|number| Some(number) >= says.as_f64()) => {}
            "description" => {}
            _ => found.push(format!("{at}: {word} {says} does not hold for {value}")),
        }
    }
    found
}

fn is(of: &str, value: &Value) -> bool {
    match of {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type: {other}"),
    }
}

/// Calls one of the bridge's own tools and holds its answer against its definition.
#[track_caller]
fn check(bridge: &mut Bridge, tool: &str, arguments: Value) -> Value {
    let list = bridge.ask("tools/list", &json!({}));
    let tools = list["result"]["tools"].as_array().unwrap();
    let definition = tools.iter().find(|one| one["name"] == tool).unwrap();
    let schema = &definition["outputSchema"];
    let answer = bridge.call(tool, arguments);
    let found = faults(schema, &answer["result"]["structuredContent"], tool);
    assert!(found.is_empty(), "{found:#?}\n{answer:#}");
    assert!(answer["result"]["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    answer["result"].clone()
}

#[test]
fn without_servers_and_calls() {
    let room = Room::new();
    let mut bridge = room.start();
    bridge.initialize();
    check(&mut bridge, "bridge_stats", json!({ "server": "none" }));
    check(&mut bridge, "bridge_status", json!({}));
    check(&mut bridge, "bridge_connections", json!({}));
}

#[test]
fn with_servers_that_work_fail_and_rest() {
    let room = Room::new()
        .server("s", &["on tools/call fails: iserror no", "on tools/call dies: exit 3"])
        .server("never", &["exit 1"]);
    let mut bridge = room.start();
    bridge.initialize();
    for tool in ["s__echo", "s__fails", "s__dies", "s__echo", "never__echo"] {
        bridge.call(tool, json!({}));
    }
    let status = check(&mut bridge, "bridge_status", json!({}));
    assert_eq!(status["structuredContent"]["servers"].as_array().unwrap().len(), 2);
    check(&mut bridge, "bridge_connections", json!({}));
    for by in ["hour", "day", "client", "server", "tool"] {
        let stats = check(&mut bridge, "bridge_stats", json!({ "by": by, "since": "24h" }));
        let list = stats["structuredContent"][format!("{by}s")].as_array().unwrap().clone();
        assert!(!list.is_empty(), "{stats}");
        let counted: u64 = list.iter().map(|row| row["calls"].as_u64().unwrap()).sum();
        assert_eq!(stats["structuredContent"]["calls"], counted, "{stats}");
    }
    let stats = check(&mut bridge, "bridge_stats", json!({ "server": "s" }));
    let errors = stats["structuredContent"]["latestErrors"].as_array().unwrap();
    let outcomes: Vec<_> = errors.iter().map(|error| &error["outcome"]).collect();
    assert_eq!(outcomes, ["outcome_unknown", "tool_error"], "{stats}");
    let text = stats["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("By tool: 4 calls, 2 errors (50.0 %), half within "), "{text}");
    assert!(text.contains("bridge_restart starts one anew"), "{text}");
    let disconnected = check(&mut bridge, "bridge_disconnect", json!({ "server": "s" }));
    assert_eq!(disconnected["structuredContent"]["closed"], 1);
    check(&mut bridge, "bridge_restart", json!({ "server": "s" }));
    check(&mut bridge, "bridge_dashboard", json!({}));
}

#[test]
fn a_question_that_is_none_is_refused_in_words() {
    let room = Room::new();
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("bridge_stats", json!({ "since": "yesterday" })).to_string();
    assert!(answer.contains("since `yesterday` is neither a duration"), "{answer}");
}
