//! Every message of the protocol passes between a client and a server of either era; here is every pair
//! in which one side is modern (2026-07-28).

mod asked_along;
mod asks_for_modern;
mod envelopes;
mod listens;
mod modern_client;
mod modern_pair;
mod opening;
mod parked;
mod wishes;

use serde_json::{Value, json};

use crate::support::{Bridge, CAPABILITIES_KEY, Room, wait_for};

/// What a modern request carries at least, without the braces.
const ENVELOPE: &str = concat!(
    r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"sampling":{},"roots":{}}"#
);

/// A client that can do everything.
fn able() -> Value {
    json!({ "elicitation": {}, "sampling": {}, "roots": {} })
}

/// Starts a bridge whose modern client can do everything.
fn start_able(room: &Room) -> Bridge {
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, able());
    bridge
}

/// The only line of a `record` that holds the text, with the bridge's own id as `#`.
#[track_caller]
fn only_line(room: &Room, file: &str, text: &str) -> String {
    room.wait_for_line(file, text);
    let lines: Vec<String> = room.lines(file).into_iter().filter(|line| line.contains(text)).collect();
    let [line] = lines.as_slice() else { panic!("{text} came more than once: {lines:#?}") };
    let (_, after) = line.split_once(r#""id":"#).unwrap();
    let id: String = after.chars().take_while(char::is_ascii_digit).collect();
    line.replace(&format!(r#""id":{id}"#), r#""id":#"#)
}

/// What a `record` has of this method, in its own bytes.
fn raw_recorded(room: &Room, file: &str, method: &str) -> Vec<String> {
    let member = format!(r#""method":"{method}""#);
    room.lines(file).into_iter().filter(|line| line.contains(&member)).collect()
}

/// The questions of an answer that is a question, and the state that goes with them.
#[track_caller]
fn questions(answer: &Value) -> (Value, String) {
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    let state = answer["result"]["requestState"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (answer["result"]["inputRequests"].clone(), state.to_owned())
}

/// What the server was answered to its question with this id, in its own bytes.
#[track_caller]
fn answered(room: &Room, file: &str, id: &str) -> String {
    let head = format!(r#""id":"{id}""#);
    wait_for(&format!("{file} has an answer to {id}"), || {
        room.lines(file).into_iter().find(|line| line.contains(&head) && !line.contains(r#""method""#))
    })
}

#[track_caller]
fn check_error(answer: &Value, code: i64) {
    assert_eq!(answer["error"]["code"], code, "{answer}");
}
