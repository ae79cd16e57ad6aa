//! A server inherits descriptors 0, 1 and 2, and nothing that somebody leaked into the bridge; that has room for its own.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::said::echoed;
use crate::support::Room;

fn open_files(pid: u64) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
}

#[test]
fn what_a_client_leaks_into_the_bridge_does_not_reach_a_server() {
    let room = Room::new().server("s", &["tool echo"]);
    let (leaked, folder) = (room.path("leaked"), room.path("home"));
    std::fs::write(&leaked, "secret").unwrap();
    let shell = format!("exec \"$0\" \"$@\" 7<{} 9<{}", leaked.display(), folder.display());
    let room = room.via(&["sh", "-c", &shell]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let is_leaked = |file: &PathBuf| *file == leaked || *file == folder;
    assert!(open_files(u64::from(bridge.pid())).iter().any(is_leaked), "the bridge has it");
    let server = bridge.status()["servers"][0]["pid"].as_u64().unwrap();
    let found: Vec<PathBuf> = open_files(server).into_iter().filter(is_leaked).collect();
    assert_eq!(found, [] as [&Path; 0]);
}

#[test]
fn a_client_that_was_started_with_room_for_few_files_has_all_its_servers() {
    let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    let room = names.iter().fold(Room::new(), |room, name| room.server(name, &[]));
    let room = room.via(&["sh", "-c", "ulimit -Sn 48; exec \"$0\" \"$@\""]);
    let mut bridge = room.start();
    bridge.initialize();
    for name in &names {
        assert_eq!(echoed(&bridge.call(&format!("{name}__echo"), json!({ "n": 1 }))), &json!({ "n": 1 }));
    }
    assert!(open_files(u64::from(bridge.pid())).len() > 48);
}

#[test]
fn a_server_sees_nothing_of_its_siblings_and_of_the_record() {
    let room = Room::new().server("a", &["tool echo"]).server("b", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("a__echo", json!({}));
    bridge.call("b__echo", json!({}));
    let status = bridge.status();
    let files: Vec<Vec<PathBuf>> =
        (0..2).map(|index| open_files(status["servers"][index]["pid"].as_u64().unwrap())).collect();
    for (index, own) in files.iter().enumerate() {
        let data = own.iter().find(|file| file.starts_with(room.data()));
        assert_eq!(data, None, "of server {index}");
        let shared: Vec<&PathBuf> = own.iter().filter(|file| files[1 - index].contains(file)).collect();
        assert!(shared.is_empty(), "both servers hold {shared:?}");
    }
}
