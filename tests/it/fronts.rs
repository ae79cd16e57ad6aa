//! Several clients, each behind its own front, and one hub for all of them.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::front::Hubs;
use crate::support::{Bridge, Room, alive, check_gone, send_signal, wait_until};

/// A server that says its process's number.
const SAYS_PID: &str = r#"on tools/call echo: reply {"content":[],"structuredContent":{"pid":$PID}}"#;

fn room(keys: &str) -> Room {
    Room::new().server_with("s", &["count $ROOM/count", SAYS_PID], keys).through_hub()
}

#[track_caller]
fn hello(bridge: &mut Bridge, name: &str) {
    bridge.initialize_with(json!({ "clientInfo": { "name": name, "version": "1" } }));
}

/// The process of the server that answers.
#[track_caller]
fn pid(bridge: &mut Bridge) -> u32 {
    let answer = bridge.call("s__echo", json!({}));
    let pid = answer["result"]["structuredContent"]["pid"].as_u64();
    u32::try_from(pid.unwrap_or_else(|| panic!("{answer}\n{}", bridge.log()))).unwrap()
}

fn attached(bridge: &mut Bridge) -> Vec<Value> {
    let mut sessions = bridge.status()["sessions"].take();
    let names = sessions.as_array_mut().unwrap().iter_mut().map(|session| session["client"].take());
    names.collect()
}

#[test]
fn fronts_share_servers_and_each_is_a_session_with_its_own_calls() {
    let room = room("");
    let _hubs = Hubs(&room);
    let (mut a, mut b) = (room.start(), room.start());
    hello(&mut a, "a");
    hello(&mut b, "b");
    assert_eq!(pid(&mut a), pid(&mut b));
    pid(&mut b);
    assert_eq!(room.pids("count").len(), 1);
    let status = b.status();
    let pids: Vec<_> =
        status["sessions"].as_array().unwrap().iter().map(|session| session["pid"].clone()).collect();
    assert_eq!(json!(pids), json!([a.pid(), b.pid()]), "{status}");
    let uses: Vec<_> =
        status["sessions"].as_array().unwrap().iter().map(|session| session["uses"].clone()).collect();
    assert_eq!(json!(uses), json!([["s"], ["s"]]), "{status}");
    let rows = || room.rows("SELECT client_name, pid, tool_calls FROM mcp_sessions ORDER BY 1");
    let expected = json!([["a", a.pid(), 1], ["b", b.pid(), 3]]);
    wait_until("each session has its calls", || json!(rows()) == expected);
}

#[test]
fn a_front_that_is_killed_takes_its_session_along_and_nobody_elses() {
    let room = room("scope = 'session'");
    let _hubs = Hubs(&room);
    let (mut a, mut b) = (room.start(), room.start());
    hello(&mut a, "a");
    hello(&mut b, "b");
    let (of_a, of_b) = (pid(&mut a), pid(&mut b));
    assert_ne!(of_a, of_b);
    send_signal(a.pid(), Signal::KILL);
    check_gone(&[of_a]);
    wait_until("it is no more", || attached(&mut b) == ["b"]);
    assert_eq!((pid(&mut b), alive(of_b)), (of_b, true));
    let closed = || room.rows("SELECT close_reason FROM mcp_sessions WHERE client_name = 'a'");
    wait_until("its session is closed", || closed() == [[json!("front_gone")]]);
}

#[test]
fn all_fronts_go_on_when_their_hub_dies() {
    let room = room("");
    let hubs = Hubs(&room);
    let mut all: Vec<Bridge> = (0..3).map(|_| room.start()).collect();
    for (index, bridge) in all.iter_mut().enumerate() {
        hello(bridge, &index.to_string());
        pid(bridge);
    }
    let since = |bridge: &mut Bridge| -> Vec<String> {
        let sessions = bridge.status()["sessions"].take();
        let mut all: Vec<_> =
            sessions.as_array().unwrap().iter().map(|session| session["since"].to_string()).collect();
        all.sort();
        all
    };
    let before = since(&mut all[0]);
    for _ in 0..3 {
        hubs.kill();
        let pids: Vec<u32> = all.iter_mut().map(pid).collect();
        assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    }
    assert_eq!(since(&mut all[0]), before, "a session began when its front did");
    let sessions = room.rows("SELECT count(*), sum(closed_at IS NULL) FROM mcp_sessions");
    assert_eq!(sessions, [[json!(3), json!(3)]]);
}

#[test]
fn servers_are_shared_where_they_would_be_no_others() {
    let room = Room::new()
        .server_with("s", &["count $ROOM/count", SAYS_PID], "env = { TOKEN = '${env:TOKEN}' }")
        .through_hub();
    let _hubs = Hubs(&room);
    let start = |token: &str| {
        let mut bridge = room.start_so(|command| {
            command.env("TOKEN", token).env("OTHER", format!("not {token}"));
        });
        bridge.initialize();
        let pid = pid(&mut bridge);
        (bridge, pid)
    };
    let ((mut a, of_a), (_b, of_b), (_c, of_c)) = (start("one"), start("two"), start("one"));
    assert_eq!(of_a, of_c);
    assert_ne!(of_a, of_b);
    assert_eq!(attached(&mut a).len(), 2, "the third is served by another house");
    let tokens = [of_a, of_b].map(|pid| variable(pid, "TOKEN"));
    assert_eq!(tokens, [Some("one".to_owned()), Some("two".to_owned())]);
    assert_eq!([of_a, of_b].map(|pid| variable(pid, "OTHER")), [None, None]);
}

#[test]
fn a_client_whose_servers_become_others_has_its_own_from_then_on() {
    let room = Room::new().server_with("s", &["count $ROOM/count", SAYS_PID], "").through_hub();
    let _hubs = Hubs(&room);
    let start = |token: &str| {
        let mut bridge = room.start_so(|command| {
            command.env("TOKEN", token);
        });
        bridge.initialize();
        bridge
    };
    let (mut a, mut b) = (start("one"), start("two"));
    assert_eq!(pid(&mut a), pid(&mut b));
    let entry = "[servers.\"s\"]";
    let config =
        room.text("config.toml").replace(entry, &format!("{entry}\nenv = {{ TOKEN = '${{env:TOKEN}}' }}"));
    std::fs::write(room.path("config.toml"), config).unwrap();
    let token = |bridge: &mut Bridge| variable(pid(bridge), "TOKEN");
    wait_until("each has its own", || {
        (token(&mut a), token(&mut b)) == (Some("one".to_owned()), Some("two".to_owned()))
    });
}

#[test]
fn a_hub_knows_its_fronts_whatever_they_were_started_with() {
    let room = room("");
    let hubs = Hubs(&room);
    // The first byte of what a front says is that of its length: each value comes once.
    for padding in 0..256_usize {
        let mut bridge = room.start_so(|command| {
            command.env("PADDING", "x".repeat(padding));
        });
        bridge.initialize();
        assert!(!bridge.log().contains("serving in this process"), "{padding}: {}", bridge.log());
    }
    assert_eq!(room.text("data/logs/hub.log").matches("hub serving").count(), 1);
    drop(hubs);
}

#[test]
fn a_server_runs_where_its_client_was_started_if_it_is_one_clients_alone() {
    for (scope, shared) in [("session", false), ("shared", true)] {
        let room = room(&format!("scope = '{scope}'"));
        let _hubs = Hubs(&room);
        std::fs::create_dir(room.path("project")).unwrap();
        let project = room.path("project");
        let mut bridge = room.start_so(|command| {
            command.current_dir(&project);
        });
        bridge.initialize();
        let folder = folder(pid(&mut bridge));
        assert_eq!(folder, room.path(if shared { "home" } else { "project" }).canonicalize().unwrap());
    }
}

/// A variable of a running process.
fn variable(pid: u32, name: &str) -> Option<String> {
    let all = String::from_utf8(std::fs::read(format!("/proc/{pid}/environ")).unwrap()).unwrap();
    all.split('\0').find_map(|variable| variable.strip_prefix(&format!("{name}=")).map(str::to_owned))
}

/// Where a process runs.
fn folder(pid: u32) -> PathBuf {
    std::fs::read_link(Path::new("/proc").join(pid.to_string()).join("cwd")).unwrap()
}
