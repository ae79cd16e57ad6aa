//! `bridge status` asks every bridge that runs on a data folder, and is not held up by one that hangs.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bridge, Room};

#[track_caller]
fn status(room: &Room) -> Vec<Value> {
    serde_json::from_str(&room.said(&["status", "--json"])).unwrap()
}

#[test]
fn every_bridge_tells_its_client_and_the_very_data_of_bridge_status() {
    let room = Room::new().server("s", &[]);
    let (mut one, two) = (room.start_with_door(), room.start_with_door());
    one.call("s__echo", json!({}));
    let told = status(&room);
    assert_eq!(told.len(), 2);
    let of = |bridge: &Bridge| told.iter().find(|told| told["pid"] == bridge.pid()).unwrap();
    let session = &of(&one)["sessions"][0];
    assert_eq!((&session["client"], &session["clientVersion"]), (&json!("it"), &json!("1")));
    assert_eq!(session["session"], one.rows("SELECT id FROM mcp_sessions ORDER BY id")[0][0]);
    let mut own = one.status();
    let mut theirs = of(&one)["status"].clone();
    for status in [&mut own, &mut theirs] {
        status["bridge"]["uptimeSeconds"].take();
    }
    assert_eq!(own, theirs);
    assert_eq!(of(&two)["status"]["servers"][0]["state"], "stopped");
    let screen = room.said(&["status"]);
    assert!(screen.contains(&format!("bridge {}  it 1, attached ", one.pid())), "{screen}");
    let row = screen.lines().find(|line| line.starts_with("s ") && line.contains("ready"));
    assert!(row.is_some(), "{screen}");
    let connections = screen.lines().skip_while(|line| !line.starts_with("CONNECTIONS")).nth(1).unwrap();
    assert!(connections.starts_with("s ") && connections.contains("shared"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80 || line.contains('/')), "{screen}");
}

#[test]
fn nobody_there_is_said_in_words_and_no_fault() {
    let room = Room::new();
    let place = room.data().display().to_string();
    assert_eq!(
        room.said(&["status"]),
        format!(
            "No bridge runs on {place}.\nAn AI client starts it with `bridge serve`, one that is attached with its next request.\n"
        )
    );
    assert_eq!(status(&room), Vec::<Value>::new());
    assert!(!room.path("data/run").exists(), "looking makes nothing");
}

#[test]
fn one_that_hangs_and_a_stranger_are_named_and_hold_nobody_up() {
    let room = Room::new();
    let (hung, well) = (room.start_with_door(), room.start_with_door());
    hung.signal(Signal::STOP);
    let _silent = UnixListener::bind(room.path("data/run/1-silent.sock")).unwrap();
    let before = Instant::now();
    let told = status(&room);
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    hung.signal(Signal::CONT);
    let answers = |pid: u32| told.iter().find(|told| told["pid"] == pid).unwrap()["answers"].clone();
    assert_eq!(
        (answers(hung.pid()), answers(well.pid()), answers(1)),
        (json!(false), json!(true), json!(false))
    );
    assert_eq!(told.len(), 3);
}

#[test]
fn a_bridge_takes_its_socket_with_it_and_what_a_killed_one_left_is_removed() {
    let room = Room::new();
    let (ended, mut killed) = (room.start_with_door(), room.start_with_door());
    let [one, two] = room.doors().try_into().unwrap();
    for door in [&one, &two] {
        assert_eq!(door.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(room.path("data/run").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    ended.end();
    assert_eq!(room.doors().len(), 1);
    killed.kill_9();
    assert_eq!(room.doors().len(), 1);
    assert_eq!(status(&room), Vec::<Value>::new());
    assert!(room.doors().is_empty());
}

#[test]
fn a_bridge_without_a_socket_serves_as_well_and_says_so_once() {
    let room = Room::new().server("s", &[]);
    std::fs::write(room.path("data/run"), "in the way").unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    bridge.wait_for_log("no control socket");
    assert_eq!(bridge.call("s__echo", json!({ "a": 1 }))["result"]["structuredContent"], json!({ "a": 1 }));
    assert_eq!(bridge.log().matches("no control socket").count(), 1);
}
