//! A bridge that runs is told what to do: `bridge reload`, `bridge restart`, and whoever else comes to its
//! socket.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::said::text;
use crate::support::{Bridge, Room, alive, fake_server, wait_until};

#[test]
fn a_bridge_that_hangs_holds_nobody_up_who_has_the_others_told_something() {
    let room = Room::new().server("s", &[]);
    let (hung, well) = (room.start_with_door(), room.start_with_door());
    hung.signal(Signal::STOP);
    for verb in [&["reload"][..], &["restart", "s"]] {
        let before = Instant::now();
        let (code, told, error) = room.run(verb);
        assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
        assert_eq!(code, Some(1));
        assert!(told.contains(&format!("bridge {}: ", well.pid())), "{told}");
        let named = format!("bridge {}: did not answer within 2 s", hung.pid());
        assert!(error.contains(&named), "{error}");
    }
    hung.signal(Signal::CONT);
}

#[track_caller]
fn pid(bridge: &mut Bridge, name: &str) -> u32 {
    u32::try_from(bridge.server(name)["pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn with_nobody_there_is_nobody_to_tell() {
    let room = Room::new();
    for args in [&["reload"][..], &["restart", "s"]] {
        let (code, stdout, stderr) = room.run(args);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with("error: No bridge runs on "), "{stderr}");
    }
}

#[test]
fn a_restart_replaces_the_process_at_once_and_the_rest_stays() {
    let room = Room::new().server("s", &["tool x", "on tools/call ask: request roots/list"]).server("t", &[]);
    let mut bridge = room.start_with_door();
    bridge.call("s__x", json!({}));
    bridge.call("t__echo", json!({}));
    let before = (pid(&mut bridge, "s"), pid(&mut bridge, "t"));
    let running = bridge.begin_call("s__ask", json!({}));
    bridge.asked("roots/list");
    let (code, stdout, stderr) = room.run(&["restart", "s"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let after = pid(&mut bridge, "s");
    let said =
        format!("bridge {}: process {} of s was ended, process {after} is ready\n", bridge.pid(), before.0);
    assert_eq!(stdout, said);
    assert!(!alive(before.0) && pid(&mut bridge, "t") == before.1);
    let lost = bridge.answer_to(running);
    assert_eq!(lost["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{lost}");
    let text = lost["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("was started anew by bridge restart"), "{text}");
    let kinds = bridge.rows("SELECT error_kind FROM tool_calls WHERE outcome = 'outcome_unknown'");
    assert_eq!(kinds, [[json!("server_stopped")]]);
    let answer = bridge.call("s__x", json!({ "a": 1 }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "a": 1 }));
}

#[test]
fn a_model_restarts_a_server_as_a_person_does_and_reads_why_it_does_not_start() {
    let room =
        Room::new().server("s", &["count $ROOM/pids"]).server("bad", &["on start: stderr no key; exit 3"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let before = pid(&mut bridge, "s");
    let answer = bridge.call("bridge_restart", json!({ "server": "s" }));
    let after = pid(&mut bridge, "s");
    assert_eq!(text(&answer), format!("process {before} of s was ended, process {after} is ready"));
    let data = &answer["result"]["structuredContent"];
    assert_eq!((&data["endedPid"], &data["pid"]), (&json!(before), &json!(after)));
    let answer = bridge.call("bridge_restart", json!({ "server": "bad" }));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(text(&answer).contains("bad cannot be started: it "), "{answer}");
    assert!(text(&answer).ends_with("It wrote last:\nno key"), "{answer}");
    for (arguments, told) in
        [(json!({ "server": "x" }), "it has no server \"x\""), (json!({}), "say which server")]
    {
        let answer = bridge.call("bridge_restart", arguments);
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{answer}");
    }
}

#[test]
fn a_server_that_is_started_anew_never_meets_the_one_before() {
    let room = Room::new().server("s", &["count $ROOM/pids", "ignore-term", "ignore-eof"]);
    let mut bridge = room.start_with_door();
    bridge.call("s__echo", json!({}));
    let before = pid(&mut bridge, "s");
    std::thread::scope(|scope| {
        scope.spawn(|| room.run(&["restart", "s"]));
        wait_until("a call goes to the new one", || {
            bridge.call("s__echo", json!({}));
            let is_new = room.pids("pids").len() == 2;
            assert!(!is_new || !alive(before), "both are there");
            is_new
        });
    });
}

#[test]
fn a_call_that_waits_for_a_connection_goes_to_the_server_that_is_started_anew() {
    let keys = "scope = \"thread\"\nmax_connections = 1\nqueue_timeout_s = 60";
    let room = Room::new().server_with("s", &["tool echo", "on tools/call hang: hang"], keys);
    let mut bridge = room.start_with_door();
    let begin = |bridge: &mut Bridge, tool: &str, thread: &str| {
        let params = json!({ "name": tool, "arguments": { "n": 1 }, "_meta": { "bridge/threadId": thread } });
        bridge.request("tools/call", &params)
    };
    begin(&mut bridge, "s__hang", "t1");
    let waits = begin(&mut bridge, "s__echo", "t2");
    wait_until("it waits", || bridge.status()["servers"][0]["connections"]["waiting"] == 1);
    room.run(&["restart", "s"]);
    let answer = bridge.answer_to(waits);
    assert_eq!(answer["result"]["structuredContent"], json!({ "n": 1 }), "{answer}");
}

#[test]
fn a_restart_gives_a_parked_server_a_new_chance_and_says_when_that_is_in_vain() {
    let room = Room::new().server("s", &["tool x", "on start: exit 3"]);
    let mut bridge = room.start_with_door();
    wait_until("it is parked", || {
        bridge.call("s__x", json!({}));
        bridge.server("s")["state"] == "parked"
    });
    let (code, _, stderr) = room.run(&["restart", "s"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("before it was ready (exit code 3)"), "{stderr}");
    assert_eq!(bridge.server("s")["state"], "resting", "its past is forgotten");
    fs::write(room.path("scripts/s"), "tool x").unwrap();
    let (code, stdout, _) = room.run(&["restart", "s"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("s had no process, process "), "{stdout}");
    assert!(bridge.call("s__x", json!({}))["result"]["isError"].is_null());
}

#[test]
fn a_server_that_a_bridge_does_not_have_is_no_server_of_its() {
    let room = Room::new().server("s", &[]);
    let bridge = room.start_with_door();
    for name in ["x", "bridge", ""] {
        let (code, stdout, stderr) = room.run(&["restart", name]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert_eq!(stderr, format!("error: bridge {}: it has no server {name:?}\n", bridge.pid()));
    }
}

#[test]
fn a_reload_tells_what_each_bridge_changed() {
    let entry = |name: &str| format!("[servers.{name}]\ncommand = {}\n", json!(fake_server()));
    let room = Room::new().config("live.toml", &entry("a"));
    let (mut one, two) = (room.start_with_door(), room.start_with_door());
    let (code, stdout, _) = room.run(&["reload"]);
    let said = |bridge: &Bridge, what: &str| format!("bridge {}: {what}\n", bridge.pid());
    let mut expected = [said(&one, "nothing changed"), said(&two, "nothing changed")];
    expected.sort();
    assert_eq!((code, stdout), (Some(0), expected.concat()));
    fs::write(room.path("live.toml"), entry("a") + &entry("b")).unwrap();
    // Each may have heard of it by itself in the meantime.
    let (code, _, stderr) = room.run(&["reload"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for bridge in [&one, &two] {
        bridge.wait_for_log("added=\"b\"");
    }
    fs::write(room.path("live.toml"), "[servers.a]\ncommand = 7\n").unwrap();
    let (code, _, stderr) = room.run(&["reload"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("what has a mistake stays as it was") && stderr.contains("live.toml:2:1"),
        "{stderr}"
    );
    fs::write(room.path("live.toml"), "[servers").unwrap();
    let (code, _, stderr) = room.run(&["reload"]);
    assert_eq!(code, Some(1));
    assert_eq!(stderr.matches("everything stays as it was: ").count(), 2, "{stderr}");
    assert!(one.call("a__echo", json!({}))["result"]["isError"].is_null());
}

#[test]
fn who_says_something_strange_to_the_socket_harms_nobody() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start_with_door();
    let door = room.doors().pop().unwrap();
    let say = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&door).unwrap();
        // It may be cut off while it writes.
        let _ = stream.write_all(bytes);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(say(b"GET / HTTP/1.1\r\n\r\n").contains("a question is one line"));
    assert_eq!(say(&vec![b'x'; 1 << 20]), "");
    assert!(say(b"{\"v\":9,\"verb\":\"status\"}\n").contains("version 9 is not known here"));
    let _silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&door).unwrap()).collect();
    assert!(bridge.call("s__echo", json!({}))["result"]["isError"].is_null());
    let told: Value = serde_json::from_str(&say(b"{\"v\":1,\"verb\":\"status\"}\n")).unwrap();
    assert_eq!(told["result"]["pid"], bridge.pid());
}
