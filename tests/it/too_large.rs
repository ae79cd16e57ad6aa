//! An answer that its client cannot read is told with its size, and the session goes on.

use serde_json::{Value, json};

use crate::said::{echoed, fault, kind, names, text};
use crate::support::{Bridge, CAPABILITIES_KEY, CLIENT_KEY, Room};

const MIB: usize = 1 << 20;

/// The longest line of a client of which `result_max_mib = 1` is said.
const LINE_BYTES_MAX: usize = MIB - (64 << 10);

fn small(room: Room) -> Room {
    room.client("it", "result_max_mib = 1").client("modern-it", "result_max_mib = 1")
}

/// The line of the answer to a call whose result has this as one of its members, without its end.
fn line(bridge: &mut Bridge, filling: usize) -> String {
    let id = bridge.begin_call("s__echo", json!({ "content": [], "x": "x".repeat(filling) }));
    bridge.raw_answer_to(&id.to_string())
}

#[track_caller]
fn check_too_large(answer: &Value, bytes: usize) {
    assert_eq!((kind(answer), &fault(answer)["bytes"]), ("too_large", &json!(bytes)), "{answer}");
    assert!(text(answer).contains(&format!("has {bytes} bytes, more than the ")), "{answer}");
    assert_eq!((&answer["result"]["isError"], &fault(answer)["retryable"]), (&json!(true), &json!(false)));
}

/// A protocol fault that says the same.
#[track_caller]
fn check_error(answer: &Value) {
    let data = &answer["error"]["data"];
    assert_eq!((&answer["error"]["code"], &data["kind"]), (&json!(-32603), &json!("too_large")), "{answer}");
    assert!(data["bytes"].as_u64().unwrap() > LINE_BYTES_MAX as u64, "{answer}");
}

#[test]
fn a_result_keeps_the_session_of_a_client_that_would_drop_it() {
    let room = Room::new().server("s", &["on tools/call large: big 10485760"]);
    let mut bridge = room.start();
    bridge.initialize_by("claude-ai");
    let answer = bridge.call("s__large", json!({}));
    assert_eq!(kind(&answer), "too_large");
    assert!(fault(&answer)["bytes"].as_u64().unwrap() > 10 * MIB as u64, "{answer}");
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    let rows = "SELECT outcome, response_bytes < 1000 FROM tool_calls WHERE tool = 'large'";
    assert_eq!(bridge.rows(rows), [[json!("too_large"), json!(1)]]);
    // Another client reads it.
    let mut other = room.start();
    other.initialize_by("Zed");
    assert_eq!(text(&other.call("s__large", json!({}))).len(), 10 * MIB);
}

#[test]
fn a_line_of_just_the_clients_limit_passes_and_one_more_byte_does_not() {
    let room = small(Room::new().server("s", &["on tools/call echo: reply $ARGS"]));
    let mut bridge = room.start();
    bridge.initialize();
    let around = line(&mut bridge, 0).len() + 1;
    let filling = LINE_BYTES_MAX - around;
    assert_eq!(line(&mut bridge, filling).len() + 1, LINE_BYTES_MAX);
    let answer: Value = serde_json::from_str(&line(&mut bridge, filling + 1)).unwrap();
    check_too_large(&answer, LINE_BYTES_MAX + 1);
}

#[test]
fn a_modern_client_is_known_by_each_request() {
    let room = small(Room::new().server("s", &["on tools/call large: big 1048576"]));
    let mut bridge = room.start();
    let answer = bridge.modern("tools/call", json!({ "name": "s__large" }));
    assert_eq!((kind(&answer), &answer["result"]["resultType"]), ("too_large", &json!("complete")));
    bridge.carry(CLIENT_KEY, json!({ "name": "other", "version": "1" }));
    assert_eq!(text(&bridge.modern("tools/call", json!({ "name": "s__large" }))).len(), MIB);
}

#[test]
fn a_question_that_is_too_large_ends_its_call() {
    let sampling = json!({ "messages": [], "maxTokens": 1, "systemPrompt": "x".repeat(MIB) });
    let script =
        ["record $ROOM/record", &format!("on tools/call ask: request sampling/createMessage {sampling}")];
    let room = small(Room::new().server("s", &script));
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "sampling": {} }));
    check_error(&bridge.modern("tools/call", json!({ "name": "s__ask" })));
    let asked = room.wait_for_recorded("record", "tools/call");
    let cancelled = room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    assert_eq!(bridge.rows("SELECT outcome FROM tool_calls"), [["too_large"]]);
}

#[test]
fn what_is_no_call_is_told_by_an_error() {
    let filling = "x".repeat(MIB);
    let prompt = format!(r#"on prompts/get p: reply {{"messages":[],"description":"{filling}"}}"#);
    let resource = format!(r#"on resources/read r://1: reply {{"contents":[],"x":"{filling}"}}"#);
    let tasks = format!(r#"on tasks/list: reply {{"tasks":[],"x":"{filling}"}}"#);
    let room = small(Room::new().server("s", &["tasks", &prompt, &resource, &tasks]));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.call("s__echo", json!({}));
    check_error(&bridge.ask("prompts/get", &json!({ "name": "s__p" })));
    check_error(&bridge.ask("resources/read", &json!({ "uri": "r://1" })));
    check_error(&bridge.ask("tasks/list", &json!({})));
    assert_eq!(bridge.ask("ping", &json!({}))["result"], json!({}));
}

#[test]
fn a_list_comes_in_pages_that_its_client_can_read() {
    let described = |name: &str, bytes: usize| format!(r#"tool {name} {{"x":"{}"}}"#, "x".repeat(bytes));
    let script = [described("a", 400_000), described("b", 400_000), described("c", 400_000)];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let room = small(Room::new().server("s", &script).server("z", &[&described("huge", MIB)]));
    let mut bridge = room.start();
    bridge.initialize();
    let mut shown = Vec::new();
    let mut params = json!({});
    loop {
        let list = bridge.ask("tools/list", &params);
        if list["error"].is_object() {
            // One tool alone can be too large.
            check_error(&list);
            break;
        }
        shown.extend(names(&list).into_iter().map(str::to_owned));
        params = json!({ "cursor": list["result"]["nextCursor"] });
        assert!(list.to_string().len() < LINE_BYTES_MAX && params["cursor"].is_string());
    }
    assert_eq!(shown.iter().filter(|name| name.starts_with("s__")).count(), 3, "{shown:?}");
    assert_eq!(params["cursor"], "s__c");
}

#[test]
fn what_a_client_did_not_ask_for_does_not_cost_it_its_session_either() {
    let sampling = json!({ "messages": [], "maxTokens": 1, "systemPrompt": "x".repeat(MIB) });
    let filling = "x".repeat(MIB);
    let asks = format!("on tools/call ask: request sampling/createMessage {sampling}");
    let logs = format!("on tools/call noisy: log error {filling}");
    let request = json!({ "q": { "method": "sampling/createMessage", "params": sampling } });
    let modern = format!("on tools/call ask: input {request} state");
    let room = small(Room::new().server("s", &[&asks, &logs]).server("m", &["era modern", &modern]));
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "sampling": {} } }));
    bridge.ask("tools/list", &json!({}));
    let answer = bridge.call("s__ask", json!({})).to_string();
    assert!(answer.contains("larger than the client can read"), "{answer}");
    let answer = bridge.call("m__ask", json!({}));
    assert_eq!(answer["error"]["message"], "the question is larger than the client can read", "{answer}");
    assert_eq!(echoed(&bridge.call("s__noisy", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!(bridge.said_so_far(), Vec::<Value>::new());
    bridge.wait_for_log("notification dropped that the client cannot read");
}
