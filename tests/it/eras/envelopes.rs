//! Legacy client, modern server: what a request is given so that it says who sends it.

use serde_json::{Value, json};

use super::{only_line, raw_recorded};
use crate::support::{Bridge, CAPABILITIES_KEY, CLIENT_KEY, LOG_LEVEL_KEY, Room, VERSION_KEY};

const CAPABILITIES: &str = r#"{"sampling":{"x":1E2},"roots":{"listChanged":true}}"#;
const CLIENT: &str = r#"{"name":"\u0041","version":"1.0","extra":[1E2]}"#;

/// Opens a session in bytes of its own.
fn initialize(bridge: &mut Bridge) {
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":"i","method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{CAPABILITIES},"clientInfo":{CLIENT}}}}}"#
    ));
    bridge.raw_answer_to("\"i\"");
    bridge.notify("notifications/initialized", &json!({}));
}

fn members(level: &str) -> String {
    format!(
        r#""{VERSION_KEY}":"2026-07-28","{CLIENT_KEY}":{CLIENT},"{CAPABILITIES_KEY}":{CAPABILITIES},"{LOG_LEVEL_KEY}":"{level}""#
    )
}

#[test]
fn the_clients_own_words_are_added_and_every_other_byte_stays() {
    let room = Room::new().server("s", &["era modern", "record $ROOM/record", "on x/y: reply {}"]);
    let mut bridge = room.start();
    initialize(&mut bridge);
    bridge.call("s__echo", json!({}));
    let own = members("info");
    let (meta, comma) = (format!(r#""_meta":{{{own}}}"#), ",");
    for (mark, method, params, theirs) in [
        (
            "m1",
            "tools/call",
            r#","params":{"arguments":{"n":1E2}, "name":"s__echo"}"#.to_owned(),
            format!(r#","params":{{{meta}{comma}"arguments":{{"n":1E2}}, "name":"echo"}}"#),
        ),
        (
            "m2",
            "tools/call",
            r#","params":{"name":"s__echo","_meta":{ "a":1.0,"progressToken":"\u0041"}}"#.to_owned(),
            format!(
                r#","params":{{"name":"echo","_meta":{{{own}{comma} "a":1.0,"progressToken":"\u0041"}}}}"#
            ),
        ),
        (
            "m3",
            "tools/call",
            r#","params":{"name":"s__echo","_meta":{ }}"#.to_owned(),
            format!(r#","params":{{"name":"echo","_meta":{{{own} }}}}"#),
        ),
        (
            "m4",
            "tools/call",
            r#","params":{"name":"s__echo","_meta":null}"#.to_owned(),
            format!(r#","params":{{"name":"echo","_meta":{{{own}}}}}"#),
        ),
        ("m5", "x/y", String::new(), format!(r#","params":{{{meta}}}"#)),
        ("m6", "x/y", r#","params":{ }"#.to_owned(), format!(r#","params":{{{meta} }}"#)),
    ] {
        // The members that stand before the id and behind the params stay where they are.
        let line = |id: &str, params: &str| {
            format!(r#"{{"jsonrpc":"2.0","method":"{method}", "id":{id}{params},"x":"{mark}"}}"#)
        };
        bridge.send(line(&format!("\"{mark}\""), &params));
        let answer = bridge.raw_answer_to(&format!("\"{mark}\""));
        assert!(answer.contains(r#""result""#), "{answer}");
        assert_eq!(only_line(&room, "record", mark), line("#", &theirs));
    }
}

#[test]
fn every_kind_of_request_says_who_sends_it() {
    let room = Room::new().server(
        "s",
        &["era modern", "record $ROOM/record", "prompt p", "resource r://1", "template t://{x}"],
    );
    let mut bridge = room.start();
    initialize(&mut bridge);
    bridge.ask("prompts/list", &json!({}));
    let text = |value: &Value| value["result"].to_string();
    assert!(text(&bridge.ask("prompts/get", &json!({ "name": "s__p" }))).contains("messages"));
    assert!(text(&bridge.ask("resources/read", &json!({ "uri": "r://1" }))).contains("r://1 of the fake"));
    assert!(text(&bridge.ask("resources/read", &json!({ "uri": "t://7" }))).contains("t://7"));
    let reference =
        json!({ "ref": { "type": "ref/resource", "uri": "t://{x}" }, "argument": { "name": "x" } });
    assert!(text(&bridge.ask("completion/complete", &reference)).contains("values"));
    for line in room.lines("record") {
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["id"].is_null() || line["method"] == "initialize" {
            continue;
        }
        let meta = &line["params"]["_meta"];
        assert_eq!(meta[VERSION_KEY], "2026-07-28", "{line}");
        assert_eq!(meta[CAPABILITIES_KEY], serde_json::from_str::<Value>(CAPABILITIES).unwrap());
        assert_eq!(meta[CLIENT_KEY], serde_json::from_str::<Value>(CLIENT).unwrap());
    }
}

#[test]
fn a_level_that_is_set_goes_with_later_requests() {
    let script = ["era modern", "record $ROOM/record", "on tools/call: log debug quiet; log error loud"];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    initialize(&mut bridge);
    bridge.call("s__echo", json!({}));
    assert_eq!(bridge.told("notifications/message")["params"]["data"], "loud");
    for level in ["debug", "warning"] {
        assert_eq!(bridge.ask("logging/setLevel", &json!({ "level": level }))["result"], json!({}));
        bridge.call("s__echo", json!({}));
    }
    let levels: Vec<Value> = room
        .recorded("record", "tools/call")
        .iter()
        .map(|call| call["params"]["_meta"][LOG_LEVEL_KEY].clone())
        .collect();
    assert_eq!(levels, ["info", "debug", "warning"]);
    let said = bridge.said_so_far();
    let said: Vec<&Value> = said.iter().map(|line| &line["params"]["data"]).collect();
    assert_eq!(said, ["quiet", "loud", "loud"]);
    assert_eq!(raw_recorded(&room, "record", "logging/setLevel").len(), 0, "it knows no such method");
    assert_eq!(raw_recorded(&room, "record", "subscriptions/listen").len(), 1, "a level is no subscription");
}

#[test]
fn results_pass_with_what_the_server_added() {
    let room = Room::new()
        .server("s", &["era modern", r#"on tools/call: raw {"jsonrpc":"2.0","result":{"resultType":"complete","content":[],"n":1E2},"id":$ID}"#]);
    let mut bridge = room.start();
    initialize(&mut bridge);
    let id = bridge.begin_call("s__echo", json!({}));
    let line = bridge.raw_answer_to(&id.to_string());
    assert_eq!(
        line,
        format!(r#"{{"jsonrpc":"2.0","result":{{"resultType":"complete","content":[],"n":1E2}},"id":{id}}}"#)
    );
}

#[test]
fn tasks_are_listed_by_those_servers_that_can() {
    let room =
        Room::new().server("m", &["era modern", "tasks"]).server("l", &["tasks", "on tools/call: hang"]);
    let mut bridge = room.start();
    initialize(&mut bridge);
    bridge.ask("tools/list", &json!({}));
    let task = bridge.ask("tools/call", &json!({ "name": "l__echo", "task": {} }));
    assert_eq!(task["result"]["task"]["taskId"], "task-1", "{task}");
    let list = bridge.ask("tasks/list", &json!({}));
    assert_eq!(list["result"]["tasks"][0]["taskId"], "task-1", "{list}");
    // The modern server does not know that wish, and answers as it likes.
    let answer = bridge.ask("tools/call", &json!({ "name": "m__echo", "arguments": {}, "task": {} }));
    assert!(answer["result"]["content"].is_array(), "{answer}");
}
