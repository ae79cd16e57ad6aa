//! A tool fails inside the bridge: one answer, one row, and the session goes on.

use serde_json::{Value, json};

use crate::said::{fault, kind, text};
use crate::support::{Bridge, Room, wait_for};

fn selftest() -> Room {
    Room::new().env("BRIDGE_SELFTEST", "1")
}

#[track_caller]
fn outcomes(bridge: &Bridge) -> Vec<Value> {
    let rows = bridge.rows("SELECT outcome FROM tool_calls WHERE tool = 'bridge_selftest' ORDER BY id");
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

#[test]
fn a_panicking_tool_still_gets_its_one_answer_and_its_one_row() {
    let room = selftest();
    let mut bridge = room.start();
    bridge.initialize();
    for when in ["panic", "panic_late"] {
        let id = bridge.begin_call("bridge_selftest", json!({ "kind": when }));
        let line = bridge.raw_answer_to(&id.to_string());
        for secret in ["self-test", "src/", ".rs", "panicked at", "backtrace"] {
            assert!(!line.contains(secret), "{secret:?} in {line}");
        }
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((kind(&answer), &answer["result"]["isError"]), ("panic", &json!(true)));
        let call = fault(&answer)["call"].as_str().unwrap();
        assert!(text(&answer).contains(call), "the reply names the call, so that the log can be searched");
        bridge.wait_for_log("tool panicked");
        let said = bridge.said_so_far();
        assert!(said.is_empty(), "nothing but the answer: {said:?}");
    }
    assert_eq!(outcomes(&bridge), ["panic", "panic"]);
    assert!(bridge.end().success(), "the session goes on to its orderly end");
}

#[test]
fn a_hundred_panics_at_once_are_a_hundred_answers() {
    let room = selftest();
    let mut bridge = room.start();
    bridge.initialize();
    let ids: Vec<u64> =
        (0..100).map(|_| bridge.begin_call("bridge_selftest", json!({ "kind": "panic_late" }))).collect();
    for id in ids {
        assert_eq!(kind(&bridge.answer_to(id)), "panic");
    }
    assert_eq!(outcomes(&bridge).len(), 100);
}

#[test]
fn an_error_of_a_tool_is_a_protocol_error_with_its_kind() {
    let room = selftest();
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("bridge_selftest", json!({ "kind": "error" }));
    assert_eq!(answer["error"]["data"]["kind"], "selftest");
    let wrong = bridge.call("bridge_selftest", json!({ "kind": "dance" }));
    assert_eq!(
        (&wrong["error"]["code"], &wrong["error"]["data"]["kind"]),
        (&json!(-32602), &json!("bad_params"))
    );
    assert_eq!(outcomes(&bridge), ["rpc_error", "rpc_error"]);
}

#[test]
fn a_hanging_tool_can_be_taken_back() {
    let room = selftest();
    let mut bridge = room.start();
    bridge.initialize();
    bridge.status();
    let id = bridge.begin_call("bridge_selftest", json!({ "kind": "hang" }));
    let open = "SELECT 1 FROM tool_calls WHERE outcome IS NULL";
    wait_for("the call runs", || bridge.rows(open).pop());
    bridge.notify("notifications/cancelled", &json!({ "requestId": id }));
    wait_for("the call is closed", || {
        bridge.rows("SELECT 1 FROM tool_calls WHERE outcome = 'cancelled'").pop()
    });
    assert!(bridge.said_so_far().is_empty());
    assert!(bridge.status()["bridge"]["pid"].is_u64());
}

#[test]
fn a_big_result_of_an_own_tool_arrives_whole() {
    let room = selftest();
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("bridge_selftest", json!({ "kind": "big", "bytes": 5_000_000 }));
    assert_eq!(text(&answer).len(), 5_000_000);
    assert_eq!(outcomes(&bridge), ["ok"]);
}

#[test]
fn the_tool_that_fails_on_purpose_is_there_for_those_who_ask_for_it() {
    let mut bridge = Room::new().start();
    bridge.initialize();
    let answer = bridge.call("bridge_selftest", json!({ "kind": "panic" }));
    assert_eq!(answer["error"]["data"]["kind"], "unknown_tool");
}
