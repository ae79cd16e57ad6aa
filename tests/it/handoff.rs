//! A call whose client would not wait for it is handed off: it runs on, and `bridge_result` has its result.

mod asks;
mod ends;

use serde_json::{Value, json};

use crate::said::{echoed, fault, kind, names, text};
use crate::support::{Bridge, CLIENT_KEY, Room, wait_for, wait_until};

/// Strange, and well formed.
const ODD: &str =
    r#"{ "x":[1E2, 50.0 ,1180591620717411303424],"result":{"content": [ ],"é\u0041":1} , "id" :	$ID}"#;

/// A room whose client is answered after a second.
fn hurried() -> Room {
    Room::new().client("it", "handoff_after_s = 1").client("modern-it", "handoff_after_s = 1")
}

/// The number of the call in an answer that says that it still runs.
#[track_caller]
fn number(answer: &Value) -> String {
    let handoff = &answer["result"]["_meta"]["bridge/handoff"];
    handoff["call"].as_str().unwrap_or_else(|| panic!("not handed off: {answer}")).to_owned()
}

#[track_caller]
fn check_unknown(answer: &Value) {
    assert_eq!((kind(answer), &fault(answer)["cause"]), ("rejected", &json!("expired")), "{answer}");
    assert!(text(answer).contains("is kept here"), "{answer}");
}

/// Calls `bridge_result`.
#[track_caller]
fn result(bridge: &mut Bridge, call: &str) -> Value {
    bridge.call("bridge_result", json!({ "call": call }))
}

/// The outcome of the call with this number, once it has one.
#[track_caller]
fn outcome(bridge: &Bridge, call: &str) -> Value {
    let sql = format!("SELECT outcome FROM tool_calls WHERE id = {call} AND outcome IS NOT NULL");
    wait_for("the call's row is closed", || bridge.rows(&sql).pop()).remove(0)
}

#[test]
fn a_long_call_is_answered_in_time_and_its_result_can_be_had_byte_for_byte() {
    let slow = format!("on tools/call slow: sleep 1600; raw {ODD}");
    let room = hurried().server("s", &["record $ROOM/record", &slow]);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__slow", json!({}));
    let call = number(&answer);
    let handoff = &answer["result"]["_meta"]["bridge/handoff"];
    assert_eq!((&handoff["server"], &handoff["tool"]), (&json!("s"), &json!("slow")), "{answer}");
    assert!(handoff["elapsedMs"].as_u64().unwrap() >= 1000, "{answer}");
    assert_eq!(answer["result"]["isError"], false);
    assert!(text(&answer).contains(&format!(r#"call bridge_result with {{"call":"{call}"}}"#)), "{answer}");
    let open = format!("SELECT outcome, server, tool FROM tool_calls WHERE id = {call}");
    assert_eq!(
        json!(bridge.rows(&open)),
        json!([[null, "s", "slow"]]),
        "its row was there before the answer"
    );
    for _ in 0..2 {
        let id = bridge.begin_call("bridge_result", json!({ "call": call }));
        assert_eq!(bridge.raw_answer_to(&id.to_string()), ODD.replace("$ID", &id.to_string()));
    }
    let rows = format!(
        "SELECT server, tool, outcome, id = {call}, duration_us >= 1600000 FROM tool_calls ORDER BY id"
    );
    let own = json!([null, "bridge_result", "ok", 0, 0]);
    assert_eq!(json!(bridge.rows(&rows)), json!([["s", "slow", "ok", 1, 1], own, own]));
    assert_eq!(room.recorded("record", "tools/call").len(), 1);
}

#[test]
fn only_clients_that_would_not_wait_are_answered_so() {
    let script = ["on tools/call slow: sleep 1600"];
    let room = Room::new().setting("handoff_after_s = 1").server("s", &script);
    let check = |room: &Room, client: &str, is_handed_off: bool| {
        let mut bridge = room.start();
        bridge.initialize_by(client);
        let answer = bridge.call("s__slow", json!({ "n": 1 }));
        let was = answer["result"]["_meta"]["bridge/handoff"].is_object();
        assert_eq!(was, is_handed_off, "{client}: {answer}");
        assert!(was || echoed(&answer) == &json!({ "n": 1 }), "{answer}");
    };
    check(&room, "claude-ai", true);
    check(&room, "Zed", true);
    check(&room, "claude-code", false);
    let patient = Room::new().setting("handoff_after_s = 1").client("Zed", "handoff_after_s = 0");
    check(&patient.server("s", &script), "Zed", false);
    check(&Room::new().setting("handoff_after_s = 0").server("s", &script), "Zed", false);
}

#[test]
fn whoever_waits_for_a_result_is_answered_in_time_too() {
    let room = hurried().server("s", &["on tools/call slow: sleep 2600"]);
    let mut bridge = room.start();
    bridge.initialize();
    let call = number(&bridge.call("s__slow", json!({ "n": 1 })));
    let still = result(&mut bridge, &call);
    assert_eq!((number(&still), &still["result"]["isError"]), (call.clone(), &json!(false)));
    let elapsed = still["result"]["_meta"]["bridge/handoff"]["elapsedMs"].as_u64().unwrap();
    assert!(elapsed >= 2000, "{still}");
    // Two at once, one of them with the number as models write it, too.
    let written: Value = serde_json::from_str(&call).unwrap();
    let first = bridge.begin_call("bridge_result", json!({ "call": call }));
    let second = bridge.begin_call("bridge_result", json!({ "call": written }));
    for id in [first, second] {
        assert_eq!(echoed(&bridge.answer_to(id)), &json!({ "n": 1 }));
    }
}

#[test]
fn a_client_that_insists_on_structured_results_still_hears_that_the_call_runs() {
    let schema = r#"tool slow {"outputSchema":{"type":"object"}}"#;
    let room = hurried().server("s", &[schema, "on tools/call slow: sleep 1600"]);
    let mut bridge = room.start();
    bridge.initialize();
    let list = bridge.ask("tools/list", &json!({}));
    assert!(names(&list).contains(&"bridge_result"));
    let answer = bridge.call("s__slow", json!({ "n": 1 }));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let result = result(&mut bridge, &number(&answer));
    assert_eq!((echoed(&result), &result["result"]["isError"]), (&json!({ "n": 1 }), &json!(null)));
    assert_eq!(bridge.rows("SELECT DISTINCT outcome FROM tool_calls"), [["ok"]]);
}

#[test]
fn a_modern_client_gets_results_of_its_own_form() {
    let room = hurried().server("s", &["on tools/call slow: sleep 1600"]);
    let mut bridge = room.start();
    let answer = bridge.modern("tools/call", json!({ "name": "s__slow", "arguments": { "n": 1 } }));
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    let ask = json!({ "name": "bridge_result", "arguments": { "call": number(&answer) } });
    let result = bridge.modern("tools/call", ask.clone());
    assert_eq!((echoed(&result), &result["result"]["resultType"]), (&json!({ "n": 1 }), &json!("complete")));
    // Another client behind the same pipe is another session.
    bridge.carry(CLIENT_KEY, json!({ "name": "other", "version": "1" }));
    check_unknown(&bridge.modern("tools/call", ask));
}

#[test]
fn a_call_that_is_not_kept_is_said_to_be_none() {
    let room = hurried().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let quick = bridge.rows("SELECT id FROM tool_calls")[0][0].to_string();
    for call in [quick.as_str(), "1", "", "first", "-1"] {
        check_unknown(&result(&mut bridge, call));
    }
    check_unknown(&bridge.call("bridge_result", json!({ "call": {} })));
    for arguments in [json!({}), json!([]), json!(null)] {
        let answer = bridge.call("bridge_result", arguments);
        assert_eq!(kind(&answer), "rejected");
        assert!(text(&answer).starts_with("bridge_result wants the number of a call"), "{answer}");
    }
    let long = result(&mut bridge, &"x".repeat(1 << 20));
    assert!(text(&long).len() < 1000, "what a client wrote is not given back at length");
    let rows = "SELECT DISTINCT outcome, error_kind FROM tool_calls WHERE tool = 'bridge_result'";
    assert_eq!(bridge.rows(rows), [["rejected", "expired"]]);
}

#[test]
fn the_result_of_a_thread_or_a_user_is_no_one_elses() {
    let room = hurried().server("s", &["on tools/call slow: sleep 1300"]);
    let mut bridge = room.start();
    bridge.initialize();
    let ask = |bridge: &mut Bridge, name: &str, arguments: Value, whose: Value| {
        bridge.ask("tools/call", &json!({ "name": name, "arguments": arguments, "_meta": whose }))
    };
    let own = json!({ "bridge/threadId": "t1", "bridge/userId": "ann" });
    let call = number(&ask(&mut bridge, "s__slow", json!({ "n": 1 }), own.clone()));
    let others = [
        json!({ "bridge/threadId": "t1", "bridge/userId": "bob" }),
        json!({ "bridge/threadId": "t2", "bridge/userId": "ann" }),
        json!({ "bridge/threadId": "t1" }),
        json!({}),
    ];
    for whose in others {
        for arguments in [json!({ "call": call, "cancel": true }), json!({ "call": call })] {
            check_unknown(&ask(&mut bridge, "bridge_result", arguments, whose.clone()));
        }
    }
    let result = ask(&mut bridge, "bridge_result", json!({ "call": call }), own);
    assert_eq!(echoed(&result), &json!({ "n": 1 }));
}

#[test]
fn progress_is_told_of_the_request_that_waits_and_of_none_that_is_answered() {
    let slow = "on tools/call slow: progress 1; sleep 1600; progress 1; sleep 50; progress 1";
    let room = hurried().server("s", &[slow]);
    let mut bridge = room.start();
    bridge.initialize();
    let begin = |bridge: &mut Bridge, name: &str, arguments: &Value, token: &str| {
        let params = json!({ "name": name, "arguments": arguments, "_meta": { "progressToken": token } });
        bridge.request("tools/call", &params)
    };
    let tokens = |bridge: &mut Bridge, id: u64| {
        let mut tokens = Vec::new();
        loop {
            let said = bridge.recv();
            if said["id"] == id {
                return (said, tokens);
            }
            assert_eq!(said["method"], "notifications/progress", "{said}");
            tokens.push(said["params"]["progressToken"].as_str().unwrap().to_owned());
        }
    };
    let id = begin(&mut bridge, "s__slow", &json!({}), "first");
    let (answer, told) = tokens(&mut bridge, id);
    assert_eq!(told, ["first"]);
    let call = number(&answer);
    let id = begin(&mut bridge, "bridge_result", &json!({ "call": call }), "second");
    let (answer, told) = tokens(&mut bridge, id);
    assert_eq!((echoed(&answer), told), (&json!({}), vec!["second".to_owned(), "second".to_owned()]));
    // Nobody waits for this one.
    let id = begin(&mut bridge, "s__slow", &json!({}), "third");
    let (answer, _) = tokens(&mut bridge, id);
    assert_eq!(outcome(&bridge, &number(&answer)), "ok");
    assert_eq!(bridge.said_so_far(), Vec::<Value>::new());
}

#[test]
fn progress_does_not_put_off_the_word_that_a_call_runs() {
    let slow = "on tools/call slow: sleep 500; progress 1; sleep 300; progress 1; sleep 700; progress 1";
    let room = hurried().server("s", &[slow]);
    let mut bridge = room.start();
    bridge.initialize();
    let params = json!({ "name": "s__slow", "_meta": { "progressToken": 1 } });
    let call = number(&bridge.ask("tools/call", &params));
    wait_until("it has ended", || outcome(&bridge, &call) == "ok");
}

#[test]
fn nobody_hears_of_a_call_that_runs_on_before_it_is_in_the_record() {
    let script = ["on tools/call hang: hang", "on tools/call tick: sleep 1600; log error late; hang"];
    let room = hurried().server("s", &script);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    // A sibling writes meanwhile.
    let sibling = rusqlite::Connection::open(room.path("data/bridge.db")).unwrap();
    sibling.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hang = bridge.begin_call("s__hang", json!({}));
    bridge.begin_call("s__tick", json!({}));
    bridge.told("notifications/message");
    assert_eq!(bridge.said_so_far(), Vec::<Value>::new(), "its time is over, and its row is not there");
    sibling.execute_batch("COMMIT").unwrap();
    let call = number(&bridge.answer_to(hang));
    let open = format!("SELECT tool, outcome FROM tool_calls WHERE id = {call}");
    assert_eq!(json!(bridge.rows(&open)), json!([["hang", null]]));
}

#[test]
fn a_call_for_which_there_is_no_room_gets_the_real_answer() {
    let room = hurried().server("s", &[r#"on tools/call slow: sleep 5000; reply {"content":[],"real":1}"#]);
    let mut bridge = room.start();
    bridge.initialize();
    // What runs on may have 64 MiB together.
    let large = "x".repeat(13 << 20);
    let calls: Vec<u64> = (0..5).map(|_| bridge.begin_call("s__slow", json!({ "large": &large }))).collect();
    let answers: Vec<Value> = calls.into_iter().map(|id| bridge.answer_to(id)).collect();
    let (last, others) = answers.split_last().unwrap();
    assert_eq!(last["result"]["real"], 1, "{last}");
    for answer in others {
        assert_eq!(result(&mut bridge, &number(answer))["result"]["real"], 1);
    }
    bridge.wait_for_log("too many calls run on already");
}
