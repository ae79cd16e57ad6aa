//! So many connections, so many calls, so many who wait, and none of them for ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{HANGS, SAYS_PID, begin, call, pid, reached, room, start};
use crate::said::{echoed, fault, kind, text};
use crate::support::{Bridge, Room, wait_until};

#[track_caller]
fn check_full(answer: &Value, retry_ms: u64, why: &str) {
    assert_eq!((kind(answer), &fault(answer)["cause"]), ("unavailable", &json!("queue_full")), "{answer}");
    assert_eq!(
        (&fault(answer)["retryable"], &fault(answer)["retryAfterMs"]),
        (&json!(true), &json!(retry_ms))
    );
    assert!(text(answer).contains(why), "{answer}");
}

fn take_back(bridge: &mut Bridge, id: u64) {
    bridge.notify("notifications/cancelled", &json!({ "requestId": id }));
}

#[test]
fn no_more_calls_run_at_once_than_are_allowed_and_the_others_in_their_order() {
    let room = room("shared", &HANGS, "max_concurrent = 2\nqueue_timeout_s = 60");
    let mut bridge = start(&room);
    pid(&mut bridge, "", "");
    let hanging: Vec<u64> = (0..2).map(|_| begin(&mut bridge, "s__hang", "", "")).collect();
    wait_until("two run", || reached(&room, "hang") == 2);
    let waiting: Vec<u64> = (0..3)
        .map(|n| bridge.request("tools/call", &json!({ "name": "s__echo", "arguments": { "n": n } })))
        .collect();
    wait_until("three wait", || bridge.status()["servers"][0]["connections"]["waiting"] == 3);
    assert_eq!(reached(&room, "echo"), 1, "only the first of all");
    let status = bridge.call("bridge_status", json!({}));
    assert!(text(&status).contains("3 calls waiting"), "{status}");
    take_back(&mut bridge, hanging[0]);
    for id in waiting {
        assert!(echoed(&bridge.answer_to(id))["pid"].is_u64());
    }
    let order: Vec<String> =
        room.text("record").lines().filter(|line| line.contains(r#""n":"#)).map(str::to_owned).collect();
    assert!(order.len() == 3 && (0..3).all(|n| order[n].contains(&format!(r#""n":{n}"#))), "{order:?}");
}

#[test]
fn who_waits_too_long_for_a_call_is_told_when_to_come_back() {
    let room = room("shared", &HANGS, "max_concurrent = 1\nqueue_timeout_s = 1");
    let mut bridge = start(&room);
    begin(&mut bridge, "s__hang", "", "");
    wait_until("one runs", || reached(&room, "hang") == 1);
    let before = Instant::now();
    check_full(&call(&mut bridge, "", ""), 1000, "none of the 1 calls that may run at once ended within 1 s");
    assert!(before.elapsed() >= Duration::from_secs(1));
    let row = bridge.rows("SELECT outcome, error_kind FROM tool_calls WHERE outcome = 'unavailable'");
    assert_eq!(row, [[json!("unavailable"), json!("queue_full")]]);
}

#[test]
fn tasks_are_looked_after_while_all_calls_hang() {
    let script = [&HANGS[..], &["tasks", "on tools/call task: sleep 60000"]].concat();
    let room = room("shared", &script, "max_concurrent = 1\nqueue_timeout_s = 1");
    let mut bridge = start(&room);
    let task = bridge.ask("tools/call", &json!({ "name": "s__task", "task": {} }));
    let id = task["result"]["task"]["taskId"].clone();
    begin(&mut bridge, "s__hang", "", "");
    wait_until("all that may run hangs", || reached(&room, "hang") == 1);
    for method in ["tasks/get", "tasks/cancel"] {
        let answer = bridge.ask(method, &json!({ "taskId": id }));
        assert_eq!(answer["result"]["taskId"], id, "{answer}");
    }
}

#[test]
fn who_comes_behind_too_many_is_told_at_once() {
    let room =
        Room::new().setting("max_concurrent = 1").setting("max_queue = 2").setting("queue_timeout_s = 60");
    let room = room.server("s", &[&["tool echo"], &HANGS[..]].concat());
    let mut bridge = start(&room);
    begin(&mut bridge, "s__hang", "", "");
    wait_until("one runs", || reached(&room, "hang") == 1);
    let _waiting: Vec<u64> = (0..2).map(|_| begin(&mut bridge, "s__echo", "", "")).collect();
    wait_until("two wait", || bridge.status()["servers"][0]["connections"]["waiting"] == 2);
    check_full(&call(&mut bridge, "", ""), 60_000, "2 other calls wait already");
}

#[test]
fn a_server_has_no_more_connections_than_are_allowed() {
    let room = room("thread", &HANGS, "max_connections = 2\nqueue_timeout_s = 1");
    let mut bridge = start(&room);
    let hanging: Vec<u64> = ["t1", "t2"].map(|thread| begin(&mut bridge, "s__hang", thread, "")).into();
    wait_until("two run", || reached(&room, "hang") == 2);
    check_full(&call(&mut bridge, "t3", ""), 1000, "none of its 2 connections ended within 1 s");
    // The thread's own connection serves it on.
    let second = pid(&mut bridge, "t2", "");
    take_back(&mut bridge, hanging[1]);
    assert_ne!(pid(&mut bridge, "t3", ""), second);
    wait_until("the idle one made room", || {
        let shown = super::connections(&mut bridge);
        shown.iter().filter_map(|row| row["thread"].as_str()).eq(["t1", "t3"])
    });
    let reasons = bridge.rows("SELECT reason FROM server_events WHERE event = 'exit'");
    assert_eq!(reasons, [[json!("another connection needed its place")]]);
}

#[test]
fn calls_that_wait_on_a_dying_connection_are_answered_by_the_next() {
    let script =
        [&SAYS_PID[..], &["record $ROOM/record", "on tools/call die: sleep 300; once $ROOM/died exit 3"]]
            .concat();
    let room = room("shared", &script, "max_concurrent = 1");
    let mut bridge = start(&room);
    let first = pid(&mut bridge, "", "");
    let dying = begin(&mut bridge, "s__die", "", "");
    let waiting: Vec<u64> = (0..10).map(|_| begin(&mut bridge, "s__echo", "", "")).collect();
    assert_eq!(kind(&bridge.answer_to(dying)), "outcome_unknown");
    for id in waiting {
        let answer = bridge.answer_to(id);
        assert!(echoed(&answer)["pid"].as_u64().is_some_and(|pid| pid != u64::from(first)), "{answer}");
    }
    assert_eq!(room.pids("count").len(), 2);
}

#[test]
fn waiting_for_a_place_begins_when_the_server_is_ready() {
    let script = [&SAYS_PID[..], &["on initialize: sleep 1500"]].concat();
    let room = room("shared", &script, "max_concurrent = 1\nqueue_timeout_s = 1");
    let mut bridge = start(&room);
    let ids: Vec<u64> = (0..64).map(|_| begin(&mut bridge, "s__echo", "", "")).collect();
    for id in ids {
        let answer = bridge.answer_to(id);
        assert!(echoed(&answer)["pid"].is_u64(), "{answer}");
    }
}
