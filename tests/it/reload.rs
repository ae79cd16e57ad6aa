//! A configuration that changes while the bridge runs: only what changed is touched, and calls go on.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Bridge, Room, alive, fake_server, wait_for, wait_until};

/// The file that these tests change.
const FILE: &str = "live.toml";

/// An entry whose server plays these lines.
fn entry(name: &str, script: &[&str], keys: &str) -> String {
    let args: Vec<&str> = script.iter().flat_map(|line| ["-e", line]).collect();
    format!("[servers.{name}]\ncommand = {}\nargs = {}\n{keys}\n", json!(fake_server()), json!(args))
}

fn room(text: &str) -> Room {
    Room::new().config(FILE, text)
}

/// How often the bridge has changed something because of its file.
fn reloads(bridge: &Bridge) -> usize {
    bridge.log().matches("configuration read again").count()
}

/// Puts the file in its place as a whole: one that is written where it stands is empty for a moment, and may be
/// read then, which is heard too.
fn write(room: &Room, text: &str) {
    fs::write(room.path("next"), text).unwrap();
    fs::rename(room.path("next"), room.path(FILE)).unwrap();
}

/// Writes the file and waits until the bridge has heard of it.
#[track_caller]
fn change(room: &Room, bridge: &Bridge, text: &str) {
    let before = reloads(bridge);
    write(room, &text.replace("$ROOM", room.path("").to_str().unwrap()));
    wait_until("the change is heard", || reloads(bridge) > before);
}

#[track_caller]
fn tools(bridge: &mut Bridge) -> Vec<String> {
    let list = bridge.ask("tools/list", &json!({}));
    let names = list["result"]["tools"].as_array().unwrap().iter();
    let names = names.map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.filter(|name| !name.starts_with("bridge_")).collect()
}

/// What the status says of one server.
#[track_caller]
fn server(bridge: &mut Bridge, name: &str) -> Value {
    let status = bridge.status();
    let mut servers = status["servers"].as_array().unwrap().iter();
    servers.find(|server| server["name"] == name).cloned().unwrap_or(Value::Null)
}

#[track_caller]
fn pid(bridge: &mut Bridge, name: &str) -> u32 {
    wait_for("it runs", || {
        let server = server(bridge, name);
        (server["state"] == "ready").then(|| u32::try_from(server["pid"].as_u64().unwrap()).unwrap())
    })
}

#[test]
fn only_what_changed_is_started_stopped_and_replaced() {
    let same = entry("same", &["tool s"], "");
    let room = room(
        &[&same, &entry("other", &["tool o"], ""), &entry("gone", &["tool g"], "")]
            .map(String::as_str)
            .concat(),
    );
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), ["gone__g", "other__o", "same__s"]);
    let before = ["same", "other", "gone"].map(|name| pid(&mut bridge, name));
    change(
        &room,
        &bridge,
        &[&entry("new", &["tool n"], ""), &same, &entry("other", &["tool p"], "")]
            .map(String::as_str)
            .concat(),
    );
    bridge.told("notifications/tools/list_changed");
    wait_until("the new ones are shown", || tools(&mut bridge) == ["new__n", "other__p", "same__s"]);
    assert_eq!(pid(&mut bridge, "same"), before[0]);
    assert_ne!(pid(&mut bridge, "other"), before[1]);
    wait_until("the old ones are gone", || !alive(before[1]) && !alive(before[2]));
    let answer = bridge.call("other__p", json!({ "a": 1 }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "a": 1 }));
    assert_eq!(bridge.call("gone__g", json!({}))["error"]["code"], -32602);
    let names: Vec<Value> =
        bridge.status()["servers"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["new", "same", "other"], "in the file's order");
    let log = bridge.wait_for_log("configuration read again");
    for part in ["added=\"new\"", "changed=\"other\"", "removed=\"gone\""] {
        assert!(log.contains(part), "{log}");
    }
}

#[test]
fn calls_that_run_in_a_replaced_or_removed_server_go_on_to_their_ends() {
    let ask = ["on tools/call ask: request roots/list"];
    let room = room(&(entry("a", &ask, "") + &entry("b", &ask, "")));
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "roots": {} } }));
    let calls = ["a__ask", "b__ask"].map(|tool| {
        let id = bridge.begin_call(tool, json!({}));
        (id, bridge.asked("roots/list").id)
    });
    let before = ["a", "b"].map(|name| pid(&mut bridge, name));
    change(&room, &bridge, &entry("a", &["tool ask"], ""));
    let answer = bridge.call("a__ask", json!({ "new": true }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "new": true }), "{answer}");
    assert!(before.iter().all(|pid| alive(*pid)));
    let status = bridge.status();
    let retiring = |server: &str, pid: u32, because: &str| json!({ "server": server, "pid": pid, "activeRequests": 1, "because": because });
    let retiring = [
        retiring("a", before[0], "its entry in the configuration changed"),
        retiring("b", before[1], "it was removed from the configuration"),
    ];
    assert_eq!(status["retiring"], json!(retiring), "{status}");
    let text = bridge.call("bridge_connections", json!({}));
    let text = text["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(
        text.matches("1 under way, 1 request so far; it ends with what runs in it: ").count(),
        2,
        "{text}"
    );
    for (id, asked) in calls {
        bridge.answer(&asked, &json!({ "roots": [] }));
        let answer = bridge.answer_to(id);
        assert_eq!(answer["result"]["structuredContent"]["answer"], json!({ "roots": [] }), "{answer}");
    }
    wait_until("the old ones are gone", || before.iter().all(|pid| !alive(*pid)));
    let expected =
        [[json!("it was removed from the configuration")], [json!("its entry in the configuration changed")]];
    wait_until("it is in the record", || {
        bridge.rows("SELECT reason FROM server_events WHERE event = 'exit' ORDER BY reason") == expected
    });
}

#[test]
fn an_idle_server_is_gone_before_the_one_that_replaces_it_starts() {
    let text = |key: &str| entry("s", &["count $ROOM/pids", "ignore-term", "ignore-eof"], key);
    let room = room(&text(""));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let before = pid(&mut bridge, "s");
    change(&room, &bridge, &text("call_timeout_s = 7"));
    wait_until("the new one is there", || {
        let is_new = room.pids("pids").len() == 2;
        assert!(!is_new || !alive(before), "both are there");
        is_new
    });
}

#[test]
fn a_call_in_a_removed_server_ends_at_its_deadline_and_a_bridge_that_stops_leaves_nobody() {
    let keys = "call_timeout_s = 1";
    let room = room(
        &(entry("a", &["on tools/call: hang"], keys)
            + &entry("b", &["on tools/call: hang", "ignore-term"], "")),
    );
    let mut bridge = room.start();
    bridge.initialize();
    let [timed_out, _] = ["a__echo", "b__echo"].map(|tool| bridge.begin_call(tool, json!({})));
    let before = ["a", "b"].map(|name| pid(&mut bridge, name));
    change(&room, &bridge, "# none\n");
    let answer = bridge.answer_to(timed_out);
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "timeout", "{answer}");
    wait_until("it is gone", || !alive(before[0]));
    assert!(alive(before[1]));
    bridge.end();
    crate::support::check_gone(&before);
}

#[test]
fn a_broken_file_changes_nothing_and_is_named_until_it_is_right_again() {
    let text = entry("s", &["tool x"], "");
    let room = room(&text);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__x", json!({}));
    let before = pid(&mut bridge, "s");
    change(&room, &bridge, "[servers.s\n");
    bridge.wait_for_log("what it touches stays as it was");
    let status = bridge.status();
    assert_eq!(status["config"]["keptFromBefore"], true);
    assert!(status["config"]["mistakes"][0].as_str().unwrap().contains("live.toml:1"), "{status}");
    let said = bridge.call("bridge_status", json!({}))["result"]["content"][0]["text"].take();
    assert!(said.as_str().unwrap().contains("(what they touch stays as it was before):\n- "), "{said}");
    assert_eq!(pid(&mut bridge, "s"), before);
    change(&room, &bridge, &text);
    assert_eq!(bridge.status()["config"]["mistakes"], json!([]));
    assert_eq!(bridge.status()["config"]["keptFromBefore"], false);
    assert_eq!(pid(&mut bridge, "s"), before);
    fs::remove_file(room.path(FILE)).unwrap();
    wait_until("its end is heard", || {
        bridge.status()["config"]["mistakes"].to_string().contains("cannot be read")
    });
    assert_eq!(pid(&mut bridge, "s"), before);
}

#[test]
fn a_mistake_in_one_entry_keeps_that_server_and_the_rest_changes() {
    let room = room(&(entry("a", &["tool x"], "") + &entry("b", &["tool x"], "")));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("a__x", json!({}));
    let before = pid(&mut bridge, "a");
    change(
        &room,
        &bridge,
        &(entry("a", &["tool y"], "call_timeout_s = 'long'") + &entry("c", &["tool z"], "")),
    );
    wait_until("the others change", || tools(&mut bridge) == ["a__x", "c__z"]);
    assert_eq!(pid(&mut bridge, "a"), before);
    assert!(bridge.status()["config"]["mistakes"][0].as_str().unwrap().contains("servers.a.call_timeout_s"));
}

#[test]
fn a_file_that_is_replaced_and_one_behind_a_link_are_heard_of() {
    let room = room(&entry("s", &["tool x"], ""));
    let real = room.path("home/real.toml");
    fs::rename(room.path(FILE), &real).unwrap();
    std::os::unix::fs::symlink(&real, room.path(FILE)).unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), ["s__x"]);
    // As editors do: a new file takes the place of the old one.
    fs::write(room.path("home/next.toml"), entry("s", &["tool y"], "")).unwrap();
    fs::rename(room.path("home/next.toml"), &real).unwrap();
    wait_until("it is heard", || tools(&mut bridge) == ["s__y"]);
}

#[test]
fn a_file_that_comes_later_is_picked_up() {
    let room = Room::new().env("BRIDGE_CONFIG", "");
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), Vec::<String>::new());
    let folder = room.path("home/.config/bridge");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), entry("s", &["tool x"], "")).unwrap();
    bridge.told("notifications/tools/list_changed");
    assert_eq!(tools(&mut bridge), ["s__x"]);
    assert_eq!(bridge.status()["config"]["mistakes"], json!([]));
}

#[test]
fn a_server_that_is_switched_off_ends_and_one_that_is_switched_on_is_there() {
    let room = room(&entry("s", &["tool x"], ""));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__x", json!({}));
    let before = pid(&mut bridge, "s");
    change(&room, &bridge, &entry("s", &["tool x"], "enabled = false"));
    wait_until("it ends", || !alive(before));
    assert_eq!(tools(&mut bridge), Vec::<String>::new());
    change(&room, &bridge, &entry("s", &["tool x"], ""));
    wait_until("it is shown", || tools(&mut bridge) == ["s__x"]);
}

#[test]
fn a_changed_entry_gives_a_parked_server_a_new_chance() {
    let room = room(&entry("s", &["tool x", "on start: exit 3"], ""));
    let mut bridge = room.start();
    bridge.initialize();
    wait_until("it is parked", || {
        bridge.call("s__x", json!({}));
        server(&mut bridge, "s")["state"] == "parked"
    });
    change(&room, &bridge, &entry("s", &["tool x"], ""));
    let answer = bridge.call("s__x", json!({ "a": 1 }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "a": 1 }), "{answer}");
    assert_eq!(server(&mut bridge, "s")["state"], "ready");
}

#[test]
fn what_the_client_wants_to_hear_holds_for_new_servers_too() {
    let script = ["resource x://1", "on tools/call touch: updated x://1", "record $ROOM/heard"];
    let room = Room::new();
    let script = script.map(|line| line.replace("$ROOM", room.path("").to_str().unwrap()));
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let room = room.config(FILE, &entry("s", &script, ""));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("resources/subscribe", &json!({ "uri": "x://1" }));
    bridge.ask("logging/setLevel", &json!({ "level": "error" }));
    let logs = ["tool l", r#"capabilities {"tools":{},"logging":{}}"#, "record $ROOM/logs"];
    let logs = logs.map(|line| line.replace("$ROOM", room.path("").to_str().unwrap()));
    let logs: Vec<&str> = logs.iter().map(String::as_str).collect();
    change(&room, &bridge, &(entry("s", &script, "start_timeout_s = 9") + &entry("l", &logs, "")));
    wait_until("the level is told", || room.text("logs").contains("logging/setLevel"));
    wait_until("the subscription is told again", || {
        room.text("heard").matches("resources/subscribe").count() == 2
    });
    bridge.call("s__touch", json!({}));
    assert_eq!(bridge.told("notifications/resources/updated")["params"]["uri"], "x://1");
}

#[test]
fn a_modern_subscription_hears_that_the_list_changed() {
    let room = room(&entry("s", &["tool x"], ""));
    let mut bridge = room.start();
    bridge.modern("tools/list", json!({}));
    bridge.listen(&json!({ "toolsListChanged": true }));
    change(&room, &bridge, "# none\n");
    bridge.told("notifications/tools/list_changed");
}

#[test]
fn settings_hold_from_the_next_start_on_or_are_named_as_late() {
    let servers = entry("s", &["tool x", "on tools/call dies: exit 3"], "");
    let room = room(&servers);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__x", json!({}));
    let before = pid(&mut bridge, "s");
    change(&room, &bridge, &format!("[settings]\nfailure_threshold = 1\ndurability = 'power'\n{servers}"));
    bridge.wait_for_log("settings changed that need a new start of the bridge");
    assert_eq!(bridge.status()["config"]["needNewStart"], json!(["durability"]));
    assert_eq!(pid(&mut bridge, "s"), before, "nothing is restarted for that");
    bridge.call("s__dies", json!({}));
    wait_until("one failure parks it", || server(&mut bridge, "s")["state"] == "parked");
    change(&room, &bridge, &format!("[settings]\nmax_concurrent = 1\n{servers}"));
    assert_eq!(server(&mut bridge, "s")["state"], "stopped", "it is another one now");
    assert_eq!(bridge.status()["config"]["needNewStart"], json!([]), "it is as it was");
}

#[test]
fn a_server_that_is_replaced_again_and_again_loses_no_call() {
    let text = |seconds: usize| entry("s", &["tool x"], &format!("start_timeout_s = {seconds}"));
    let room = room(&text(10));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__x", json!({}));
    for round in 1..6 {
        let before = reloads(&bridge);
        write(&room, &text(10 + round));
        let mut calls = Vec::new();
        wait_until("the change is heard", || {
            calls.push(bridge.begin_call("s__x", json!({})));
            reloads(&bridge) > before
        });
        calls.extend((0..20).map(|_| bridge.begin_call("s__x", json!({}))));
        for id in calls {
            let answer = bridge.answer_to(id);
            assert!(answer["result"]["isError"].is_null() && answer["error"].is_null(), "{answer}");
        }
    }
    let rows = bridge.rows("SELECT count(DISTINCT pid) FROM server_events WHERE event = 'ready'");
    assert_eq!(rows[0][0], 6, "each time it was another process");
}

#[test]
fn a_call_that_waits_for_a_server_that_is_replaced_before_it_said_what_it_offers_goes_to_the_next() {
    let slow = |ms: usize| entry("s", &["tool x", &format!("on initialize: sleep {ms}")], "");
    let room = room(&slow(2000));
    let mut bridge = room.start();
    bridge.initialize();
    let waiting = bridge.begin_call("s__x", json!({ "a": 1 }));
    // The old one is there first, and what it offers counts no more.
    change(&room, &bridge, &slow(3000));
    let answer = bridge.answer_to(waiting);
    assert_eq!(answer["result"]["structuredContent"], json!({ "a": 1 }), "{answer}");
}

#[test]
fn a_replaced_server_runs_again_without_a_call_if_it_ran() {
    let text = |seconds: usize| entry("s", &["tool x"], &format!("start_timeout_s = {seconds}"));
    let room = room(&text(10));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__x", json!({}));
    let before = pid(&mut bridge, "s");
    change(&room, &bridge, &text(11));
    assert_ne!(pid(&mut bridge, "s"), before);
    let room = self::room(&text(10));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__x", json!({}));
    bridge.end();
    // What it offers is stored, so that nobody has to start it.
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), ["s__x"]);
    change(&room, &bridge, &text(11));
    assert_eq!(server(&mut bridge, "s")["state"], "stopped");
}

#[test]
fn a_configuration_that_came_through_a_pipe_is_not_read_again() {
    let room = Room::new();
    let pipe = room.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let room = room.arg("--config").arg(pipe.to_str().unwrap());
    let writer = std::thread::spawn({
        let (pipe, text) = (pipe.clone(), entry("s", &["tool x"], ""));
        move || fs::write(pipe, text).unwrap()
    });
    let mut bridge = room.start_with_door();
    writer.join().unwrap();
    assert_eq!(tools(&mut bridge), ["s__x"]);
    let (code, _, said) = room.run(&["reload"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("pipe is no file that can be read again"), "{said}");
    assert_eq!(room.run(&["restart", "s"]).0, Some(0), "nobody is held up by it");
}
