//! Progress keeps its order and never follows the response; what was taken back stays away.

use serde_json::{Value, json};

use crate::support::{Room, wait_until};

#[test]
fn two_hundred_progress_notifications_come_in_order_and_before_the_response_every_time() {
    let room = Room::new().server("s", &["on tools/call: progress 200; echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    bridge.said_so_far();
    for run in 0..100 {
        let token = format!("t-{run}");
        let params = json!({ "name": "s__echo", "arguments": {}, "_meta": { "progressToken": token } });
        let id = bridge.request("tools/call", &params);
        for step in 1..=200 {
            let told = bridge.recv();
            assert_eq!(told["method"], "notifications/progress", "run {run}, step {step}: {told}");
            assert_eq!(told["params"]["progressToken"], token);
            assert_eq!(told["params"]["progress"], step, "run {run}");
        }
        assert_eq!(bridge.recv()["id"], id, "run {run}: the response is the last");
    }
}

#[test]
fn progress_of_many_calls_at_once_keeps_the_order_of_each() {
    let room = Room::new().server("s", &["on tools/call: progress 50; sleep 1; progress 50; echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    bridge.said_so_far();
    let ids: Vec<u64> = (0..8)
        .map(|n| {
            let params = json!({ "name": "s__echo", "arguments": {}, "_meta": { "progressToken": n } });
            bridge.request("tools/call", &params)
        })
        .collect();
    let mut steps = [0; 8];
    let mut open = ids.len();
    while open > 0 {
        let line = bridge.recv();
        if let Some(call) = ids.iter().position(|id| line["id"] == *id) {
            assert_eq!(steps[call], 100, "call {call} was answered after all of its progress");
            open -= 1;
        } else {
            let call = usize::try_from(line["params"]["progressToken"].as_u64().unwrap()).unwrap();
            steps[call] += 1;
            // The server counts 1 to 50 twice.
            assert_eq!(line["params"]["progress"], (steps[call] - 1) % 50 + 1, "call {call}");
        }
    }
}

#[test]
fn progress_after_the_response_is_dropped() {
    let room = Room::new().server("s", &["on tools/call late: late-progress 5", "tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    let params = json!({ "name": "s__late", "_meta": { "progressToken": 1 } });
    let id = bridge.request("tools/call", &params);
    bridge.answer_to(id);
    // The server's lines come in order: with this answer everything late has passed.
    bridge.call("s__echo", json!({}));
    assert_eq!(progress(&bridge.said_so_far()), 0);
}

#[test]
fn progress_of_a_cancelled_call_is_dropped_and_the_server_is_told() {
    let late = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"tok","progress":9}}"#;
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            "on tools/call hang: progress 1; hang",
            &format!("on tools/call speak: notify {late}; echo"),
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    let params = json!({ "name": "s__hang", "_meta": { "progressToken": "tok" } });
    let id = bridge.request("tools/call", &params);
    assert_eq!(bridge.told("notifications/progress")["params"]["progress"], 1);
    bridge.notify("notifications/cancelled", &json!({ "requestId": id, "reason": "enough" }));
    wait_until("the server is told", || room.text("record").contains("notifications/cancelled"));
    bridge.call("s__speak", json!({}));
    let said = bridge.said_so_far();
    assert_eq!(progress(&said), 0, "{said:?}");
    assert!(!said.iter().any(|line| line["id"] == id), "a cancelled request is not answered");
    let record = room.text("record");
    let sent = |word: &str| record.lines().find(|line| line.contains(word)).unwrap().to_owned();
    let call: Value = serde_json::from_str(&sent("\"hang\"")).unwrap();
    let cancel: Value = serde_json::from_str(&sent("notifications/cancelled")).unwrap();
    assert_eq!(cancel["params"]["requestId"], call["id"], "under the id that the server knows");
    assert_eq!(
        bridge.rows("SELECT outcome, response_bytes FROM tool_calls WHERE tool = 'hang'"),
        [[json!("cancelled"), Value::Null]]
    );
}

#[test]
fn the_late_answer_to_a_cancelled_call_is_swallowed_and_counted() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call slow: sleep 100; echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    let id = bridge.begin_call("s__slow", json!({}));
    wait_until("the server has the call", || room.text("record").contains("\"slow\""));
    bridge.notify("notifications/cancelled", &json!({ "requestId": id }));
    wait_until("the late answer is counted", || bridge.status()["servers"][0]["lateAnswers"] == 1);
    assert!(!bridge.said_so_far().iter().any(|line| line["id"] == id));
}

fn progress(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["method"] == "notifications/progress").count()
}
