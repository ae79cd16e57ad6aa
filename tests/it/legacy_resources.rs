//! Resources of several servers: under their own URIs, each read where it is.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bridge, Room, send_signal};

/// The text that was read.
#[track_caller]
fn read(bridge: &mut Bridge, uri: &str) -> String {
    let answer = bridge.ask("resources/read", &json!({ "uri": uri }));
    answer["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A server's word for a URI, to be told from others.
fn reads(uri: &str, who: &str) -> String {
    format!(r#"on resources/read {uri}: reply {{"contents":[{{"uri":"{uri}","text":"{who}"}}]}}"#)
}

#[test]
fn a_resource_is_read_under_its_own_uri_and_comes_back_byte_for_byte() {
    let result = r#"{"contents":[{"uri":"a:\u0062","blob":"AA==","n":1E2}] ,"_meta":{"x":[50.0 ]}}"#;
    let script = ["record $ROOM/record", &format!("on resources/read a:b: reply {result}")];
    let room = Room::new().server("s", &script).server("t", &["resource t:1"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let request = r#"{"x":1E2,"params":{"y":[1.0 ],"uri" : "a:\u0062","_meta":{}},"method":"resources\/read","id": $ID,"jsonrpc":"2.0"}"#;
    bridge.send(request.replace("$ID", "\"r\\u0041\""));
    let answer = bridge.raw_answer_to("\"r\\u0041\"");
    assert_eq!(answer, format!(r#"{{"jsonrpc":"2.0","id":"r\u0041","result":{result}}}"#));
    let line = room.wait_for_line("record", "resources\\/read");
    let own = serde_json::from_str::<Value>(&line).unwrap()["id"].to_string();
    assert_eq!(line, request.replace("$ID", &own));
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls"), [[json!(0)]]);
}

#[test]
fn what_a_result_linked_to_is_read_from_the_server_that_linked() {
    let link = |uri: &str| format!(r#"{{"type":"resource_link","uri":"{uri}","name":"n"}}"#);
    let whole = |uri: &str| format!(r#"{{"type":"resource","resource":{{"uri":"{uri}","text":"x"}}}}"#);
    let content = format!("on tools/call: reply {{\"content\":[{},{}]}}", link("l:1"), whole("l:2"));
    let messages = format!(
        r#"on prompts/get p: reply {{"messages":[{{"role":"user","content":{}}},{{"role":"user","content":{}}}]}}"#,
        link("l:3"),
        whole("l:4")
    );
    let any = |who: &str| {
        ["l:1", "l:2", "l:3", "l:4", "l:5"].map(|uri| reads(uri, who)).join("\n")
            + "\non resources/list: empty"
    };
    // Both would answer, and the first one is asked first when nobody knows.
    let room = Room::new().server("a", &[&any("a")]).server("b", &[&any("b"), &content, &messages]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    assert_eq!(read(&mut bridge, "l:1"), "a", "nobody has pointed to it yet");
    bridge.call("b__echo", json!({}));
    bridge.ask("prompts/get", &json!({ "name": "b__p" }));
    for uri in ["l:1", "l:2", "l:3", "l:4"] {
        assert_eq!(read(&mut bridge, uri), "b", "{uri}");
    }
    assert_eq!(read(&mut bridge, "l:5"), "a");
}

#[test]
fn an_unknown_uri_is_asked_of_each_server_with_resources_in_turn() {
    let room = Room::new()
        .server("none", &["record $ROOM/none"])
        .server("a", &["resource a:1", "record $ROOM/a"])
        .server("b", &["resource b:1", "record $ROOM/b", &(reads("x:b", "b") + "\non resources/list: empty")])
        .server("c", &["resource c:1", "record $ROOM/c"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    assert_eq!(read(&mut bridge, "x:b"), "b");
    let answer = bridge.ask("resources/read", &json!({ "uri": "x:nowhere" }));
    assert_eq!(answer["error"]["code"], -32002, "the first server's own word");
    assert_eq!(answer["error"]["data"], json!({ "uri": "x:nowhere" }));
    let asked = |file| room.recorded(file, "resources/read").len();
    assert_eq!([asked("none"), asked("a"), asked("b"), asked("c")], [0, 2, 2, 1]);
}

#[test]
fn a_server_that_cannot_be_had_keeps_no_other_from_answering() {
    let room = Room::new()
        .server("a", &["resource a:1", "on resources/read: exit 3"])
        .server("b", &["resource b:1", &(reads("x:b", "b") + "\non resources/list: empty")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    assert_eq!(read(&mut bridge, "x:b"), "b");
}

#[test]
fn each_server_that_is_asked_in_turn_has_its_own_time() {
    let read = reads("x:b", "b").replace(": reply", ": sleep 1300; reply");
    let room = Room::new()
        .server_with("a", &["resource a:1"], "call_timeout_s = 1")
        .server("b", &["resource b:1", &read, "on resources/list: empty"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    assert_eq!(self::read(&mut bridge, "x:b"), "b");
}

#[test]
fn a_template_tells_where_its_resources_are_and_a_shown_uri_comes_first() {
    let both =
        |who: &str| [reads("same:1", who), "on resources/read: reply ".to_owned() + &said(who)].join("\n");
    let room = Room::new()
        .server("a", &["resource same:1", &both("a")])
        .server("b", &["resource same:1", "template log://{day}/x", &both("b")])
        .server("c", &["template log://{+path}", "template same:{n}", &both("c")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let list = bridge.ask("resources/list", &json!({}));
    assert_eq!(list["result"]["resources"].as_array().unwrap().len(), 1, "{list}");
    bridge.ask("resources/templates/list", &json!({}));
    assert_eq!(read(&mut bridge, "same:1"), "a");
    assert_eq!(read(&mut bridge, "log://today/x"), "b");
    assert_eq!(read(&mut bridge, "log://today/y"), "c");
    assert_eq!(read(&mut bridge, "same:2"), "c");
}

fn said(who: &str) -> String {
    format!(r#"{{"contents":[{{"uri":"u","text":"{who}"}}]}}"#)
}

#[test]
fn of_two_servers_with_one_uri_the_second_answers_when_the_first_does_not() {
    let room = Room::new()
        .server("a", &["resource same:1", "on resources/read: error -32002 gone"])
        .server("b", &["resource same:1", &reads("same:1", "b")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    assert_eq!(read(&mut bridge, "same:1"), "b");
}

#[test]
fn a_subscription_reaches_its_server_and_updates_come_back_as_they_are() {
    let updated = r#"{"x":1E2,"params":{"uri":"s:\u0031","_meta":{"y":[ ]}},"method":"notifications/resources/updated","jsonrpc":"2.0"}"#;
    let room = Room::new().server("t", &["resource t:1", "record $ROOM/t"]).server(
        "s",
        &[
            "resource s:1",
            "record $ROOM/s",
            "on tools/call own: updated s:1",
            &format!("on tools/call odd: notify {updated}"),
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let request = r#"{"jsonrpc":"2.0","id":$ID,"x":[1.0],"method":"resources/subscribe","params":{"n":1E2,"uri":"s:\u0031"}}"#;
    bridge.send(request.replace("$ID", "\"sub\""));
    assert_eq!(bridge.raw_answer_to("\"sub\""), r#"{"jsonrpc":"2.0","id":"sub","result":{}}"#);
    let line = room.wait_for_line("s", "resources/subscribe");
    let own = serde_json::from_str::<Value>(&line).unwrap()["id"].to_string();
    assert_eq!(line, request.replace("$ID", &own));
    bridge.call("s__own", json!({}));
    assert_eq!(bridge.told("notifications/resources/updated")["params"], json!({ "uri": "s:1" }));
    bridge.call("s__odd", json!({}));
    assert_eq!(bridge.raw_told("notifications/resources/updated"), updated);
    assert_eq!(bridge.ask("resources/unsubscribe", &json!({ "uri": "s:1" }))["result"], json!({}));
    bridge.call("s__own", json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    assert_eq!(room.recorded("s", "resources/unsubscribe").len(), 1);
    assert_eq!(room.recorded("t", "resources/subscribe").len(), 0);
}

#[test]
fn a_server_that_is_started_again_is_told_again_what_its_client_wants() {
    let room = Room::new().server(
        "s",
        &[
            "resource s:1",
            "resource s:2",
            "record $ROOM/record",
            "count $ROOM/pids",
            "on tools/call: updated s:1",
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    for uri in ["s:1", "s:2", "s:1"] {
        assert_eq!(bridge.ask("resources/subscribe", &json!({ "uri": uri }))["result"], json!({}));
    }
    assert_eq!(bridge.ask("resources/unsubscribe", &json!({ "uri": "s:2" }))["result"], json!({}));
    bridge.ask("logging/setLevel", &json!({ "level": "warning" }));
    assert_eq!(room.wait_for_recorded("record", "logging/setLevel")["params"], json!({ "level": "warning" }));
    assert_eq!(room.recorded("record", "resources/subscribe").len(), 3, "only the client's own");
    std::fs::write(room.path("record"), "").unwrap();
    let pid = room.pids("pids")[0];
    send_signal(pid, Signal::KILL);
    // Who subscribed waits without a word: nobody calls.
    room.wait_for_recorded("record", "resources/subscribe");
    bridge.call("s__echo", json!({}));
    assert_eq!(bridge.told("notifications/resources/updated")["params"]["uri"], "s:1");
    assert_eq!(room.pids("pids").len(), 2);
    let told = |method| {
        room.recorded("record", method).iter().map(|line| line["params"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(told("resources/subscribe"), [json!({ "uri": "s:1" })]);
    assert_eq!(told("logging/setLevel"), [json!({ "level": "warning" })]);
    assert_eq!(told("resources/unsubscribe"), [] as [Value; 0]);
}

#[test]
fn a_refused_subscription_is_refused_and_not_remembered() {
    let room = Room::new().server(
        "s",
        &[
            "resource s:1",
            "record $ROOM/record",
            "on resources/subscribe: error -32602 no",
            "on tools/call die: exit 3",
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let answer = bridge.ask("resources/subscribe", &json!({ "uri": "s:1" }));
    assert_eq!(answer["error"], json!({ "code": -32602, "message": "no" }));
    bridge.call("s__die", json!({}));
    bridge.call("s__echo", json!({}));
    assert_eq!(room.recorded("record", "resources/subscribe").len(), 1);
    let answer = bridge.ask("resources/subscribe", &json!({ "uri": 7 }));
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
        (&json!(-32602), &json!("bad_params"))
    );
}

#[test]
fn what_was_read_somewhere_is_subscribed_to_there() {
    let room = Room::new()
        .server("a", &["resource a:1", "record $ROOM/a"])
        .server("b", &["resource b:1", "record $ROOM/b", &reads("x:b", "b"), "on resources/list: empty"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    assert_eq!(read(&mut bridge, "x:b"), "b");
    // The first one would take any subscription.
    assert_eq!(bridge.ask("resources/subscribe", &json!({ "uri": "x:b" }))["result"], json!({}));
    assert_eq!(room.recorded("b", "resources/subscribe").len(), 1);
    assert_eq!(room.recorded("a", "resources/subscribe").len(), 0);
}

#[test]
fn a_link_takes_no_resource_away_from_the_server_that_lists_it() {
    let link = r#"on tools/call: reply {"content":[{"type":"resource_link","uri":"f:1","name":"n"}]}"#;
    let room = Room::new()
        .server("a", &["resource f:1", &reads("f:1", "a")])
        .server("b", &["resource b:1", link, &reads("f:1", "b"), "on resources/list: empty"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.call("b__echo", json!({}));
    assert_eq!(read(&mut bridge, "f:1"), "a");
}
