//! A server does not start: the call says why, and nobody else waits for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::said::{OWN, echoed, fault, kind, names, text};
use crate::support::{Bridge, Room, fake_server, wait_until};

/// A call to a server that is parked takes no longer than this, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Servers that cannot start, each in its own way, beside one that can.
fn broken() -> Room {
    let room = Room::new();
    std::fs::write(room.path("text"), "no program").unwrap();
    let entry = |name: &str, keys: &str| format!("[servers.{name}]\n{keys}\n");
    let fake =
        |script: &str| format!("command = {}\nargs = [\"-e\", {}]", json!(fake_server()), json!(script));
    let config = [
        entry("missing", "command = \"no-such-command-here\""),
        entry("text", "command = \"$ROOM/text\""),
        entry("folder", "command = \"sh\"\ncwd = \"$ROOM/nowhere\""),
        entry("variable", "command = \"sh\"\nenv = { TOKEN = \"${env:NOT_SET_ANYWHERE}\" }"),
        entry("exits", &fake("on start: stderr no licence; exit 4")),
        entry("hangs", &format!("{}\nstart_timeout_s = 1", fake("on initialize: hang"))),
        entry(
            "speaks_http",
            &format!("{}\nstart_timeout_s = 1", fake("on initialize: garbage HTTP/1.1 400; hang")),
        ),
        entry("refuses", &fake("on initialize: error -32000 not you")),
        entry("nonsense", &format!("{}\nstart_timeout_s = 1", fake("on initialize: reply 7"))),
        entry("good", &fake("on tools/call: echo")),
    ];
    room.config("broken.toml", &config.concat())
}

#[test]
fn a_call_to_a_server_that_cannot_start_says_why() {
    let room = broken();
    let mut bridge = room.start();
    bridge.initialize();
    check(&mut bridge, "missing", "not_found", "no-such-command-here");
    check(&mut bridge, "text", "not_executable", "may not be executed");
    check(&mut bridge, "folder", "not_found", "nowhere does not exist");
    check(&mut bridge, "variable", "not_found", "NOT_SET_ANYWHERE");
    let exits = check(&mut bridge, "exits", "exited_before_ready", "exit code 4");
    assert_eq!((&fault(&exits)["exitCode"], &fault(&exits)["stderr"]), (&json!(4), &json!(["no licence"])));
    check(&mut bridge, "hangs", "too_slow", "after 1 s");
    let http = check(&mut bridge, "speaks_http", "protocol_garbage", "HTTP/1.1 400");
    assert_eq!(fault(&http)["stderr"], json!(["[stdout] HTTP/1.1 400"]));
    check(&mut bridge, "refuses", "protocol_garbage", "code -32000");
    check(&mut bridge, "nonsense", "protocol_garbage", "handshake");
    assert_eq!(echoed(&bridge.call("good__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    let outcomes = "SELECT DISTINCT outcome FROM tool_calls WHERE server <> 'good'";
    assert_eq!(bridge.rows(outcomes), [["unavailable"]]);
}

#[test]
fn a_server_that_refuses_initialize_and_ignores_everything_else_is_told_by_its_refusal() {
    let script = ["on initialize: error -32000 no licence", "on server/discover: hang"];
    let room = Room::new().server_with("s", &script, "start_timeout_s = 4");
    let mut bridge = room.start();
    bridge.initialize();
    check(&mut bridge, "s", "protocol_garbage", "code -32000");
}

#[track_caller]
fn check(bridge: &mut Bridge, server: &str, cause: &str, words: &str) -> Value {
    let answer = bridge.call(&format!("{server}__echo"), json!({}));
    let fault = fault(&answer);
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!((&fault["kind"], &fault["cause"]), (&json!("unavailable"), &json!(cause)), "{answer}");
    let lasts = ["not_found", "not_executable"].contains(&cause);
    assert_eq!(fault["retryable"], !lasts, "{answer}");
    assert!(fault["retryAfterMs"].is_u64(), "{answer}");
    let said = text(&answer);
    assert!(said.contains(words) && said.contains("The call was not sent."), "{said}");
    answer
}

#[test]
fn broken_servers_hide_no_other_and_hold_up_no_list() {
    let room = broken();
    let mut bridge = room.start();
    bridge.initialize();
    let before = Instant::now();
    let list = bridge.ask("tools/list", &json!({}));
    // The slowest of them gives up after 1 s, and a list may wait for 20 s.
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    assert_eq!(names(&list), [&OWN[..], &["good__echo"]].concat());
    let status = bridge.status();
    let state = |name: &str| {
        let servers = status["servers"].as_array().unwrap();
        servers.iter().find(|server| server["name"] == name).unwrap()["state"].clone()
    };
    for lasting in ["missing", "text", "folder", "variable"] {
        assert_eq!(state(lasting), "parked", "{lasting} would fail in the same way again");
    }
    assert_eq!(state("good"), "ready");
    assert_eq!(echoed(&bridge.call("good__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
}

#[test]
fn so_many_failures_in_a_short_while_park_a_server() {
    let room =
        Room::new().setting("failure_threshold = 3").server("s", &["count $ROOM/count", "on start: exit 1"]);
    let mut bridge = room.start();
    bridge.initialize();
    for _ in 0..3 {
        assert_eq!(kind(&bridge.call("s__echo", json!({}))), "unavailable");
    }
    let before = Instant::now();
    let refused = bridge.call("s__echo", json!({}));
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    assert!(fault(&refused)["retryAfterMs"].as_u64().unwrap() > 50_000, "{refused}");
    assert_eq!(bridge.status()["servers"][0]["state"], "parked");
    assert_eq!(room.pids("count").len(), 3, "a parked server is not started");
    let events = bridge.rows("SELECT event FROM server_events ORDER BY id");
    let events: Vec<_> = events.iter().map(|row| row[0].as_str().unwrap()).collect();
    let expected = ["start", "exit", "rest", "restart", "exit", "rest", "restart", "exit", "parked"];
    assert_eq!(events, expected);
}

#[test]
fn a_start_that_failed_is_not_repeated_before_somebody_asks() {
    let room = Room::new()
        .server("s", &["count $ROOM/count", "on start: exit 1"])
        .server("clock", &["on tools/call: sleep 700"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("clock__echo", json!({}));
    assert_eq!(kind(&bridge.call("s__echo", json!({}))), "unavailable");
    // Longer than the rest after a first failure.
    bridge.call("clock__echo", json!({}));
    assert_eq!(room.pids("count").len(), 1);
}

#[test]
fn the_first_call_after_a_parking_is_the_probe_that_brings_the_server_back() {
    let room = Room::new()
        .setting("failure_threshold = 1\nrecovery_timeout_s = 1")
        .server("s", &["on start: once $ROOM/failed exit 1"])
        .server("clock", &["on tools/call: sleep 1200"]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(kind(&bridge.call("s__echo", json!({}))), "unavailable");
    let refused = bridge.call("s__echo", json!({}));
    assert!(fault(&refused)["retryAfterMs"].as_u64().unwrap() <= 1000, "{refused}");
    bridge.call("clock__echo", json!({}));
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
}

#[test]
fn only_so_many_servers_start_side_by_side() {
    let slow = &["on initialize: sleep 150"];
    let mut room = Room::new().setting("max_cold_starts = 1");
    for name in ["a", "b", "c", "d"] {
        room = room.server(name, slow);
    }
    let mut bridge = room.start();
    bridge.initialize();
    let tools = bridge.ask("tools/list", &json!({}))["result"]["tools"].to_string();
    assert!(["a__echo", "b__echo", "c__echo", "d__echo"].iter().all(|tool| tools.contains(tool)), "{tools}");
    let all = "SELECT event FROM server_events WHERE event IN ('start', 'ready') ORDER BY id";
    wait_until("all are ready", || bridge.rows(all).len() == 8);
    let events = bridge.rows(all).concat();
    for pair in events.chunks(2) {
        assert_eq!(pair, ["start", "ready"], "one at a time: {events:?}");
    }
}

#[test]
fn a_warm_server_is_started_with_the_first_list() {
    let room = Room::new()
        .server_with("warm", &["count $ROOM/warm"], "warm = true")
        .server("cold", &["count $ROOM/cold"]);
    for life in 1..=2 {
        let mut bridge = room.start();
        bridge.initialize();
        bridge.ask("tools/list", &json!({}));
        // The second bridge knows the list, and starts nobody for it.
        wait_until("the warm server is started", || room.pids("warm").len() == life);
    }
    assert_eq!(room.pids("cold").len(), 1);
}

#[test]
fn a_start_that_hangs_holds_up_no_other_for_long() {
    let room = Room::new()
        .setting("max_cold_starts = 1")
        .server("hangs", &["count $ROOM/hangs", "on initialize: hang"])
        .server("well", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.begin_call("hangs__echo", json!({}));
    wait_until("it hangs", || room.pids("hangs").len() == 1);
    // Long before the other's start_timeout_s is over.
    assert_eq!(echoed(&bridge.call("well__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!(room.pids("hangs").len(), 1);
}
