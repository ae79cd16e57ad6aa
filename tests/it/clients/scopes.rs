//! Servers that keep sessions or threads apart keep clients apart.

use serde_json::{Value, json};

use super::{hello, pid, told_so_far};
use crate::support::{Bridge, Room, alive, check_gone, wait_until};

const UPDATED: &str = "notifications/resources/updated";

fn room(scope: &str, more: &[&str]) -> Room {
    let script: Vec<&str> =
        ["count $ROOM/count", "record $ROOM/record", super::SAYS_PID].iter().chain(more).copied().collect();
    Room::new().server_with("s", &script, &format!("scope = {scope:?}"))
}

fn sessions_of(connections: &Value) -> Vec<String> {
    let rows = connections["connections"].as_array().unwrap();
    rows.iter().filter_map(|row| row["session"].as_str().map(str::to_owned)).collect()
}

fn connections(client: &mut Bridge) -> Value {
    client.call("bridge_connections", json!({}))["result"]["structuredContent"].take()
}

#[test]
fn a_client_that_goes_takes_its_process_along_and_no_other() {
    let room = room("session", &[]);
    let house = room.house();
    let ((mut a, a_gone), (mut b, b_gone), (mut c, _c)) =
        (room.guest(&house), room.guest(&house), room.guest(&house));
    for (client, name) in [(&mut a, "a"), (&mut b, "b"), (&mut c, "c")] {
        hello(client, name, json!({}));
    }
    let (of_a, of_b) = (pid(&mut a), pid(&mut b));
    assert_ne!(of_a, of_b);
    assert_eq!(sessions_of(&connections(&mut c)).len(), 2);
    // The first has the one that is always there, which is given to nobody else with what it knows.
    a_gone.detach();
    check_gone(&[of_a]);
    let of_c = pid(&mut c);
    assert!(of_c != of_a && of_c != of_b && pid(&mut b) == of_b);
    b_gone.detach();
    check_gone(&[of_b]);
    assert_eq!((pid(&mut c), alive(of_c)), (of_c, true));
}

#[test]
fn two_clients_may_name_their_threads_alike() {
    let room = room("thread", &[]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let in_thread = |client: &mut Bridge| {
        let params = json!({ "name": "s__echo", "arguments": {}, "_meta": { "bridge/threadId": "t" } });
        client.ask("tools/call", &params)["result"]["structuredContent"]["pid"].clone()
    };
    let of_a = in_thread(&mut a);
    assert_ne!(of_a, in_thread(&mut b));
    assert_eq!(of_a, in_thread(&mut a));
    let (alone_a, alone_b) = (pid(&mut a), pid(&mut b));
    assert_ne!(alone_a, alone_b, "without a thread it is the session's");
}

#[test]
fn a_user_has_one_process_whichever_client_calls() {
    let room = room("user", &[]);
    let house = room.house();
    let ((mut a, gone), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let by_user = |client: &mut Bridge| {
        let params = json!({ "name": "s__echo", "arguments": {}, "_meta": { "bridge/userId": "u" } });
        client.ask("tools/call", &params)["result"]["structuredContent"]["pid"].clone()
    };
    let one = by_user(&mut a);
    assert_eq!(one, by_user(&mut b));
    gone.detach();
    assert_eq!(one, by_user(&mut b));
}

#[test]
fn each_session_subscribes_on_its_own_process() {
    let room = room("session", &["resource a://1", "on tools/call touch: updated a://1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let uri = json!({ "uri": "a://1" });
    a.ask("resources/subscribe", &uri);
    b.ask("resources/subscribe", &uri);
    assert_eq!(room.pids("count").len(), 2);
    b.call("s__touch", json!({}));
    assert_eq!(told_so_far(&mut b, UPDATED), [uri]);
    assert!(told_so_far(&mut a, UPDATED).is_empty());
}

#[test]
fn a_modern_subscription_is_the_sessions_own_too() {
    let room = room("session", &["resource a://1", "on tools/call touch: updated a://1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut m, _m)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    pid(&mut a);
    m.listen(&json!({ "resourceSubscriptions": ["a://1"] }));
    a.call("s__touch", json!({}));
    m.modern("tools/call", json!({ "name": "s__touch" }));
    assert_eq!(m.told(UPDATED)["params"]["uri"], "a://1");
    assert!(told_so_far(&mut a, UPDATED).is_empty());
}

#[test]
fn each_session_still_hears_of_its_own_after_its_server_was_replaced() {
    let room = room("session", &["resource a://1", "on tools/call touch: updated a://1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let uri = json!({ "uri": "a://1" });
    a.ask("resources/subscribe", &uri);
    b.ask("resources/subscribe", &uri);
    let before = (pid(&mut a), pid(&mut b));
    let file = room.path("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("scope =", "call_timeout_s = 7\nscope =")).unwrap();
    wait_until("the change is heard", || a.status()["servers"][0]["callTimeoutSeconds"] == 7);
    let after = (pid(&mut a), pid(&mut b));
    assert!(after.0 != before.0 && after.1 != before.1 && after.0 != after.1, "{before:?} {after:?}");
    wait_until("both processes know what is wanted", || {
        room.recorded("record", "resources/subscribe").len() == 4
    });
    b.call("s__touch", json!({}));
    assert_eq!(told_so_far(&mut b, UPDATED), std::slice::from_ref(&uri));
    assert!(told_so_far(&mut a, UPDATED).is_empty());
}

#[test]
fn a_session_that_is_disconnected_still_hears_of_what_it_subscribed_to() {
    let room = room("session", &["resource a://1", "on tools/call touch: updated a://1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let uri = json!({ "uri": "a://1" });
    for client in [&mut a, &mut b] {
        pid(client);
        client.ask("resources/subscribe", &uri);
    }
    for session in sessions_of(&connections(&mut a)) {
        a.call("bridge_disconnect", json!({ "session": session }));
    }
    wait_until("both processes know what is wanted", || {
        room.recorded("record", "resources/subscribe").len() == 4
    });
    for client in [&mut a, &mut b] {
        client.call("s__touch", json!({}));
        assert_eq!(told_so_far(client, UPDATED), std::slice::from_ref(&uri));
    }
    assert_eq!(room.pids("count").len(), 4);
}

#[test]
fn roots_that_change_are_told_to_no_others_process() {
    let room = room("session", &[]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    pid(&mut a);
    pid(&mut b);
    b.notify("notifications/roots/list_changed", &json!({}));
    // Both have heard what was said before.
    pid(&mut a);
    pid(&mut b);
    assert_eq!(room.recorded("record", "notifications/roots/list_changed").len(), 1);
}

#[test]
fn a_session_is_disconnected_by_its_name_and_no_other() {
    let room = room("session", &[]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let (of_a, of_b) = (pid(&mut a), pid(&mut b));
    let rows = connections(&mut a)["connections"].take();
    let of =
        |pid: u32| rows.as_array().unwrap().iter().find(|row| row["pid"] == pid).unwrap()["session"].clone();
    let closed = a.call("bridge_disconnect", json!({ "session": of(of_b) }));
    assert_eq!(closed["result"]["structuredContent"]["closed"], 1, "{closed}");
    check_gone(&[of_b]);
    assert_eq!(pid(&mut a), of_a);
    assert_ne!(pid(&mut b), of_b);
    let closed = b.call("bridge_disconnect", json!({ "session": of(of_a) }));
    assert_eq!(closed["result"]["structuredContent"]["closed"], 1, "{closed}");
    wait_until("the first one's is gone", || !alive(of_a));
    assert_ne!(pid(&mut a), of_a);
}
