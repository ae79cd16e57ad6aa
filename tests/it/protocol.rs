//! Both eras on one pipe, decided per message (protocol.md).

use serde_json::{Value, json};

use crate::said::OWN;
use crate::support::{Bridge, MODERN, Room};

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

fn serving() -> (Room, Bridge) {
    let room = Room::new().server("s", &["tool echo", "on tools/call change: list-changed"]);
    let bridge = room.start();
    (room, bridge)
}

#[track_caller]
fn check_error(answer: &Value, code: i64, kind: &str) {
    assert_eq!(answer["error"]["code"], code, "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], kind, "{answer}");
}

#[test]
fn initialize_agrees_to_a_revision_that_we_speak() {
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("", "2025-11-25"),
    ] {
        let result = Room::new().start().initialize_as(asked);
        assert_eq!(result["protocolVersion"], agreed, "for {asked:?}");
    }
}

#[test]
fn initialize_says_who_we_are_and_only_what_we_can() {
    let (_room, mut bridge) = serving();
    let result = bridge.initialize();
    assert_eq!(result["serverInfo"]["name"], "bridge");
    let told = json!({ "listChanged": true });
    let capabilities = json!({
        "completions": {},
        "logging": {},
        "prompts": told,
        "resources": { "listChanged": true, "subscribe": true },
        "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } },
        "tools": told,
    });
    assert_eq!(result["capabilities"], capabilities);
    assert!(result["instructions"].as_str().unwrap().contains("servers s;"), "{result}");
}

#[test]
fn initialize_without_its_params_is_refused_and_can_be_sent_again() {
    let (_room, mut bridge) = serving();
    check_error(&bridge.ask("initialize", &json!({})), -32602, "bad_params");
    check_error(&bridge.ask("initialize", &json!([])), -32602, "bad_params");
    check_error(&bridge.ask("initialize", &json!({ "protocolVersion": 7 })), -32602, "bad_params");
    assert_eq!(bridge.initialize()["protocolVersion"], "2025-11-25");
}

#[test]
fn a_second_initialize_renews_the_session() {
    let (_room, mut bridge) = serving();
    bridge.initialize_as("2024-11-05");
    assert_eq!(bridge.initialize_as("2025-06-18")["protocolVersion"], "2025-06-18");
    assert_eq!(bridge.call("s__echo", json!({}))["result"]["structuredContent"], json!({}));
    assert_eq!(
        bridge.rows("SELECT protocol_version, tool_calls FROM mcp_sessions"),
        [[json!("2025-06-18"), json!(1)]]
    );
}

#[test]
fn nothing_is_started_by_a_handshake() {
    let room = Room::new().server("s", &["count $ROOM/pids"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.modern("server/discover", json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    assert_eq!(room.text("pids"), "");
}

#[test]
fn a_probe_leaves_no_row() {
    let (room, mut bridge) = serving();
    let result = bridge.modern("server/discover", json!({}))["result"].take();
    assert_eq!(result["supportedVersions"], json!([MODERN]));
    assert_eq!(result["capabilities"]["tools"], json!({ "listChanged": true }));
    assert!(bridge.end().success());
    assert_eq!(room.rows("SELECT count(*) FROM mcp_sessions"), [[json!(0)]]);
}

#[test]
fn discover_and_then_initialize_work_on_one_pipe() {
    let (_room, mut bridge) = serving();
    bridge.modern("server/discover", json!({}));
    bridge.initialize();
    let answer = bridge.call("s__echo", json!({ "a": 1 }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "a": 1 }));
    assert_eq!(answer["result"]["resultType"], Value::Null, "a legacy result stays as it is");
}

#[test]
fn each_message_is_of_its_own_era() {
    let (_room, mut bridge) = serving();
    bridge.initialize();
    let modern = bridge.modern("tools/call", json!({ "name": "s__echo", "arguments": { "n": 2 } }));
    assert_eq!(modern["result"]["resultType"], "complete");
    assert_eq!(modern["result"]["structuredContent"], json!({ "n": 2 }));
    assert_eq!(bridge.call("s__echo", json!({}))["result"]["resultType"], Value::Null);
    let rows = bridge
        .rows("SELECT client_name, protocol_version, tool_calls FROM mcp_sessions ORDER BY client_name");
    assert_eq!(
        rows,
        [[json!("it"), json!("2025-11-25"), json!(1)], [json!("modern-it"), json!(MODERN), json!(1)]]
    );
}

#[test]
fn modern_calls_do_not_open_a_legacy_session() {
    let (_room, mut bridge) = serving();
    bridge.modern("tools/list", json!({}));
    check_error(&bridge.call("s__echo", json!({})), -32602, "bad_params");
}

#[test]
fn modern_results_carry_their_type_and_how_long_they_hold() {
    let (_room, mut bridge) = serving();
    for method in ["server/discover", "tools/list"] {
        let result = bridge.modern(method, json!({}))["result"].take();
        assert_eq!(result["resultType"], "complete", "{method}");
        assert!(result["ttlMs"].is_u64(), "{method}: {result}");
        assert_eq!(result["cacheScope"], "private", "{method}");
    }
    for tool in ["s__echo", "bridge_status", "s__nothing"] {
        let answer = bridge.modern("tools/call", json!({ "name": tool, "arguments": {} }));
        let complete = answer["result"]["resultType"] == "complete";
        assert!(complete || answer["error"].is_object(), "{tool}: {answer}");
    }
}

#[test]
fn a_modern_failure_of_a_server_is_a_complete_result_too() {
    let room = Room::new().server("s", &["on tools/call boom: exit 3"]);
    let answer = room.start().modern("tools/call", json!({ "name": "s__boom" }));
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown");
}

#[test]
fn a_revision_that_we_do_not_speak_is_named_beside_those_we_do() {
    let (_room, mut bridge) = serving();
    for version in ["2025-11-25", "2030-01-01"] {
        let meta = json!({ VERSION_KEY: version, CAPABILITIES_KEY: {} });
        let answer = bridge.ask("tools/list", &json!({ "_meta": meta }));
        check_error(&answer, -32022, "unsupported_version");
        assert_eq!(answer["error"]["data"]["supported"], json!([MODERN]));
        assert_eq!(answer["error"]["data"]["requested"], version);
    }
}

#[test]
fn a_request_without_an_era_is_told_the_missing_keys() {
    let (_room, mut bridge) = serving();
    for method in ["tools/list", "tools/call", "server/discover", "logging/setLevel"] {
        let answer = bridge.ask(method, &json!({ "name": "s__echo" }));
        check_error(&answer, -32602, "bad_params");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(VERSION_KEY) && message.contains(CAPABILITIES_KEY), "{message}");
    }
    let answer = bridge.ask("tools/list", &json!({ "_meta": { VERSION_KEY: MODERN } }));
    check_error(&answer, -32602, "bad_params");
    assert!(answer["error"]["message"].as_str().unwrap().contains(CAPABILITIES_KEY));
}

#[test]
fn ping_belongs_to_the_older_era_only() {
    let (_room, mut bridge) = serving();
    assert_eq!(bridge.ask("ping", &json!({}))["result"], json!({}), "also before initialize");
    bridge.send(r#"{"jsonrpc":"2.0","id":"no-params","method":"ping"}"#);
    assert_eq!(bridge.raw_answer_to("\"no-params\""), r#"{"jsonrpc":"2.0","id":"no-params","result":{}}"#);
    check_error(&bridge.modern("ping", json!({})), -32601, "method_not_found");
}

#[test]
fn methods_that_nobody_can_be_told_to_own_are_unknown_in_both_eras() {
    let room = Room::new().server("s", &[]).server("t", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    for method in ["roots/list", "x/y", "", "tools", "tools/list/", "templates/list"] {
        check_error(&bridge.ask(method, &json!({})), -32601, "method_not_found");
        check_error(&bridge.modern(method, json!({})), -32601, "method_not_found");
    }
    check_error(&bridge.ask("subscriptions/listen", &json!({})), -32601, "method_not_found");
    check_error(&bridge.modern("logging/setLevel", json!({ "level": "info" })), -32601, "method_not_found");
}

#[test]
fn a_known_method_with_bad_params_says_what_it_needs() {
    let (_room, mut bridge) = serving();
    bridge.initialize();
    for (method, params) in [
        ("tools/call", json!({})),
        ("tools/call", json!([])),
        ("tools/call", json!({ "name": 7 })),
        ("tools/call", json!(null)),
        ("logging/setLevel", json!({ "level": "loud" })),
        ("logging/setLevel", json!({})),
        ("tools/list", json!({ "cursor": 7 })),
        ("tools/list", json!([1])),
    ] {
        check_error(&bridge.ask(method, &params), -32602, "bad_params");
    }
    check_error(&bridge.modern("subscriptions/listen", json!({})), -32602, "bad_params");
    check_error(&bridge.call("s__nothing", json!({})), -32602, "unknown_tool");
    check_error(&bridge.call("nobody__nothing", json!({})), -32602, "unknown_tool");
}

#[test]
fn unknown_notifications_are_nothing_also_before_initialize() {
    let (_room, mut bridge) = serving();
    for method in ["notifications/whatever", "notifications/initialized", "x", "notifications/cancelled"] {
        bridge.notify(method, &json!({}));
        bridge.send(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
        bridge.send(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":[]}}"#));
    }
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    bridge.initialize();
}

#[test]
fn answers_that_nobody_asked_for_are_nothing() {
    let (_room, mut bridge) = serving();
    bridge.send(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    bridge.send(r#"{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"no"}}"#);
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_long_list_comes_in_pages() {
    let room = Room::new().server("s", &["tools 2100"]);
    let mut bridge = room.start();
    bridge.initialize();
    let (mut names, mut pages, mut params) = (Vec::new(), Vec::new(), json!({}));
    loop {
        let mut result = bridge.ask("tools/list", &params)["result"].take();
        let tools = result["tools"].as_array().unwrap();
        pages.push(tools.len());
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        if result["nextCursor"].is_null() {
            break;
        }
        params = json!({ "cursor": result["nextCursor"].take() });
    }
    assert_eq!(pages, [1000, 1000, 100 + OWN.len()]);
    assert!(names.is_sorted() && names.contains(&"bridge_status".to_owned()));
    names.dedup();
    assert_eq!(names.len(), 2100 + OWN.len());
}

#[test]
fn tools_changed_is_told_to_a_legacy_client_that_is_ready() {
    let (_room, mut bridge) = serving();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.call("s__change", json!({}));
    // The first list ever of a server is a change too; it goes out before the second.
    while !lists(&mut bridge, "s__extra_1") {
        bridge.told("notifications/tools/list_changed");
    }
}

#[track_caller]
fn lists(bridge: &mut Bridge, tool: &str) -> bool {
    let list = bridge.ask("tools/list", &json!({}));
    list["result"]["tools"].as_array().unwrap().iter().any(|offered| offered["name"] == tool)
}

#[test]
fn a_client_that_is_not_ready_hears_nothing_unasked() {
    let (_room, mut bridge) = serving();
    let info = json!({ "name": "it", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info });
    bridge.ask("initialize", &params);
    let id = bridge.request("tools/list", &json!({}));
    assert_eq!(bridge.recv()["id"], id, "the answer is the first frame");
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_listen_is_acknowledged_and_tagged_until_it_is_cancelled() {
    let (_room, mut bridge) = serving();
    bridge.modern("tools/list", json!({}));
    let meta = json!({ VERSION_KEY: MODERN, CAPABILITIES_KEY: {} });
    let wants = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let params = json!({ "_meta": meta, "notifications": wants });
    for id in ["l-1", "l-2"] {
        bridge.send(
            json!({ "jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params })
                .to_string(),
        );
        let told = bridge.told("notifications/subscriptions/acknowledged");
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION_KEY], id);
        assert_eq!(told["params"]["notifications"], wants, "what is granted");
    }
    bridge.notify("notifications/cancelled", &json!({ "requestId": "l-1" }));
    bridge.modern("tools/call", json!({ "name": "s__change" }));
    let told = bridge.told("notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"][SUBSCRIPTION_KEY], "l-2", "the other one was cancelled");
    assert_eq!(bridge.said_so_far(), [] as [Value; 0], "nothing else, and no answer to a cancelled request");
}

#[test]
fn a_listen_hears_nothing_that_it_does_not_want() {
    let (_room, mut bridge) = serving();
    bridge.modern("tools/list", json!({}));
    let wants = json!({ "promptsListChanged": true, "toolsListChanged": false, "somethingElse": true });
    bridge.modern_request("subscriptions/listen", json!({ "notifications": wants }));
    let told = bridge.told("notifications/subscriptions/acknowledged");
    assert_eq!(told["params"]["notifications"], json!({ "promptsListChanged": true }));
    bridge.modern("tools/call", json!({ "name": "s__change" }));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn messages_below_the_clients_level_stay_with_us() {
    let room = Room::new().server(
        "s",
        &["on tools/call speak: log debug low; log warning high; log info low; log emergency high"],
    );
    let mut bridge = room.start();
    bridge.initialize();
    let said = |bridge: &mut Bridge| -> Vec<Value> {
        let id = bridge.begin_call("s__speak", json!({}));
        bridge.answer_to(id);
        let said = bridge.said_so_far();
        let messages = said.iter().filter(|line| line["method"] == "notifications/message");
        messages.map(|line| line["params"]["level"].clone()).collect()
    };
    assert_eq!(said(&mut bridge), ["debug", "warning", "info", "emergency"], "all, until told otherwise");
    assert_eq!(bridge.ask("logging/setLevel", &json!({ "level": "warning" }))["result"], json!({}));
    assert_eq!(said(&mut bridge), ["warning", "emergency"]);
    bridge.ask("logging/setLevel", &json!({ "level": "emergency" }));
    assert_eq!(said(&mut bridge), ["emergency"]);
}

#[test]
fn a_level_may_be_set_before_the_client_says_it_is_ready() {
    let mut bridge = Room::new().start();
    let params =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "vs" } });
    bridge.ask("initialize", &params);
    assert_eq!(bridge.ask("logging/setLevel", &json!({ "level": "info" }))["result"], json!({}));
}
