//! A server dies: what the calls inside it hear, how soon it is back, and that nobody else notices.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::said::{echoed, fault, kind, text};
use crate::support::{Room, alive, send_signal, wait_for, wait_until};

/// The first rest after a death: 250 ms ± 20 %.
const REST_MAX: Duration = Duration::from_millis(300);

/// What a busy machine may add to any span of time.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn a_call_inside_a_dying_server_hears_how_it_died_and_what_it_said_last() {
    let room = Room::new().server("s", &["on tools/call: stderr going down; stderr \u{1b}[31mnow; exit 3"]);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", json!({}));
    assert_eq!(answer["result"]["isError"], true);
    let said = text(&answer);
    assert!(said.contains("exit code 3") && said.contains("going down\nnow"), "{said}");
    let fault = fault(&answer);
    assert_eq!(fault["kind"], "outcome_unknown");
    assert_eq!(fault["cause"], "crashed");
    assert_eq!((&fault["server"], &fault["tool"]), (&json!("s"), &json!("echo")));
    assert_eq!((&fault["exitCode"], &fault["signal"]), (&json!(3), &json!(null)));
    assert_eq!(fault["stderr"], json!(["going down", "now"]));
    assert_eq!(fault["retryable"], false);
    let row =
        format!("SELECT outcome, error_kind FROM tool_calls WHERE id = {}", fault["call"].as_str().unwrap());
    assert_eq!(bridge.rows(&row), [[json!("outcome_unknown"), json!("crashed")]]);
}

#[test]
fn a_server_that_a_signal_ends_is_told_by_its_signal() {
    let room = Room::new().server("s", &["on tools/call: signal 9"]);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", json!({}));
    assert_eq!(kind(&answer), "outcome_unknown");
    assert_eq!((&fault(&answer)["exitCode"], &fault(&answer)["signal"]), (&json!(null), &json!(9)));
    assert!(text(&answer).contains("signal 9"));
}

#[test]
fn the_other_servers_do_not_notice_a_death() {
    let room = Room::new()
        .server("bad", &["on tools/call: exit 3"])
        .server("good", &["count $ROOM/good", "on tools/call slow: sleep 400"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("good__echo", json!({}));
    let slow = bridge.begin_call("good__slow", json!({ "n": 7 }));
    assert_eq!(kind(&bridge.call("bad__echo", json!({}))), "outcome_unknown");
    assert_eq!(echoed(&bridge.call("good__echo", json!({ "n": 8 }))), &json!({ "n": 8 }));
    assert_eq!(echoed(&bridge.answer_to(slow)), &json!({ "n": 7 }));
    assert_eq!(room.pids("good").len(), 1, "it was started once");
}

#[test]
fn the_next_call_after_a_death_starts_the_server_again_and_succeeds() {
    let room = Room::new().server("s", &["on tools/call: once $ROOM/died exit 3"]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(kind(&bridge.call("s__echo", json!({}))), "outcome_unknown");
    let before = Instant::now();
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "again": true }))), &json!({ "again": true }));
    let took = before.elapsed();
    let ready = "SELECT elapsed_ms FROM server_events WHERE event = 'ready' ORDER BY id DESC LIMIT 1";
    let own_start = wait_for("its start is a row", || bridge.rows(ready).first()?.first()?.as_u64());
    assert!(took < REST_MAX + Duration::from_millis(own_start) + SLACK, "{took:?} after {own_start} ms");
    let events = bridge.rows("SELECT event, exit_code FROM server_events ORDER BY id");
    let events: Vec<_> = events.iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "ready", "exit", "rest", "restart", "ready"]);
}

#[test]
fn many_calls_into_a_server_that_is_slow_to_start_are_all_answered_right() {
    let room = Room::new().server("s", &["count $ROOM/count", "on initialize: sleep 3000"]);
    let mut bridge = room.start();
    bridge.initialize();
    let ids: Vec<u64> = (0..64).map(|n| bridge.begin_call("s__echo", json!({ "n": n }))).collect();
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(echoed(&bridge.answer_to(id)), &json!({ "n": n }));
    }
    assert_eq!(room.pids("count").len(), 1, "one start serves them all");
}

#[test]
fn a_death_between_two_calls_costs_no_call() {
    const SERVERS: usize = 8;
    let room = (0..SERVERS)
        .fold(Room::new(), |room, n| room.server(&format!("s{n}"), &[&format!("count $ROOM/count{n}")]));
    let mut bridge = room.start();
    bridge.initialize();
    for n in 0..SERVERS {
        let tool = format!("s{n}__echo");
        bridge.call(&tool, json!({}));
        let pid = room.pids(&format!("count{n}"))[0];
        send_signal(pid, Signal::KILL);
        wait_until("the server is dead", || !alive(pid));
        // At once: the bridge may not have noticed yet.
        let answer = bridge.call(&tool, json!({ "n": n }));
        assert_eq!(echoed(&answer), &json!({ "n": n }), "{answer}");
    }
}

#[test]
fn a_request_that_was_never_written_is_sent_to_the_next_life_of_the_server() {
    let room = Room::new().server("s", &["count $ROOM/count", "record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let pid = room.pids("count")[0];
    // It reads no more, and the first request is more than its pipe holds.
    send_signal(pid, Signal::STOP);
    let first = bridge.begin_call("s__echo", json!({ "first": "x".repeat(4_000_000) }));
    let second = bridge.begin_call("s__echo", json!({ "second": 2 }));
    let open = "SELECT count(*) FROM tool_calls WHERE outcome IS NULL";
    wait_until("both calls are under way", || bridge.rows(open)[0][0] == 2);
    send_signal(pid, Signal::KILL);
    assert_eq!(kind(&bridge.answer_to(first)), "outcome_unknown");
    assert_eq!(echoed(&bridge.answer_to(second)), &json!({ "second": 2 }));
    assert_eq!(room.text("record").matches("\"second\"").count(), 1);
    assert_eq!(room.pids("count").len(), 2);
}

#[test]
fn a_tool_that_may_be_called_twice_is_called_again_where_its_server_is_trusted() {
    let script = [
        r#"tool read {"annotations":{"readOnlyHint":true}}"#,
        r#"tool same {"annotations":{"idempotentHint":true}}"#,
        r#"tool write {"annotations":{"readOnlyHint":false}}"#,
        "record $ROOM/record",
        "on tools/call read: once $ROOM/read exit 3",
        "on tools/call same: once $ROOM/same exit 3",
        "on tools/call write: once $ROOM/write exit 3",
    ];
    let check = |more: &str, again: [bool; 3]| {
        let room = Room::new().server_with("s", &script, more);
        let mut bridge = room.start();
        bridge.initialize();
        for (tool, again) in ["read", "same", "write"].into_iter().zip(again) {
            let answer = bridge.call(&format!("s__{tool}"), json!({ "n": 1 }));
            match again {
                true => assert_eq!(echoed(&answer), &json!({ "n": 1 }), "{tool}"),
                false => assert_eq!(kind(&answer), "outcome_unknown", "{tool}"),
            }
        }
        let sent = 3 + again.into_iter().filter(|again| *again).count();
        assert_eq!(room.recorded("record", "tools/call").len(), sent);
        assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls")[0][0], 3);
    };
    check("trust_annotations = true", [true, true, false]);
    check("", [false; 3]);
}

#[test]
fn a_tool_is_called_again_only_once() {
    let script = [r#"tool read {"annotations":{"readOnlyHint":true}}"#, "on tools/call read: exit 3"];
    let room = Room::new().server_with("s", &script, "trust_annotations = true");
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(kind(&bridge.call("s__read", json!({}))), "outcome_unknown");
}

#[test]
fn a_server_that_stops_reading_ends_its_calls_long_before_their_deadline() {
    // It shakes hands, lists nothing, and closes its input.
    let server = r#"read l; echo '{"jsonrpc":"2.0","id":1099511627776,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}}'; read l; read l; echo '{"jsonrpc":"2.0","id":1099511627777,"result":{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}}'; exec 0<&-; sleep 60"#;
    let entry = format!("[servers.s]\ncommand = \"sh\"\nargs = [\"-c\", {}]\n", json!(server));
    let room = Room::new().config("deaf.toml", &entry);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__t", json!({}));
    assert!(["unavailable", "outcome_unknown"].contains(&kind(&answer)), "{answer}");
    assert!(text(&answer).contains("input"), "{answer}");
}

#[test]
fn a_server_that_dies_while_it_lists_its_tools_anew_is_noticed_at_once() {
    let script =
        ["tool echo", "on tools/list: sleep 400", "on tools/call die: list-changed; sleep 100; exit 5"];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let answer = bridge.call("s__die", json!({}));
    assert_eq!((kind(&answer), &fault(&answer)["exitCode"]), ("outcome_unknown", &json!(5)));
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
}
