//! A call takes too long, or its client takes it back: the server is told, and a late answer is dropped.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::said::{echoed, fault, kind, text};
use crate::support::{Bridge, Room, send_signal, wait_for, wait_until};

/// The id under which the server was asked, out of what it recorded.
fn asked(room: &Room, method: &str) -> Option<Value> {
    let text = room.text("record");
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["method"] == method)?;
    Some(if line["id"].is_null() { line["params"]["requestId"].clone() } else { line["id"].clone() })
}

#[track_caller]
fn row(bridge: &Bridge, id: u64) -> Vec<Value> {
    let sql = format!(
        "SELECT outcome, error_kind, duration_us FROM tool_calls WHERE request_id = '{id}' AND outcome IS NOT NULL"
    );
    wait_for("the call's row is closed", || bridge.rows(&sql).pop())
}

#[test]
fn a_call_ends_at_its_deadline_and_its_late_answer_is_dropped_and_counted() {
    let script = ["record $ROOM/record", "on tools/call slow: sleep 4000"];
    let room = Room::new().server_with("s", &script, "call_timeout_s = 1");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.status();
    let slow = bridge.begin_call("s__slow", json!({}));
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }), "others go on");
    let answer = bridge.answer_to(slow);
    assert_eq!((kind(&answer), &fault(&answer)["cause"]), ("timeout", &json!("hung")));
    assert!(text(&answer).contains("did not answer within 1 s"), "{answer}");
    assert!(text(&answer).ends_with("look before you repeat it."), "{answer}");
    let row = row(&bridge, slow);
    assert_eq!((&row[0], &row[1]), (&json!("timeout"), &json!("hung")));
    let took = Duration::from_micros(row[2].as_u64().unwrap());
    // By 250 ms at most, on a machine that is not busy with other tests.
    assert!((750..=3500).contains(&took.as_millis()), "{took:?}");
    let told = wait_for("the server is told", || asked(&room, "notifications/cancelled"));
    assert_eq!(Some(told), asked(&room, "tools/call"));
    wait_until("the late answer is counted", || bridge.status()["servers"][0]["lateAnswers"] == 1);
    let said = bridge.said_so_far();
    assert!(said.iter().all(|line| line["id"] != slow), "one answer, not two: {said:?}");
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 2 }))), &json!({ "n": 2 }));
}

#[test]
fn a_call_that_its_client_takes_back_is_taken_back_from_the_server_and_not_answered() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call hang: hang"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.status();
    let id = bridge.begin_call("s__hang", json!({}));
    let asked_as = wait_for("the server has it", || asked(&room, "tools/call"));
    bridge.notify("notifications/cancelled", &json!({ "requestId": id, "reason": "changed my mind" }));
    assert_eq!(wait_for("the server is told", || asked(&room, "notifications/cancelled")), asked_as);
    assert_eq!(row(&bridge, id)[0], "cancelled");
    let said = bridge.said_so_far();
    assert!(said.iter().all(|line| line["id"] != id), "{said:?}");
    assert_eq!(
        bridge.rows("SELECT sum(calls), sum(cancelled), sum(errors) FROM call_totals WHERE server = 's'"),
        [[1, 1, 0]]
    );
}

#[test]
fn a_call_that_is_taken_back_while_its_server_starts_is_never_sent() {
    let room = Room::new().server("s", &["record $ROOM/record", "on initialize: sleep 400"]);
    let mut bridge = room.start();
    bridge.initialize();
    let id = bridge.begin_call("s__echo", json!({ "unwanted": true }));
    bridge.notify("notifications/cancelled", &json!({ "requestId": id }));
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "wanted": true }))), &json!({ "wanted": true }));
    assert_eq!(row(&bridge, id)[0], "cancelled");
    assert!(!room.text("record").contains("unwanted"));
}

#[test]
fn taking_back_what_nobody_asked_changes_nothing() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    for params in [json!({ "requestId": 99 }), json!({ "requestId": "x" }), json!({}), json!([1])] {
        bridge.notify("notifications/cancelled", &params);
    }
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
}

#[test]
fn a_person_who_is_asked_takes_longer_than_a_call_may() {
    let asks = ["on tools/call ask: request elicitation/create {\"message\":\"m\",\"requestedSchema\":{}}"];
    let room = Room::new()
        .server_with("s", &asks, "call_timeout_s = 1")
        .server("clock", &["on tools/call tick: sleep 1700"]);
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "elicitation": {} } }));
    bridge.ask("tools/list", &json!({}));
    let call = bridge.begin_call("s__ask", json!({}));
    let asked = bridge.asked("elicitation/create");
    // Longer than the call's second.
    bridge.call("clock__tick", json!({}));
    bridge.answer(&asked.id, &json!({ "action": "accept" }));
    let answer = bridge.answer_to(call);
    assert_eq!(answer["result"]["structuredContent"]["answer"]["action"], "accept", "{answer}");
}

#[test]
fn no_call_goes_into_a_server_that_is_being_replaced_because_it_hangs() {
    let room =
        Room::new().setting("hang_after = 1").server_with("s", &["count $ROOM/count"], "call_timeout_s = 1");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    // A process that is stopped takes no SIGTERM: its end takes as long as an end may.
    let [stopped] = room.pids("count").try_into().unwrap();
    send_signal(stopped, Signal::STOP);
    assert_eq!(kind(&bridge.call("s__echo", json!({}))), "timeout");
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!(room.pids("count").len(), 2);
}

#[test]
fn a_server_that_misses_deadlines_in_a_row_is_replaced() {
    let script = ["count $ROOM/count", "on tools/call hang: hang"];
    let room = Room::new().setting("hang_after = 2").server_with("s", &script, "call_timeout_s = 1");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let calls = [bridge.begin_call("s__hang", json!({})), bridge.begin_call("s__hang", json!({}))];
    for call in calls {
        assert_eq!(kind(&bridge.answer_to(call)), "timeout");
    }
    wait_until("it is stopped", || bridge.status()["servers"][0]["state"] != "ready");
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!(room.pids("count").len(), 2);
    let exit = bridge.rows("SELECT reason FROM server_events WHERE event = 'exit'");
    let reason = exit[0][0].as_str().unwrap();
    assert!(reason.starts_with("hung: missed 2 deadlines in a row"), "{exit:?}");
}
