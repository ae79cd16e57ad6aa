//! Modern client, legacy server: what both say in the words of their own era.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ENVELOPE, check_error, only_line, raw_recorded};
use crate::support::{CAPABILITIES_KEY, CLIENT_KEY, LOG_LEVEL_KEY, Room, wait_for};

const INFO: &str = r#"{"name":"real","version":"1E2"}"#;

#[test]
fn results_get_what_the_revision_asks_for_and_keep_their_bytes() {
    let results = [
        ("tools/call", "t", r#"{"content":[ ],"structuredContent":{"n":1E2}}"#, ""),
        ("tools/call", "e", r#"{"content":[],"isError":true,"_meta":{"a":1.0}}"#, ""),
        ("prompts/get", "p", r#"{ "messages":[]}"#, ""),
        ("resources/read", "r://1", r#"{"contents":[]}"#, r#","ttlMs":0,"cacheScope":"private""#),
    ];
    let mut script =
        vec!["count $ROOM/count".to_owned(), "record $ROOM/record".to_owned(), format!("server-info {INFO}")];
    script.extend(results.iter().map(|(method, name, result, _)| {
        format!(r#"on {method} {name}: raw {{"id":$ID,"result":{result},"jsonrpc":"2.0"}}"#)
    }));
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.modern("prompts/list", json!({}));
    for (method, name, result, lasts) in results {
        let shown = if method == "resources/read" { name.to_owned() } else { format!("s__{name}") };
        let key = if method == "resources/read" { "uri" } else { "name" };
        let id = bridge.modern_request(method, json!({ key: shown }));
        let info = format!(r#""io.modelcontextprotocol/serverInfo":{INFO}"#);
        let kind = format!(r#""resultType":"complete"{lasts}"#);
        let expected = match result.split_once(r#""_meta":{"#) {
            None => format!(r#"{{{kind},"_meta":{{{info}}},{}"#, &result[1..]),
            Some((head, tail)) => format!(r#"{{{kind},{}"_meta":{{{info},{tail}"#, &head[1..]),
        };
        let line = bridge.raw_answer_to(&id.to_string());
        assert_eq!(line, format!(r#"{{"id":{id},"result":{expected},"jsonrpc":"2.0"}}"#));
    }
    check_error(&bridge.modern("resources/read", json!({ "uri": "r://2" })), -32002);
    let completion = json!({ "ref": { "type": "ref/prompt", "name": "s__p" }, "argument": {} });
    assert_eq!(bridge.modern("completion/complete", completion)["result"]["resultType"], "complete");
    assert_eq!(room.pids("count").len(), 2, "one was asked whether it is modern");
}

#[test]
fn the_envelope_is_cut_out_and_every_other_byte_stays() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.modern("tools/list", json!({}));
    let level = r#""io.modelcontextprotocol/logLevel":"info""#;
    let client = r#""io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"}"#;
    for (mark, meta, theirs) in [
        ("m1", format!(r#"{{{ENVELOPE}}}"#), r"{}".to_owned()),
        (
            "m2",
            format!(r#"{{"a":1E2, {ENVELOPE} ,"progressToken":1.0}}"#),
            r#"{"a":1E2 ,"progressToken":1.0}"#.to_owned(),
        ),
        (
            "m3",
            format!(r#"{{{level},"x/y":{{"a":[]}},{ENVELOPE},{client}}}"#),
            r#"{"x/y":{"a":[]}}"#.to_owned(),
        ),
    ] {
        let line = |id: &str, name: &str, meta: &str| {
            format!(
                r#"{{"method":"tools/call","jsonrpc":"2.0","params":{{"_meta":{meta},"name":"{name}","arguments":{{"x":1.0}}}},"id":{id},"m":"{mark}"}}"#
            )
        };
        bridge.send(line(&format!("\"{mark}\""), "s__echo", &meta));
        let answer = bridge.raw_answer_to(&format!("\"{mark}\""));
        assert!(answer.contains(r#""structuredContent":{"x":1.0}"#), "{answer}");
        let same = |line: &str| line.replace(' ', "");
        assert_eq!(same(&only_line(&room, "record", mark)), same(&line("#", "echo", &theirs)));
    }
}

#[test]
fn the_server_is_greeted_as_the_client_says_it_is() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "elicitation": { "form": {} }, "x": { "n": 1 } }));
    bridge.carry(CLIENT_KEY, json!({ "name": "me", "version": "2", "title": "Me" }));
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    let params = room.wait_for_recorded("record", "initialize")["params"].take();
    assert_eq!(
        params,
        json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "elicitation": { "form": {} }, "x": { "n": 1 } },
            "clientInfo": { "name": "me", "version": "2", "title": "Me" },
        })
    );
}

#[test]
fn messages_come_only_to_a_request_that_asks_for_them_and_the_server_is_told_the_level() {
    let script = ["record $ROOM/record", "on tools/call: log info quiet; log error loud"];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    assert_eq!(raw_recorded(&room, "record", "logging/setLevel").len(), 0);
    bridge.modern("tools/call", json!({ "name": "s__echo", "_meta": { LOG_LEVEL_KEY: "warning" } }));
    let said = bridge.told("notifications/message");
    assert_eq!(said["params"], json!({ "level": "error", "logger": "s/fake", "data": "loud" }));
    bridge.modern("tools/call", json!({ "name": "s__echo", "_meta": { LOG_LEVEL_KEY: "debug" } }));
    assert_eq!(bridge.told("notifications/message")["params"]["data"], "quiet");
    bridge.modern("tools/call", json!({ "name": "s__echo", "_meta": { LOG_LEVEL_KEY: "error" } }));
    let order: Vec<String> = room
        .lines("record")
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|line| match line["method"].as_str() {
            Some("logging/setLevel") => Some(line["params"]["level"].to_string()),
            Some("tools/call") => Some("call".to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["call", "\"warning\"", "call", "\"debug\"", "call", "call"], "told before the call");
}

#[test]
fn a_server_that_is_started_for_a_request_knows_its_level_first() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call: log info quiet"]);
    let mut bridge = room.start();
    bridge.modern("tools/call", json!({ "name": "s__echo", "_meta": { LOG_LEVEL_KEY: "info" } }));
    assert_eq!(bridge.told("notifications/message")["params"]["data"], "quiet");
    let place = |text: &str| room.lines("record").iter().position(|line| line.contains(text)).unwrap();
    assert!(place("logging/setLevel") < place("tools/call"));
}

#[test]
fn a_level_is_no_matter_where_nobody_logs() {
    let room = Room::new().server("s", &["record $ROOM/record", r#"capabilities {"tools":{}}"#]);
    let mut bridge = room.start();
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    let before = Instant::now();
    for tool in ["bridge_status", "s__echo"] {
        let answer = bridge.modern("tools/call", json!({ "name": tool, "_meta": { LOG_LEVEL_KEY: "info" } }));
        assert!(answer["result"]["isError"] != true, "{answer}");
    }
    // A server that has to be told has five seconds to confirm it.
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
    assert_eq!(raw_recorded(&room, "record", "logging/setLevel").len(), 0);
}

#[test]
fn progress_and_cancel_pass_between_the_eras() {
    let script = ["record $ROOM/record", "on tools/call: progress 1; hang"];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    let id =
        bridge.modern_request("tools/call", json!({ "name": "s__echo", "_meta": { "progressToken": "t" } }));
    assert_eq!(bridge.told("notifications/progress")["params"]["progressToken"], "t");
    bridge.cancel(id);
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    let called = room.wait_for_recorded("record", "tools/call");
    assert_eq!(cancelled["params"]["requestId"], called["id"]);
    let row = wait_for("the call has ended", || {
        room.rows("SELECT outcome FROM tool_calls WHERE outcome IS NOT NULL").pop()
    });
    assert_eq!(row, [json!("cancelled")]);
}

#[test]
fn what_servers_say_unasked_and_nobody_listens_to_stays_with_us() {
    let room = Room::new().server(
        "s",
        &["resource r://1", "on tools/call: list-changed; resources-changed; updated r://1; log error x"],
    );
    let mut bridge = room.start();
    bridge.modern("tools/list", json!({}));
    let call = bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
    assert_eq!(bridge.recv()["id"], call);
    let list = bridge.modern_request("resources/list", json!({}));
    assert_eq!(bridge.recv()["id"], list);
}
