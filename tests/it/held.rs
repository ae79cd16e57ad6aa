//! `bridge stop SERVER` and `bridge start SERVER`: a person's word holds until the next one.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Bridge, Room, alive, wait_until};

fn pid(bridge: &mut Bridge, name: &str) -> u32 {
    u32::try_from(bridge.server(name)["pid"].as_u64().unwrap()).unwrap()
}

fn tools(bridge: &mut Bridge) -> Vec<Value> {
    let list = bridge.ask("tools/list", &json!({}));
    list["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect()
}

fn kind(answer: &Value) -> (&Value, &Value) {
    let error = &answer["result"]["_meta"]["bridge/error"];
    (&error["kind"], &error["cause"])
}

#[test]
fn a_stopped_server_is_gone_refuses_at_once_and_stays_listed() {
    let room = Room::new().server("s", &["tool x", "on tools/call ask: request roots/list"]).server("t", &[]);
    let mut bridge = room.start_with_door();
    bridge.call("s__x", json!({}));
    bridge.call("t__echo", json!({}));
    let (process, listed) = (pid(&mut bridge, "s"), tools(&mut bridge));
    let running = bridge.begin_call("s__ask", json!({}));
    bridge.asked("roots/list");
    let told = room.said(&["stop", "s"]);
    let said = "of s was ended; it stays stopped until bridge start s";
    assert_eq!(told, format!("bridge {}: process {process} {said}\n", bridge.pid()));
    assert!(!alive(process));
    let lost = bridge.answer_to(running);
    assert_eq!(kind(&lost), (&json!("outcome_unknown"), &json!("held")), "{lost}");
    let refused = bridge.call("s__x", json!({}));
    assert_eq!(kind(&refused), (&json!("unavailable"), &json!("held")));
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    insta::assert_snapshot!(text, @r#"The server "s" is not available: it was stopped by bridge stop. The call was not sent. It stays stopped until somebody runs `bridge start s`."#);
    let is = bridge.server("s");
    assert_eq!(
        (&is["state"], &is["because"], &is["pid"]),
        (&json!("stopped"), &json!("bridge stop"), &Value::Null)
    );
    assert_eq!(tools(&mut bridge), listed);
    assert!(bridge.call("t__echo", json!({}))["result"]["isError"].is_null(), "the others are not concerned");
    let why = bridge.rows("SELECT reason FROM server_events WHERE server = 's' AND event = 'exit'");
    assert_eq!(why, [[json!("bridge stop")]]);
    let answer = bridge.call("bridge_restart", json!({ "server": "s" }));
    assert!(
        answer.to_string().contains("a person stopped s, and starts it with `bridge start s`"),
        "{answer}"
    );
    let told = room.said(&["stop", "s"]);
    assert!(told.contains("s had no process; it stays stopped"), "{told}");
    let told = room.said(&["start", "s"]);
    assert!(told.contains("s had no process, process ") && told.ends_with(" is ready\n"), "{told}");
    assert!(bridge.call("s__x", json!({}))["result"]["isError"].is_null());
    let told = room.said(&["start", "s"]);
    assert!(told.contains("s runs already, process "), "{told}");
}

#[test]
fn it_stays_stopped_in_the_next_hub_and_a_restart_ends_that() {
    let room = Room::new().server("s", &["tool x"]).through_hub();
    let mut bridge = room.start_with_door();
    bridge.call("s__x", json!({}));
    room.said(&["stop", "s"]);
    room.said(&["stop"]);
    let is_refused = |bridge: &mut Bridge| kind(&bridge.call("s__x", json!({}))).1 == "held";
    assert!(is_refused(&mut bridge), "the next hub knows it");
    assert_eq!(tools(&mut bridge).iter().filter(|tool| *tool == "s__x").count(), 1);
    wait_until("it can be told something", || room.run(&["restart", "s"]).0 == Some(0));
    assert!(!is_refused(&mut bridge));
    room.said(&["stop"]);
    assert!(!is_refused(&mut bridge));
}

#[test]
fn without_a_bridge_it_is_noted_down_for_those_that_come() {
    let room = Room::new().server("github", &["tool x"]);
    assert_eq!(
        room.said(&["stop", "github"]),
        "no bridge runs; github stays stopped until bridge start github\n"
    );
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(kind(&bridge.call("github__x", json!({}))).1, "held");
    assert_eq!(bridge.server("github")["starts"], 0);
    bridge.end();
    let told = room.said(&["start", "github"]);
    assert_eq!(
        told,
        "no bridge runs; github is not stopped any more, and the next call of a client starts it\n"
    );
    let told = room.said(&["start", "github"]);
    assert_eq!(told, "no bridge runs; github was not stopped, and the next call of a client starts it\n");
    let mut bridge = room.start();
    bridge.initialize();
    assert!(bridge.call("github__x", json!({}))["result"]["isError"].is_null());
}

#[test]
fn what_was_said_when_nobody_could_hear_it_is_heard_with_the_next_reading() {
    let room = Room::new().server("s", &["tool x"]);
    let mut bridge = room.start_with_door();
    bridge.call("s__x", json!({}));
    fs::create_dir(room.path("data/stopped")).unwrap();
    fs::write(room.path("data/stopped/s.json"), r#"{"server":"s","at":"2026-11-21T00:00:00Z"}"#).unwrap();
    room.said(&["reload"]);
    assert_eq!(kind(&bridge.call("s__x", json!({}))).1, "held");
    fs::remove_file(room.path("data/stopped/s.json")).unwrap();
    room.said(&["reload"]);
    assert!(bridge.call("s__x", json!({}))["result"]["isError"].is_null());
}

#[test]
fn a_server_that_is_added_anew_is_not_stopped_by_an_older_word() {
    let room = Room::new().config("own.toml", "[servers.s]\ncommand = 'x'\n");
    let notes = || fs::read_dir(room.path("data/stopped")).map_or(0, Iterator::count);
    room.said(&["stop", "s"]);
    assert_eq!(notes(), 1);
    room.said(&["remove", "s"]);
    assert_eq!(notes(), 0, "it went with its entry");
    room.said(&["add", "s", "--no-start", "--", "x"]);
    room.said(&["stop", "s"]);
    fs::write(room.path("own.toml"), "").unwrap();
    room.said(&["add", "s", "--no-start", "--", "x"]);
    assert_eq!(notes(), 0, "its entry went by hand");
}

#[test]
fn a_name_that_nobody_knows_is_refused_with_the_one_that_is_meant() {
    let room = Room::new().server("github", &[]);
    for verb in ["stop", "start"] {
        let (code, stdout, stderr) = room.run(&[verb, "gihtub"]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with("error: There is no server \"gihtub\" in "), "{stderr}");
        assert!(stderr.ends_with("config.toml, did you mean \"github\"?\n"), "{stderr}");
        let (_, _, stderr) = room.run(&[verb, "x"]);
        assert!(stderr.ends_with("config.toml, which has github\n"), "{stderr}");
    }
    let bridge = room.start_with_door();
    for verb in ["stop", "start", "restart"] {
        let (code, stdout, stderr) = room.run(&[verb, "gihtub"]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        let unknown = "it has no server \"gihtub\", did you mean \"github\"?";
        assert_eq!(stderr, format!("error: bridge {}: {unknown}\n", bridge.pid()));
    }
    assert!(!room.path("data/stopped").exists(), "nothing was noted down");
}

#[test]
fn a_mistake_is_named_where_it_hides_the_server() {
    let check = |text: &str, verbs: &[&[&str]], said: &str| {
        let room = Room::new().config("own.toml", text);
        for args in verbs {
            let (code, stdout, stderr) = room.run(args);
            assert!(code != Some(0) && stdout.is_empty() && stderr.contains(said), "{args:?}: {stderr}");
        }
        room
    };
    let of_one: [&[&str]; 4] = [&["stop", "bad"], &["start", "bad"], &["tools", "bad"], &["approve", "bad"]];
    let entry = "[servers.bad]\ncomand = 'x'\n";
    check(entry, &of_one, "the entry of bad has a mistake, repair it first: ");
    check(entry, &of_one, "own.toml:");
    let whole = "error: the configuration cannot be understood, repair it first: ";
    let of_all: [&[&str]; 3] = [&["tools"], &["logs", "--server", "bad"], &["doctor", "bad"]];
    check("[servers\n", &of_one, whole);
    let room = check("[servers\n", &of_all, whole);
    let listed = room.said(&["list"]);
    assert!(listed.starts_with("The configuration cannot be understood, see below.\n"), "{listed}");
}

#[test]
fn a_server_is_stopped_whatever_it_does_and_a_start_is_a_new_chance() {
    let room = Room::new()
        .server("parks", &["tool x", "on start: exit 3"])
        .server("starts", &["tool x", "on initialize: hang"]);
    let mut bridge = room.start_with_door();
    wait_until("it is parked", || {
        bridge.call("parks__x", json!({}));
        bridge.server("parks")["state"] == "parked"
    });
    let waits = bridge.begin_call("starts__x", json!({}));
    wait_until("it starts", || bridge.server("starts")["state"] == "starting");
    for server in ["parks", "starts"] {
        room.said(&["stop", server]);
        let is = bridge.server(server);
        assert_eq!((&is["state"], &is["breaker"]), (&json!("stopped"), &json!("closed")));
        assert_eq!(kind(&bridge.call(&format!("{server}__x"), json!({}))).1, "held");
    }
    let told = bridge.answer_to(waits);
    assert_eq!(kind(&told), (&json!("unavailable"), &json!("held")), "{told}");
    let (code, _, stderr) = room.run(&["start", "parks"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("parks cannot be started: it ended before it was ready"), "{stderr}");
    fs::write(room.path("scripts/parks"), "tool x").unwrap();
    room.said(&["start", "parks"]);
    assert!(bridge.call("parks__x", json!({}))["result"]["isError"].is_null());
}

#[test]
fn one_that_leaves_the_configuration_is_not_stopped_when_it_comes_back() {
    let server =
        |name: &str| format!("[servers.{name}]\ncommand = {}\n", json!(crate::support::fake_server()));
    let both = server("s") + &server("t");
    let room = Room::new().config("live.toml", &both);
    let mut bridge = room.start_with_door();
    for name in ["s", "t"] {
        room.said(&["stop", name]);
    }
    // A changed entry is stopped as the one before was.
    fs::write(room.path("live.toml"), both.replace("[servers.s]", "[servers.s]\nstart_timeout_s = 9"))
        .unwrap();
    room.said(&["reload"]);
    assert_eq!(bridge.server("s")["because"], "bridge stop");
    fs::write(room.path("live.toml"), server("t")).unwrap();
    room.said(&["reload"]);
    fs::write(room.path("live.toml"), both).unwrap();
    room.said(&["reload"]);
    assert!(bridge.call("s__echo", json!({}))["result"]["isError"].is_null());
    assert_eq!(bridge.server("t")["because"], "bridge stop", "nobody touched this one");
}
