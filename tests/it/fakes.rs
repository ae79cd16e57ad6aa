//! The fake server says what a real one of its era would: here it stands alone, with no bridge before it.

use serde_json::{Value, json};

use crate::support::{Bridge, CAPABILITIES_KEY, LOG_LEVEL_KEY, MODERN, Room, SUBSCRIPTION_KEY, VERSION_KEY};

const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A server of the modern era that plays this.
fn modern(script: &[&str]) -> Bridge {
    Room::new().fake(&[&["era modern"], script].concat())
}

/// A server that was initialized and plays this.
fn legacy(script: &[&str]) -> Bridge {
    let mut server = Room::new().fake(script);
    server.initialize();
    server
}

#[track_caller]
fn check_error(answer: &Value, code: i64) {
    assert_eq!(answer["error"]["code"], code, "{answer}");
}

/// What a list has under `key`, by the member that names it.
#[track_caller]
fn names(answer: &Value, key: &str, by: &str) -> Vec<String> {
    let list = answer["result"][key].as_array().unwrap_or_else(|| panic!("no {key}: {answer}"));
    list.iter().map(|one| one[by].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_handshake_says_what_is_on_offer() {
    let said = |script: &[&str]| Room::new().fake(script).initialize()["capabilities"].take();
    assert_eq!(said(&[]), json!({ "tools": { "listChanged": true }, "logging": {} }));
    assert_eq!(
        said(&["no-tools", "prompt p", "template a:{x}", "tasks"]),
        json!({
            "logging": {},
            "prompts": { "listChanged": true },
            "resources": { "subscribe": true, "listChanged": true },
            "completions": {},
            "tasks": { "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } },
        })
    );
    assert_eq!(said(&[r#"capabilities {"x":{}}"#]), json!({ "x": {} }));
}

#[test]
fn a_handshake_says_who_it_is_and_speaks_what_it_can() {
    let script =
        [r#"server-info {"name":"n","version":"2"}"#, "instructions Be kind.", "versions 2024-11-05"];
    let result = Room::new().fake(&script).initialize();
    assert_eq!(result["serverInfo"], json!({ "name": "n", "version": "2" }));
    assert_eq!(result["instructions"], "Be kind.");
    assert_eq!(result["protocolVersion"], "2024-11-05");
}

#[test]
fn a_strict_server_ends_at_anything_but_initialize() {
    let mut server = Room::new().fake(&["strict"]);
    server.modern_request("server/discover", json!({}));
    assert_eq!(server.wait_exit().code(), Some(1));
    let mut server = Room::new().fake(&["strict"]);
    server.initialize();
    assert_eq!(server.ask("ping", &json!({}))["result"], json!({}));
}

#[test]
fn a_modern_server_is_discovered() {
    let result =
        modern(&["prompt p", "tasks", "ttl 5 public"]).modern("server/discover", json!({}))["result"].take();
    let expected = json!({
        "resultType": "complete",
        "supportedVersions": [MODERN],
        "ttlMs": 5,
        "cacheScope": "public",
        "capabilities": {
            "tools": { "listChanged": true },
            "logging": {},
            "prompts": { "listChanged": true },
            "completions": {},
            "extensions": { TASKS: {} },
        },
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "fake", "version": "1" } },
    });
    assert_eq!(result, expected);
}

#[test]
fn a_modern_server_refuses_what_is_not_of_its_era() {
    let mut server = modern(&["resource a:b"]);
    check_error(&server.ask("initialize", &json!({ "protocolVersion": "2025-11-25" })), -32601);
    check_error(&server.ask("tools/list", &json!({})), -32602);
    check_error(&server.ask("tools/list", &json!({ "_meta": { VERSION_KEY: MODERN } })), -32602);
    for method in ["ping", "logging/setLevel", "resources/subscribe"] {
        check_error(&server.modern(method, json!({ "uri": "a:b" })), -32601);
    }
    let answer = server.modern("tools/list", json!({ "_meta": { VERSION_KEY: "2030-01-01" } }));
    check_error(&answer, -32022);
    assert_eq!(answer["error"]["data"], json!({ "supported": [MODERN], "requested": "2030-01-01" }));
}

#[test]
fn a_server_of_both_eras_is_held_to_its_first_request() {
    let mut server = Room::new().fake(&["era dual"]);
    assert_eq!(server.modern("server/discover", json!({}))["result"]["resultType"], "complete");
    let answer = server.ask("initialize", &json!({ "protocolVersion": "2025-11-25" }));
    check_error(&answer, -32022);
    assert_eq!(answer["error"]["data"]["requested"], "2025-11-25");
    let mut server = Room::new().fake(&["era dual"]);
    assert_eq!(server.initialize()["protocolVersion"], "2025-11-25");
    check_error(&server.modern("tools/list", json!({})), -32600);
    assert_eq!(server.ask("tools/list", &json!({}))["result"]["resultType"], Value::Null);
}

#[test]
fn a_listen_is_acknowledged_and_what_follows_is_tagged() {
    let change =
        "on tools/call change: list-changed; prompts-changed; resources-changed; updated a:b; updated a:c";
    let mut server = modern(&[change, "resource a:b", "on prompts/get p: hang"]);
    let wants = json!({ "toolsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["a:b"],
        "promptsListChanged": false, "taskIds": ["task-9"] });
    let (id, granted) = server.listen(&wants);
    let expected =
        json!({ "toolsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["a:b"] });
    assert_eq!(granted, expected);
    server.modern("tools/call", json!({ "name": "change" }));
    for method in ["tools/list_changed", "resources/list_changed", "resources/updated"] {
        let told = server.told(&format!("notifications/{method}"));
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION_KEY], id, "{told}");
    }
    server.cancel(id);
    let call = server.modern_request("tools/call", json!({ "name": "change" }));
    assert_eq!(server.recv()["id"], call, "nobody wants the other changes, and nobody listens any more");
}

#[test]
fn a_server_ends_a_subscription_by_its_result_or_takes_it_back() {
    let mut server = modern(&["on tools/call end: end-listen", "on tools/call cut: end-listen cancelled"]);
    let (id, _) = server.listen(&json!({ "toolsListChanged": true }));
    server.modern("tools/call", json!({ "name": "end" }));
    assert_eq!(server.answer_to(id)["result"]["_meta"][SUBSCRIPTION_KEY], id);
    let (id, _) = server.listen(&json!({ "toolsListChanged": true }));
    server.modern("tools/call", json!({ "name": "cut" }));
    assert_eq!(server.told("notifications/cancelled")["params"], json!({ "requestId": id }));
}

#[test]
fn a_modern_server_says_only_what_a_request_wants_to_hear() {
    let mut server = modern(&["on tools/call speak: log info low; log error high; echo"]);
    server.modern("tools/call", json!({ "name": "speak" }));
    server.carry(LOG_LEVEL_KEY, json!("warning"));
    server.modern("tools/call", json!({ "name": "speak" }));
    server.carry(LOG_LEVEL_KEY, json!("debug"));
    server.modern("tools/call", json!({ "name": "speak" }));
    let levels: Vec<Value> =
        (0..3).map(|_| server.told("notifications/message")["params"]["level"].take()).collect();
    assert_eq!(levels, ["error", "info", "error"]);
}

#[test]
fn input_is_asked_for_and_shown_as_it_came() {
    let script = r#"on tools/call ask: input {"a":{"method":"elicitation/create"}} "\u0073-1"; input {} s-2"#;
    let mut server = modern(&[script, r#"on prompts/get p: input {"r":{"method":"roots/list"}}"#]);
    let answer = server.modern("tools/call", json!({ "name": "ask" }));
    check_error(&answer, -32021);
    assert_eq!(answer["error"]["data"]["requiredCapabilities"], json!({ "elicitation": {} }));
    server.carry(CAPABILITIES_KEY, json!({ "elicitation": {}, "roots": {} }));
    let id = server.modern_request("tools/call", json!({ "name": "ask" }));
    let line = server.raw_answer_to(&id.to_string());
    let asked = r#""result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create"}},"requestState":"\u0073-1"}}"#;
    assert!(line.ends_with(asked), "{line}");
    let meta = server_meta();
    server.send(format!(
        r#"{{"jsonrpc":"2.0","id":"r2","method":"tools/call","params":{{"name":"ask","inputResponses":{{"a":{{ }}}},"requestState":"\u0073-1",{meta}}}}}"#
    ));
    let second = r#""result":{"resultType":"input_required","requestState":"s-2"}}"#;
    assert!(server.raw_answer_to("\"r2\"").ends_with(second), "the second round");
    server.send(format!(
        r#"{{"jsonrpc":"2.0","id":"r3","method":"tools/call","params":{{"name":"ask","inputResponses":{{ }},"requestState":"s-2",{meta}}}}}"#
    ));
    let shown = r#""content":[],"structuredContent":{"inputResponses":{ },"requestState":"s-2"}}}"#;
    assert!(server.raw_answer_to("\"r3\"").ends_with(shown), "the last round");
    assert_eq!(
        server.modern("prompts/get", json!({ "name": "p" }))["result"]["resultType"],
        "input_required"
    );
    let answer = server.modern("prompts/get", json!({ "name": "p", "inputResponses": { "r": 1 } }));
    assert_eq!(answer["result"]["messages"][0]["content"]["text"], r#"{"inputResponses":{"r":1}}"#);
}

/// `"_meta":{…}` of a client that can elicit.
fn server_meta() -> String {
    let meta = json!({ VERSION_KEY: MODERN, CAPABILITIES_KEY: { "elicitation": {} } });
    format!(r#""_meta":{meta}"#)
}

#[test]
fn resources_are_listed_read_and_subscribed_to() {
    let mut server = legacy(&[
        "resources 3",
        "template t:{x}",
        "on resources/list: page 2",
        "on resources/read a:b: reply {\"contents\":[]}",
        "on tools/call touch: updated a:b",
    ]);
    let answer = server.ask("resources/list", &json!({}));
    assert_eq!(names(&answer, "resources", "uri"), ["fake://resource/000", "fake://resource/001"]);
    let cursor = &answer["result"]["nextCursor"];
    let answer = server.ask("resources/list", &json!({ "cursor": cursor }));
    assert_eq!(names(&answer, "resources", "uri"), ["fake://resource/002", "a:b"]);
    assert_eq!(answer["result"]["nextCursor"], Value::Null);
    let answer = server.ask("resources/templates/list", &json!({}));
    assert_eq!(names(&answer, "resourceTemplates", "uriTemplate"), ["t:{x}"]);
    let answer = server.ask("resources/read", &json!({ "uri": "t:7" }));
    assert_eq!(answer["result"]["contents"][0]["text"], "t:7 of the fake server");
    assert_eq!(server.ask("resources/read", &json!({ "uri": "a:b" }))["result"], json!({ "contents": [] }));
    check_error(&server.ask("resources/read", &json!({ "uri": "no:no" })), -32002);
    server.call("touch", json!({}));
    server.ask("resources/subscribe", &json!({ "uri": "a:b" }));
    server.call("touch", json!({}));
    server.ask("resources/unsubscribe", &json!({ "uri": "a:b" }));
    server.call("touch", json!({}));
    let told = server.told("notifications/resources/updated");
    assert_eq!(told["params"], json!({ "uri": "a:b" }));
    assert_eq!(server.said_so_far(), [] as [Value; 0], "only what was subscribed to is told");
}

#[test]
fn prompts_are_listed_and_got_and_their_arguments_completed() {
    let mut server = legacy(&["prompt p", "on tools/call change: prompts-changed"]);
    let answer = server.ask("prompts/get", &json!({ "name": "p", "arguments": { "a": "1" } }));
    assert_eq!(answer["result"]["messages"][0]["content"]["text"], r#"{"a":"1"}"#);
    check_error(&server.ask("prompts/get", &json!({ "name": "q" })), -32602);
    server.call("change", json!({}));
    server.told("notifications/prompts/list_changed");
    assert_eq!(names(&server.ask("prompts/list", &json!({})), "prompts", "name"), ["p", "extra_1"]);
    let params =
        json!({ "ref": { "type": "ref/prompt", "name": "p" }, "argument": { "name": "a", "value": "x" } });
    let answer = server.ask("completion/complete", &params);
    let values = json!([params["ref"].to_string(), params["argument"].to_string()]);
    assert_eq!(answer["result"]["completion"]["values"], values);
}

#[test]
fn what_is_not_on_offer_is_an_unknown_method() {
    let mut server = legacy(&["no-tools"]);
    for method in [
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "tasks/list",
        "server/discover",
        "subscriptions/listen",
    ] {
        check_error(&server.ask(method, &json!({ "name": "x" })), -32601);
    }
}

#[test]
fn a_server_asks_its_client_in_every_kind_of_request() {
    let ask = r#"request elicitation/create {"message":"?","_meta":{"progressToken":$ID}}"#;
    let room = Room::new();
    let mut server = room.fake(&[
        "record $ROOM/heard",
        &format!("on tools/call t: {ask}"),
        &format!("on prompts/get p: {ask}"),
        &format!("on resources/read a:b: {ask}"),
    ]);
    server.initialize_with(json!({ "capabilities": { "elicitation": {} } }));
    let tool = server.begin_call("t", json!({}));
    let asked = server.asked("elicitation/create");
    assert_eq!(asked.params, json!({ "message": "?", "_meta": { "progressToken": tool } }));
    server.notify("notifications/progress", &json!({ "progressToken": tool, "progress": 1 }));
    server.answer(&asked.id, &json!({ "action": "accept" }));
    let answer = server.answer_to(tool);
    assert_eq!(answer["result"]["structuredContent"], json!({ "answer": { "action": "accept" } }));
    assert_eq!(room.wait_for_recorded("heard", "notifications/progress")["params"]["progress"], 1);
    assert_eq!(
        room.recorded("heard", "initialize")[0]["params"]["capabilities"],
        json!({ "elicitation": {} })
    );
    let prompt = server.request("prompts/get", &json!({ "name": "p" }));
    let asked = server.asked("elicitation/create");
    server.answer_error(&asked.id, -1, "no");
    let text = &server.answer_to(prompt)["result"]["messages"][0]["content"]["text"];
    assert_eq!(text, r#"{"answer":{"error":{"code":-1,"message":"no"}}}"#);
    let read = server.request("resources/read", &json!({ "uri": "a:b" }));
    let asked = server.asked("elicitation/create");
    server.answer(&asked.id, &json!(1));
    assert_eq!(server.answer_to(read)["result"]["contents"][0]["text"], r#"{"answer":1}"#);
}

#[test]
fn a_request_to_the_client_need_not_be_waited_for_and_can_be_taken_back() {
    let mut server = legacy(&[
        "on tools/call ask: ask roots/list; cancel-request",
        "on tools/call wait: request sampling/createMessage {}",
        "on tools/call cut: cancel-request",
    ]);
    server.call("ask", json!({}));
    let id = server.asked("roots/list").id;
    let told = server.told("notifications/cancelled");
    assert_eq!(told["params"]["requestId"].to_string(), id);
    let call = server.begin_call("wait", json!({}));
    server.asked("sampling/createMessage");
    server.call("cut", json!({}));
    let answer = server.answer_to(call);
    assert_eq!(answer["result"]["structuredContent"], json!({ "answer": { "error": "cancelled" } }));
}

#[test]
fn a_legacy_call_can_be_a_task() {
    let mut server = legacy(&["tasks", "tool echo", "on tools/call stuck: task-status input_required; hang"]);
    let call = |server: &mut Bridge, tool: &str| {
        server.ask("tools/call", &json!({ "name": tool, "arguments": { "a": 1 }, "task": { "ttl": 7 } }))["result"]["task"].take()
    };
    let task = call(&mut server, "echo");
    assert_eq!(
        (&task["taskId"], &task["status"], &task["ttl"]),
        (&json!("task-1"), &json!("working"), &json!(7))
    );
    let about = json!({ "taskId": "task-1" });
    assert_eq!(server.ask("tasks/get", &about)["result"]["status"], "completed");
    let result = server.ask("tasks/result", &about)["result"].take();
    assert_eq!(result["structuredContent"], json!({ "a": 1 }));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"], about);
    check_error(&server.ask("tasks/cancel", &about), -32602);
    call(&mut server, "stuck");
    assert_eq!(server.told("notifications/tasks/status")["params"]["status"], "input_required");
    let about = json!({ "taskId": "task-2" });
    let waiting = server.request("tasks/result", &about);
    assert_eq!(server.ask("tasks/cancel", &about)["result"]["status"], "cancelled");
    check_error(&server.answer_to(waiting), -32603);
    assert_eq!(names(&server.ask("tasks/list", &json!({})), "tasks", "status"), ["completed", "cancelled"]);
}

#[test]
fn a_modern_call_can_become_a_task() {
    let script = [
        "tasks",
        "on tools/call slow: task; hang",
        "on tools/call ask: task; input {\"a\":{}}",
        "on tools/call boom: task; error -5 boom",
    ];
    let mut server = modern(&script);
    server.carry(CAPABILITIES_KEY, json!({ "extensions": { TASKS: {} } }));
    let call = |server: &mut Bridge, tool: &str| {
        server.modern("tools/call", json!({ "name": tool }))["result"].take()
    };
    let task = call(&mut server, "slow");
    assert_eq!((&task["resultType"], &task["taskId"]), (&json!("task"), &json!("task-1")));
    let (id, granted) = server.listen(&json!({ "taskIds": ["task-1", "task-2"] }));
    assert_eq!(granted, json!({ "taskIds": ["task-1"] }), "the other one is not there yet");
    assert_eq!(
        server.modern("tasks/cancel", json!({ "taskId": "task-1" }))["result"],
        json!({ "resultType": "complete" })
    );
    let told = server.told("notifications/tasks")["params"].take();
    assert_eq!((&told["status"], &told["_meta"][SUBSCRIPTION_KEY]), (&json!("cancelled"), &json!(id)));
    call(&mut server, "ask");
    let about = json!({ "taskId": "task-2" });
    assert_eq!(server.modern("tasks/get", about.clone())["result"]["inputRequests"], json!({ "a": {} }));
    server.modern("tasks/update", json!({ "taskId": "task-2", "inputResponses": { "a": 1 } }));
    let result = server.modern("tasks/get", about)["result"].take();
    assert_eq!(result["result"]["structuredContent"], json!({ "inputResponses": { "a": 1 } }));
    call(&mut server, "boom");
    let result = server.modern("tasks/get", json!({ "taskId": "task-3" }))["result"].take();
    assert_eq!((&result["status"], &result["error"]["code"]), (&json!("failed"), &json!(-5)));
    check_error(&server.modern("tasks/result", json!({ "taskId": "task-3" })), -32601);
}

#[test]
fn a_call_is_no_task_for_a_client_that_knows_none() {
    let mut server = modern(&["tasks", "on tools/call t: task; echo"]);
    assert_eq!(server.modern("tools/call", json!({ "name": "t" }))["result"]["resultType"], "complete");
}

#[test]
fn a_cancelled_request_is_an_event_too() {
    let room = Room::new();
    let mut server = room.fake(&["on notifications/cancelled: exit 4"]);
    server.initialize();
    server.cancel(1);
    assert_eq!(server.wait_exit().code(), Some(4));
}
