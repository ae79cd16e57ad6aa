//! As whom a server is greeted.

use serde_json::{Value, json};

use super::{hello, pid};
use crate::support::Room;

fn greeted_as(room: &Room) -> Vec<Value> {
    let greeted = room.recorded("record", "initialize");
    greeted.into_iter().map(|mut greeted| greeted["params"]["clientInfo"]["name"].take()).collect()
}

#[test]
fn a_server_is_greeted_as_the_client_whose_request_wants_it() {
    let room = Room::new().server("s", &["record $ROOM/record"]).server("t", &["record $ROOM/other"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    a.call("s__echo", json!({}));
    assert_eq!(greeted_as(&room), ["a"]);
    b.call("t__echo", json!({}));
    assert_eq!(room.recorded("other", "initialize")[0]["params"]["clientInfo"]["name"], "b");
}

#[test]
fn a_list_is_asked_for_as_the_client_that_came_last() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b), (_c, _quiet)) =
        (room.guest(&house), room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    a.ask("tools/list", &json!({}));
    assert_eq!(greeted_as(&room), ["b"]);
}

#[test]
fn a_sessions_own_process_is_greeted_as_its_client() {
    let script = ["record $ROOM/record", "count $ROOM/count", super::SAYS_PID];
    let room = Room::new().server_with("s", &script, "scope = \"session\"");
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    // The list has a process started in the sight of `b`, which must not become `a`'s.
    a.ask("tools/list", &json!({}));
    let (of_a, of_b) = (pid(&mut a), pid(&mut b));
    assert_ne!(of_a, of_b);
    assert_eq!(greeted_as(&room), ["b", "a"]);
    assert_eq!(room.pids("count"), [of_b, of_a]);
    assert_eq!((pid(&mut a), pid(&mut b)), (of_a, of_b));
}
