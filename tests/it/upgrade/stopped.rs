//! `bridge stop` and `bridge start`, and what a signal does.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{does, echo, is_ok};
use crate::front::Hubs;
use crate::support::{Room, alive, send_signal, wait_until};

#[test]
fn a_hub_that_was_stopped_comes_back_with_the_next_request() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let old = hubs.pid();
    let said = does(&room, &["stop"]);
    assert!(said.starts_with(&format!("hub {old} has ended; ")), "{said}");
    wait_until("it is gone", || !alive(old));
    assert_eq!(bridge.ask("ping", &json!({}))["result"], json!({}));
    assert_eq!(room.run(&["stop"]).0, Some(1), "a ping starts no hub");
    is_ok(&mut bridge, "second");
    assert_ne!(hubs.pid(), old);
    assert!(bridge.end().success());
    let sessions = || room.rows("SELECT close_reason, tool_calls FROM mcp_sessions");
    wait_until("it was one session", || sessions() == [[json!("end_of_input"), json!(2)]]);
}

#[test]
fn a_client_that_goes_while_no_hub_runs_has_not_crashed() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    does(&room, &["stop"]);
    assert!(bridge.end().success());
    let said = room.said(&["sessions"]);
    assert!(said.contains("end_of_input"), "{said}");
    let mut next = room.start();
    next.initialize();
    let closed = || room.rows("SELECT close_reason FROM mcp_sessions WHERE closed_at IS NOT NULL");
    wait_until("the next hub closes it", || closed() == [[json!("end_of_input")]]);
    assert!(!room.text("data/logs/hub.log").contains("recovered after a crash"));
    drop(hubs);
}

#[test]
fn a_hold_lasts_until_bridge_start() {
    let room = echo();
    let _hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    let tools = bridge.ask("tools/list", &json!({}));
    is_ok(&mut bridge, "first");
    let said = does(&room, &["stop", "--hold"]);
    assert!(said.contains("; bridge start starts it again"), "{said}");
    let refused = bridge.call("s__echo", json!({}));
    assert_eq!(refused["result"]["_meta"]["bridge/error"]["kind"], "unavailable", "{refused}");
    assert!(refused.to_string().contains("`bridge start`"), "{refused}");
    assert_eq!(bridge.ask("tools/list", &json!({}))["result"], tools["result"]);
    assert_eq!(bridge.ask("ping", &json!({}))["result"], json!({}));
    // One that starts now comes up, and says why it does not serve.
    let mut late = room.start();
    let refused = late.ask("initialize", &json!({}));
    assert!(refused["error"]["message"].as_str().unwrap().contains("`bridge start`"), "{refused}");
    // A hub that somebody starts all the same, and an upgrade, change nothing.
    assert_eq!(room.run(&["hub"]).0, Some(0));
    let (code, _, stderr) = room.run(&["upgrade"]);
    assert!(code == Some(1) && stderr.contains("`bridge start`"), "{stderr}");
    let said = does(&room, &["stop", "--hold"]);
    assert!(said.starts_with("no hub runs; "), "{said}");
    let said = does(&room, &["start"]);
    assert!(said.starts_with("the hold is lifted\nhub "), "{said}");
    is_ok(&mut bridge, "second");
    late.initialize();
    is_ok(&mut late, "third");
    assert!(does(&room, &["start"]).ends_with(" serves already\n"));
    let outcomes = || room.rows("SELECT outcome, count(*) FROM tool_calls GROUP BY 1 ORDER BY 1");
    wait_until("the refused one has a row", || {
        outcomes() == [[json!("ok"), json!(3)], [json!("unavailable"), json!(1)]]
    });
}

#[test]
fn a_long_call_is_waited_for_and_holds_nobody_up() {
    let room =
        Room::new().server("s", &["tool slow", "on tools/call slow: sleep 3000", "tool echo"]).through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let old = hubs.pid();
    let slow = bridge.begin_call("s__slow", json!({}));
    wait_until("it runs", || {
        room.rows("SELECT count(*) FROM tool_calls WHERE outcome IS NULL") == [[json!(1)]]
    });
    let stopping = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| does(&room, &["stop"]));
        wait_until("the hub hears of it", || room.text("data/logs/hub.log").contains("asked to stop"));
        let asked = Instant::now();
        is_ok(&mut bridge, "in between");
        assert!(asked.elapsed() < Duration::from_millis(2_500), "{:?}", asked.elapsed());
        let answer = bridge.answer_to(slow);
        assert!(answer["result"]["isError"] != true, "{answer}");
        stopping.join().unwrap()
    });
    assert!(stopping.starts_with(&format!("hub {old} has ended; ")), "{stopping}");
    assert_eq!(room.rows("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), [[json!(3)]]);
}

#[test]
fn what_is_not_done_in_time_is_told_by_the_next_hub() {
    let room = Room::new().server("s", &["record $ROOM/calls", "on tools/call: hang"]).through_hub();
    let _hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    let id = bridge.begin_call("s__echo", json!({}));
    room.wait_for_line("calls", "tools/call");
    let said = does(&room, &["stop", "--wait", "0"]);
    assert!(said.contains(" has ended, 1 request was not finished; "), "{said}");
    let answer = bridge.answer_to(id);
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{answer}");
    assert_eq!(room.recorded("calls", "tools/call").len(), 1);
    assert_eq!(room.rows("SELECT outcome FROM tool_calls"), [[json!("outcome_unknown")]]);
}

#[test]
fn with_nobody_to_stop_it_says_so() {
    let room = echo();
    let (code, stdout, stderr) = room.run(&["stop"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("error: No hub runs on "), "{stderr}");
}

#[test]
fn a_signal_ends_a_hub_under_load_and_nothing_is_lost() {
    let room = Room::new().server("s", &["on tools/call: sleep 5"]).through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    for turn in 0..5 {
        let ids: Vec<u64> = (0..64).map(|id| bridge.begin_call("s__echo", json!({ "id": id }))).collect();
        send_signal(hubs.pid(), if turn % 2 == 0 { Signal::TERM } else { Signal::INT });
        for id in ids {
            let answer = bridge.answer_to(id);
            assert!(answer["result"]["isError"] != true && answer["error"].is_null(), "{answer}");
        }
        wait_until("another one serves", || {
            room.text("data/logs/hub.log").matches("hub serving").count() > turn + 1
        });
    }
    assert_eq!(bridge.said_so_far(), Vec::<Value>::new());
    assert!(bridge.end().success());
    let ok =
        || room.rows("SELECT count(*), sum(outcome = 'ok') FROM tool_calls") == [[json!(320), json!(320)]];
    wait_until("all of it is in the record", ok);
    wait_until("it was one session", || {
        room.rows("SELECT close_reason FROM mcp_sessions") == [[json!("end_of_input")]]
    });
}
