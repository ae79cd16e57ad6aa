//! How a call ends that was handed off: each way is one row, and one result.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{check_unknown, hurried, number, outcome, result};
use crate::said::{echoed, fault, kind, text};
use crate::support::{Bridge, Room, check_gone, wait_until};

/// A bridge whose client was told that its call of `hang` still runs, and the number of that call.
fn hanging(room: &Room) -> (Bridge, String) {
    let mut bridge = room.start();
    bridge.initialize();
    let call = number(&bridge.call("s__hang", json!({})));
    (bridge, call)
}

fn room() -> Room {
    hurried().server("s", &["count $ROOM/count", "record $ROOM/record", "on tools/call hang: hang"])
}

/// The server was told that the call is taken back.
#[track_caller]
fn check_cancelled(room: &Room) {
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], room.recorded("record", "tools/call")[0]["id"]);
}

/// Rows, totals and the session's own count say the same.
#[track_caller]
fn check_sums(room: &Room, calls: u64) {
    let sums = "SELECT (SELECT count(*) FROM tool_calls WHERE outcome IS NOT NULL), \
                       (SELECT sum(calls) FROM call_totals), (SELECT sum(tool_calls) FROM mcp_sessions)";
    assert_eq!(room.rows(sums), [[calls, calls, calls]]);
}

#[test]
fn its_deadline_holds_and_is_its_result() {
    let script = ["record $ROOM/record", "on tools/call hang: hang"];
    let room = hurried().server_with("s", &script, "call_timeout_s = 2");
    let (mut bridge, call) = hanging(&room);
    check_cancelled(&room);
    assert_eq!(outcome(&bridge, &call), "timeout");
    let answer = result(&mut bridge, &call);
    assert_eq!((kind(&answer), &fault(&answer)["call"]), ("timeout", &json!(call)), "{answer}");
    check_sums(&room, 2);
}

#[test]
fn its_server_dies_and_the_result_says_so() {
    let room = room();
    let (mut bridge, call) = hanging(&room);
    let waiting = bridge.begin_call("bridge_result", json!({ "call": call }));
    crate::support::send_signal(room.pids("count")[0], Signal::KILL);
    let answer = bridge.answer_to(waiting);
    assert_eq!((kind(&answer), &fault(&answer)["tool"]), ("outcome_unknown", &json!("hang")), "{answer}");
    assert_eq!(outcome(&bridge, &call), "outcome_unknown");
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
}

#[test]
fn a_client_takes_back_its_waiting_and_not_the_call() {
    let room = hurried().server("s", &["record $ROOM/record", "on tools/call slow: sleep 1600"]);
    let mut bridge = room.start();
    bridge.initialize();
    let first = bridge.begin_call("s__slow", json!({ "n": 1 }));
    let call = number(&bridge.answer_to(first));
    let waiting = bridge.begin_call("bridge_result", json!({ "call": call }));
    bridge.cancel(waiting);
    // The first request is over.
    bridge.cancel(first);
    let own = "SELECT outcome FROM tool_calls WHERE tool = 'bridge_result' AND outcome IS NOT NULL";
    wait_until("the waiting has ended", || bridge.rows(own) == [["cancelled"]]);
    assert_eq!(echoed(&result(&mut bridge, &call)), &json!({ "n": 1 }));
    assert!(room.recorded("record", "notifications/cancelled").is_empty());
    assert!(bridge.said_so_far().is_empty(), "a request that was taken back is not answered");
}

#[test]
fn a_call_is_taken_back_by_its_number() {
    let room = room();
    let (mut bridge, call) = hanging(&room);
    let answer = bridge.call("bridge_result", json!({ "call": call, "cancel": true }));
    assert_eq!((kind(&answer), &fault(&answer)["server"]), ("cancelled", &json!("s")), "{answer}");
    check_cancelled(&room);
    assert_eq!(outcome(&bridge, &call), "cancelled");
    assert_eq!(kind(&result(&mut bridge, &call)), "cancelled", "that is its result");
    // Too late is no harm.
    assert_eq!(kind(&bridge.call("bridge_result", json!({ "call": call, "cancel": true }))), "cancelled");
    check_sums(&room, 4);
}

#[test]
fn a_result_that_its_client_cannot_read_is_told_with_its_size() {
    let room = Room::new()
        .client("it", "handoff_after_s = 1\nresult_max_mib = 1")
        .server("s", &["on tools/call large: sleep 1600; big 1048576"]);
    let mut bridge = room.start();
    bridge.initialize();
    let call = number(&bridge.call("s__large", json!({})));
    let answer = result(&mut bridge, &call);
    assert!(kind(&answer) == "too_large" && text(&answer).contains("Ask for less"), "{answer}");
    assert_eq!(outcome(&bridge, &call), "too_large");
}

#[test]
fn an_error_of_the_server_is_its_result() {
    let room = hurried().server("s", &["on tools/call fails: sleep 1600; error -32000 no"]);
    let mut bridge = room.start();
    bridge.initialize();
    let call = number(&bridge.call("s__fails", json!({})));
    assert_eq!(result(&mut bridge, &call)["error"], json!({ "code": -32000, "message": "no" }));
    assert_eq!(outcome(&bridge, &call), "rpc_error");
}

#[test]
fn a_bridge_that_stops_calls_it_off_and_closes_its_row() {
    let check = |end: &dyn Fn(&mut Bridge)| {
        let room = room();
        let (mut bridge, call) = hanging(&room);
        let waiting = bridge.begin_call("bridge_result", json!({ "call": call }));
        let open = "SELECT count(*) FROM tool_calls WHERE outcome IS NULL";
        wait_until("both run", || bridge.rows(open) == [[2]]);
        end(&mut bridge);
        assert_eq!(kind(&bridge.answer_to(waiting)), "outcome_unknown");
        bridge.wait_exit();
        check_gone(&room.pids("count"));
        let rows = "SELECT outcome, error_kind FROM tool_calls";
        assert_eq!(room.rows(rows), [["outcome_unknown", "bridge_stopped"]; 2]);
        check_sums(&room, 2);
    };
    check(&|bridge| bridge.close_stdin());
    check(&|bridge| bridge.signal(Signal::TERM));
}

#[test]
fn a_bridge_that_is_killed_leaves_one_row_of_it() {
    let room = room();
    let (mut bridge, call) = hanging(&room);
    bridge.kill_9();
    let open = format!("SELECT outcome FROM tool_calls WHERE id = {call}");
    assert_eq!(room.rows(&open), [[Value::Null]], "what the client was told of is in the record");
    let mut next = room.start();
    next.initialize();
    next.wait_for_log("recovered after a crash");
    let rows = "SELECT outcome, error_kind, id FROM tool_calls";
    let id: Value = serde_json::from_str(&call).unwrap();
    assert_eq!(room.rows(rows), [[json!("outcome_unknown"), json!("bridge_crashed"), id]]);
    check_sums(&room, 1);
    check_unknown(&result(&mut next, &call));
}
