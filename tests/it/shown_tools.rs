//! Which tools of a server clients see, and how: filters, other names, other descriptions.

use std::fs;

use serde_json::{Value, json};

use crate::front::Hubs;
use crate::said::{echoed, kind, names, text};
use crate::support::{Bridge, Room, wait_until};

const SCRIPT: [&str; 4] =
    ["record $ROOM/record", r#"tool find {"description":"Finds."}"#, "tool read", "tool drop_all"];

const RULES: &str =
    "tools.deny = ['drop*']\ntools.rename = { find = 'lookup' }\ntools.describe = { find = 'Looks up.' }";

fn room(rules: &str) -> Room {
    Room::new().server_with("s", &SCRIPT, rules)
}

/// The tools of servers, in either era.
fn tools(list: &Value) -> Vec<&Value> {
    let all = list["result"]["tools"].as_array().unwrap().iter();
    all.filter(|tool| !tool["name"].as_str().unwrap().starts_with("bridge_")).collect()
}

#[track_caller]
fn check_refused(answer: &Value, kind: &str, words: &str) {
    let error = &answer["error"];
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32602), &json!(kind)), "{answer}");
    assert!(error["message"].as_str().unwrap().contains(words), "{answer}");
}

/// What each client of these rules sees, by a way of asking.
#[track_caller]
fn check(room: &Room, bridge: &mut Bridge, mut ask: impl FnMut(&mut Bridge, &str, Value) -> Value) {
    let list = ask(bridge, "tools/list", json!({}));
    let shown: Vec<_> = tools(&list).iter().map(|tool| (&tool["name"], &tool["description"])).collect();
    assert_eq!(shown[0], (&json!("s__lookup"), &json!("Looks up.")));
    assert_eq!((shown.len(), shown[1].0), (2, &json!("s__read")));
    let mut call = |name: &str| ask(bridge, "tools/call", json!({ "name": name, "arguments": { "a": 1 } }));
    assert_eq!(echoed(&call("s__lookup")), &json!({ "a": 1 }));
    check_refused(
        &call("s__drop_all"),
        "switched_off",
        "is switched off: the bridge's configuration keeps it",
    );
    check_refused(&call("s__find"), "unknown_tool", "no server offers a tool");
    let heard = room.recorded("record", "tools/call");
    let heard: Vec<_> = heard.iter().map(|call| &call["params"]["name"]).collect();
    assert_eq!(heard.last(), Some(&&json!("find")));
    assert!(!heard.contains(&&json!("drop_all")));
}

#[test]
fn a_tool_that_is_off_is_neither_listed_nor_called_and_one_with_another_name_is_called_by_that() {
    for room in [room(RULES), room(RULES).through_hub()] {
        let _hubs = Hubs(&room);
        let mut bridge = room.start();
        bridge.initialize();
        check(&room, &mut bridge, |bridge, method, params| bridge.ask(method, &params));
        let mut modern = room.start();
        check(&room, &mut modern, |bridge, method, params| bridge.modern(method, params));
        let rows = "SELECT server, tool, outcome, error_kind FROM tool_calls ORDER BY id LIMIT 3";
        let expected = json!([
            ["s", "find", "ok", null],
            [null, "s__drop_all", "rejected", "switched_off"],
            [null, "s__find", "rejected", "unknown_tool"],
        ]);
        assert_eq!(json!(bridge.rows(rows)), expected, "the row has the server's own name");
    }
}

#[test]
fn a_call_before_the_first_list_goes_by_the_same_rules() {
    let room = room(RULES);
    let mut bridge = room.start();
    bridge.initialize();
    check_refused(&bridge.call("s__drop_all", json!({})), "switched_off", "is switched off");
    let room = self::room(RULES);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(echoed(&bridge.call("s__lookup", json!({ "b": 2 }))), &json!({ "b": 2 }));
    assert_eq!(bridge.rows("SELECT tool FROM tool_calls"), [[json!("find")]]);
}

#[test]
fn a_changed_filter_holds_at_once_and_the_server_runs_on() {
    let room = room("").setting("handoff_after_s = 0");
    let mut bridge = room.start_with_door();
    let pid = |bridge: &mut Bridge| {
        bridge.call("s__read", json!({}));
        bridge.server("s")["pid"].clone()
    };
    let before = pid(&mut bridge);
    assert_eq!(tools(&bridge.ask("tools/list", &json!({}))).len(), 3);
    let file = room.path("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(room.path("next"), format!("{text}\n[servers.s.tools]\nallow = ['read']\n")).unwrap();
    fs::rename(room.path("next"), &file).unwrap();
    bridge.told("notifications/tools/list_changed");
    assert_eq!(names(&bridge.ask("tools/list", &json!({}))).last(), Some(&"s__read"));
    check_refused(&bridge.call("s__find", json!({})), "switched_off", "is switched off");
    assert_eq!(pid(&mut bridge), before);
    fs::write(room.path("next"), text).unwrap();
    fs::rename(room.path("next"), &file).unwrap();
    bridge.told("notifications/tools/list_changed");
    assert_eq!(tools(&bridge.ask("tools/list", &json!({}))).len(), 3);
    assert_eq!(pid(&mut bridge), before);
}

#[test]
fn rules_for_tools_that_are_not_there_and_names_that_meet_are_told() {
    let rules = "tools.allow = ['find', 'read', 'typo_*']\ntools.rename = { find = 'read', gone = 'x' }";
    let room = room(rules);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let answer = bridge.call("bridge_status", json!({}));
    let words = text(&answer);
    for part in [
        "servers.s.tools.allow: no tool of it fits \"typo_*\"",
        "servers.s.tools.rename: it has no tool \"gone\"",
        "The name \"s__read\" was taken: \"read\" of \"s\" is shown as \"s__read_",
    ] {
        assert!(words.contains(part), "{part} in {words}");
    }
}

#[test]
fn a_call_under_another_name_is_handed_off_retried_and_a_task_like_any_other() {
    let script = [
        "tasks",
        "on tools/call slow: sleep 1500; echo",
        "on tools/call dies: once $ROOM/died exit 3; echo",
        r#"tool dies {"annotations":{"readOnlyHint":true}}"#,
    ];
    let keys = "trust_annotations = true\ntools.rename = { slow = 'late', dies = 'lives' }";
    let room = Room::new().server_with("s", &script, keys).client("it", "handoff_after_s = 1");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let handed = bridge.call("s__late", json!({ "a": 1 }));
    assert!(text(&handed).contains("bridge_result"), "{handed}");
    let call =
        text(&handed).split(|c: char| !c.is_ascii_digit()).find(|word| word.len() > 9).unwrap().to_owned();
    let result = bridge.call("bridge_result", json!({ "call": call }));
    assert_eq!(echoed(&result), &json!({ "a": 1 }), "{handed}");
    let answer = bridge.call("s__lives", json!({ "b": 2 }));
    assert_eq!((echoed(&answer), kind(&answer)), (&json!({ "b": 2 }), ""), "it was sent once more");
    let params = json!({ "name": "s__lives", "arguments": { "c": 3 }, "task": { "ttl": 60_000 } });
    let task = bridge.ask("tools/call", &params);
    let id = task["result"]["task"]["taskId"].as_str().unwrap_or_else(|| panic!("{task}")).to_owned();
    wait_until("the task is done", || {
        let task = bridge.ask("tasks/get", &json!({ "taskId": id }));
        task["result"]["status"] == "completed"
    });
    assert_eq!(echoed(&bridge.ask("tasks/result", &json!({ "taskId": id }))), &json!({ "c": 3 }));
    let tools = bridge.rows("SELECT DISTINCT tool FROM tool_calls WHERE server = 's' ORDER BY tool");
    assert_eq!(json!(tools), json!([["dies"], ["slow"]]));
}
