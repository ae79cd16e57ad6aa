//! What a server asks goes to the client that it means.

use serde_json::{Value, json};

use super::{begin, hello};
use crate::support::{CAPABILITIES_KEY, Room, wait_for};

const SAMPLING: &str = "sampling/createMessage";

/// A server that asks while it answers `asks`, and 50 ms after it has answered `later`.
fn room() -> Room {
    Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            r#"on tools/call asks: request sampling/createMessage {"messages":[],"maxTokens":1}"#,
            "on tools/call hang: hang",
            "on tools/call later: echo; sleep 50; ask sampling/createMessage {}",
            "tasks",
            r#"on tools/call job: sleep 50; ask sampling/createMessage {"messages":[],"maxTokens":1,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"task-1"}}}; hang"#,
        ],
    )
}

fn able() -> Value {
    json!({ "sampling": {}, "roots": {} })
}

/// What the server was answered to its last question.
fn answered(room: &Room) -> Value {
    wait_for("the server is answered", || {
        let lines = room.lines("record");
        let mut said = lines.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        said.find(|line| line["method"].is_null() && !line["error"].is_null())
    })
}

#[test]
fn a_question_goes_to_the_client_whose_request_is_under_way() {
    let (room, answer) = (room(), json!({ "role": "assistant", "n": 1 }));
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", able());
    hello(&mut b, "b", able());
    for client in [&mut b, &mut a] {
        let id = client.begin_call("s__asks", json!({}));
        let asked = client.asked(SAMPLING);
        client.answer(&asked.id, &answer);
        let got = client.answer_to(id);
        assert_eq!(got["result"]["structuredContent"]["answer"], answer, "{got}");
    }
    assert!(a.said_so_far().is_empty() && b.said_so_far().is_empty());
}

#[test]
fn of_several_it_goes_to_the_one_with_the_oldest_request_that_can_answer() {
    let room = room();
    let house = room.house();
    let ((mut a, _a), (mut b, _b), (mut c, _c)) =
        (room.guest(&house), room.guest(&house), room.guest(&house));
    hello(&mut a, "a", json!({}));
    hello(&mut b, "b", able());
    hello(&mut c, "c", able());
    begin(&room, &mut a, "hang");
    begin(&room, &mut b, "hang");
    let id = c.begin_call("s__asks", json!({}));
    let asked = b.asked(SAMPLING);
    b.answer(&asked.id, &json!({}));
    c.answer_to(id);
    assert!(a.said_so_far().is_empty() && c.said_so_far().is_empty());
}

#[test]
fn a_modern_client_is_asked_with_its_own_request() {
    let room = room();
    let house = room.house();
    let ((mut a, _a), (mut m, _m)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", able());
    m.carry(CAPABILITIES_KEY, able());
    let asked = m.modern("tools/call", json!({ "name": "s__asks" }));
    let (requests, state) = (&asked["result"]["inputRequests"], &asked["result"]["requestState"]);
    assert_eq!(requests["q1"]["method"], SAMPLING, "{asked}");
    let answer = m.modern(
        "tools/call",
        json!({ "name": "s__asks", "inputResponses": { "q1": { "n": 2 } }, "requestState": state }),
    );
    assert_eq!(answer["result"]["structuredContent"]["answer"]["n"], 2, "{answer}");
    assert!(a.said_so_far().is_empty());
}

#[test]
fn a_question_that_nobody_waits_for_is_refused_while_several_are_attached() {
    let room = room();
    let house = room.house();
    let ((mut a, gone), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", able());
    hello(&mut b, "b", able());
    b.call("s__later", json!({}));
    let message = answered(&room)["error"]["message"].to_string();
    assert!(message.contains("several clients are attached"), "{message}");
    assert!(a.said_so_far().is_empty() && b.said_so_far().is_empty());
    gone.detach();
    b.call("s__later", json!({}));
    let asked = b.asked(SAMPLING);
    b.answer(&asked.id, &json!({}));
}

#[test]
fn the_end_of_a_page_is_told_to_the_client_that_was_asked_to_open_it() {
    const DONE: &str = "notifications/elicitation/complete";
    let asks = r#"{"mode":"url","url":"https://x","elicitationId":"e-1","message":"m"}"#;
    let told =
        r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e-1"}}"#;
    let room = Room::new().server(
        "s",
        &[
            &format!("on tools/call page: request elicitation/create {asks}"),
            &format!("on tools/call done: notify {told}; echo"),
        ],
    );
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    for (client, name) in [(&mut a, "a"), (&mut b, "b")] {
        hello(client, name, json!({ "elicitation": { "url": {} } }));
    }
    let id = b.begin_call("s__page", json!({}));
    let asked = b.asked("elicitation/create");
    b.answer(&asked.id, &json!({ "action": "accept" }));
    b.answer_to(id);
    a.call("s__done", json!({}));
    assert_eq!(b.told(DONE)["params"]["elicitationId"], "e-1");
    assert!(a.said_so_far().is_empty());
}

#[test]
fn roots_are_asked_of_the_client_that_the_server_was_started_for() {
    let room =
        Room::new().server("s", &["record $ROOM/record", "on notifications/initialized: ask roots/list"]);
    let house = room.house();
    let ((mut a, gone), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", able());
    hello(&mut b, "b", able());
    a.call("s__echo", json!({}));
    let asked = a.asked("roots/list");
    a.answer(&asked.id, &json!({ "roots": [] }));
    b.call("s__echo", json!({}));
    assert!(b.said_so_far().is_empty());
    gone.detach();
}

#[test]
fn a_question_of_a_task_goes_to_the_client_that_has_the_task() {
    let room = room();
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", able());
    hello(&mut b, "b", able());
    begin(&room, &mut b, "hang");
    let given = a.ask("tools/call", &json!({ "name": "s__job", "arguments": {}, "task": {} }));
    assert_eq!(given["result"]["task"]["taskId"], "task-1", "{given}");
    let asked = a.asked(SAMPLING);
    a.answer(&asked.id, &json!({}));
    assert!(b.said_so_far().is_empty());
}

#[test]
fn a_question_to_a_client_that_goes_is_answered_for_it() {
    let room = room();
    let house = room.house();
    let ((mut a, _a), (mut b, gone)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "a", able());
    hello(&mut b, "b", able());
    b.begin_call("s__asks", json!({}));
    b.asked(SAMPLING);
    b.close_stdin();
    gone.gone();
    let message = answered(&room)["error"]["message"].to_string();
    assert!(message.contains("the client has gone"), "{message}");
    assert!(a.said_so_far().is_empty());
}
