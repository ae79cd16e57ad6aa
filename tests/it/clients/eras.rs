//! Clients of both eras share a server as far as that does not take from any of them what its era has.

use serde_json::{Value, json};

use super::{SAYS_PID, hello, pid};
use crate::support::{Bridge, Room, wait_until};

fn room(era: &str) -> Room {
    Room::new().server("s", &["count $ROOM/count", SAYS_PID, era])
}

fn modern_pid(client: &mut Bridge) -> Value {
    let answer = client.modern("tools/call", json!({ "name": "s__echo" }));
    let pid = &answer["result"]["structuredContent"]["pid"];
    assert!(pid.is_u64(), "{answer}");
    pid.clone()
}

#[test]
fn a_server_of_both_eras_is_greeted_in_each() {
    for modern_first in [false, true] {
        let room = room("era dual");
        let house = room.house();
        let ((mut a, _a), (mut b, _b), (mut m, _m), (mut n, _n)) =
            (room.guest(&house), room.guest(&house), room.guest(&house), room.guest(&house));
        hello(&mut a, "a", json!({}));
        hello(&mut b, "b", json!({}));
        let first = modern_first.then(|| modern_pid(&mut m));
        let (of_a, of_b) = (pid(&mut a), pid(&mut b));
        let (of_m, of_n) = (modern_pid(&mut m), modern_pid(&mut n));
        assert_eq!((of_a, &of_m), (of_b, &of_n), "each era has one");
        assert!(json!(of_a) != of_m && first.is_none_or(|first| first == of_m));
        assert_eq!(room.pids("count").len(), 2);
    }
}

#[test]
fn a_server_of_one_era_is_one_for_all() {
    for (era, modern_first) in [("era legacy", false), ("era modern", true)] {
        let room = room(era);
        let house = room.house();
        let ((mut a, _a), (mut m, _m)) = (room.guest(&house), room.guest(&house));
        hello(&mut a, "a", json!({}));
        let first = if modern_first { modern_pid(&mut m) } else { json!(pid(&mut a)) };
        // Once it has been tried in vain, nobody tries again.
        wait_until("both have the one that was there", || {
            json!(pid(&mut a)) == first && modern_pid(&mut m) == first
        });
        let started = room.pids("count").len();
        assert_eq!((json!(pid(&mut a)), modern_pid(&mut m)), (first.clone(), first));
        assert_eq!(room.pids("count").len(), started);
    }
}
