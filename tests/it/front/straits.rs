//! The front and its hubs in straits: a full disk, no folder, no home, no descriptors.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::json;

use crate::front::{Hubs, echo, is_ok};
use crate::support::{alive, send_signal, wait_for, wait_until};

/// The processes that run with all of these words on their command line.
fn running(words: &[&str]) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let said: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.iter().all(|word| said.contains(&word.as_bytes())) && alive(*pid)
    })
    .collect()
}

#[test]
fn a_disk_without_any_room_costs_rows_and_no_session() {
    // No file can be written at all.
    let full = r#"trap "" XFSZ; ulimit -f 0; exec "$@""#;
    let room = echo().via(&["sh", "-c", full, "sh"]);
    let data = room.data();
    let hub = || running(&["hub", data.to_str().unwrap()]).first().copied();
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    for turn in 0..2 {
        let killed = wait_for("a hub runs", hub);
        send_signal(killed, Signal::KILL);
        wait_until("it is gone", || !alive(killed));
        is_ok(&mut bridge, &turn.to_string());
    }
    assert!(bridge.status()["record"]["lostRows"].as_u64().unwrap() > 0);
    assert!(bridge.end().success());
    send_signal(wait_for("the last hub", hub), Signal::TERM);
}

#[test]
fn a_folder_that_cannot_be_made_leaves_no_hub_and_a_session() {
    let room = echo().env("BRIDGE_DATA_DIR", "/proc/no-such-folder");
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let why = bridge.wait_for_log("serving in this process");
    assert!(why.contains("/proc/no-such-folder"), "{why}");
}

#[test]
fn a_client_without_a_home_has_a_hub() {
    let room = echo().via(&["env", "-u", "HOME"]);
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    hubs.kill();
    is_ok(&mut bridge, "second");
}

#[test]
fn a_front_without_descriptors_waits_for_some_and_goes_on() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let front = Pid::from_raw(i32::try_from(bridge.pid()).unwrap());
    let before = getrlimit(Resource::Nofile);
    let limit = |current| prlimit(front, Resource::Nofile, Rlimit { current, ..before }).unwrap();
    limit(Some(4));
    hubs.kill();
    let refused = bridge.call("s__echo", json!({}));
    assert_eq!(
        refused["result"]["_meta"]["bridge/error"]["kind"],
        "unavailable",
        "{refused}\n{}",
        bridge.log()
    );
    limit(before.current);
    wait_until("it goes on", || bridge.call("s__echo", json!({}))["result"]["isError"] != true);
}
