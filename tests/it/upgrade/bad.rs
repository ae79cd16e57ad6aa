//! Programs that are none, and what becomes of who tries them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{copy, does, echo, hub, is_ok, text};
use crate::front::Hubs;
use crate::support::{Bridge, Room, alive, wait_until};

fn program(room: &Room, name: &str, script: &str) -> PathBuf {
    let path = room.path(name);
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    if script.starts_with("#!") {
        super::runs(&path);
    }
    path
}

/// A program that says a version and then does this.
fn hub_that(room: &Room, name: &str, does: &str) -> PathBuf {
    program(
        room,
        name,
        &format!("#!/bin/sh\ncase $1 in\n--version) echo bridge 0.9.9;;\n*) {does};;\nesac\n"),
    )
}

fn attached(room: &Room) -> Bridge {
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "before");
    bridge
}

#[track_caller]
fn refused(room: &Room, program: &str, because: &str) {
    let (code, stdout, stderr) = room.run(&["upgrade", program]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains(because), "{stderr}");
}

#[test]
fn what_is_no_bridge_changes_nothing() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = attached(&room);
    let old = hubs.pid();
    refused(&room, "/nowhere/bridge", "/nowhere/bridge cannot be used");
    refused(&room, text(&room.path("data")), "is no file");
    refused(&room, text(&room.path("config.toml")), "may not be executed");
    refused(&room, text(&program(&room, "garbage", "\u{1}\u{2}garbage")), "");
    refused(&room, text(&program(&room, "other", "#!/bin/sh\necho other 1.2.3\n")), "is no bridge");
    assert_eq!(hubs.pid(), old);
    is_ok(&mut bridge, "after");
    assert!(!room.path("data/run/hub.program").exists());
}

#[test]
fn a_program_that_fails_as_hub_is_rolled_back() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = attached(&room);
    let old = hubs.pid();
    let fails = hub_that(&room, "fails", "echo it cannot work >&2; exit 1");
    let (code, _, stderr) = room.run(&["upgrade", text(&fails)]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("rolled back") && stderr.contains("it cannot work"), "{stderr}");
    let hangs = hub_that(&room, "hangs", "echo $$ > $0.pid; exec sleep 1000");
    let (code, _, stderr) = room.run(&["upgrade", text(&hangs)]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("it was not ready within 5 s; rolled back"), "{stderr}");
    crate::support::check_gone(&room.pids("hangs.pid"));
    // The old one never ended.
    assert_eq!(hubs.pid(), old);
    is_ok(&mut bridge, "after");
    let shown = does(&room, &["status"]);
    assert!(shown.contains("rolled back") && shown.contains("hangs"), "{shown}");
    // The next one that does serve ends that.
    does(&room, &["upgrade", text(&copy(&room, "good"))]);
    assert!(!does(&room, &["status"]).contains("rolled back"));
}

#[test]
fn a_chosen_program_that_does_not_serve_any_more_is_rolled_back_by_the_front() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = attached(&room);
    for (name, spoilt) in [("exits", "exit 1"), ("hangs", "exec sleep 1000"), ("garbage", "")] {
        let program = copy(&room, name);
        does(&room, &["upgrade", text(&program)]);
        std::fs::remove_file(&program).unwrap();
        match spoilt {
            "" => drop(self::program(&room, name, "garbage")),
            spoilt => drop(hub_that(&room, name, spoilt)),
        }
        hubs.kill();
        // While one hangs, calls are answered that there is no hub.
        wait_until("a hub serves", || bridge.call("s__echo", json!({}))["result"]["isError"] != true);
        assert_ne!(hub(&room)["program"], text(&program));
        assert!(!room.path("data/run/hub.program").exists());
        assert!(does(&room, &["status"]).contains("rolled back"));
    }
    // One that is gone is nobody's fault.
    let program = copy(&room, "gone");
    does(&room, &["upgrade", text(&program)]);
    std::fs::remove_file(&program).unwrap();
    hubs.kill();
    is_ok(&mut bridge, "gone");
    assert!(!does(&room, &["status"]).contains("rolled back"));
}

#[test]
fn a_successor_that_goes_away_leaves_the_hub_serving() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = attached(&room);
    let old = hubs.pid();
    let ask = |question: &str| {
        let mut stream = UnixStream::connect(room.path("data/run/hub.sock")).unwrap();
        writeln!(stream, "{question}").unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        (stream, serde_json::from_str::<Value>(&answer).unwrap())
    };
    let (successor, answer) = ask(r#"{"v":1,"verb":"succeed","waitMs":1000,"more":[]}"#);
    assert_eq!(answer["result"]["unfinished"], 0, "{answer}");
    // Two do not take one place.
    let (_second, answer) = ask(r#"{"v":1,"verb":"succeed","waitMs":1000}"#);
    assert!(answer["error"].as_str().unwrap().contains("is ending already"), "{answer}");
    let id = bridge.begin_call("s__echo", json!({}));
    drop(successor);
    let answer = bridge.answer_to(id);
    assert!(answer["result"]["isError"] != true, "{answer}");
    let (_older, answer) = ask(r#"{"v":1,"verb":"succeed","waitMs":1000,"version":"0.0.1"}"#);
    assert!(answer["error"].as_str().unwrap().contains("no older than 0.0.1"), "{answer}");
    assert_eq!(hubs.pid(), old);
}

#[test]
fn a_successor_that_hangs_when_the_old_hub_is_gone_is_rolled_back() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = attached(&room);
    let old = hubs.pid();
    // What it says is said here.
    let hangs = hub_that(&room, "hangs", "echo $$ > $0.pid; exec sleep 1000");
    let door = room.path("data/run/hub.sock");
    let verb = room
        .command(&["upgrade", text(&hangs)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("it runs", || !room.pids("hangs.pid").is_empty());
    let mut talk = UnixStream::connect(&door).unwrap();
    writeln!(talk, r#"{{"v":1,"verb":"succeed","waitMs":1000}}"#).unwrap();
    let mut answer = String::new();
    BufReader::new(&talk).read_line(&mut answer).unwrap();
    std::fs::remove_file(&door).unwrap();
    let listener = UnixListener::bind(&door).unwrap();
    writeln!(talk, r#"{{"v":1,"verb":"go"}}"#).unwrap();
    wait_until("the old one ends", || !alive(old));
    // It still stands in the door when it is given up.
    let said = verb.wait_with_output().unwrap();
    drop(listener);
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert!(stderr.contains("not ready within 5 s; rolled back, hub "), "{stderr}");
    assert_eq!(said.status.code(), Some(1));
    wait_until("calls go on", || bridge.call("s__echo", json!({}))["result"]["isError"] != true);
    assert_eq!(hub(&room)["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn fronts_of_other_frame_versions_are_served_if_they_know_ours() {
    use bridge::frames::{Cutter, Kind, VERSION, head};
    use std::io::Read;
    let room = echo();
    let _hubs = Hubs(&room);
    let _bridge = attached(&room);
    let meet = |versions: (u32, u32)| {
        let stream = UnixStream::connect(room.path("data/run/hub.sock")).unwrap();
        let hello = json!({
            "versions": versions, "session": bridge::store::ids::SessionId::of_front(1).to_string(), "pid": 1,
            "last_ask": 0, "again": false, "config": null, "environment": {}, "folder": null, "more": { "x": 1 },
        });
        let body = hello.to_string();
        let mut unknown = head(Kind::Ping, 0, 3);
        unknown[4] = 250;
        let bytes = [
            &head(Kind::Hello, 0, body.len())[..],
            body.as_bytes(),
            &unknown,
            b"new",
            &head(Kind::Ping, 7, 0),
        ]
        .concat();
        let (_dispatched, theirs) = std::io::pipe().unwrap();
        crate::upgrade::send_with(&stream, &bytes, &theirs);
        stream.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        let (mut cutter, mut said, mut stream) = (Cutter::default(), Vec::new(), stream);
        while said.len() < 2 {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            if count == 0 {
                break;
            }
            cutter.room().extend_from_slice(&bytes[..count]);
            while let Some(framed) = cutter.next_frame().unwrap() {
                said.push(framed);
            }
        }
        said
    };
    for known in [(1, VERSION), (VERSION, VERSION + 8)] {
        let said = meet(known);
        let welcome: Value = serde_json::from_slice(&said[0].body).unwrap();
        assert_eq!(
            (welcome["version"].as_u64(), said[1].kind, said[1].seq),
            (Some(VERSION.into()), Kind::Pong, 7)
        );
    }
    let said = meet((VERSION + 1, VERSION + 8));
    let welcome: Value = serde_json::from_slice(&said[0].body).unwrap();
    assert_eq!((welcome["version"].as_u64(), said.len()), (Some(VERSION.into()), 1), "and that is all");
    wait_until("the hub says why", || room.text("data/logs/hub.log").contains("speaks the versions 2 to 9"));
}
