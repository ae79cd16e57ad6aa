//! What lies in `run/` is removed, replaced or broken: those who are served go on, and there is one hub.

use std::fs::{File, OpenOptions};
use std::io::Write;

use rustix::process::Signal;
use serde_json::json;

use crate::front::{Hubs, echo, is_ok};
use crate::support::{Bridge, Room, send_signal, wait_until};

/// How many hubs have ever served.
fn served(room: &Room) -> usize {
    room.text("data/logs/hub.log").matches("hub serving").count()
}

fn stands(room: &Room, name: &str) -> bool {
    room.path("data/run").join(name).symlink_metadata().is_ok()
}

#[test]
fn twenty_fronts_that_start_at_once_have_one_hub() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridges: Vec<Bridge> = (0..20).map(|_| room.start()).collect();
    for bridge in &mut bridges {
        bridge.initialize();
        is_ok(bridge, "x");
    }
    hubs.kill();
    for bridge in &mut bridges {
        is_ok(bridge, "y");
    }
    assert_eq!(served(&room), 2);
}

#[test]
fn two_data_folders_have_two_hubs() {
    let rooms = [echo(), echo()];
    let hubs = [Hubs(&rooms[0]), Hubs(&rooms[1])];
    let mut bridges = rooms.each_ref().map(Room::start);
    for bridge in &mut bridges {
        bridge.initialize();
        is_ok(bridge, "x");
    }
    let other = hubs[1].pid();
    assert_ne!(hubs[0].kill(), other);
    bridges.iter_mut().for_each(|bridge| is_ok(bridge, "y"));
    assert_eq!((served(&rooms[0]), served(&rooms[1]), hubs[1].pid()), (2, 1, other));
}

#[test]
fn a_door_or_a_lock_that_is_removed_under_a_hub_makes_no_second_one() {
    for removed in ["hub.sock", "hub.lock", ""] {
        let room = echo();
        let hubs = Hubs(&room);
        let mut first = room.start();
        first.initialize();
        is_ok(&mut first, "before");
        let hub = hubs.pid();
        let path = room.path("data/run").join(removed);
        if removed.is_empty() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
        is_ok(&mut first, "without it");
        wait_until("the door stands again", || stands(&room, "hub.sock"));
        let mut second = room.start();
        second.initialize();
        is_ok(&mut second, removed);
        assert_eq!((served(&room), hubs.pid()), (1, hub), "{removed}");
        is_ok(&mut first, "after");
    }
}

#[test]
fn a_hub_stays_with_its_fronts_where_no_door_can_stand() {
    let room = echo();
    let _hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "before");
    std::fs::remove_dir_all(room.path("data/run")).unwrap();
    std::fs::write(room.path("data/run"), "").unwrap();
    room.wait_for_line("data/logs/hub.log", "no other front comes in");
    is_ok(&mut bridge, "after");
    std::fs::remove_file(room.path("data/run")).unwrap();
    wait_until("the door stands again", || stands(&room, "hub.sock"));
    assert_eq!(served(&room), 1);
}

#[test]
fn what_is_no_lock_keeps_hubs_out_and_no_client() {
    let room = echo();
    std::fs::create_dir_all(room.path("data/run/hub.lock")).unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "in this process");
    let why = bridge.wait_for_log("serving in this process");
    assert!(why.contains("hub.log"), "{why}");
    assert!(room.text("data/logs/hub.log").contains("hub.lock"), "{}", room.text("data/logs/hub.log"));
}

#[test]
fn a_client_whose_hub_cannot_be_started_is_answered_and_goes_on_when_it_can() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    let shown = bridge.ask("tools/list", &json!({}));
    // Somebody holds the lock, and is no hub.
    send_signal(bridge.pid(), Signal::STOP);
    hubs.kill();
    let lock = File::open(room.path("data/run/hub.lock")).unwrap();
    lock.lock().unwrap();
    send_signal(bridge.pid(), Signal::CONT);
    let refused = bridge.call("s__echo", json!({}));
    assert_eq!(refused["result"]["_meta"]["bridge/error"]["kind"], "unavailable", "{refused}");
    assert_eq!(bridge.ask("ping", &json!({}))["result"], json!({}));
    assert_eq!(bridge.ask("tools/list", &json!({}))["result"], shown["result"]);
    drop(lock);
    let mut refused = 1;
    wait_until("a hub is there", || {
        let is_refused = bridge.call("s__echo", json!({}))["result"]["isError"] == true;
        refused += i32::from(is_refused);
        !is_refused
    });
    let outcomes = || room.rows("SELECT outcome, count(*) FROM tool_calls GROUP BY outcome ORDER BY outcome");
    wait_until("all of it is recorded", || {
        outcomes() == [[json!("ok"), json!(1)], [json!("unavailable"), json!(refused)]]
    });
}

#[test]
fn a_log_that_grows_is_moved_aside_while_the_hub_runs() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "before");
    let hub = hubs.pid();
    let mut log = OpenOptions::new().append(true).open(room.path("data/logs/hub.log")).unwrap();
    log.write_all(&vec![b'x'; 5 << 20]).unwrap();
    wait_until("it is moved aside", || room.path("data/logs/hub.log.1").exists());
    assert!(bridge.end().success());
    room.wait_for_line("data/logs/hub.log", "front detached");
    send_signal(hub, Signal::TERM);
    room.wait_for_line("data/logs/hub.log", "hub stopped");
    assert!(room.path("data/logs/hub.log").metadata().unwrap().len() < 1 << 20);
}
