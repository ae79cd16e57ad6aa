//! A server asks its client something after its call was handed off.

use serde_json::{Value, json};

use super::{hurried, number, outcome, result};
use crate::support::{Bridge, CAPABILITIES_KEY};

const ASKS: &str =
    r#"on tools/call ask: sleep 1600; request elicitation/create {"message":"m","requestedSchema":{}}"#;

#[test]
fn an_older_client_is_asked_as_ever() {
    let room = hurried().server("s", &[ASKS]);
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "elicitation": {} } }));
    let call = number(&bridge.call("s__ask", json!({})));
    let asked = bridge.asked("elicitation/create");
    bridge.answer(&asked.id, &json!({ "action": "accept" }));
    let answer = result(&mut bridge, &call);
    assert_eq!(answer["result"]["structuredContent"]["answer"]["action"], "accept", "{answer}");
}

#[track_caller]
fn modern_result(bridge: &mut Bridge, call: &str) -> Value {
    bridge.modern("tools/call", json!({ "name": "bridge_result", "arguments": { "call": call } }))
}

#[test]
fn a_modern_client_is_asked_by_the_answer_to_its_waiting() {
    let room = hurried().server("s", &["record $ROOM/record", ASKS]);
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "elicitation": {} }));
    let call = number(&bridge.modern("tools/call", json!({ "name": "s__ask" })));
    let asked = modern_result(&mut bridge, &call);
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert_eq!(asked["result"]["inputRequests"]["q1"]["method"], "elicitation/create", "{asked}");
    let back = json!({
        "name": "bridge_result",
        "arguments": { "call": call },
        "requestState": asked["result"]["requestState"],
        "inputResponses": { "q1": { "action": "accept" } },
    });
    let answer = bridge.modern("tools/call", back);
    assert_eq!(answer["result"]["structuredContent"]["answer"]["action"], "accept", "{answer}");
    assert_eq!(room.recorded("record", "tools/call").len(), 1);
    // A modern client's call may have more rows than one.
    let rows = "SELECT tool, outcome FROM tool_calls ORDER BY id";
    assert_eq!(bridge.rows(rows), [["ask", "ok"], ["bridge_result", "ok"], ["ask", "ok"]]);
}

#[test]
fn a_question_waits_for_whoever_asks_for_the_result_and_ends_with_the_call() {
    let room = hurried().server("s", &["record $ROOM/record", ASKS]);
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "elicitation": {} }));
    let call = number(&bridge.modern("tools/call", json!({ "name": "s__ask" })));
    // The question is there before anybody waits.
    assert_eq!(outcome(&bridge, &call), "ok");
    let arguments = json!({ "call": call, "cancel": true });
    let answer = bridge.modern("tools/call", json!({ "name": "bridge_result", "arguments": arguments }));
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "cancelled", "{answer}");
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], room.recorded("record", "tools/call")[0]["id"]);
}

#[test]
fn a_client_that_cannot_answer_ends_the_call() {
    let room = hurried().server("s", &[ASKS]);
    let mut bridge = room.start();
    let call = number(&bridge.modern("tools/call", json!({ "name": "s__ask" })));
    let answer = modern_result(&mut bridge, &call);
    assert_eq!(answer["error"]["code"], -32021, "{answer}");
    assert_eq!(outcome(&bridge, &call), "rejected");
}

#[test]
fn a_call_that_went_on_with_its_clients_answers_is_handed_off_and_taken_back_like_another() {
    let script = ["record $ROOM/record", "on tools/call ask: ask roots/list; hang"];
    let room = hurried().server("s", &script);
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "roots": {} }));
    let asked = bridge.modern("tools/call", json!({ "name": "s__ask" }));
    let back = json!({
        "name": "s__ask",
        "requestState": asked["result"]["requestState"],
        "inputResponses": { "q1": { "roots": [] } },
    });
    let call = number(&bridge.modern("tools/call", back));
    let arguments = json!({ "call": call, "cancel": true });
    let answer = bridge.modern("tools/call", json!({ "name": "bridge_result", "arguments": arguments }));
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "cancelled", "{answer}");
    assert_eq!(outcome(&bridge, &call), "cancelled");
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], room.recorded("record", "tools/call")[0]["id"]);
}
