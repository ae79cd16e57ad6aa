//! The bridge comes back after a crash: it closes what its dead left open, and nothing of the living.

use std::process::Output;

use serde_json::{Value, json};

use crate::said::echoed;
use crate::support::{Bridge, Room, wait_until};

/// A room in which a bridge was killed with three calls under way, in two sessions.
fn crashed() -> (Room, Vec<String>) {
    let room = Room::new().server("s", &["on tools/call hang: hang", "on tools/call slow: sleep 800"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    bridge.modern("tools/call", json!({ "name": "s__echo" }));
    bridge.begin_call("s__hang", json!({}));
    bridge.begin_call("s__hang", json!({}));
    bridge.modern_request("tools/call", json!({ "name": "s__hang" }));
    let open = "SELECT count(*) FROM tool_calls WHERE outcome IS NULL";
    wait_until("three calls run", || bridge.rows(open)[0][0] == 3);
    let ids = bridge.rows("SELECT id FROM mcp_sessions ORDER BY id");
    bridge.kill_9();
    (room, ids.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect())
}

fn sessions(room: &Room, args: &[&str]) -> Value {
    let args: Vec<&str> = ["sessions", "--json"].iter().chain(args).copied().collect();
    let Output { stdout, status, .. } = room.command(&args).output().unwrap();
    assert!(status.success());
    serde_json::from_slice(&stdout).unwrap()
}

#[track_caller]
fn states(room: &Room) -> Vec<String> {
    let sessions = sessions(room, &[]);
    let states =
        sessions.as_array().unwrap().iter().map(|session| session["state"].as_str().unwrap().to_owned());
    states.collect()
}

#[test]
fn a_start_after_a_crash_says_once_what_was_lost() {
    let (room, ids) = crashed();
    assert_eq!(ids.len(), 2);
    let bridge = room.start();
    let line = bridge.wait_for_log("recovered after a crash");
    assert!(line.contains("sessions=2") && line.contains("calls=3"), "{line}");
    assert!(ids.iter().all(|id| line.contains(id)), "{ids:?} in {line}");
    assert!(
        line.contains("it") && line.contains("modern-it") && line.contains("have to reconnect"),
        "{line}"
    );
    let calls = "SELECT outcome, error_kind, count(*) FROM tool_calls GROUP BY 1, 2 ORDER BY 1";
    let expected = json!([["ok", null, 2], ["outcome_unknown", "bridge_crashed", 3]]);
    assert_eq!(json!(bridge.rows(calls)), expected);
    assert_eq!(bridge.rows("SELECT sum(calls), sum(errors) FROM call_totals"), [[5, 3]]);
    let closed =
        "SELECT count(*) FROM mcp_sessions WHERE close_reason = 'crashed' AND closed_at = last_active";
    assert_eq!(bridge.rows(closed), [[2]]);
    assert!(bridge.end().success());
    let mut next = room.start();
    next.initialize();
    next.status();
    assert!(!next.log().contains("recovered"), "{}", next.log());
}

#[test]
fn a_crashed_session_is_shown_as_crashed_before_and_after_the_recovery() {
    let (room, _) = crashed();
    assert_eq!(states(&room), ["crashed", "crashed"], "nobody has recovered anything yet");
    assert_eq!(sessions(&room, &["--active"]), json!([]));
    room.start().wait_for_log("recovered after a crash");
    assert_eq!(states(&room), ["crashed", "crashed"]);
    let screen = room.command(&["sessions"]).output().unwrap();
    assert_eq!(String::from_utf8(screen.stdout).unwrap().matches("crashed").count(), 2);
}

#[test]
fn a_living_sibling_stays_untouched() {
    let (room, dead) = crashed();
    let mut sibling = room.start();
    sibling.initialize();
    sibling.wait_for_log("recovered after a crash");
    let slow = sibling.begin_call("s__slow", json!({ "n": 1 }));
    let open = "SELECT count(*) FROM tool_calls WHERE outcome IS NULL";
    wait_until("its call runs", || sibling.rows(open)[0][0] == 1);
    crash_another(&room);
    let newcomer = room.start();
    let line = newcomer.wait_for_log("recovered after a crash");
    assert!(line.contains("sessions=1") && line.contains("calls=0"), "{line}");
    let active = sessions(&room, &["--active"]);
    assert_eq!((active.as_array().unwrap().len(), &active[0]["pid"]), (1, &json!(sibling.pid())));
    assert_eq!(echoed(&sibling.answer_to(slow)), &json!({ "n": 1 }));
    let row = "SELECT outcome FROM tool_calls WHERE tool = 'slow'";
    assert_eq!(sibling.rows(row), [["ok"]]);
    assert_eq!(states(&room).iter().filter(|state| *state == "crashed").count(), dead.len() + 1);
}

fn crash_another(room: &Room) {
    let mut bridge = room.start();
    bridge.initialize();
    bridge.status();
    bridge.kill_9();
}

#[test]
fn of_many_that_start_at_once_after_a_crash_one_tells_of_it() {
    let (room, _) = crashed();
    let mut bridges: Vec<Bridge> = (0..4).map(|_| room.start()).collect();
    for bridge in &mut bridges {
        bridge.initialize();
        bridge.status();
    }
    let told = |bridge: &&Bridge| bridge.log().contains("recovered after a crash");
    wait_until("one tells of it", || bridges.iter().filter(told).count() > 0);
    bridges.iter_mut().for_each(|bridge| drop(bridge.status()));
    assert_eq!(bridges.iter().filter(told).count(), 1);
    assert_eq!(room.rows("SELECT sum(calls) FROM call_totals WHERE server = 's'"), [[5]]);
    assert_eq!(states(&room).iter().filter(|state| *state == "active").count(), 4);
}
