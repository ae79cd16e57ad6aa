//! Modern client, legacy server that asks: its questions come in place of an answer, and the client's next
//! request carries the answers back (specification 2026-07-28, "Multi Round-Trip Requests").

use serde_json::json;

use super::{ENVELOPE, answered, check_error, questions, raw_recorded, start_able};
use crate::support::{CAPABILITIES_KEY, Room, wait_until};

const ASK: &str = r#"request elicitation/create {"message":"1E2 \u0041","requestedSchema":{"n":1E2}}"#;

#[test]
fn a_question_comes_in_place_of_an_answer_and_the_call_goes_on_with_the_next_request() {
    let room = Room::new().server("s", &["record $ROOM/record", &format!("on tools/call: {ASK}")]);
    let mut bridge = start_able(&room);
    let id = bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
    let line = bridge.raw_answer_to(&id.to_string());
    let asked = concat!(
        r#""inputRequests":{"q1":{"method":"elicitation/create","#,
        r#""params":{"message":"1E2 \u0041","requestedSchema":{"n":1E2}}}}"#
    );
    assert!(line.contains(asked), "{line}");
    let (_, state) = questions(&serde_json::from_str(&line).unwrap());
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":"r","method":"tools/call","params":{{"name":"s__echo","inputResponses":{{"q1":{{ "action":"accept","content":{{"n":1E2}}}}}},"requestState":"{state}","_meta":{{{ENVELOPE}}}}}}}"#
    ));
    let answer = bridge.raw_answer_to("\"r\"");
    assert!(answer.contains(r#""answer":{ "action":"accept","content":{"n":1E2}}"#), "{answer}");
    assert!(answer.contains(r#""resultType":"complete""#), "{answer}");
    assert_eq!(
        answered(&room, "record", "fake-1"),
        r#"{"jsonrpc":"2.0","id":"fake-1","result":{ "action":"accept","content":{"n":1E2}}}"#
    );
    assert_eq!(raw_recorded(&room, "record", "tools/call").len(), 1, "the server sees one call");
    let rows = "SELECT request_id, server, tool, outcome FROM tool_calls ORDER BY id";
    assert_eq!(
        room.rows(rows),
        [
            [json!(id.to_string()), json!("s"), json!("echo"), json!("ok")],
            [json!("\"r\""), json!("s"), json!("echo"), json!("ok")]
        ]
    );
}

#[test]
fn prompts_and_resources_may_ask_and_every_kind_of_question_is_carried() {
    let room = Room::new().server(
        "s",
        &[
            r#"on prompts/get p: request sampling/createMessage {"messages":[],"maxTokens":1}"#,
            "on resources/read r://1: request roots/list",
        ],
    );
    let mut bridge = start_able(&room);
    bridge.modern("prompts/list", json!({}));
    for (method, params, question, answer) in [
        (
            "prompts/get",
            json!({ "name": "s__p" }),
            json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } }),
            json!({ "model": "m" }),
        ),
        (
            "resources/read",
            json!({ "uri": "r://1" }),
            json!({ "method": "roots/list" }),
            json!({ "roots": [] }),
        ),
    ] {
        let (asked, state) = questions(&bridge.modern(method, params.clone()));
        assert_eq!(asked, json!({ "q1": question }));
        let mut retry = params;
        retry["requestState"] = json!(state);
        retry["inputResponses"] = json!({ "q1": answer });
        let result = bridge.modern(method, retry)["result"].take();
        let text = format!("{}", json!(format!(r#"{{"answer":{answer}}}"#)));
        assert!(result.to_string().contains(&text), "{result}");
        assert_eq!(result["resultType"], "complete");
    }
}

#[test]
fn two_questions_at_once_are_carried_and_answered_together() {
    let two = r#"ask roots/list {"a":1}; ask roots/list {"b":2}; hang"#;
    let room = Room::new().server("s", &["record $ROOM/record", &format!("on tools/call: {two}")]);
    let mut bridge = start_able(&room);
    let id = bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
    let (mut asked, mut state) = questions(&bridge.answer_to(id));
    // The server may be slow to ask the second one; then it comes in a round of its own.
    let mut sent = 0;
    while sent < 2 {
        let asked_now = asked.as_object().unwrap();
        sent += asked_now.len();
        let responses =
            asked_now.iter().map(|(key, question)| (key.clone(), json!({ "to": question["params"] })));
        let responses: serde_json::Map<_, _> = responses.collect();
        let retry = json!({ "name": "s__echo", "requestState": state, "inputResponses": responses });
        let id = bridge.modern_request("tools/call", retry);
        if sent < 2 {
            (asked, state) = questions(&bridge.answer_to(id));
        }
    }
    assert!(answered(&room, "record", "fake-1").contains(r#""result":{"to":{"a":1}}"#));
    assert!(answered(&room, "record", "fake-2").contains(r#""result":{"to":{"b":2}}"#));
}

#[test]
fn what_was_not_answered_is_asked_again() {
    // Both in one line, so that they come at once.
    let batch = r#"[{"jsonrpc":"2.0","id":"x","method":"roots/list"},{"jsonrpc":"2.0","id":"y","method":"roots/list"}]"#;
    let room =
        Room::new().server("s", &["record $ROOM/record", &format!("on tools/call: notify {batch}; hang")]);
    let mut bridge = start_able(&room);
    let (asked, state) = questions(&bridge.modern("tools/call", json!({ "name": "s__echo" })));
    assert_eq!(asked, json!({ "q1": { "method": "roots/list" }, "q2": { "method": "roots/list" } }));
    let partial = json!({ "name": "s__echo", "requestState": state, "inputResponses": { "q2": { "n": 2 } } });
    let (asked, second) = questions(&bridge.modern("tools/call", partial));
    assert_eq!(asked, json!({ "q1": { "method": "roots/list" } }));
    assert!(answered(&room, "record", "y").contains(r#""result":{"n":2}"#));
    let none = json!({ "name": "s__echo", "requestState": second, "inputResponses": { "other": {} } });
    let (asked, third) = questions(&bridge.modern("tools/call", none));
    assert_eq!(asked, json!({ "q1": { "method": "roots/list" } }));
    let rest = json!({ "name": "s__echo", "requestState": third, "inputResponses": { "q1": { "n": 1 } } });
    bridge.modern_request("tools/call", rest);
    assert!(answered(&room, "record", "x").contains(r#""result":{"n":1}"#));
    let rows = "SELECT count(*), count(server) FROM tool_calls WHERE outcome = 'ok'";
    assert_eq!(room.rows(rows), [[json!(3), json!(3)]]);
}

#[test]
fn a_call_may_ask_in_several_rounds() {
    let asks = |id: &str| format!(r#"notify {{"jsonrpc":"2.0","id":"{id}","method":"roots/list"}}"#);
    let (x, y) = (asks("x"), asks("y"));
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            &format!("on tools/call long: {x}; hang"),
            &format!("on tools/call poke: {y}"),
        ],
    );
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    let long = |state: &str, n: i64| json!({ "name": "s__long", "requestState": state, "inputResponses": { "q1": { "n": n } } });
    let (_, first) = questions(&bridge.modern("tools/call", json!({ "name": "s__long" })));
    let second = bridge.modern_request("tools/call", long(&first, 1));
    assert!(answered(&room, "record", "x").contains(r#""result":{"n":1}"#));
    let poke = bridge.modern("tools/call", json!({ "name": "s__poke" }));
    assert_eq!(poke["result"]["resultType"], "complete", "the older call carries it");
    let (asked, state) = questions(&bridge.answer_to(second));
    assert_eq!(asked, json!({ "q1": { "method": "roots/list" } }));
    assert_ne!(state, first);
    check_error(&bridge.modern("tools/call", long(&first, 1)), -32602);
    let third = bridge.modern_request("tools/call", long(&state, 2));
    assert!(answered(&room, "record", "y").contains(r#""result":{"n":2}"#));
    let theirs = room.recorded("record", "tools/call")[0]["id"].clone();
    bridge.cancel(third);
    assert_eq!(room.wait_for_recorded("record", "notifications/cancelled")["params"]["requestId"], theirs);
}

#[test]
fn progress_of_a_call_that_goes_on_carries_the_new_requests_token_and_none_comes_between() {
    let progress = r#"notify {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"old","progress":5}}"#;
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            "on tools/call ask: ask roots/list; hang",
            &format!("on tools/call poke: {progress}"),
        ],
    );
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    let ask = json!({ "name": "s__ask", "_meta": { "progressToken": "old" } });
    let (_, state) = questions(&bridge.modern("tools/call", ask));
    let poke = bridge.modern_request("tools/call", json!({ "name": "s__poke" }));
    assert_eq!(bridge.recv()["id"], poke, "its request is answered: no progress comes now");
    let retry = json!({ "name": "s__ask", "requestState": state, "inputResponses": { "q1": {} },
                        "_meta": { "progressToken": 2 } });
    bridge.modern_request("tools/call", retry);
    answered(&room, "record", "fake-1");
    let poke = bridge.modern_request("tools/call", json!({ "name": "s__poke" }));
    assert_eq!(bridge.recv()["params"], json!({ "progressToken": 2, "progress": 5 }));
    assert_eq!(bridge.recv()["id"], poke);
}

#[test]
fn taking_back_the_new_request_takes_back_the_call() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call: ask roots/list; hang"]);
    let mut bridge = start_able(&room);
    let (_, state) = questions(&bridge.modern("tools/call", json!({ "name": "s__echo" })));
    let called = room.wait_for_recorded("record", "tools/call")["id"].clone();
    let retry = json!({ "name": "s__echo", "requestState": state, "inputResponses": { "q1": {} } });
    let id = bridge.modern_request("tools/call", retry);
    answered(&room, "record", "fake-1");
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"\u0041"}}}}"#
    ));
    let line = room.wait_for_line("record", "notifications/cancelled");
    assert!(line.contains(&format!(r#"{{"requestId":{called},"reason":"\u0041"}}"#)), "{line}");
    let outcomes = "SELECT outcome FROM tool_calls WHERE outcome IS NOT NULL ORDER BY id";
    wait_until("both have a row", || room.rows(outcomes) == [[json!("ok")], [json!("cancelled")]]);
}

#[test]
fn a_question_that_this_client_cannot_answer_ends_the_call() {
    let room = Room::new()
        .server("s", &["record $ROOM/record", "on tools/call: ask sampling/createMessage {}; hang"]);
    let mut bridge = start_able(&room);
    bridge.carry(CAPABILITIES_KEY, json!({ "roots": {} }));
    let answer = bridge.modern("tools/call", json!({ "name": "s__echo" }));
    check_error(&answer, -32021);
    assert_eq!(answer["error"]["data"]["requiredCapabilities"], json!({ "sampling": {} }));
    assert!(answered(&room, "record", "fake-1").contains(r#""error""#));
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], room.recorded("record", "tools/call")[0]["id"]);
}

#[test]
fn a_question_outside_any_call_is_carried_by_the_next_one() {
    let room = Room::new().server(
        "s",
        &["record $ROOM/record", "on notifications/initialized: ask roots/list", "on tools/call: sleep 1"],
    );
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    let (asked, state) = questions(&bridge.modern("tools/call", json!({ "name": "s__echo" })));
    assert_eq!(asked, json!({ "q1": { "method": "roots/list" } }));
    let retry =
        json!({ "name": "s__echo", "requestState": state, "inputResponses": { "q1": { "roots": [] } } });
    assert_eq!(bridge.modern("tools/call", retry)["result"]["resultType"], "complete");
    assert!(answered(&room, "record", "fake-1").contains(r#""result":{"roots":[]}"#));
    assert_eq!(raw_recorded(&room, "record", "tools/call").len(), 1);
}

#[test]
fn what_no_client_knows_is_refused_and_a_ping_is_answered_by_us() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call: ask x/unknown {}; ask ping"]);
    let mut bridge = start_able(&room);
    let answer = bridge.modern("tools/call", json!({ "name": "s__echo" }));
    assert_eq!(answer["result"]["resultType"], "complete");
    assert!(answered(&room, "record", "fake-1").contains("-32601"));
    assert!(answered(&room, "record", "fake-2").contains(r#""result":{}"#));
}

#[test]
fn a_question_that_the_server_takes_back_needs_no_answer() {
    let room = Room::new().server(
        "s",
        &["record $ROOM/record", "on notifications/initialized: ask roots/list; cancel-request"],
    );
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    assert_eq!(bridge.modern("tools/call", json!({ "name": "s__echo" }))["result"]["resultType"], "complete");
    assert!(!room.text("record").contains(r#""id":"fake-1""#), "it hears nothing of it");
}

#[test]
fn no_request_of_a_server_ever_reaches_a_modern_client() {
    let room = Room::new()
        .server(
            "s",
            &["on notifications/initialized: ask roots/list; ask x/y", &format!("on tools/call: {ASK}")],
        )
        .server("m", &["era modern", "on tools/call: ask roots/list; ask x/y; sleep 1"]);
    let mut bridge = start_able(&room);
    for request in ["tools/list", "resources/list"] {
        bridge.modern(request, json!({}));
    }
    for tool in ["s__echo", "m__echo", "s__echo"] {
        bridge.modern("tools/call", json!({ "name": tool }));
    }
    bridge.close_stdin();
    let mut methods = Vec::new();
    while let Some(line) = bridge.next_line() {
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        methods.extend(line["method"].as_str().map(|method| (method.to_owned(), line["id"].clone())));
    }
    assert!(methods.iter().all(|(_, id)| id.is_null()), "{methods:?}");
    assert!(bridge.wait_exit().success());
}

#[test]
fn a_question_goes_with_a_call_whose_client_can_answer_it() {
    let script = ["on tools/call ask: request roots/list", "on tools/call wait: sleep 600; echo"];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.modern("tools/list", json!({}));
    bridge.carry(CAPABILITIES_KEY, json!({ "roots": {} }));
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    let unable = json!({ "name": "s__wait", "arguments": {}, "_meta": { CAPABILITIES_KEY: {} } });
    let first = bridge.modern_request("tools/call", unable);
    let asking = bridge.modern_request("tools/call", json!({ "name": "s__ask" }));
    let (asked, state) = questions(&bridge.answer_to(asking));
    assert_eq!(asked["q1"]["method"], "roots/list");
    let back =
        json!({ "name": "s__ask", "requestState": state, "inputResponses": { "q1": { "roots": [] } } });
    assert_eq!(bridge.modern("tools/call", back)["result"]["resultType"], "complete");
    let answer = bridge.answer_to(first);
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
}
