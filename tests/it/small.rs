//! What is not needed is given back: a front is a small process, and stays one.

#![cfg(target_os = "linux")]

use serde_json::json;

use crate::front::Hubs;
use crate::support::{Bridge, Room, wait_until};

/// What a process may have in this program, which is not optimised, in KiB.
const SMALL_KIB: u64 = 6 * 1024;

fn kib(bridge: &Bridge, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn room() -> Room {
    Room::new().server("s", &["tool echo", "tool big", "on tools/call big: big 10485760"])
}

#[test]
fn a_front_is_small_after_its_start_and_after_large_answers() {
    let room = room().through_hub();
    let _hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({ "text": "x" }));
    wait_until("the start is forgotten", || kib(&bridge, "VmRSS") < SMALL_KIB);
    for _ in 0..3 {
        let answer = bridge.call("s__big", json!({}));
        assert!(answer["result"].to_string().len() > 10 << 20);
        wait_until("the answer's memory is given back", || kib(&bridge, "RssAnon") < SMALL_KIB);
    }
}

#[test]
fn a_bridge_of_one_process_forgets_its_start() {
    let room = room();
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({ "text": "x" }));
    let before = kib(&bridge, "RssFile");
    wait_until("the start is forgotten", || kib(&bridge, "RssFile") < before / 2);
    assert!(bridge.call("s__echo", json!({ "text": "x" }))["error"].is_null());
}
