//! What servers say unasked goes to whom it concerns.

use serde_json::{Value, json};

use super::{begin, hello, told_so_far};
use crate::support::{Bridge, LOG_LEVEL_KEY, Room, wait_until};

const MESSAGE: &str = "notifications/message";
const UPDATED: &str = "notifications/resources/updated";

fn words(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["data"].as_str().unwrap()).collect()
}

#[test]
fn a_log_message_is_heard_by_each_client_from_its_own_level_up() {
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            r#"capabilities {"tools":{},"logging":{}}"#,
            "on tools/call logs: log debug d; log info i; log error e",
        ],
    );
    let house = room.house();
    let ((mut a, _a), (mut b, gone)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    a.ask("logging/setLevel", &json!({ "level": "error" }));
    b.ask("logging/setLevel", &json!({ "level": "info" }));
    a.call("s__logs", json!({}));
    assert_eq!(words(&told_so_far(&mut a, MESSAGE)), ["e"]);
    assert_eq!(words(&told_so_far(&mut b, MESSAGE)), ["i", "e"]);
    // The server is told what the one wants that wants most.
    assert_eq!(room.wait_for_recorded("record", "logging/setLevel")["params"]["level"], "info");
    gone.detach();
    wait_until("the server is told what is wanted still", || {
        room.wait_for_recorded("record", "logging/setLevel")["params"]["level"] == "error"
    });
}

#[test]
fn what_a_modern_request_wants_logged_is_heard_by_its_client_alone() {
    let room = Room::new().server(
        "s",
        &[r#"capabilities {"tools":{},"logging":{}}"#, "on tools/call logs: log debug d; log error e"],
    );
    let house = room.house();
    let ((mut a, _a), (mut m, _m)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    a.ask("logging/setLevel", &json!({ "level": "emergency" }));
    m.carry(LOG_LEVEL_KEY, json!("debug"));
    let id = m.modern_request("tools/call", json!({ "name": "s__logs" }));
    assert_eq!(m.told(MESSAGE)["params"]["data"], "d");
    assert_eq!(m.told(MESSAGE)["params"]["data"], "e");
    m.answer_to(id);
    assert!(told_so_far(&mut a, MESSAGE).is_empty());
}

#[test]
fn a_resource_is_told_of_to_those_that_subscribed_to_it() {
    let room = Room::new()
        .server("s", &["record $ROOM/record", "resource a://1", "on tools/call touch: updated a://1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut b, gone), (mut c, _c)) =
        (room.guest(&house), room.guest(&house), room.guest(&house));
    for (client, name) in [(&mut a, "a"), (&mut b, "b"), (&mut c, "c")] {
        hello(client, name, json!({}));
    }
    let uri = json!({ "uri": "a://1" });
    a.ask("resources/subscribe", &uri);
    c.call("s__touch", json!({}));
    assert_eq!(told_so_far(&mut a, UPDATED), std::slice::from_ref(&uri));
    assert!(told_so_far(&mut b, UPDATED).is_empty() && told_so_far(&mut c, UPDATED).is_empty());
    b.ask("resources/subscribe", &uri);
    // The other one still wants it: the server is not told.
    assert_eq!(a.ask("resources/unsubscribe", &uri)["result"], json!({}));
    c.call("s__touch", json!({}));
    assert_eq!(told_so_far(&mut b, UPDATED), std::slice::from_ref(&uri));
    assert!(told_so_far(&mut a, UPDATED).is_empty());
    assert!(room.recorded("record", "resources/unsubscribe").is_empty());
    gone.detach();
    assert_eq!(room.wait_for_recorded("record", "resources/unsubscribe")["params"], uri);
}

#[test]
fn a_modern_subscription_is_given_back_with_its_client() {
    let room = Room::new()
        .server("s", &["record $ROOM/record", "resource a://1", "on tools/call touch: updated a://1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut m, gone)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    m.listen(&json!({ "resourceSubscriptions": ["a://1"] }));
    a.call("s__touch", json!({}));
    assert_eq!(m.told(UPDATED)["params"]["uri"], "a://1");
    assert!(told_so_far(&mut a, UPDATED).is_empty());
    m.close_stdin();
    gone.gone();
    assert_eq!(room.wait_for_recorded("record", "resources/unsubscribe")["params"]["uri"], "a://1");
}

#[test]
fn progress_goes_to_its_own_call_however_clients_count_their_tokens() {
    let room = Room::new()
        .server("s", &["record $ROOM/record", "on tools/call slow: progress 2; sleep 300; progress 1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let params = json!({ "name": "s__slow", "arguments": {}, "_meta": { "progressToken": 5, "x": [1] } });
    let ids = [a.request("tools/call", &params), b.request("tools/call", &params)];
    for (client, id) in [&mut a, &mut b].into_iter().zip(ids) {
        client.answer_to(id);
        let told = told_so_far(client, "notifications/progress");
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().all(|params| params["progressToken"] == 5), "{told:?}");
    }
    let sent = room.recorded("record", "tools/call");
    let tokens: Vec<&Value> = sent.iter().map(|call| &call["params"]["_meta"]["progressToken"]).collect();
    assert!(
        tokens[0] != tokens[1] && sent.iter().all(|call| call["params"]["_meta"]["x"] == json!([1])),
        "{sent:?}"
    );
}

#[test]
fn a_modern_clients_token_is_its_own_too() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call slow: progress 1; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut m, _m)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    let id = m.modern_request("tools/call", json!({ "name": "s__slow", "_meta": { "progressToken": "t" } }));
    assert_eq!(m.told("notifications/progress")["params"]["progressToken"], "t");
    m.answer_to(id);
    let sent = room.wait_for_recorded("record", "tools/call");
    let meta = sent["params"]["_meta"].as_object().unwrap();
    assert!(meta.len() == 1 && meta["progressToken"].as_str().unwrap().starts_with("bridge-"), "{sent}");
}

#[test]
fn a_task_is_told_of_to_the_client_that_has_it() {
    let room = Room::new().server(
        "s",
        &[
            "tasks",
            "record $ROOM/record",
            "on tools/call job: sleep 50",
            "on tools/call moves: task-status working; echo",
        ],
    );
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    let given = a.ask("tools/call", &json!({ "name": "s__job", "arguments": {}, "task": {} }));
    let task = given["result"]["task"]["taskId"].clone();
    assert!(task.is_string(), "{given}");
    b.call("s__moves", json!({}));
    let status = a.told("notifications/tasks/status");
    assert_eq!(status["params"]["taskId"], task);
    assert!(told_so_far(&mut b, "notifications/tasks/status").is_empty());
}

#[test]
fn a_client_is_shown_no_others_tasks() {
    let room = Room::new().server("s", &["tasks", "record $ROOM/record", "on tools/call job: hang"]);
    let house = room.house();
    let ((mut a, _a), (mut b, gone)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    for client in [&mut a, &mut b] {
        client.ask("tools/call", &json!({ "name": "s__job", "arguments": {}, "task": {} }));
    }
    let tasks = |client: &mut Bridge| -> Vec<String> {
        let listed = client.ask("tasks/list", &json!({}));
        let listed = listed["result"]["tasks"].as_array().unwrap();
        listed.iter().map(|task| task["taskId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((tasks(&mut a), tasks(&mut b)), (vec!["task-1".to_owned()], vec!["task-2".to_owned()]));
    gone.detach();
    assert_eq!(tasks(&mut a), ["task-1", "task-2"], "it is alone, and shown what the server shows");
}

#[test]
fn what_no_server_explains_goes_to_those_that_wait_for_it_else_to_all() {
    const SPEAKS: &str = r#"{"jsonrpc":"2.0","method":"notifications/odd","params":{"n":1}}"#;
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            &format!("on tools/call odd: notify {SPEAKS}; echo"),
            "on tools/call hang: hang",
            &format!("on tools/call late: echo; sleep 50; notify {SPEAKS}"),
        ],
    );
    let house = room.house();
    let ((mut a, _a), (mut b, _b), (mut silent, _c)) =
        (room.guest(&house), room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", json!({}));
    a.call("s__odd", json!({}));
    assert_eq!(told_so_far(&mut a, "notifications/odd").len(), 1);
    assert!(told_so_far(&mut b, "notifications/odd").is_empty());
    let id = begin(&room, &mut b, "hang");
    a.call("s__odd", json!({}));
    assert_eq!(told_so_far(&mut b, "notifications/odd").len(), 1);
    a.told("notifications/odd");
    b.cancel(id);
    a.call("s__late", json!({}));
    a.told("notifications/odd");
    b.told("notifications/odd");
    assert!(silent.said_so_far().is_empty(), "it has not said a word yet");
}

#[test]
fn a_change_of_the_lists_is_told_to_each_client_that_was_shown_them() {
    let room = Room::new().server("s", &["on tools/call grow: list-changed; echo"]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b), (mut c, _c)) =
        (room.guest(&house), room.guest(&house), room.guest(&house));
    for (client, name) in [(&mut a, "a"), (&mut b, "b"), (&mut c, "c")] {
        hello(client, name, json!({}));
    }
    a.ask("tools/list", &json!({}));
    b.ask("tools/list", &json!({}));
    a.call("s__grow", json!({}));
    a.told("notifications/tools/list_changed");
    b.told("notifications/tools/list_changed");
    assert!(told_so_far(&mut c, "notifications/tools/list_changed").is_empty());
}
