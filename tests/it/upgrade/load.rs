//! Upgrades under a client that never stops asking.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{copy, does, text};
use crate::front::Hubs;
use crate::support::{Room, wait_until};

/// How many programs take over, one after the other.
const UPGRADES: usize = 50;

/// How many calls are under way at once.
const OUTSTANDING: usize = 16;

#[test]
fn fifty_upgrades_lose_nothing() {
    let script = [
        "tool small",
        "on tools/call small: echo",
        "tool big",
        "on tools/call big: big 300000",
        "tool slow",
        "on tools/call slow: sleep 40",
    ];
    let room = Room::new().server("s", &script).through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    let programs = [copy(&room, "a"), copy(&room, "b")];
    let is_over = AtomicBool::new(false);
    let mut open = BTreeMap::new();
    let (mut asked, mut answered) = (0, 0);
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| {
            for turn in 0..UPGRADES {
                does(&room, &["upgrade", text(&programs[turn % 2])]);
            }
            is_over.store(true, Ordering::Release);
        });
        loop {
            let goes_on = !is_over.load(Ordering::Acquire) && !upgrading.is_finished();
            while goes_on && open.len() < OUTSTANDING {
                let tool = ["s__small", "s__big", "s__small", "s__slow"][asked % 4];
                open.insert(bridge.begin_call(tool, json!({ "n": asked })), asked);
                asked += 1;
            }
            if open.is_empty() {
                break;
            }
            let answer = bridge.recv();
            let id = answer["id"].as_u64();
            let n = id.and_then(|id| open.remove(&id)).unwrap_or_else(|| panic!("nobody asked for {answer}"));
            assert!(answer["result"].is_object() && answer["result"]["isError"] != true, "{answer}");
            if n.is_multiple_of(2) {
                assert_eq!(answer["result"]["structuredContent"], json!({ "n": n }));
            }
            answered += 1;
        }
        upgrading.join().unwrap();
    });
    assert_eq!(asked, answered);
    assert_eq!(bridge.said_so_far(), Vec::<Value>::new());
    assert_eq!(room.text("data/logs/hub.log").matches("hub serving").count(), UPGRADES + 1);
    // Only a hub that ended before the front came to it was never left.
    assert!(!bridge.log().contains("hub lost"), "{}", bridge.log());
    let pid = hubs.pid();
    assert!(bridge.end().success());
    let rows = || room.rows("SELECT count(*), sum(outcome = 'ok') FROM tool_calls");
    wait_until("each call has its row", || rows() == [[json!(asked), json!(asked)]]);
    assert_eq!(room.rows("SELECT sum(calls), sum(errors) FROM call_totals"), [[json!(asked), json!(0)]]);
    assert_eq!(room.rows("SELECT count(*) FROM mcp_sessions"), [[json!(1)]]);
    println!("{asked} calls over {UPGRADES} upgrades, the last hub is {pid}");
}
