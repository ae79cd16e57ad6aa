//! Legacy client, modern server that wants input: the bridge asks the client in the server's name, and goes
//! back to the server with the answers.

use serde_json::{Value, json};

use super::{check_error, raw_recorded};
use crate::support::{Bridge, Room, wait_until};

const MESSAGE: &str = r#"{"message":"\u0041","requestedSchema":{"n":1E2}}"#;

fn asks(requests: &str, state: &str) -> String {
    format!("on tools/call: input {requests} {state}")
}

fn one() -> String {
    format!(r#"{{"k\u0031":{{"method":"elicitation/create","params":{MESSAGE}}}}}"#)
}

/// A bridge before this server, and a client that can do everything.
fn start(room: &Room) -> Bridge {
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": super::able() }));
    bridge
}

fn room(chain: &str) -> Room {
    Room::new().server("s", &["era modern", "record $ROOM/record", chain])
}

#[test]
fn the_client_is_asked_and_the_server_gets_its_answer_and_its_own_state_in_their_bytes() {
    let room = room(&asks(&one(), r#""\u0041\/\"x""#));
    let mut bridge = start(&room);
    bridge.send(r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"s__echo","arguments":{"n":1E2}}}"#);
    let asked = bridge.asked("elicitation/create");
    assert!(asked.line.ends_with(&format!(r#""params":{MESSAGE}}}"#)), "{}", asked.line);
    assert!(asked.id.parse::<i32>().is_ok(), "some clients keep ids in 32 bits: {}", asked.id);
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","result":{{ "action":"accept","content":{{"n":1E2}}}},"id":{}}}"#,
        asked.id
    ));
    let answer = bridge.raw_answer_to("\"c\"");
    let expected = concat!(
        r#""structuredContent":{"inputResponses":{"k1":{ "action":"accept","content":{"n":1E2}}},"#,
        r#""requestState":"\u0041\/\"x"}"#
    );
    assert!(answer.contains(expected), "{answer}");
    let calls = raw_recorded(&room, "record", "tools/call");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.contains(r#""name":"echo","arguments":{"n":1E2}"#)), "{calls:#?}");
    let ids: Vec<Value> =
        room.recorded("record", "tools/call").iter().map(|call| call["id"].clone()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(room.rows("SELECT request_id, outcome FROM tool_calls"), [[json!("\"c\""), json!("ok")]]);
}

#[test]
fn without_a_state_none_is_sent() {
    let room = room(&asks(r#"{"r":{"method":"roots/list"}}"#, ""));
    let mut bridge = start(&room);
    let id = bridge.begin_call("s__echo", json!({}));
    let asked = bridge.asked("roots/list");
    assert!(!asked.line.contains("params"), "{}", asked.line);
    bridge.answer(&asked.id, &json!({ "roots": [] }));
    let answer = bridge.answer_to(id);
    assert_eq!(answer["result"]["structuredContent"], json!({ "inputResponses": { "r": { "roots": [] } } }));
}

#[test]
fn a_server_that_only_wants_to_be_asked_later_is_asked_later() {
    let room = room(&asks("{}", "later"));
    let mut bridge = start(&room);
    let answer = bridge.call("s__echo", json!({}));
    assert_eq!(answer["result"]["structuredContent"], json!({ "requestState": "later" }));
}

#[test]
fn prompts_and_resources_want_input_too_and_several_things_are_asked_at_once() {
    let two =
        r#"{"a":{"method":"sampling/createMessage","params":{"messages":[]}},"b":{"method":"roots/list"}}"#;
    let room = Room::new().server(
        "s",
        &[
            "era modern",
            &format!("on prompts/get p: input {two} s"),
            &format!("on resources/read r://1: input {two} s"),
        ],
    );
    let mut bridge = start(&room);
    bridge.ask("prompts/list", &json!({}));
    for (method, params) in
        [("prompts/get", json!({ "name": "s__p" })), ("resources/read", json!({ "uri": "r://1" }))]
    {
        let id = bridge.request(method, &params);
        let (sampling, roots) = (bridge.asked("sampling/createMessage"), bridge.asked("roots/list"));
        bridge.answer(&roots.id, &json!({ "b": 1 }));
        bridge.answer(&sampling.id, &json!({ "a": 1 }));
        let text = bridge.answer_to(id)["result"].to_string();
        let expected = r#"{\"inputResponses\":{\"a\":{\"a\":1},\"b\":{\"b\":1}},\"requestState\":\"s\"}"#;
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn several_rounds_come_to_an_end() {
    let round = |state: &str| format!(r#"input {{"k":{{"method":"roots/list"}}}} {state}"#);
    let room = room(&format!("on tools/call: {}; {}; {}", round("1"), round("2"), round("3")));
    let mut bridge = start(&room);
    let id = bridge.request("tools/call", &json!({ "name": "s__echo", "_meta": { "progressToken": "t" } }));
    for n in 1..=3 {
        let asked = bridge.asked("roots/list");
        bridge.answer(&asked.id, &json!({ "n": n }));
    }
    let answer = bridge.answer_to(id);
    assert_eq!(
        answer["result"]["structuredContent"],
        json!({ "inputResponses": { "k": { "n": 3 } }, "requestState": "3" })
    );
}

#[test]
fn an_error_of_the_client_ends_the_call_with_that_error() {
    let room = room(&asks(&one(), "s"));
    let mut bridge = start(&room);
    let id = bridge.begin_call("s__echo", json!({}));
    let asked = bridge.asked("elicitation/create");
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-1,"message":"User \u0041","data":{{"n":1E2}}}}}}"#,
        asked.id
    ));
    let answer = bridge.raw_answer_to(&id.to_string());
    assert!(answer.contains(r#""error":{"code":-1,"message":"User \u0041","data":{"n":1E2}}"#), "{answer}");
    assert_eq!(raw_recorded(&room, "record", "tools/call").len(), 1);
    assert_eq!(room.rows("SELECT outcome FROM tool_calls"), [[json!("rpc_error")]]);
}

#[test]
fn one_error_among_several_answers_takes_the_other_questions_back() {
    let two = r#"{"a":{"method":"sampling/createMessage","params":{}},"b":{"method":"roots/list"}}"#;
    let room = room(&asks(two, "s"));
    let mut bridge = start(&room);
    let id = bridge.begin_call("s__echo", json!({}));
    let (sampling, roots) = (bridge.asked("sampling/createMessage"), bridge.asked("roots/list"));
    bridge.answer_error(&roots.id, -1, "no");
    let taken_back = bridge.told("notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"].to_string(), sampling.id);
    assert_eq!(bridge.answer_to(id)["error"]["code"], -1);
}

#[test]
fn what_the_client_cannot_do_is_said_by_server_or_bridge() {
    // This server asks without looking at what its client can do.
    let wants = r#"reply {"resultType":"input_required","inputRequests":{"k":{"method":"sampling/createMessage","params":{}}},"requestState":"s"}"#;
    let unknown = r#"reply {"resultType":"input_required","inputRequests":{"k":{"method":"x/y"}}}"#;
    let room = Room::new().server(
        "s",
        &[
            "era modern",
            &format!("on tools/call looks: input {}", one()),
            &format!("on tools/call asks: {wants}"),
            &format!("on tools/call odd: {unknown}"),
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    for (tool, needed) in [("looks", "elicitation"), ("asks", "sampling")] {
        let answer = bridge.call(&format!("s__{tool}"), json!({}));
        check_error(&answer, -32021);
        assert_eq!(answer["error"]["data"]["requiredCapabilities"], json!({ needed: {} }), "{answer}");
    }
    let odd = bridge.call("s__odd", json!({}));
    assert!(odd["error"].is_object() || odd["result"]["isError"] == true, "{odd}");
    assert!(bridge.said_so_far().is_empty(), "the client was asked nothing");
}

#[test]
fn a_server_that_asks_without_end_is_ended() {
    let endless = r#"reply {"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}"#;
    let room = Room::new().server_with(
        "s",
        &[
            "era modern",
            &format!("on tools/call asks: {endless}"),
            r#"on tools/call sheds: reply {"resultType":"input_required","requestState":"s"}"#,
            r#"on tools/call void: reply {"resultType":"input_required"}"#,
        ],
        "call_timeout_s = 1",
    );
    let mut bridge = start(&room);
    bridge.ask("tools/list", &json!({}));
    let id = bridge.begin_call("s__asks", json!({}));
    let mut rounds = 0;
    let answer = loop {
        let line = bridge.recv();
        if line["method"] != "roots/list" {
            break line;
        }
        rounds += 1;
        bridge.answer(&line["id"].to_string(), &json!({ "roots": [] }));
    };
    assert_eq!((&answer["id"], answer["result"]["isError"].as_bool()), (&json!(id), Some(true)), "{answer}");
    assert_eq!(rounds, 100);
    for tool in ["sheds", "void"] {
        let answer = bridge.call(&format!("s__{tool}"), json!({}));
        assert_eq!(answer["result"]["isError"], true, "{answer}");
    }
}

#[test]
fn taking_the_call_back_takes_the_open_question_back() {
    let room = room(&asks(&one(), "s"));
    let mut bridge = start(&room);
    let id = bridge.begin_call("s__echo", json!({}));
    let asked = bridge.asked("elicitation/create");
    bridge.cancel(id);
    let taken_back = bridge.told("notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"].to_string(), asked.id);
    bridge.answer(&asked.id, &json!({ "action": "accept" }));
    assert!(bridge.said_so_far().is_empty(), "a call that was taken back has no answer");
    wait_until("the call has its row", || {
        room.rows("SELECT outcome FROM tool_calls") == [[json!("cancelled")]]
    });
    assert_eq!(raw_recorded(&room, "record", "tools/call").len(), 1);
}

#[test]
fn a_server_that_dies_while_the_user_thinks_is_started_for_the_retry() {
    let room = Room::new().server(
        "s",
        &[
            "era modern",
            "count $ROOM/count",
            &format!("on tools/call ask: input {} s", one()),
            "on tools/call die: exit 3",
        ],
    );
    let mut bridge = start(&room);
    bridge.ask("tools/list", &json!({}));
    let id = bridge.begin_call("s__ask", json!({}));
    let asked = bridge.asked("elicitation/create");
    bridge.call("s__die", json!({}));
    bridge.answer(&asked.id, &json!({ "action": "accept" }));
    let answer = bridge.answer_to(id);
    assert_eq!(answer["result"]["structuredContent"]["requestState"], "s", "{answer}");
    assert_eq!(room.pids("count").len(), 2);
}

#[test]
fn what_was_answered_to_one_server_goes_to_no_other() {
    let asks = r#"on resources/read x:1: once $ROOM/once input {"q":{"method":"roots/list"}} A-STATE; error -32000 no"#;
    let room = Room::new()
        .server("a", &["era modern", "resource a:1", asks, "record $ROOM/a"])
        .server("b", &["era modern", "resource b:1", "record $ROOM/b"]);
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "roots": {} } }));
    bridge.ask("tools/list", &json!({}));
    // Nobody lists it, so that each of them may be asked.
    let read = bridge.request("resources/read", &json!({ "uri": "x:1" }));
    let asked = bridge.asked("roots/list");
    bridge.answer(&asked.id, &json!({ "roots": [{ "uri": "file:///secret" }] }));
    let answer = bridge.answer_to(read);
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    assert_eq!(room.recorded("a", "resources/read").len(), 2);
    assert_eq!(room.recorded("b", "resources/read").len(), 0);
}
