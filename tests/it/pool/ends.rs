//! Connections that are closed by somebody's word, and what is told of an end. The ends that silence brings are
//! tested with a clock that can be wound, beside the pool.

use serde_json::{Value, json};

use super::{HANGS, SAYS_PID, begin, connections, pid, reached, room, start};
use crate::said::{echoed, fault, kind, text};
use crate::support::{Bridge, Room, check_gone, wait_until};

fn disconnect(bridge: &mut Bridge, which: Value) -> Value {
    bridge.call("bridge_disconnect", which)
}

#[track_caller]
fn check_closed(answer: &Value, count: u64) {
    assert_eq!(echoed(answer)["closed"], count, "{answer}");
}

#[test]
fn a_user_is_disconnected_as_a_whole_over_all_servers() {
    let room = room("thread", &SAYS_PID, "").server_with("u", &SAYS_PID, "scope = \"user\"");
    let mut bridge = start(&room);
    let mut theirs = vec![pid(&mut bridge, "t1", "ann"), pid(&mut bridge, "t2", "ann")];
    let other = pid(&mut bridge, "t1", "bob");
    let id = begin(&mut bridge, "u__echo", "t1", "ann");
    theirs.push(u32::try_from(echoed(&bridge.answer_to(id))["pid"].as_u64().unwrap()).unwrap());
    let answer = disconnect(&mut bridge, json!({ "user": "ann" }));
    check_closed(&answer, 3);
    let servers = json!([{ "server": "s", "closed": 2 }, { "server": "u", "closed": 1 }]);
    assert_eq!(echoed(&answer)["servers"], servers);
    assert!(text(&answer).contains("3 connections are closed"), "{answer}");
    check_gone(&theirs);
    assert_eq!(pid(&mut bridge, "t1", "bob"), other);
    assert!(!theirs.contains(&pid(&mut bridge, "t1", "ann")), "the next call makes a new one");
    check_closed(&disconnect(&mut bridge, json!({ "thread": "t1", "server": "s" })), 2);
    check_closed(&disconnect(&mut bridge, json!({ "thread": "nobody's" })), 0);
}

#[test]
fn calls_under_way_on_a_connection_that_is_closed_hear_so_and_those_that_wait_go_on() {
    let room = room("thread", &HANGS, "max_concurrent = 1");
    let mut bridge = start(&room);
    let hanging = begin(&mut bridge, "s__hang", "t", "");
    wait_until("it runs", || reached(&room, "hang") == 1);
    let waiting = begin(&mut bridge, "s__echo", "t", "");
    wait_until("it waits", || bridge.status()["servers"][0]["connections"]["waiting"] == 1);
    check_closed(&disconnect(&mut bridge, json!({ "server": "s", "thread": "t" })), 1);
    let answer = bridge.answer_to(hanging);
    assert_eq!(kind(&answer), "outcome_unknown");
    assert!(text(&answer).contains("was disconnected"), "{answer}");
    assert!(echoed(&bridge.answer_to(waiting))["pid"].is_u64());
}

#[test]
fn a_shared_server_is_closed_by_its_name_and_comes_back() {
    let room = room("shared", &HANGS, "");
    let mut bridge = start(&room);
    let before = pid(&mut bridge, "", "");
    let hanging = begin(&mut bridge, "s__hang", "", "");
    wait_until("it runs", || reached(&room, "hang") == 1);
    check_closed(&disconnect(&mut bridge, json!({ "server": "s" })), 1);
    assert_eq!(kind(&bridge.answer_to(hanging)), "outcome_unknown");
    check_gone(&[before]);
    assert_ne!(pid(&mut bridge, "", ""), before);
    let session = connections(&mut bridge)[0]["session"].clone();
    assert_eq!(session, json!(null), "it is no session's");
    let exits = bridge.rows("SELECT reason FROM server_events WHERE event = 'exit'");
    assert_eq!(exits, [[json!("it was disconnected")]]);
}

#[test]
fn nothing_is_closed_without_a_word_which() {
    let mut bridge = start(&room("thread", &SAYS_PID, ""));
    for bad in [json!({}), json!({ "server": "nobody" }), json!({ "thread": 7 })] {
        let answer = disconnect(&mut bridge, bad);
        assert_eq!(answer["error"]["data"]["kind"], "bad_params", "{answer}");
    }
}

#[test]
fn the_end_of_a_threads_connection_is_logged_with_session_thread_and_user() {
    let room = room("thread", &["on tools/call: exit 3"], "");
    let mut bridge = start(&room);
    let id = begin(&mut bridge, "s__echo", "t1", "ann");
    assert_eq!(fault(&bridge.answer_to(id))["cause"], "crashed");
    let line = bridge.wait_for_log("event=\"exit\"");
    for part in ["thread=\"t1\"", "user=\"ann\"", "session="] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn a_call_without_an_answer_in_time_is_logged_with_its_thread() {
    let room = room("shared", &HANGS, "call_timeout_s = 1");
    let mut bridge = start(&room);
    let id = begin(&mut bridge, "s__hang", "t1", "ann");
    assert_eq!(kind(&bridge.answer_to(id)), "timeout");
    let line = bridge.wait_for_log("no answer in time");
    assert!(
        line.contains("thread=\"t1\"") && line.contains("session=") && line.contains("server=s"),
        "{line}"
    );
}

#[test]
fn what_is_on_offer_does_not_change_with_each_connection() {
    // Only the first process has the other tool, too.
    let both = r#"{"tools":[{"name":"echo","inputSchema":{}},{"name":"other","inputSchema":{}}]}"#;
    let script = ["tool echo", &format!("on tools/list: once $ROOM/a reply {both}")];
    let room = Room::new().server_with("s", &script, "scope = \"thread\"");
    let mut bridge = start(&room);
    bridge.ask("tools/list", &json!({}));
    for thread in ["t1", "t2", "t3"] {
        let id = begin(&mut bridge, "s__echo", thread, "");
        bridge.answer_to(id);
    }
    assert_eq!(bridge.status()["servers"][0]["tools"], 2);
    let changed = "notifications/tools/list_changed";
    assert!(bridge.said_so_far().iter().all(|said| said["method"] != changed));
}
