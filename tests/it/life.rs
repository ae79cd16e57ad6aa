//! The life of a server is told: what it does, since when and why, in its status, in the record and in the log.

use serde_json::{Value, json};

use crate::said::{echoed, kind, text};
use crate::support::{Bridge, Room, wait_until};

#[track_caller]
fn check(bridge: &mut Bridge, name: &str, state: &str, breaker: &str, because: &str) {
    let server = bridge.server(name);
    assert_eq!((&server["state"], &server["breaker"]), (&json!(state), &json!(breaker)), "{server}");
    let said = server["because"].as_str().unwrap();
    assert!(said.starts_with(because), "{server}");
    let since = server["since"].as_str().unwrap();
    assert!(since.ends_with('Z') && since.contains('T'), "{server}");
    let status = bridge.call("bridge_status", json!({}));
    let line = text(&status).lines().find(|line| line.starts_with(&format!("- {name}: "))).unwrap();
    assert!(line.contains(&format!("{state} since {since}")) && line.contains(because), "{line}");
    assert_eq!(line.contains("its breaker is open"), breaker == "open", "{line}");
}

fn rows(room: &Room, server: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT event, reason FROM server_events WHERE server = '{server}' ORDER BY id");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    room.rows(&sql).iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
}

#[test]
fn every_state_says_since_when_and_why_and_every_change_is_a_row() {
    let room = Room::new()
        .server("idle", &[])
        .server("slow", &["record $ROOM/record", "on initialize: hang"])
        .server("good", &[])
        .server("falls", &["tool die", "on tools/call die: once $ROOM/died exit 3"])
        .server("broken", &["on start: exit 4"])
        .setting("failure_threshold = 2");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.begin_call("slow__echo", json!({}));
    room.wait_for_recorded("record", "initialize");
    bridge.call("good__echo", json!({}));
    bridge.call("falls__die", json!({}));
    for _ in 0..2 {
        assert_eq!(kind(&bridge.call("broken__echo", json!({}))), "unavailable");
    }
    check(&mut bridge, "idle", "stopped", "closed", "nobody has needed it yet");
    check(&mut bridge, "slow", "starting", "closed", "started for a request");
    check(&mut bridge, "good", "ready", "closed", "started for a request, ready after ");
    check(&mut bridge, "falls", "resting", "closed", "it ended with exit code 3");
    let broken = "it ended before it was ready (exit code 4), and has failed too often";
    check(&mut bridge, "broken", "parked", "open", broken);
    bridge.call("falls__die", json!({}));
    let again = "started again for a request, after it ended with exit code 3, ready after ";
    check(&mut bridge, "falls", "ready", "closed", again);
    assert!(bridge.end().success());
    assert_eq!(rows(&room, "idle"), []);
    let told = "the bridge stopped";
    check_rows(&room, "slow", &[("start", "started for a request"), ("exit", told)]);
    let (start, ready) = (("start", "started for a request"), ("ready", "turn after "));
    check_rows(&room, "good", &[start, ready, ("exit", told)]);
    let fell = "crashed: ended with exit code 3";
    let restart = ("restart", "started again for a request, after it ended with exit code 3");
    check_rows(
        &room,
        "falls",
        &[start, ready, ("exit", fell), ("rest", fell), restart, ready, ("exit", told)],
    );
    let failed = "exited_before_ready: ended before it was ready (exit code 4)";
    let restart =
        ("restart", "started again for a request, after it ended before it was ready (exit code 4)");
    let expected = [start, ("exit", failed), ("rest", failed), restart, ("exit", failed), ("parked", failed)];
    check_rows(&room, "broken", &expected);
}

#[track_caller]
fn check_rows(room: &Room, server: &str, expected: &[(&str, &str)]) {
    let rows = rows(room, server);
    let fits = |((event, reason), (word, why)): (&(String, String), &(&str, &str))| {
        event == word && reason.starts_with(why)
    };
    assert!(rows.len() == expected.len() && rows.iter().zip(expected).all(fits), "{rows:#?}");
}

#[test]
fn the_breaker_opens_lets_one_try_and_closes() {
    let room = Room::new()
        .setting("failure_threshold = 1\nrecovery_timeout_s = 1")
        .server("s", &["on start: once $ROOM/failed exit 1"]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(bridge.server("s")["breaker"], "closed");
    assert_eq!(kind(&bridge.call("s__echo", json!({}))), "unavailable");
    check(&mut bridge, "s", "parked", "open", "it ended before it was ready (exit code 1)");
    wait_until("its time has passed", || bridge.server("s")["breaker"] == "half_open");
    assert_eq!(bridge.server("s")["retryAfterSeconds"], 0);
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!(bridge.server("s")["breaker"], "closed");
}

#[test]
fn the_log_says_how_long_a_server_rests_and_warns_of_no_end_that_was_wanted() {
    let room = Room::new().server("s", &["on tools/call die: exit 3"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__die", json!({}));
    let line = bridge.wait_for_log("event=\"rest\"");
    assert!(line.contains("pause_ms=") && !line.contains("elapsed_ms="), "{line}");
    let line = bridge.wait_for_log("event=\"exit\"");
    assert!(line.contains(" WARN ") && line.contains("elapsed_ms="), "{line}");
    bridge.call("s__echo", json!({}));
    bridge.call("bridge_disconnect", json!({ "server": "s" }));
    let line = bridge.wait_for_log("it was disconnected");
    assert!(line.contains(" INFO ") && line.contains("event=\"exit\""), "{line}");
}

#[test]
fn a_start_tells_how_long_its_phases_took() {
    let room = Room::new()
        .setting("max_cold_starts = 1")
        .env("BRIDGE_LOG", "debug")
        .server("first", &["on initialize: sleep 200", "on tools/list: sleep 100"])
        .server("second", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    let first = bridge.begin_call("first__echo", json!({}));
    wait_until("the first has its turn", || !rows(&room, "first").is_empty());
    bridge.call("second__echo", json!({}));
    bridge.answer_to(first);
    let ready = bridge.wait_for_log("first_list_ms=");
    let ms = |line: &str, field: &str| -> u64 {
        let (_, rest) = line.split_once(&format!("{field}=")).unwrap_or_else(|| panic!("{field} in {line}"));
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(ready.contains("server=first") && ready.contains("event=\"ready\""), "{ready}");
    let phases = ["spawned_ms", "handshake_ms", "first_list_ms"].map(|field| ms(&ready, field));
    assert!(phases[1] >= phases[0] + 200 && phases[2] >= phases[1] + 100, "{ready}");
    assert_eq!(ms(&ready, "elapsed_ms"), phases[2]);
    let log = bridge.log();
    for phase in ["spawned", "handshake", "first list"] {
        let is_it = |line: &&str| line.contains("server start") && line.contains(&format!("phase={phase:?}"));
        let line = log.lines().find(is_it).unwrap_or_else(|| panic!("{phase} in {log}"));
        ms(line, "elapsed_ms");
    }
    let gate = |server: &str| -> u64 {
        let ready = rows(&room, server).into_iter().find(|(event, _)| event == "ready").unwrap().1;
        ready.strip_prefix("turn after ").unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    wait_until("both are rows", || rows(&room, "second").len() == 2);
    assert!(gate("first") < gate("second") && gate("second") >= 100, "{:?}", rows(&room, "second"));
}

#[test]
fn what_a_tool_says_and_a_client_takes_back_is_no_failure_of_the_server() {
    let script = [
        "count $ROOM/count",
        "record $ROOM/record",
        "tool echo",
        "on tools/call iserror: iserror no",
        "on tools/call error: error -32000 no",
        "on tools/call slow: hang",
    ];
    let room = Room::new().setting("failure_threshold = 1").server("s", &script);
    let mut bridge = room.start();
    bridge.initialize();
    for _ in 0..3 {
        bridge.call("s__iserror", json!({}));
        bridge.call("s__error", json!({}));
        let taken_back = bridge.begin_call("s__slow", json!({}));
        wait_until("it runs", || room.text("record").contains("\"slow\""));
        bridge.cancel(taken_back);
    }
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    let server = bridge.server("s");
    assert_eq!((&server["breaker"], &server["state"]), (&json!("closed"), &json!("ready")), "{server}");
    assert_eq!(room.pids("count").len(), 1);
}

#[test]
fn a_rest_grows_with_each_failure() {
    let room = Room::new().server("s", &["on start: exit 1"]);
    let mut bridge = room.start();
    bridge.initialize();
    for _ in 0..3 {
        assert_eq!(kind(&bridge.call("s__echo", json!({}))), "unavailable");
    }
    let rests = "SELECT elapsed_ms FROM server_events WHERE event = 'rest' ORDER BY id";
    wait_until("three rests are rows", || bridge.rows(rests).len() == 3);
    let rests = bridge.rows(rests).concat();
    for (rest, bounds) in rests.iter().zip([200..=300, 320..=480, 512..=768]) {
        assert!(bounds.contains(&rest.as_u64().unwrap()), "{rests:?}");
    }
}

#[test]
fn a_parking_is_not_stored() {
    let room =
        Room::new().setting("failure_threshold = 1").server("s", &["on start: once $ROOM/failed exit 1"]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(kind(&bridge.call("s__echo", json!({}))), "unavailable");
    assert_eq!(bridge.server("s")["state"], "parked");
    assert!(bridge.end().success());
    let mut next = room.start();
    next.initialize();
    assert_eq!(echoed(&next.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
}
