//! A client that hangs, vanishes or does not read harms nobody else.

use serde_json::json;

use super::{begin, hello, pid};
use crate::support::{Room, check_gone, wait_until};

#[test]
fn a_client_that_does_not_read_keeps_a_shared_server_from_nobody() {
    let line = "x".repeat(4000);
    let room = Room::new().server("s", &[&format!("on tools/call flood: times 1500 log info {line}; echo")]);
    let house = room.house();
    let (mut a, _a) = room.guest(&house);
    let (mut deaf, gone) = room.deaf_guest(&house);
    hello(&mut a, "a", json!({}));
    // Its answers stay in the pipe.
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "d", "version": "1" } });
    deaf.request("initialize", &params);
    deaf.notify("notifications/initialized", &json!({}));
    wait_until("it is attached", || a.status()["sessions"].as_array().unwrap().len() == 2);
    for _ in 0..4 {
        assert_eq!(a.call("s__flood", json!({}))["result"]["isError"], json!(null));
        let heard = super::told_so_far(&mut a, "notifications/message").len();
        assert!(heard > 0, "one that reads hears of it");
    }
    gone.detach();
    a.call("s__flood", json!({}));
}

#[test]
fn a_client_that_does_not_read_its_answers_is_not_heard_until_it_does() {
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            "on tools/call big: big 2000000",
            "on tools/call mark: echo",
            "on tools/call echo: echo",
        ],
    );
    let house = room.house();
    let (mut a, _a) = room.guest(&house);
    let (mut deaf, _gone) = room.deaf_guest(&house);
    hello(&mut a, "a", json!({}));
    let client = json!({ "name": "d", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    deaf.request("initialize", &params);
    deaf.notify("notifications/initialized", &json!({}));
    let calls = |tool: &str| {
        let calls = room.recorded("record", "tools/call");
        calls.iter().filter(|call| call["params"]["name"] == tool).count()
    };
    for _ in 0..10 {
        deaf.begin_call("s__big", json!({}));
    }
    wait_until("the server has all of them", || calls("big") == 10);
    // Whatever is answered after them is behind them.
    a.call("s__echo", json!({}));
    let mark = deaf.begin_call("s__mark", json!({}));
    for _ in 0..20 {
        a.call("s__echo", json!({}));
    }
    assert_eq!(calls("mark"), 0);
    deaf.read();
    deaf.answer_to(mark);
}

#[test]
fn a_server_that_waits_for_one_client_goes_on_when_another_comes() {
    let line = "x".repeat(4000);
    let room = Room::new().server(
        "s",
        &[
            "count $ROOM/count",
            &format!("on tools/call flood: times 3000 log info {line}; echo"),
            super::SAYS_PID,
        ],
    );
    let house = room.house();
    let (mut deaf, gone) = room.deaf_guest(&house);
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "d", "version": "1" } });
    deaf.request("initialize", &params);
    deaf.notify("notifications/initialized", &json!({}));
    deaf.begin_call("s__flood", json!({}));
    wait_until("the server has begun", || room.pids("count").len() == 1);
    let (mut a, _a) = room.guest(&house);
    hello(&mut a, "a", json!({}));
    pid(&mut a);
    gone.detach();
    pid(&mut a);
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_call_takes_back_its_own_calls_only() {
    let room = Room::new().server(
        "s",
        &["record $ROOM/record", "on tools/call hang: hang", "on tools/call slow: sleep 300; echo"],
    );
    let house = room.house();
    let ((mut a, _a), (mut b, gone)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    begin(&room, &mut b, "hang");
    let id = begin(&room, &mut a, "slow");
    drop(b);
    gone.gone();
    room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(a.answer_to(id)["result"]["structuredContent"], json!({}));
    assert_eq!(room.recorded("record", "notifications/cancelled").len(), 1);
    let rows = room.rows("SELECT outcome, count(*) FROM tool_calls WHERE server = 's' GROUP BY 1 ORDER BY 1");
    assert_eq!(json!(rows), json!([["ok", 1], ["outcome_unknown", 1]]));
}

#[test]
fn a_client_that_is_dropped_in_the_middle_leaves_nothing_behind() {
    let script = ["record $ROOM/record", "count $ROOM/count", "on tools/call hang: hang", super::SAYS_PID];
    let room = Room::new().server_with("s", &script, "scope = \"session\"");
    let house = room.house();
    let ((mut a, _a), (mut b, gone)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let of_b = pid(&mut b);
    begin(&room, &mut b, "hang");
    gone.abort();
    check_gone(&[of_b]);
    assert_eq!(a.status()["sessions"].as_array().unwrap().len(), 1);
    assert_ne!(pid(&mut a), of_b);
}

#[test]
fn clients_come_and_go_and_nothing_is_left_of_them() {
    let room = Room::new().server_with("s", &["count $ROOM/count", super::SAYS_PID], "scope = \"session\"");
    let house = room.house();
    let (mut a, _a) = room.guest(&house);
    hello(&mut a, "a", json!({}));
    let of_a = pid(&mut a);
    for _ in 0..5 {
        let (mut b, gone) = room.guest(&house);
        hello(&mut b, "b", json!({}));
        pid(&mut b);
        gone.detach();
    }
    assert_eq!(a.status()["sessions"].as_array().unwrap().len(), 1);
    wait_until("only its own process is left", || {
        let shown = a.call("bridge_connections", json!({}))["result"]["structuredContent"].take();
        shown["connections"].as_array().unwrap().len() == 1
    });
    assert_eq!((pid(&mut a), room.pids("count").len()), (of_a, 6));
}
