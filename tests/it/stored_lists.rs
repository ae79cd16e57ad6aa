//! What the servers offer: waited for once, stored, and never replaced by something worse.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::said::{OWN, echoed, names};
use crate::support::{Bridge, Room, alive, fake_server, send_signal, wait_for, wait_until};

#[track_caller]
fn list(bridge: &mut Bridge) -> Value {
    bridge.ask("tools/list", &json!({}))
}

/// The names on offer, but for the bridge's own.
#[track_caller]
fn offered(bridge: &mut Bridge) -> Vec<String> {
    let list = list(bridge);
    let names = names(&list);
    assert!(OWN.iter().all(|own| names.contains(own)), "{names:?}");
    names.into_iter().filter(|name| !OWN.contains(name)).map(str::to_owned).collect()
}

/// What a bridge that starts anew in the room offers, and how the next call to `s__echo` goes.
#[track_caller]
fn offered_anew(room: &Room) -> Vec<String> {
    let mut bridge = room.start();
    bridge.initialize();
    let offered = offered(&mut bridge);
    assert!(bridge.end().success());
    offered
}

#[test]
fn the_first_list_waits_a_while_for_servers_that_are_not_known_and_tells_of_the_rest() {
    let room = Room::new()
        .setting("first_list_wait_s = 1")
        .server("late", &["on initialize: sleep 5000"])
        .server("quick", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    let before = Instant::now();
    assert_eq!(offered(&mut bridge), ["quick__echo"]);
    let took = before.elapsed();
    assert!((950..4900).contains(&took.as_millis()), "{took:?}");
    wait_until("the rest is told and listed", || {
        bridge.told("notifications/tools/list_changed");
        offered(&mut bridge) == ["late__echo", "quick__echo"]
    });
}

#[test]
fn a_second_start_lists_at_once_and_starts_nothing() {
    let room = Room::new().server("s", &["count $ROOM/count", "tools 300", "on initialize: sleep 4000"]);
    let mut bridge = room.start();
    bridge.initialize();
    let first = list(&mut bridge)["result"].take();
    bridge.end();
    let before = Instant::now();
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(list(&mut bridge)["result"], first, "byte for byte and in the same order");
    assert!(before.elapsed() < Duration::from_millis(3900), "{:?}", before.elapsed());
    bridge.end();
    assert_eq!(room.pids("count").len(), 1, "only the first start asked the server");
}

#[test]
fn a_later_list_that_is_empty_or_fails_never_replaces_the_good_one() {
    let good = ["tool a", "tool echo"];
    let room = Room::new().server_with("s", &good, "start_timeout_s = 1");
    assert_eq!(offered_anew(&room), ["s__a", "s__echo"]);
    for worse in ["empty", "error", "hang", r#"reply {"tools":7}"#, "exit 1", "garbage []; hang"] {
        let script = format!("{}\non tools/list: {worse}", good.join("\n"));
        std::fs::write(room.path("scripts/s"), script).unwrap();
        let mut bridge = room.start();
        bridge.initialize();
        bridge.call("s__echo", json!({}));
        assert_eq!(offered(&mut bridge), ["s__a", "s__echo"], "after {worse}");
        bridge.end();
        assert_eq!(offered_anew(&room), ["s__a", "s__echo"], "stored after {worse}");
    }
}

#[test]
fn a_list_that_changed_is_told_and_stored() {
    let room = Room::new().server("s", &["tool echo", "on tools/call grow: list-changed"]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(offered(&mut bridge), ["s__echo", "s__grow"]);
    bridge.said_so_far();
    bridge.call("s__grow", json!({}));
    bridge.told("notifications/tools/list_changed");
    assert_eq!(offered(&mut bridge), ["s__echo", "s__extra_1", "s__grow"]);
    assert_eq!(
        bridge.call("s__extra_1", json!({ "n": 1 }))["result"]["structuredContent"],
        json!({ "n": 1 })
    );
    bridge.end();
    assert_eq!(offered_anew(&room), ["s__echo", "s__extra_1", "s__grow"]);
}

#[test]
fn a_list_that_differs_from_the_stored_one_is_told() {
    let room = Room::new().server("s", &["tool echo"]);
    assert_eq!(offered_anew(&room), ["s__echo"]);
    std::fs::write(room.path("scripts/s"), "tool echo\ntool more").unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(offered(&mut bridge), ["s__echo"], "nothing was started yet");
    bridge.call("s__echo", json!({}));
    bridge.told("notifications/tools/list_changed");
    assert_eq!(offered(&mut bridge), ["s__echo", "s__more"]);
    let said = bridge.said_so_far();
    assert!(said.is_empty(), "told once: {said:?}");
}

#[test]
fn a_server_that_is_launched_in_another_way_is_asked_anew() {
    let mut room = Room::new();
    std::fs::create_dir(room.path("elsewhere")).unwrap();
    let fake = json!(fake_server());
    let base = format!("[servers.s]\ncommand = {fake}\nargs = [\"-e\", \"count $ROOM/count\"]\n");
    let mut keys = 0;
    let mut starts = 0;
    for (what, entry, is_new) in [
        ("the first time", base.clone(), true),
        ("the same again", base.clone(), false),
        ("a limit", format!("{base}call_timeout_s = 7\n"), false),
        (
            "an argument",
            base.replace("]\n[", "").replace("count\"]", "count\", \"-e\", \"tool echo\"]"),
            true,
        ),
        ("the name of a variable", format!("{base}env = {{ A = \"1\" }}\n"), true),
        ("its value", format!("{base}env = {{ A = \"2\" }}\n"), false),
        ("the folder", format!("{base}cwd = \"$ROOM/elsewhere\"\n"), true),
        ("the command", base.replace(fake.as_str().unwrap(), "$ROOM/fake"), true),
    ] {
        if what == "the command" {
            std::os::unix::fs::symlink(fake_server(), room.path("fake")).unwrap();
        }
        room = room.config("launch.toml", &entry);
        assert_eq!(offered_anew(&room), ["s__echo"], "{what}");
        keys += u64::from(is_new);
        starts += usize::from(is_new);
        assert_eq!(room.rows("SELECT count(*) FROM catalog")[0][0], keys, "{what}");
        assert_eq!(room.pids("count").len(), starts, "{what}");
    }
}

#[test]
fn the_list_stays_the_same_while_a_server_is_down() {
    let room = Room::new().server("s", &["count $ROOM/count"]).server("t", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    let before = list(&mut bridge)["result"].take();
    let pid = room.pids("count")[0];
    send_signal(pid, Signal::KILL);
    wait_until("the server is dead", || !alive(pid));
    bridge.wait_for_log("reason=\"crashed");
    assert_eq!(list(&mut bridge)["result"], before);
    assert_eq!(room.pids("count").len(), 1, "a list starts no server that is known");
}

#[test]
fn names_that_meet_and_names_that_are_too_long_get_a_hash_and_can_be_called() {
    let long = "a_tool_whose_name_goes_on_for_rather_longer_than_any_client_likes";
    let scripts =
        ["tool x.y", "tool x_y", "tool {long}", "tool {long}er"].map(|line| line.replace("{long}", long));
    let mut script: Vec<&str> = scripts.iter().map(String::as_str).collect();
    script.push("record $ROOM/record");
    let room = Room::new().server("my.server", &script);
    let mut bridge = room.start();
    bridge.initialize();
    let shown = offered(&mut bridge);
    assert_eq!(shown.len(), 4);
    for name in &shown {
        assert!(name.len() <= 50 && name.starts_with("my_server__"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
        assert_eq!(echoed(&bridge.call(name, json!({ "n": name }))), &json!({ "n": name }));
    }
    assert!(shown.contains(&"my_server__x_y".to_owned()), "the first keeps its name: {shown:?}");
    let called: Vec<Value> =
        room.text("record").lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut tools: Vec<&str> = called.iter().filter_map(|line| line["params"]["name"].as_str()).collect();
    tools.sort_unstable();
    assert_eq!(tools, [long, &format!("{long}er"), "x.y", "x_y"]);
    let clash = &bridge.status()["nameClashes"];
    assert_eq!(
        (&clash[0]["name"], &clash[0]["wanted"]),
        (&json!("x_y"), &json!("my_server__x_y")),
        "{clash}"
    );
    assert!(shown.iter().any(|name| clash[0]["shown"] == **name));
    assert_eq!(offered_anew(&room), shown, "the same names after a start");
}

#[test]
fn a_server_without_tools_holds_up_no_list_and_hides_no_other() {
    let bare = r#"on initialize: reply {"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}"#;
    let room = Room::new()
        .server("bare", &["record $ROOM/record", bare])
        .server("none", &["on tools/list: empty"])
        .server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    let before = Instant::now();
    assert_eq!(offered(&mut bridge), ["s__echo"]);
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    let answer = bridge.call("bare__echo", json!({}));
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
        (&json!(-32602), &json!("unknown_tool"))
    );
    assert!(!room.text("record").contains("tools/"), "it is not asked for what it does not have");
    assert_eq!(bridge.call("none__echo", json!({}))["error"]["data"]["kind"], "unknown_tool");
}

#[test]
fn a_call_before_any_list_finds_its_server_by_the_name() {
    let room = Room::new().server("s", &["count $ROOM/s"]).server("t", &["count $ROOM/t"]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(echoed(&bridge.call("t__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!((room.pids("s").len(), room.pids("t").len()), (0, 1), "only the one that is needed");
    assert_eq!(bridge.call("u__echo", json!({}))["error"]["data"]["kind"], "unknown_tool");
    let row = "SELECT outcome FROM tool_calls WHERE error_kind = 'unknown_tool'";
    wait_for("the refusal is a row", || bridge.rows(row).pop());
}

#[test]
fn a_server_that_was_tried_in_vain_holds_up_no_later_bridge() {
    let room = Room::new()
        .setting("first_list_wait_s = 4")
        .server("hangs", &["on initialize: hang"])
        .server("empty", &["on initialize: sleep 500", "on tools/list: empty"])
        .server("good", &[]);
    assert_eq!(offered_anew(&room), ["good__echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    let before = Instant::now();
    assert_eq!(offered(&mut bridge), ["good__echo"]);
    assert!(before.elapsed().as_millis() < 3900, "{:?}", before.elapsed());
    // They are tried again meanwhile, and a call waits for them.
    wait_until("the empty one is started again", || bridge.status()["servers"][1]["starts"] == 1);
}

/// A room whose server is stored as the schema's first step had it: its tools, and nothing else.
fn room_of_old(script: &[&str]) -> Room {
    let room = Room::new().server("s", script);
    assert_eq!(offered_anew(&room), ["s__echo"]);
    let file = rusqlite::Connection::open(room.data().join("bridge.db")).unwrap();
    let forget = "UPDATE catalog SET prompts = NULL, resources = NULL, templates = NULL, era = NULL, \
                  legacy_only = NULL, protocol_version = NULL, capabilities = NULL, server_info = NULL, \
                  instructions = NULL, binary_time = NULL";
    assert_eq!(file.execute(forget, []).unwrap(), 1);
    room
}

#[test]
fn what_an_older_version_did_not_store_is_found_by_a_list_that_does_not_wait_for_it() {
    for (method, item) in [("prompts/list", "s__p"), ("resources/list", "r://1"), ("tools/list", "s__echo")] {
        let room = room_of_old(&["count $ROOM/count", "prompt p", "resource r://1"]);
        let mut bridge = room.start();
        bridge.initialize();
        bridge.ask(method, &json!({}));
        wait_until("the server was asked", || bridge.status()["servers"][0]["state"] == "ready");
        let list = bridge.ask(method, &json!({}))["result"].to_string();
        assert!(list.contains(item), "{method}: {list}");
        assert_eq!(room.pids("count").len(), 2);
    }
}

#[test]
fn what_an_older_version_did_not_store_can_be_used_before_any_list() {
    for (method, params) in
        [("prompts/get", json!({ "name": "s__p" })), ("resources/read", json!({ "uri": "r://1" }))]
    {
        let room = room_of_old(&["prompt p", "resource r://1"]);
        let mut bridge = room.start();
        bridge.initialize();
        let answer = bridge.ask(method, &params);
        assert!(answer["result"].is_object(), "{method}: {answer}");
    }
}

#[test]
fn a_server_is_greeted_in_a_revision_that_has_an_initialize() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    offered_anew(&room);
    let first = room.text("record").lines().next().unwrap().to_owned();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&first["method"], &first["params"]["protocolVersion"]),
        (&json!("initialize"), &json!("2025-11-25"))
    );
}
