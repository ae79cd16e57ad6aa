//! End of input, a closed output and signals are one orderly stop (house.md, "Start, stop, die, come back").

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Bridge, Room, Wires, check_gone, wait_until};

/// Rows within 100 ms and servers within 400 ms is the promise; a busy machine gets some more.
const STOP_MAX: Duration = Duration::from_millis(1500);

/// A server that makes it as hard as it can be, and one that is kind.
fn hard_room() -> Room {
    Room::new()
        .server(
            "deaf",
            &[
                "ignore-term",
                "ignore-eof",
                "count $ROOM/pids",
                "on start: fork-deaf hold $ROOM/pids",
                "on tools/call hang: hang",
                "tool echo",
            ],
        )
        .server("kind", &["count $ROOM/pids", "tool echo"])
}

/// Both servers run, one call was answered on each and one is under way.
fn busy(room: &Room) -> (Bridge, Vec<u32>) {
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("deaf__echo", json!({}));
    bridge.call("kind__echo", json!({}));
    let hanging = bridge.begin_call("deaf__hang", json!({}));
    assert!(hanging > 0);
    // The open row of the hanging call: it is on its way.
    wait_until("the call is under way", || {
        bridge.rows("SELECT count(*) FROM tool_calls WHERE outcome IS NULL") == [[json!(1)]]
    });
    let pids = room.pids("pids");
    assert_eq!(pids.len(), 3, "two servers and a grandchild");
    (bridge, pids)
}

#[track_caller]
fn check_stop(wires: Wires, reasons: &[&str], stop: impl FnOnce(&mut Bridge)) {
    let room = hard_room().wires(wires);
    let (mut bridge, pids) = busy(&room);
    let before = Instant::now();
    stop(&mut bridge);
    let status = bridge.wait_exit();
    let took = before.elapsed();
    check_gone(&pids);
    assert!(took < STOP_MAX, "it took {took:?}");
    assert!(status.success(), "an orderly stop is no failure: {status}");
    let session =
        room.rows("SELECT close_reason, closed_at IS NOT NULL, tool_calls FROM mcp_sessions").concat();
    assert!(reasons.iter().any(|reason| session[0] == *reason), "{session:?} is none of {reasons:?}");
    assert_eq!(session[1..], [json!(1), json!(3)]);
    assert_eq!(
        room.rows("SELECT tool, outcome, error_kind FROM tool_calls ORDER BY id"),
        [
            [json!("echo"), json!("ok"), json!(null)],
            [json!("echo"), json!("ok"), json!(null)],
            [json!("hang"), json!("outcome_unknown"), json!("bridge_stopped")],
        ]
    );
}

#[test]
fn the_end_of_input_stops_everything() {
    check_stop(Wires::Pipes, &["end_of_input"], Bridge::close_stdin);
}

#[test]
fn the_end_of_a_socket_stops_everything() {
    check_stop(Wires::Sockets, &["end_of_input"], Bridge::close_stdin);
}

#[test]
fn sigint_stops_everything() {
    check_stop(Wires::Pipes, &["sigint"], |bridge| bridge.signal(Signal::INT));
}

#[test]
fn sigterm_stops_everything() {
    check_stop(Wires::Sockets, &["sigterm"], |bridge| bridge.signal(Signal::TERM));
}

#[test]
fn sighup_stops_everything() {
    check_stop(Wires::Pipes, &["sighup"], |bridge| bridge.signal(Signal::HUP));
}

#[track_caller]
fn check_closed_output(wires: Wires) {
    let room = Room::new().server("s", &["count $ROOM/pids"]).wires(wires).read_later();
    let mut bridge = room.start();
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    bridge.send(hello);
    bridge.begin_call("s__echo", json!({}));
    wait_until("the server runs", || room.pids("pids").len() == 1);
    bridge.close_stdout();
    assert!(bridge.wait_exit().success());
    check_gone(&room.pids("pids"));
    assert_eq!(room.rows("SELECT close_reason FROM mcp_sessions"), [["output_closed"]]);
    bridge.wait_for_log("client does not read any more");
}

#[test]
fn a_closed_output_stops_everything_though_the_input_is_open() {
    check_closed_output(Wires::Pipes);
}

#[test]
fn a_closed_socket_for_output_stops_everything() {
    check_closed_output(Wires::Sockets);
}

#[test]
fn a_stopped_call_is_still_answered() {
    let room = hard_room();
    let (mut bridge, _pids) = busy(&room);
    bridge.signal(Signal::TERM);
    let line = loop {
        let line = bridge.recv();
        if line["method"].is_null() {
            break line;
        }
    };
    assert_eq!(line["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{line}");
    assert!(bridge.wait_exit().success());
}

#[test]
fn a_second_signal_ends_at_once() {
    let room = hard_room();
    let (mut bridge, pids) = busy(&room);
    bridge.signal(Signal::INT);
    wait_until("the first is heard", || room.rows("SELECT close_reason FROM mcp_sessions") == [["sigint"]]);
    bridge.signal(Signal::TERM);
    assert_eq!(bridge.wait_exit().code(), Some(128 + 15));
    check_gone(&pids);
}

/// Claude Code sends SIGINT, SIGTERM after 104 ms and SIGKILL after 510 ms, and does not close stdin.
#[test]
fn claude_codes_ladder_leaves_rows_and_no_process() {
    let room = hard_room().wires(Wires::Sockets);
    let (mut bridge, pids) = busy(&room);
    let start = Instant::now();
    for (after, signal) in [(0, Signal::INT), (104, Signal::TERM), (510, Signal::KILL)] {
        // Time is the subject here.
        std::thread::sleep(Duration::from_millis(after).saturating_sub(start.elapsed()));
        bridge.signal(signal);
    }
    let status = bridge.wait_exit();
    assert_ne!(status.signal(), Some(9), "it was gone before SIGKILL came");
    check_gone(&pids);
    assert_eq!(room.rows("SELECT close_reason FROM mcp_sessions"), [["sigint"]]);
    assert_eq!(
        room.rows("SELECT outcome FROM tool_calls ORDER BY id"),
        [["ok"], ["ok"], ["outcome_unknown"]]
    );
}

#[test]
fn a_stop_while_a_server_starts_leaves_nothing() {
    let room = Room::new().server(
        "s",
        &[
            "ignore-term",
            "ignore-eof",
            "count $ROOM/pids",
            "on start: fork-deaf $ROOM/pids",
            "on initialize: hang",
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.begin_call("s__echo", json!({}));
    wait_until("server and grandchild run", || room.pids("pids").len() == 2);
    bridge.close_stdin();
    assert!(bridge.wait_exit().success());
    check_gone(&room.pids("pids"));
    assert_eq!(room.rows("SELECT close_reason FROM mcp_sessions"), [["end_of_input"]]);
}

#[test]
fn stdin_and_stdout_may_be_files() {
    let room = Room::new();
    let (stdin, stdout) = (room.path("in"), room.path("out"));
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"bridge_status"}}"#,
    ];
    std::fs::write(&stdin, lines.join("\n") + "\n").unwrap();
    let room = room.wires(Wires::Files { stdin, stdout });
    assert!(room.start().wait_exit().success());
    let answers = room.text("out");
    let mut ids: Vec<u64> = answers
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4], "each request is answered once: {answers}");
    assert_eq!(room.rows("SELECT close_reason FROM mcp_sessions"), [["end_of_input"]]);
}

#[test]
fn requests_that_are_written_and_then_closed_are_answered() {
    let room = Room::new().server("s", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let ids: Vec<u64> = (0..20).map(|n| bridge.begin_call("s__echo", json!({ "n": n }))).collect();
    bridge.close_stdin();
    for id in ids {
        bridge.answer_to(id);
    }
    assert!(bridge.wait_exit().success());
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls WHERE outcome IS NOT NULL"), [[json!(21)]]);
}

#[test]
fn a_client_that_was_never_there_leaves_no_row() {
    let room = Room::new();
    assert!(room.start().end().success());
    assert_eq!(room.rows("SELECT count(*) FROM mcp_sessions"), [[json!(0)]]);
}

#[test]
fn a_bridge_that_stops_while_another_starts_is_not_taken_for_crashed() {
    const TURNS: usize = 25;
    let room = Room::new();
    let mut first = room.start();
    first.initialize();
    for _ in 0..TURNS {
        let mut next = room.start();
        // Both at once: one closes its row while the other looks for the dead.
        first.close_stdin();
        next.initialize();
        assert!(first.wait_exit().success());
        first = next;
    }
    assert!(first.end().success());
    let reasons = room.rows("SELECT close_reason, count(*) FROM mcp_sessions GROUP BY close_reason");
    assert_eq!(reasons, [[json!("end_of_input"), json!(TURNS + 1)]]);
}

/// What a client sends that a server takes its time over.
#[track_caller]
fn check_stop_amid(script: &[&str], begin: impl FnOnce(&Room, &mut Bridge) -> u64) {
    let room = Room::new().server("s", &[&["record $ROOM/record", "resource r://1"], script].concat());
    let mut bridge = room.start();
    let id = begin(&room, &mut bridge);
    let before = Instant::now();
    bridge.close_stdin();
    let answer = bridge.answer_to(id);
    assert_eq!(answer["error"]["data"]["kind"], "unavailable", "{answer}");
    assert!(bridge.wait_exit().success());
    let took = before.elapsed();
    assert!(took < STOP_MAX, "it took {took:?}");
    let closed = room.rows("SELECT close_reason, closed_at IS NOT NULL FROM mcp_sessions");
    assert_eq!(closed, [[json!("end_of_input"), json!(1)]]);
}

#[test]
fn a_stop_does_not_wait_for_a_server_that_is_being_told_what_to_tell() {
    // The bridge's first subscription is acknowledged, the next one is not.
    let modern = concat!(
        "on subscriptions/listen: once $ROOM/listened notify ",
        r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","#,
        r#""params":{"_meta":{"io.modelcontextprotocol/subscriptionId":$ID},"notifications":{}}}; hang"#
    );
    let asked_again = |room: &Room| {
        wait_until("the server is asked", || room.recorded("record", "subscriptions/listen").len() == 2);
    };
    check_stop_amid(&["era modern", modern], |room, bridge| {
        bridge.initialize();
        bridge.ask("tools/list", &json!({}));
        let id = bridge.request("resources/subscribe", &json!({ "uri": "r://1" }));
        asked_again(room);
        id
    });
    check_stop_amid(&["era modern", modern], |room, bridge| {
        bridge.modern("tools/list", json!({}));
        let wants = json!({ "resourceSubscriptions": ["r://1"] });
        let id = bridge.modern_request("subscriptions/listen", json!({ "notifications": wants }));
        asked_again(room);
        id
    });
    check_stop_amid(&["on logging/setLevel: hang"], |room, bridge| {
        bridge.initialize();
        bridge.call("s__echo", json!({}));
        let id = bridge.request("logging/setLevel", &json!({ "level": "error" }));
        room.wait_for_recorded("record", "logging/setLevel");
        id
    });
}
