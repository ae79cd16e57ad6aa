//! Legacy client, modern server: what the client wants to hear is one subscription of the bridge's own.

use serde_json::{Value, json};

use super::{check_error, raw_recorded};
use crate::support::{Bridge, Room, SUBSCRIPTION_KEY, wait_for, wait_until};

const LISTEN: &str = "subscriptions/listen";

fn script(more: &[&str]) -> Room {
    let all = ["era modern", "record $ROOM/record", "count $ROOM/count", "resource r://1", "resource r://2"];
    Room::new().server("s", &[&all[..], more].concat())
}

fn start(room: &Room) -> Bridge {
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge
}

/// The resources that each of the bridge's subscriptions named, in their order.
fn subscribed(room: &Room) -> Vec<Value> {
    room.recorded("record", LISTEN)
        .iter()
        .map(|listen| listen["params"]["notifications"]["resourceSubscriptions"].clone())
        .collect()
}

#[test]
fn subscribing_to_resources_is_one_subscription_that_replaces_the_last() {
    let room = script(&["on tools/call: updated r://1; updated r://2"]);
    let mut bridge = start(&room);
    for uri in ["r://1", "r://2", "r://1"] {
        assert_eq!(bridge.ask("resources/subscribe", &json!({ "uri": uri }))["result"], json!({}));
    }
    assert_eq!(subscribed(&room), [json!(null), json!(["r://1"]), json!(["r://1", "r://2"])]);
    // Each old one was taken back, and only after the new one was there.
    let ids: Vec<Value> = room.recorded("record", LISTEN).iter().map(|listen| listen["id"].clone()).collect();
    wait_until("the old ones are taken back", || {
        room.recorded("record", "notifications/cancelled").len() == 2
    });
    let taken: Vec<Value> = room
        .recorded("record", "notifications/cancelled")
        .iter()
        .map(|cancelled| cancelled["params"]["requestId"].clone())
        .collect();
    assert_eq!(taken, ids[..2]);
    let order: Vec<&str> = room
        .lines("record")
        .iter()
        .filter_map(|line| {
            if line.contains(LISTEN) {
                Some("listen")
            } else {
                line.contains("cancelled").then_some("cancel")
            }
        })
        .collect();
    assert_eq!(order, ["listen", "listen", "cancel", "listen", "cancel"]);
    bridge.call("s__echo", json!({}));
    for uri in ["r://1", "r://2"] {
        assert_eq!(
            bridge.raw_told("notifications/resources/updated").replace(' ', ""),
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"_meta":{{}},"uri":"{uri}"}}}}"#
            )
        );
    }
    bridge.ask("resources/unsubscribe", &json!({ "uri": "r://1" }));
    assert_eq!(subscribed(&room).last(), Some(&json!(["r://2"])));
    bridge.call("s__echo", json!({}));
    let said = bridge.said_so_far();
    let uris: Vec<&Value> = said.iter().map(|line| &line["params"]["uri"]).collect();
    assert_eq!(uris, ["r://2"], "nothing is missed and nothing doubled");
    assert_eq!(raw_recorded(&room, "record", "resources/subscribe").len(), 0);
}

#[test]
fn what_changes_while_subscriptions_are_replaced_is_told_once() {
    // It says of each change right behind the acknowledgement, when both subscriptions are open.
    let room = script(&["on tools/call: updated r://1"]);
    let mut bridge = start(&room);
    bridge.ask("resources/subscribe", &json!({ "uri": "r://1" }));
    let mut told = 0;
    for n in 0..20 {
        let method = if n % 2 == 0 { "resources/subscribe" } else { "resources/unsubscribe" };
        let change = bridge.request(method, &json!({ "uri": "r://2" }));
        let calls = [0; 3].map(|_| bridge.begin_call("s__echo", json!({})));
        bridge.answer_to(change);
        for call in calls {
            bridge.answer_to(call);
        }
    }
    for line in bridge.said_so_far() {
        told += usize::from(line["method"] == "notifications/resources/updated");
    }
    assert_eq!(told, 60);
}

#[test]
fn changes_of_the_lists_come_through_the_bridges_subscription() {
    let room = script(&["on tools/call: list-changed; resources-changed; prompts-changed"]);
    let mut bridge = start(&room);
    for method in ["resources/list", "prompts/list"] {
        bridge.ask(method, &json!({}));
    }
    bridge.call("s__echo", json!({}));
    for list in ["tools", "resources", "prompts"] {
        let told = bridge.told(&format!("notifications/{list}/list_changed"));
        assert!(told["params"]["_meta"][SUBSCRIPTION_KEY].is_null(), "{told}");
    }
    let list = bridge.ask("tools/list", &json!({}))["result"].to_string();
    assert!(list.contains("s__extra_1"), "{list}");
}

#[test]
fn a_subscription_that_the_server_ends_is_opened_again() {
    for end in ["end-listen", "end-listen cancelled"] {
        let room =
            script(&[&format!("on tools/call end: {end}"), "on tools/call: updated r://1", "tool touch"]);
        let mut bridge = start(&room);
        bridge.ask("resources/subscribe", &json!({ "uri": "r://1" }));
        bridge.call("s__end", json!({}));
        wait_until("it is opened again", || subscribed(&room).len() == 3);
        assert_eq!(subscribed(&room)[2], json!(["r://1"]));
        bridge.call("s__touch", json!({}));
        bridge.told("notifications/resources/updated");
        assert_eq!(room.pids("count").len(), 1);
    }
}

#[test]
fn what_changed_while_no_subscription_was_open_is_found_out() {
    let room = script(&["on tools/call: end-listen; list-changed"]);
    let mut bridge = start(&room);
    bridge.call("s__echo", json!({}));
    bridge.told("notifications/tools/list_changed");
    let list = bridge.ask("tools/list", &json!({}))["result"].to_string();
    assert!(list.contains("s__extra_1"), "{list}");
}

#[test]
fn a_server_that_is_started_anew_is_told_again() {
    let room = script(&["on tools/call die: exit 1", "on tools/call: updated r://1", "tool touch"]);
    let mut bridge = start(&room);
    bridge.ask("resources/subscribe", &json!({ "uri": "r://1" }));
    bridge.call("s__die", json!({}));
    let answer = wait_for("it is there again", || {
        let answer = bridge.call("s__touch", json!({}));
        (answer["result"]["isError"] != true).then_some(answer)
    });
    assert!(answer["result"].is_object());
    bridge.told("notifications/resources/updated");
    assert_eq!(subscribed(&room), [json!(null), json!(["r://1"]), json!(["r://1"])]);
    assert_eq!(room.pids("count").len(), 2);
}

#[test]
fn a_server_without_subscriptions_is_ready_and_asked_once() {
    let room = Room::new()
        .server("s", &["era modern", "record $ROOM/record", "on subscriptions/listen: error -32601 no"]);
    let mut bridge = start(&room);
    assert!(bridge.call("s__echo", json!({}))["result"].is_object());
    assert_eq!(raw_recorded(&room, "record", LISTEN).len(), 1);
}

/// The list changes, and the client hears of it.
#[track_caller]
fn check_hears_of_lists(bridge: &mut Bridge) {
    bridge.call("s__grow", json!({}));
    wait_until("the list has one tool more", || {
        bridge.told("notifications/tools/list_changed");
        bridge.ask("tools/list", &json!({}))["result"].to_string().contains("s__extra_1")
    });
}

#[test]
fn a_server_that_is_too_busy_for_a_subscription_is_asked_again() {
    let busy = "on subscriptions/listen: once $ROOM/busy error -32000 busy";
    let room = script(&[busy, "on tools/call grow: list-changed"]);
    let mut bridge = start(&room);
    assert_eq!(subscribed(&room).len(), 1);
    check_hears_of_lists(&mut bridge);
    assert_eq!(subscribed(&room), [json!(null), json!(null)]);
    assert_eq!(room.pids("count").len(), 1);
}

#[test]
fn a_subscription_that_is_refused_leaves_the_open_one_as_it_is() {
    let refuse = "on subscriptions/listen: once $ROOM/refused error -32602 no such resource";
    let room = script(&[refuse, "on tools/call: updated r://1", "on tools/call grow: list-changed"]);
    // Not yet.
    std::fs::write(room.path("refused"), "").unwrap();
    let mut bridge = start(&room);
    bridge.ask("resources/subscribe", &json!({ "uri": "r://1" }));
    std::fs::remove_file(room.path("refused")).unwrap();
    check_error(&bridge.ask("resources/subscribe", &json!({ "uri": "r://2" })), -32602);
    bridge.call("s__grow", json!({}));
    bridge.told("notifications/tools/list_changed");
    bridge.call("s__echo", json!({}));
    bridge.told("notifications/resources/updated");
    let all = [json!(null), json!(["r://1"]), json!(["r://1", "r://2"])];
    assert_eq!(subscribed(&room), all);
    assert_eq!(room.recorded("record", "notifications/cancelled").len(), 1, "only the first is taken back");
    assert_eq!(bridge.ask("resources/subscribe", &json!({ "uri": "r://2" }))["result"], json!({}));
}

#[test]
fn a_resource_that_is_gone_does_not_hide_what_changes_in_the_lists() {
    let room = script(&[
        "on tools/call die: exit 1",
        "on tools/call grow: list-changed",
        "on tools/call touch: updated r://1",
    ]);
    let mut bridge = start(&room);
    bridge.ask("resources/subscribe", &json!({ "uri": "r://1" }));
    let script = std::fs::read_to_string(room.path("scripts/s")).unwrap();
    let gone = "on subscriptions/listen: once $ROOM/gone error -32602 gone";
    let gone = gone.replace("$ROOM", room.path("").to_str().unwrap());
    std::fs::write(room.path("scripts/s"), format!("{script}\n{gone}\n")).unwrap();
    bridge.call("s__die", json!({}));
    wait_until("it is opened without the resource", || subscribed(&room).len() >= 4);
    check_hears_of_lists(&mut bridge);
    wait_until("the resource is asked for again", || subscribed(&room).len() == 5);
    let r1 = json!(["r://1"]);
    assert_eq!(subscribed(&room), [json!(null), r1.clone(), r1.clone(), json!(null), r1]);
    wait_until("it is told of", || {
        bridge.call("s__touch", json!({}));
        bridge.said_so_far().iter().any(|line| line["method"] == "notifications/resources/updated")
    });
}

#[test]
fn nobody_is_subscribed_to_what_nobody_has() {
    let room = Room::new().server("s", &["era modern", "record $ROOM/record"]);
    let mut bridge = start(&room);
    check_error(&bridge.ask("resources/subscribe", &json!({ "uri": "x://1" })), -32602);
    assert!(subscribed(&room).iter().all(Value::is_null));
}

#[test]
fn a_server_of_the_older_era_is_subscribed_to_in_its_own_words() {
    let room = Room::new()
        .server("m", &["era modern", "record $ROOM/m", "resource m://1"])
        .server("l", &["record $ROOM/l", "resource l://1", "on tools/call: updated l://1"]);
    let mut bridge = start(&room);
    bridge.ask("resources/list", &json!({}));
    for uri in ["m://1", "l://1"] {
        assert_eq!(bridge.ask("resources/subscribe", &json!({ "uri": uri }))["result"], json!({}));
    }
    assert_eq!(raw_recorded(&room, "l", "resources/subscribe").len(), 1);
    assert_eq!(raw_recorded(&room, "m", LISTEN).len(), 2);
    bridge.call("l__echo", json!({}));
    bridge.told("notifications/resources/updated");
}

#[test]
fn a_client_is_told_what_a_server_does_not_grant() {
    let nothing = concat!(
        r#"on subscriptions/listen: notify {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","#,
        r#""params":{"_meta":{"io.modelcontextprotocol/subscriptionId":$ID},"notifications":{}}}; hang"#
    );
    let room = script(&[nothing]);
    let mut bridge = start(&room);
    check_error(&bridge.ask("resources/subscribe", &json!({ "uri": "r://1" })), -32602);
}
