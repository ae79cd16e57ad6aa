//! `subscriptions/listen` of a modern client, over servers of both eras.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ENVELOPE, check_error, raw_recorded};
use crate::support::{Bridge, CAPABILITIES_KEY, Room, SUBSCRIPTION_KEY, wait_until};

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const UPDATED: &str = "notifications/resources/updated";

/// A legacy server `l` with `l://1`, `l://2`, and a modern one `m` with `m://1`; each says that all is new.
fn both() -> Room {
    let updated = |name: &str| format!("on tools/call: updated {name}://1; updated {name}://2; list-changed");
    Room::new()
        .server("l", &["record $ROOM/l", "resource l://1", "resource l://2", &updated("l")])
        .server("m", &["era modern", "record $ROOM/m", "resource m://1", &updated("m")])
}

fn start(room: &Room) -> Bridge {
    let mut bridge = room.start();
    for list in ["tools/list", "resources/list"] {
        bridge.modern(list, json!({}));
    }
    bridge
}

/// Everything that comes before the answer to a call of this tool, and with it.
#[track_caller]
fn until_called(bridge: &mut Bridge, tool: &str) -> Vec<Value> {
    let id = bridge.modern_request("tools/call", json!({ "name": tool }));
    let mut said = Vec::new();
    loop {
        let line = bridge.recv();
        if line["id"] == id {
            return said;
        }
        said.push(line);
    }
}

#[test]
fn one_subscription_hears_of_servers_of_both_eras_under_its_own_id() {
    let room = both();
    let mut bridge = start(&room);
    let wants = json!({ "toolsListChanged": true, "resourceSubscriptions": ["m://1", "l://1"] });
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":"\u0041","method":"subscriptions/listen","params":{{"notifications":{wants},"_meta":{{{ENVELOPE}}}}}}}"#
    ));
    let tag = format!(r#""_meta":{{"{SUBSCRIPTION_KEY}":"\u0041"}}"#);
    let acknowledged = bridge.raw_told(ACKNOWLEDGED);
    assert!(acknowledged.contains(&tag), "{acknowledged}");
    let acknowledged: Value = serde_json::from_str(&acknowledged).unwrap();
    assert_eq!(acknowledged["params"]["notifications"], wants);
    for (server, uri) in [("l", "l://1"), ("m", "m://1")] {
        bridge.modern_request("tools/call", json!({ "name": format!("{server}__echo") }));
        let updated = bridge.raw_told(UPDATED);
        let line: Value = serde_json::from_str(&updated).unwrap();
        assert_eq!(line["params"]["uri"], uri, "{updated}");
        assert!(updated.contains(&tag), "{updated}");
        let changed = bridge.raw_told("notifications/tools/list_changed");
        assert!(changed.contains(&tag), "{changed}");
    }
    assert_eq!(room.recorded("l", "resources/subscribe").len(), 1);
    let theirs = room.recorded("m", "subscriptions/listen").pop().unwrap();
    assert_eq!(theirs["params"]["notifications"]["resourceSubscriptions"], json!(["m://1"]));
}

#[test]
fn a_resource_is_unsubscribed_when_the_last_who_wants_it_is_gone() {
    let room = both();
    let mut bridge = start(&room);
    let wants = json!({ "resourceSubscriptions": ["l://1", "m://1"] });
    let [(first, _), (second, _)] = [(); 2].map(|()| bridge.listen(&wants));
    let tags = |said: &[Value]| -> Vec<Value> {
        said.iter().map(|line| line["params"]["_meta"][SUBSCRIPTION_KEY].clone()).collect()
    };
    assert_eq!(tags(&until_called(&mut bridge, "l__echo")), [json!(first), json!(second)]);
    bridge.cancel(first);
    assert_eq!(tags(&until_called(&mut bridge, "l__echo")), [json!(second)]);
    assert_eq!(tags(&until_called(&mut bridge, "m__echo")), [json!(second)]);
    assert_eq!(raw_recorded(&room, "l", "resources/subscribe").len(), 1);
    assert_eq!(raw_recorded(&room, "l", "resources/unsubscribe").len(), 0);
    bridge.cancel(second);
    let left = room.wait_for_recorded("l", "resources/unsubscribe");
    assert_eq!(left["params"]["uri"], "l://1");
    wait_until("the modern server is told too", || {
        let last = room.recorded("m", "subscriptions/listen").pop().unwrap();
        last["params"]["notifications"]["resourceSubscriptions"].is_null()
    });
    for server in ["l__echo", "m__echo"] {
        assert!(until_called(&mut bridge, server).is_empty());
    }
}

#[test]
fn what_no_server_tells_of_is_left_out_of_what_is_granted() {
    let plain = r#"capabilities {"tools":{},"resources":{}}"#;
    // This modern server grants nothing of what it is asked.
    let nothing = concat!(
        r#"on subscriptions/listen: notify {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","#,
        r#""params":{"_meta":{"io.modelcontextprotocol/subscriptionId":$ID},"notifications":{}}}; hang"#
    );
    let room = both()
        .server("p", &["record $ROOM/p", plain, "resource p://1"])
        .server("n", &["era modern", "resource n://1", nothing]);
    let mut bridge = start(&room);
    let (_, granted) = bridge.listen(&json!({
        "resourceSubscriptions": ["l://1", "p://1", "n://1", "m://1"],
        "taskIds": ["nobodys"],
        "promptsListChanged": false,
    }));
    assert_eq!(granted, json!({ "resourceSubscriptions": ["l://1", "m://1"], "taskIds": [] }));
    assert_eq!(raw_recorded(&room, "p", "resources/subscribe").len(), 0);
}

#[test]
fn a_task_that_its_server_does_not_know_any_more_is_left_out() {
    let room = Room::new().server(
        "s",
        &[
            "era modern",
            "tasks",
            "record $ROOM/record",
            "on tools/call: task; hang",
            "on tools/call die: exit 1",
        ],
    );
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }));
    bridge.modern("tools/list", json!({}));
    assert_eq!(bridge.modern("tools/call", json!({ "name": "s__echo" }))["result"]["taskId"], "task-1");
    let (_, granted) = bridge.listen(&json!({ "taskIds": ["task-1", "task-2"] }));
    assert_eq!(granted, json!({ "taskIds": ["task-1"] }));
}

#[test]
fn a_subscription_that_is_taken_back_while_it_is_set_up_is_never_acknowledged() {
    let room = Room::new()
        .server("l", &["record $ROOM/l", "resource l://1"])
        .server("slow", &["resource s://1", "on resources/subscribe: hang", "record $ROOM/slow"]);
    let mut bridge = start(&room);
    let wants = json!({ "resourceSubscriptions": ["l://1", "s://1"] });
    let id = bridge.modern_request("subscriptions/listen", json!({ "notifications": wants }));
    room.wait_for_recorded("slow", "resources/subscribe");
    room.wait_for_recorded("l", "resources/subscribe");
    bridge.cancel(id);
    room.wait_for_recorded("l", "resources/unsubscribe");
    let list = bridge.modern_request("tools/list", json!({}));
    assert_eq!(bridge.recv()["id"], list, "nothing is said under its id");
}

#[test]
fn a_server_that_is_late_is_left_out_and_holds_back_nothing() {
    let hello = r#"{"protocolVersion":"2025-11-25","capabilities":{"resources":{"subscribe":true}}}"#;
    let hello = format!("on initialize: once $ROOM/once reply {hello}; hang");
    let room = both()
        .server("starts", &["resource s://1", &hello, "record $ROOM/starts"])
        .server("mute", &["resource u://1", "on resources/subscribe: hang", "record $ROOM/mute"]);
    let mut first = start(&room);
    assert!(first.modern("resources/list", json!({})).to_string().contains("s://1"));
    first.end();
    let mut bridge = room.start();
    let (_, granted) = bridge.listen(&json!({
        "toolsListChanged": true,
        "resourceSubscriptions": ["u://1", "s://1", "m://1", "l://1"],
    }));
    let expected = json!({ "toolsListChanged": true, "resourceSubscriptions": ["m://1", "l://1"] });
    assert_eq!(granted, expected);
    let left = room.wait_for_recorded("mute", "resources/unsubscribe");
    assert_eq!(left["params"]["uri"], "u://1", "nobody wants to hear of it any more");
}

#[test]
fn a_task_is_granted_by_servers_with_tasks_and_a_resource_by_those_that_tell_of_it() {
    let tasks = r#"capabilities {"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}}"#;
    let status =
        r#"notify {"method":"notifications/tasks/status","params":{"taskId":"t-1","status":"working"}}"#;
    let script = ["record $ROOM/t", tasks, "resource t://1", &format!("on tools/call: {status}")];
    let room = Room::new().server("t", &script);
    let mut bridge = start(&room);
    let wants = json!({ "taskIds": ["t-1"], "resourceSubscriptions": ["t://1"] });
    let (listen, granted) = bridge.listen(&wants);
    assert_eq!(granted, json!({ "taskIds": ["t-1"], "resourceSubscriptions": [] }));
    bridge.modern_request("tools/call", json!({ "name": "t__echo" }));
    assert_eq!(bridge.told("notifications/tasks/status")["params"]["_meta"][SUBSCRIPTION_KEY], listen);
    let room = Room::new().server("r", &["resource r://1"]).server("m", &["era modern", "resource m://1"]);
    let mut bridge = start(&room);
    let wants = json!({ "taskIds": ["t-1"], "resourceSubscriptions": ["r://1", "m://1"] });
    let (_, granted) = bridge.listen(&wants);
    assert_eq!(granted, json!({ "taskIds": [], "resourceSubscriptions": ["r://1", "m://1"] }));
}

#[test]
fn a_change_of_a_part_is_told_to_those_who_want_the_whole() {
    let say = |uri: &str| {
        format!(r#"notify {{"method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#)
    };
    let script = |name: &str| -> Vec<String> {
        let whole = format!("{name}://1");
        let tool = |tool: &str, uri: &str| format!("on tools/call {tool}: {}", say(uri));
        vec![
            format!("resource {whole}"),
            format!("resource {name}://2"),
            tool("exact", &whole),
            tool("part", &format!("{whole}/a#b")),
            tool("neighbour", &format!("{whole}1")),
        ]
    };
    let mut room = Room::new();
    for name in ["a", "b"] {
        let script = script(name);
        room = room.server(name, &script.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut bridge = start(&room);
    let listens = [json!(["a://1"]), json!(["a://2"]), json!(["b://1"]), json!([])]
        .map(|uris| bridge.listen(&json!({ "resourceSubscriptions": uris })).0);
    let [one, two, other, _] = listens;
    for (tool, expected) in [
        ("a__exact", vec![one]),
        ("a__part", vec![one]),
        ("a__neighbour", vec![one, two]),
        ("b__neighbour", vec![other]),
    ] {
        let said = until_called(&mut bridge, tool);
        let told: Vec<Option<u64>> =
            said.iter().map(|line| line["params"]["_meta"][SUBSCRIPTION_KEY].as_u64()).collect();
        assert_eq!(told, expected.into_iter().map(Some).collect::<Vec<_>>(), "{tool}");
    }
}

#[test]
fn subscriptions_have_limits() {
    let room = both();
    let mut bridge = start(&room);
    let uri = |n: usize| format!("l://{n}");
    let thousand: Vec<String> = (1..=1000).map(uri).collect();
    let (id, granted) = bridge.listen(&json!({ "resourceSubscriptions": thousand }));
    assert_eq!(granted["resourceSubscriptions"].as_array().unwrap().len(), 1000);
    bridge.cancel(id);
    let more = json!({ "resourceSubscriptions": (1..=1001).map(uri).collect::<Vec<_>>() });
    check_error(&bridge.modern("subscriptions/listen", json!({ "notifications": more })), -32602);
    let long = format!("\"{}\"", "x".repeat(4095));
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":{long},"method":"subscriptions/listen","params":{{"notifications":{{}},"_meta":{{{ENVELOPE}}}}}}}"#
    ));
    let refused: Value = serde_json::from_str(&bridge.raw_answer_to(&long)).unwrap();
    check_error(&refused, -32600);
    let ids: Vec<u64> = (0..64).map(|_| bridge.listen(&json!({ "toolsListChanged": true })).0).collect();
    for wants in [json!({}), json!({ "resourceSubscriptions": ["l://1"] })] {
        check_error(&bridge.modern("subscriptions/listen", json!({ "notifications": wants })), -32600);
    }
    bridge.cancel(ids[0]);
    bridge.listen(&json!({ "resourceSubscriptions": ["l://1"] }));
}

#[test]
fn a_list_that_changes_again_and_again_is_told_to_each_subscription_that_wants_it() {
    let room = both();
    let mut bridge = start(&room);
    let (tools, _) = bridge.listen(&json!({ "toolsListChanged": true }));
    let (prompts, granted) = bridge.listen(&json!({ "promptsListChanged": true }));
    assert_eq!(granted, json!({ "promptsListChanged": true }));
    for server in ["l", "m"] {
        bridge.modern("tools/call", json!({ "name": format!("{server}__echo") }));
        let told = bridge.told("notifications/tools/list_changed");
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION_KEY], tools);
        let list = bridge.modern("tools/list", json!({}))["result"].to_string();
        assert!(list.contains(&format!("{server}__extra_1")), "{list}");
    }
    bridge.cancel(prompts);
    assert!(until_called(&mut bridge, "bridge_status").is_empty());
}

#[test]
fn the_end_of_the_bridge_is_the_result_of_every_subscription() {
    let room = both();
    let mut bridge = start(&room);
    let wants = [json!({ "toolsListChanged": true }), json!({ "resourceSubscriptions": ["l://1", "m://1"] })];
    let ids = wants.map(|wants| bridge.listen(&wants).0);
    bridge.signal(Signal::TERM);
    for id in ids {
        let answer = bridge.answer_to(id);
        assert_eq!(answer["result"], json!({ "resultType": "complete", "_meta": { SUBSCRIPTION_KEY: id } }));
    }
    bridge.wait_exit();
}

#[test]
fn a_server_that_is_started_anew_tells_again() {
    let room = Room::new().server(
        "l",
        &[
            "record $ROOM/l",
            "resource l://1",
            "on tools/call die: exit 1",
            "on tools/call: updated l://1",
            "tool t",
        ],
    );
    let mut bridge = start(&room);
    let (listen, _) = bridge.listen(&json!({ "resourceSubscriptions": ["l://1"] }));
    bridge.modern("tools/call", json!({ "name": "l__die" }));
    wait_until("it is there again", || {
        bridge.modern("tools/call", json!({ "name": "l__t" }))["result"]["isError"] != true
    });
    assert_eq!(bridge.told(UPDATED)["params"]["_meta"][SUBSCRIPTION_KEY], listen);
    assert_eq!(raw_recorded(&room, "l", "resources/subscribe").len(), 2);
}

#[test]
fn a_resource_that_its_server_refuses_is_left_out_and_the_others_stay() {
    let room = Room::new().server(
        "l",
        &[
            "record $ROOM/l",
            "resource l://1",
            "resource l://2",
            "on resources/subscribe l://2: error -32602 no",
        ],
    );
    let mut bridge = start(&room);
    let (_, granted) = bridge.listen(&json!({ "resourceSubscriptions": ["l://2", "l://1"] }));
    assert_eq!(granted, json!({ "resourceSubscriptions": ["l://1"] }));
}

/// A server that is parked for a second since it died, and a subscription to a resource of it.
fn parked_while_listened_to() -> (Room, Bridge, u64) {
    let script = ["era modern", "count $ROOM/count", "resource s://1", "on tools/call die: exit 1"];
    let room = Room::new()
        .setting("failure_threshold = 1\nrecovery_timeout_s = 1")
        .server_with("s", &script, "warm = true")
        .server("clock", &["on tools/call: sleep 2000"]);
    let mut bridge = start(&room);
    let (id, _) = bridge.listen(&json!({ "resourceSubscriptions": ["s://1"] }));
    bridge.modern("tools/call", json!({ "name": "s__die" }));
    bridge.wait_for_log("event=\"parked\"");
    (room, bridge, id)
}

#[test]
fn a_parked_server_that_somebody_listens_to_comes_back_though_it_is_wanted_meanwhile() {
    let (room, mut bridge, _) = parked_while_listened_to();
    // It is to be warm: each list wants it.
    bridge.modern("tools/list", json!({}));
    wait_until("it is back", || room.pids("count").len() == 2);
}

#[test]
fn a_subscription_that_is_taken_back_meanwhile_starts_no_server() {
    let (room, mut bridge, id) = parked_while_listened_to();
    bridge.cancel(id);
    bridge.modern("tools/call", json!({ "name": "clock__echo" }));
    assert_eq!(room.pids("count").len(), 1);
}
