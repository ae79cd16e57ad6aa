//! Modern client, modern server: everything passes byte for byte but ids and names.

use serde_json::{Value, json};

use super::{ENVELOPE, check_error, only_line, questions, start_able};
use crate::support::{Bridge, CAPABILITIES_KEY, LOG_LEVEL_KEY, Room, SUBSCRIPTION_KEY, wait_for, wait_until};

/// Sends a request in these bytes, and checks the bytes that the server gets.
#[track_caller]
fn check_passes(room: &Room, bridge: &mut Bridge, method: &str, params: &str, theirs: &str) {
    let mark = format!("{method}-bytes");
    let line = |id: &str, params: &str| {
        format!(r#"{{"jsonrpc": "2.0","id":{id}, "method":"{method}","params":{params},"x":"{mark}"}}"#)
    };
    bridge.send(line("\"\\u0041 1\"", params));
    let answer = bridge.raw_answer_to("\"\\u0041 1\"");
    assert_eq!(answer, r#"{"id":"\u0041 1", "jsonrpc":"2.0","result":{"x":1E2,"resultType":"complete" }}"#);
    assert_eq!(only_line(room, "record", &mark), line("#", theirs));
}

#[test]
fn requests_and_answers_pass_byte_for_byte() {
    let raw = r#"raw {"id":$ID, "jsonrpc":"2.0","result":{"x":1E2,"resultType":"complete" }}"#;
    let room = Room::new().server(
        "s",
        &[
            "era modern",
            "record $ROOM/record",
            &format!("on tools/call t: {raw}"),
            &format!("on prompts/get p: {raw}"),
            &format!("on resources/read r://1: {raw}"),
            &format!("on completion/complete: {raw}"),
        ],
    );
    let mut bridge = room.start();
    bridge.modern("prompts/list", json!({}));
    let meta = format!(r#""_meta":{{"a":1.50,{ENVELOPE} , "progressToken":"\u0041"}}"#);
    let with = |members: &str| format!(r#"{{{meta},{members}}}"#);
    check_passes(
        &room,
        &mut bridge,
        "tools/call",
        &with(r#""name":"s__\u0074","arguments":{ "n":1.0 }"#),
        &with(r#""name":"t","arguments":{ "n":1.0 }"#),
    );
    check_passes(&room, &mut bridge, "prompts/get", &with(r#""name":"s__p""#), &with(r#""name":"p""#));
    let uri = with(r#""uri" : "r://1""#);
    check_passes(&room, &mut bridge, "resources/read", &uri, &uri);
    check_passes(
        &room,
        &mut bridge,
        "completion/complete",
        &with(r#""ref":{"type":"ref/prompt","name":"s__p"},"argument":{"name":"a","value":""}"#),
        &with(r#""ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}"#),
    );
}

#[test]
fn a_servers_own_errors_pass_unchanged() {
    let error = |code: i64| {
        format!(
            r#"raw {{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"m","data":{{"a":1E1}}}}}}"#
        )
    };
    let room = Room::new().server(
        "s",
        &[
            "era modern",
            &format!("on tools/call a: {}", error(-32021)),
            &format!("on tools/call b: {}", error(-32022)),
            &format!("on prompts/get a: {}", error(-32602)),
            &format!("on resources/read r://a: {}", error(-32603)),
        ],
    );
    let mut bridge = room.start();
    bridge.modern("tools/list", json!({}));
    for (method, params, code) in [
        ("tools/call", json!({ "name": "s__a" }), -32021),
        ("tools/call", json!({ "name": "s__b" }), -32022),
        ("prompts/get", json!({ "name": "s__a" }), -32602),
        ("resources/read", json!({ "uri": "r://a" }), -32603),
    ] {
        let id = bridge.modern_request(method, params);
        assert_eq!(
            bridge.raw_answer_to(&id.to_string()),
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"m","data":{{"a":1E1}}}}}}"#
            )
        );
    }
}

#[test]
fn questions_and_states_of_two_servers_pass_as_they_are() {
    let script = |name: &str| {
        let asks = r#"{"k":{"method":"elicitation/create","params":{"message":"x"}}}"#;
        format!(r#"on tools/call ask: input {asks} "\u0041{name}""#)
    };
    let (one, two) = (script("one"), script("two"));
    let room = Room::new()
        .server("a", &["era modern", "record $ROOM/a", &one])
        .server("b", &["era modern", "record $ROOM/b", &two]);
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    let first = [("a", "one"), ("b", "two")].map(|(server, state)| {
        let answer = bridge.modern("tools/call", json!({ "name": format!("{server}__ask") }));
        let (asked, given) = questions(&answer);
        assert_eq!(asked, json!({ "k": { "method": "elicitation/create", "params": { "message": "x" } } }));
        assert_eq!(given, format!("A{state}"));
        server
    });
    for (server, state) in first.into_iter().zip(["one", "two"]) {
        let retry = format!(
            r#"{{"jsonrpc":"2.0","id":"r-{server}","method":"tools/call","params":{{"name":"{server}__ask","requestState":"\u0041{state}","inputResponses":{{"k":{{"action":"accept","content":{{"n":1E2}}}}}},"_meta":{{{ENVELOPE}}}}}}}"#
        );
        bridge.send(&retry);
        let answer = bridge.raw_answer_to(&format!("\"r-{server}\""));
        let expected = format!(
            r#""structuredContent":{{"inputResponses":{{"k":{{"action":"accept","content":{{"n":1E2}}}}}},"requestState":"\u0041{state}"}}"#
        );
        assert!(answer.contains(&expected), "{answer}");
    }
    assert_eq!(room.rows("SELECT outcome FROM tool_calls"), vec![[json!("ok")]; 4]);
}

#[test]
fn tasks_are_told_got_updated_and_cancelled_at_their_own_server() {
    let asks = r#"{"k":{"method":"elicitation/create","params":{"message":"x"}}}"#;
    let room = Room::new()
        .server(
            "a",
            &[
                "era modern",
                "tasks",
                "record $ROOM/a",
                &format!("on tools/call slow: task; input {asks}"),
                "on tools/call first: task; hang",
            ],
        )
        .server("b", &["era modern", "tasks", "record $ROOM/b"]);
    let mut bridge = room.start();
    bridge.carry(
        CAPABILITIES_KEY,
        json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }),
    );
    bridge.modern("tools/list", json!({}));
    let first = bridge.modern("tools/call", json!({ "name": "a__first" }));
    assert_eq!(
        (&first["result"]["resultType"], &first["result"]["taskId"]),
        (&json!("task"), &json!("task-1"))
    );
    let second = bridge.modern("tools/call", json!({ "name": "a__slow" }));
    assert_eq!(second["result"]["taskId"], "task-2", "{second}");
    let got = wait_for("the task wants input", || {
        let got = bridge.modern("tasks/get", json!({ "taskId": "task-2" }));
        (got["result"]["status"] == "input_required").then_some(got)
    });
    assert_eq!(got["result"]["inputRequests"]["k"]["method"], "elicitation/create");
    let (listen, granted) = bridge.listen(&json!({ "taskIds": ["task-2", "task-1"] }));
    assert_eq!(granted, json!({ "taskIds": ["task-2", "task-1"] }));
    let said = json!({ "k": { "action": "accept" } });
    let updated = bridge.modern("tasks/update", json!({ "taskId": "task-2", "inputResponses": said }));
    assert_eq!(updated["result"], json!({ "resultType": "complete" }));
    let told = bridge.told("notifications/tasks");
    assert_eq!(told["params"]["_meta"][SUBSCRIPTION_KEY], listen);
    assert_eq!(
        (&told["params"]["taskId"], &told["params"]["status"]),
        (&json!("task-2"), &json!("completed"))
    );
    assert_eq!(told["params"]["result"]["structuredContent"]["inputResponses"], said);
    bridge.modern("tasks/cancel", json!({ "taskId": "task-1" }));
    assert_eq!(bridge.told("notifications/tasks")["params"]["status"], "cancelled");
    assert!(!room.text("b").contains("\"tasks/"), "the other server hears nothing of it");
    check_error(&bridge.modern("tasks/get", json!({ "taskId": "nobodys" })), -32602);
    check_error(&bridge.modern("tasks/list", json!({})), -32601);
    check_error(&bridge.modern("tasks/result", json!({ "taskId": "task-1" })), -32601);
}

#[test]
fn messages_come_only_to_a_request_that_asks_for_them() {
    let room = Room::new().server("s", &["era modern", "on tools/call: log info quiet; log error loud"]);
    let mut bridge = room.start();
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    bridge.modern("tools/call", json!({ "name": "s__echo", "_meta": { LOG_LEVEL_KEY: "warning" } }));
    let said = bridge.told("notifications/message");
    assert_eq!(said["params"], json!({ "level": "error", "logger": "s/fake", "data": "loud" }));
    // What comes now would have come before.
    bridge.modern("tools/call", json!({ "name": "s__echo", "_meta": { LOG_LEVEL_KEY: "debug" } }));
    assert_eq!(bridge.told("notifications/message")["params"]["data"], "quiet");
}

#[test]
fn a_message_that_no_request_asked_for_stays_with_us() {
    let stray =
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"alert","data":"stray"}}"#;
    let notify = format!("on tools/call: notify {stray}");
    let script = ["era modern", "record $ROOM/record", &notify, "on tools/call other: hang"];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    let other = bridge
        .modern_request("tools/call", json!({ "name": "s__other", "_meta": { LOG_LEVEL_KEY: "alert" } }));
    room.wait_for_line("record", "\"other\"");
    let answer = bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
    assert_eq!(bridge.recv()["params"]["data"], "stray", "there is one that asked for it now");
    bridge.answer_to(answer);
    bridge.cancel(other);
}

#[test]
fn progress_comes_before_the_answer_and_never_after() {
    let room = Room::new().server("s", &["era modern", "on tools/call: progress 2; late-progress 2"]);
    let mut bridge = room.start();
    for token in [json!("t"), json!(7)] {
        let id = bridge
            .modern_request("tools/call", json!({ "name": "s__echo", "_meta": { "progressToken": token } }));
        for step in [1, 2] {
            let told = bridge.recv();
            assert_eq!(
                (&told["params"]["progressToken"], &told["params"]["progress"]),
                (&token, &json!(step))
            );
        }
        assert_eq!(bridge.recv()["id"], id);
    }
    let status = bridge.modern_request("tools/call", json!({ "name": "bridge_status" }));
    assert_eq!(bridge.recv()["id"], status, "late progress is dropped");
}

#[test]
fn a_cancel_reaches_the_server_in_the_clients_words_with_the_servers_id() {
    let room = Room::new().server("s", &["era modern", "record $ROOM/record", "on tools/call: hang"]);
    let mut bridge = room.start();
    let id = bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
    let theirs = room.wait_for_recorded("record", "tools/call")["id"].clone();
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"reason":"\u0041", "requestId":{id}}}}}"#
    ));
    let line = room.wait_for_line("record", "notifications/cancelled");
    assert_eq!(
        line,
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"reason":"\u0041", "requestId":{theirs}}}}}"#
        )
    );
    wait_until("the call has its row", || {
        room.rows("SELECT outcome FROM tool_calls") == [[json!("cancelled")]]
    });
    let next: Value = bridge.modern("tools/call", json!({ "name": "bridge_status" }));
    assert!(next["result"].is_object(), "nothing else was answered");
}
