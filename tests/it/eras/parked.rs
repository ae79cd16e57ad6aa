//! Calls that wait for their client: how long, how many, and what ends them.

use serde_json::{Value, json};

use super::{answered, check_error, questions, raw_recorded, start_able};
use crate::support::{Bridge, Room, check_gone, wait_until};

const ASKS: [&str; 3] = ["record $ROOM/record", "count $ROOM/count", "on tools/call: request roots/list"];

fn retry(state: &str) -> Value {
    json!({ "name": "s__echo", "requestState": state, "inputResponses": { "q1": { "roots": [] } } })
}

/// Calls the tool, which asks; the state that its client is given.
#[track_caller]
fn ask(bridge: &mut Bridge) -> String {
    questions(&bridge.modern("tools/call", json!({ "name": "s__echo" }))).1
}

#[track_caller]
fn check_expired(answer: &Value) {
    check_error(answer, -32602);
    assert_eq!(answer["error"]["data"]["kind"], "expired", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("requestState"), "{answer}");
}

#[test]
fn a_client_that_does_not_come_back_in_time_ends_its_call() {
    let room = Room::new().setting("question_expiry_s = 1").server("s", &ASKS);
    let mut bridge = start_able(&room);
    let state = ask(&mut bridge);
    assert!(answered(&room, "record", "fake-1").contains(r#""error""#), "the question is refused");
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], room.recorded("record", "tools/call")[0]["id"]);
    check_expired(&bridge.modern("tools/call", retry(&state)));
    let state = ask(&mut bridge);
    assert_eq!(bridge.modern("tools/call", retry(&state))["result"]["resultType"], "complete");
}

#[test]
fn states_that_are_wrong_used_or_anothers_are_refused_and_start_nothing() {
    let room = Room::new().server(
        "s",
        &["record $ROOM/record", "on tools/call: request roots/list", "tool echo", "tool other"],
    );
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    let state = ask(&mut bridge);
    for wrong in ["bridge:00", "", "foreign", "bridge:", &state.to_uppercase()] {
        check_expired(&bridge.modern("tools/call", retry(wrong)));
    }
    let foreign = [json!(7), json!(null), json!({ "a": 1 })];
    for wrong in foreign {
        let mut params = retry("");
        params["requestState"] = wrong;
        check_expired(&bridge.modern("tools/call", params));
    }
    check_expired(&bridge.modern("tools/call", json!({ "name": "s__echo", "inputResponses": {} })));
    let mut other = retry(&state);
    other["name"] = json!("s__other");
    check_expired(&bridge.modern("tools/call", other));
    check_error(&bridge.modern("prompts/get", retry(&state)), -32602);
    assert_eq!(bridge.modern("tools/call", retry(&state))["result"]["resultType"], "complete");
    check_expired(&bridge.modern("tools/call", retry(&state)));
    assert_eq!(raw_recorded(&room, "record", "tools/call").len(), 1, "the server saw one call");
    let rows = "SELECT outcome, count(*) FROM tool_calls GROUP BY 1 ORDER BY 1";
    assert_eq!(room.rows(rows), [[json!("ok"), json!(2)], [json!("rejected"), json!(11)]]);
}

#[test]
fn a_resource_is_read_on_only_under_its_own_uri() {
    let script = ["on resources/read r://1: request roots/list", "resource r://2"];
    let room = Room::new().server("s", &script);
    let mut bridge = start_able(&room);
    let (_, state) = questions(&bridge.modern("resources/read", json!({ "uri": "r://1" })));
    let retry = |uri: &str| json!({ "uri": uri, "requestState": state, "inputResponses": { "q1": {} } });
    check_expired(&bridge.modern("resources/read", retry("r://2")));
    assert!(bridge.modern("resources/read", retry("r://1"))["result"]["contents"].is_array());
}

#[test]
fn one_parked_call_too_many_ends_the_oldest() {
    let room = Room::new().setting("max_concurrent = 100").server("s", &ASKS).server("t", &ASKS[2..]);
    let mut bridge = start_able(&room);
    // One server alone may not have so many questions open.
    let states: Vec<String> = (0..60).map(|_| ask(&mut bridge)).collect();
    for _ in 60..64 {
        questions(&bridge.modern("tools/call", json!({ "name": "t__echo" })));
    }
    assert_eq!(raw_recorded(&room, "record", "notifications/cancelled").len(), 0);
    let (_, last) = questions(&bridge.modern("tools/call", json!({ "name": "t__echo" })));
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], room.recorded("record", "tools/call")[0]["id"]);
    check_expired(&bridge.modern("tools/call", retry(&states[0])));
    assert_eq!(bridge.modern("tools/call", retry(&states[1]))["result"]["resultType"], "complete");
    let mut others = retry(&last);
    others["name"] = json!("t__echo");
    assert_eq!(bridge.modern("tools/call", others)["result"]["resultType"], "complete");
}

#[test]
fn parked_calls_that_are_too_large_together_end_the_oldest() {
    let room = Room::new().server("s", &ASKS);
    let mut bridge = start_able(&room);
    let large = "x".repeat(15 * 1024 * 1024);
    let states: Vec<String> = (0..5)
        .map(|_| {
            let params = json!({ "name": "s__echo", "arguments": { "large": &large } });
            questions(&bridge.modern("tools/call", params)).1
        })
        .collect();
    check_expired(&bridge.modern("tools/call", retry(&states[0])));
    for state in &states[1..] {
        assert_eq!(bridge.modern("tools/call", retry(state))["result"]["resultType"], "complete");
    }
    // What has gone leaves its room.
    let state = ask(&mut bridge);
    assert_eq!(bridge.modern("tools/call", retry(&state))["result"]["resultType"], "complete");
}

#[test]
fn a_server_that_dies_while_its_client_is_asked_leaves_the_outcome_unknown() {
    let room = Room::new().server("s", &[&ASKS[..], &["on tools/call die: exit 3"]].concat());
    let mut bridge = start_able(&room);
    bridge.modern("tools/list", json!({}));
    let state = ask(&mut bridge);
    bridge.modern("tools/call", json!({ "name": "s__die" }));
    let answer = bridge.modern("tools/call", retry(&state));
    let told = &answer["result"]["_meta"]["bridge/error"];
    assert_eq!((&told["kind"], &told["exitCode"]), (&json!("outcome_unknown"), &json!(3)), "{answer}");
    assert_eq!(raw_recorded(&room, "record", "tools/call").len(), 2, "nothing is sent again");
    let state = ask(&mut bridge);
    assert_eq!(bridge.modern("tools/call", retry(&state))["result"]["resultType"], "complete");
}

#[test]
fn the_bridge_stops_while_calls_are_parked_and_being_answered() {
    let room = Room::new()
        .server("s", &["record $ROOM/record", "count $ROOM/count", "on tools/call: ask roots/list; hang"]);
    let mut bridge = start_able(&room);
    let (_, first) = questions(&bridge.modern("tools/call", json!({ "name": "s__echo" })));
    questions(&bridge.modern("tools/call", json!({ "name": "s__echo" })));
    let running = bridge.modern_request("tools/call", retry(&first));
    answered(&room, "record", "fake-1");
    bridge.signal(rustix::process::Signal::TERM);
    let answer = bridge.answer_to(running);
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{answer}");
    bridge.wait_exit();
    check_gone(&room.pids("count"));
    let rows = "SELECT outcome, count(*) FROM tool_calls GROUP BY 1 ORDER BY 1";
    assert_eq!(room.rows(rows), [[json!("ok"), json!(2)], [json!("outcome_unknown"), json!(1)]]);
}

#[test]
fn every_request_has_one_row_also_when_the_client_gives_up() {
    let room = Room::new().server("s", &ASKS);
    let mut bridge = start_able(&room);
    for _ in 0..3 {
        ask(&mut bridge);
    }
    assert!(bridge.end().success());
    let rows = "SELECT count(*), count(outcome), count(DISTINCT request_id) FROM tool_calls";
    assert_eq!(room.rows(rows), [[json!(3), json!(3), json!(3)]]);
    wait_until("the server has ended", || room.pids("count").iter().all(|pid| !crate::support::alive(*pid)));
}
