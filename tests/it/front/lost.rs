//! What becomes of what was under way in a hub that died.

use serde_json::json;

use crate::front::Hubs;
use crate::support::{Bridge, Room, wait_until};

#[test]
fn a_call_inside_a_dying_hub_is_not_done_again() {
    let room = Room::new().server("s", &["record $ROOM/calls", "on tools/call: hang"]).through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    let id = bridge.begin_call("s__echo", json!({}));
    room.wait_for_line("calls", "tools/call");
    hubs.kill();
    let answer = bridge.answer_to(id);
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{answer}");
    assert_eq!(room.recorded("calls", "tools/call").len(), 1);
    let rows = room.rows("SELECT outcome, error_kind FROM tool_calls");
    assert_eq!(rows, [[json!("outcome_unknown"), json!("bridge_crashed")]]);
    assert_eq!(room.rows("SELECT sum(calls), sum(errors) FROM call_totals"), [[json!(1), json!(1)]]);
}

#[test]
fn a_call_that_was_handed_off_does_not_run_for_ever_in_the_record() {
    let room =
        Room::new().server("s", &["on tools/call: hang"]).client("it", "handoff_after_s = 1").through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    let told = bridge.call("s__echo", json!({}));
    assert!(told["result"]["_meta"]["bridge/handoff"].is_object(), "{told}");
    assert_eq!(room.rows("SELECT outcome FROM tool_calls"), [[json!(null)]]);
    hubs.kill();
    let lost = || room.rows("SELECT outcome FROM tool_calls") == [[json!("outcome_unknown")]];
    wait_until("the next hub closes it", lost);
}

#[test]
fn a_subscription_and_a_level_go_on_with_the_next_hub() {
    let room = Room::new()
        .server(
            "s",
            &[
                "record $ROOM/said",
                "resource fake://a",
                "capabilities {\"resources\":{\"subscribe\":true},\"logging\":{}}",
            ],
        )
        .through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    assert!(bridge.ask("resources/subscribe", &json!({ "uri": "fake://a" }))["error"].is_null());
    assert!(bridge.ask("logging/setLevel", &json!({ "level": "error" }))["error"].is_null());
    hubs.kill();
    wait_until("the server hears it again", || room.recorded("said", "resources/subscribe").len() == 2);
    bridge.ask("resources/read", &json!({ "uri": "fake://a" }));
    wait_until("and of the level", || room.recorded("said", "logging/setLevel").len() >= 2);
}

#[test]
fn each_message_of_a_batch_is_lost_or_kept_for_itself() {
    let room = Room::new()
        .server("s", &["record $ROOM/calls", "tool echo", "tool hang", "on tools/call hang: hang"])
        .through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize_as("2025-03-26");
    let call = |id: &str, tool: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"s__{tool}","arguments":{{}}}}}}"#
        )
    };
    bridge.send(format!("[{},{}]", call("a", "echo"), call("b", "hang")));
    assert!(bridge.raw_answer_to("\"a\"").contains("structuredContent"));
    room.wait_for_line("calls", "\"hang\"");
    hubs.kill();
    assert!(bridge.raw_answer_to("\"b\"").contains("outcome_unknown"));
    bridge.send(format!("[{}]", call("c", "echo")));
    assert!(bridge.raw_answer_to("\"c\"").contains("structuredContent"));
    let rows = room.rows("SELECT request_id, outcome FROM tool_calls ORDER BY request_id");
    assert_eq!(
        rows,
        [
            [json!("\"a\""), json!("ok")],
            [json!("\"b\""), json!("outcome_unknown")],
            [json!("\"c\""), json!("ok")]
        ]
    );
    assert_eq!(room.recorded("calls", "tools/call").len(), 3);
}

/// Waits until the next hub knows what the server says of its tools.
#[track_caller]
fn knows_the_tools(room: &Room, bridge: &mut Bridge) {
    bridge.ask("tools/list", &json!({}));
    wait_until("what it offers is stored", || room.rows("SELECT count(*) FROM catalog") == [[json!(1)]]);
}

#[test]
fn a_call_that_may_be_done_twice_is_done_again_where_its_server_is_trusted() {
    let script = [
        r#"tool read {"annotations":{"readOnlyHint":true}}"#,
        "tool write",
        "record $ROOM/calls",
        "on tools/call: once $ROOM/first hang",
    ];
    let check = |keys: &str, tool: &str, is_again: bool| {
        let room = Room::new().server_with("s", &script, keys).through_hub();
        let hubs = Hubs(&room);
        let mut bridge = room.start();
        bridge.initialize();
        bridge.ask("tools/list", &json!({}));
        wait_until("what it offers is stored", || {
            room.rows("SELECT count(*) > 0 FROM catalog") == [[json!(1)]]
        });
        let id = bridge.begin_call(&format!("s__{tool}"), json!({}));
        room.wait_for_line("calls", "tools/call");
        hubs.kill();
        let answer = bridge.answer_to(id);
        let outcome = if is_again { "ok" } else { "outcome_unknown" };
        let told = answer["result"]["_meta"]["bridge/error"]["kind"].as_str().unwrap_or("ok");
        assert_eq!(told, outcome, "{answer}");
        assert_eq!(room.recorded("calls", "tools/call").len(), 1 + usize::from(is_again));
        assert_eq!(room.rows("SELECT outcome FROM tool_calls"), [[json!(outcome)]]);
        let errors = json!(i32::from(!is_again));
        assert_eq!(room.rows("SELECT sum(calls), sum(errors) FROM call_totals"), [[json!(1), errors]]);
    };
    check("trust_annotations = true", "read", true);
    check("trust_annotations = true", "write", false);
    check("", "read", false);
}

#[test]
fn a_call_that_two_hubs_died_with_is_not_done_a_third_time() {
    let script =
        [r#"tool read {"annotations":{"readOnlyHint":true}}"#, "record $ROOM/calls", "on tools/call: hang"];
    let room = Room::new().server_with("s", &script, "trust_annotations = true").through_hub();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    knows_the_tools(&room, &mut bridge);
    let id = bridge.begin_call("s__read", json!({}));
    for times in 1..=2 {
        wait_until("a server has it", || room.recorded("calls", "tools/call").len() == times);
        hubs.kill();
    }
    let answer = bridge.answer_to(id);
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{answer}");
    assert_eq!(room.recorded("calls", "tools/call").len(), 2);
}
