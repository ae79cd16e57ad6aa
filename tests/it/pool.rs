//! Whose calls share a connection, how many there may be at once, and when they end.

mod ends;
mod limits;
mod scopes;

use serde_json::{Value, json};

use crate::said::echoed;
use crate::support::{Bridge, Room};

/// A server that says which process it is, and of which every start is counted.
const SAYS_PID: [&str; 2] =
    ["count $ROOM/count", r#"on tools/call: reply {"content":[],"structuredContent":{"pid":$PID}}"#];

/// The same, with calls that hang.
const HANGS: [&str; 4] = [SAYS_PID[0], SAYS_PID[1], "on tools/call hang: hang", "record $ROOM/record"];

/// A room with such a server of a scope.
fn room(scope: &str, script: &[&str], keys: &str) -> Room {
    let script = [&["tool echo"], script].concat();
    Room::new().server_with("s", &script, &format!("scope = {scope:?}\n{keys}"))
}

fn start(room: &Room) -> Bridge {
    let mut bridge = room.start();
    bridge.initialize();
    bridge
}

/// `_meta` of a thread and a user, those that are not empty.
fn meta(thread: &str, user: &str) -> Value {
    let members = [("bridge/threadId", thread), ("bridge/userId", user)];
    members.iter().filter(|(_, id)| !id.is_empty()).map(|(key, id)| ((*key).to_owned(), json!(id))).collect()
}

fn begin(bridge: &mut Bridge, tool: &str, thread: &str, user: &str) -> u64 {
    bridge.request("tools/call", &json!({ "name": tool, "_meta": meta(thread, user) }))
}

fn call(bridge: &mut Bridge, thread: &str, user: &str) -> Value {
    let id = begin(bridge, "s__echo", thread, user);
    bridge.answer_to(id)
}

/// The process that answers a thread's or a user's call.
#[track_caller]
fn pid(bridge: &mut Bridge, thread: &str, user: &str) -> u32 {
    let answer = call(bridge, thread, user);
    let pid = echoed(&answer)["pid"].as_u64().unwrap_or_else(|| panic!("no process answered: {answer}"));
    u32::try_from(pid).unwrap()
}

/// `bridge_connections`, as data.
fn connections(bridge: &mut Bridge) -> Vec<Value> {
    let answer = bridge.call("bridge_connections", json!({}));
    echoed(&answer)["connections"].as_array().unwrap().clone()
}

/// The calls that have reached a server which records them.
fn reached(room: &Room, tool: &str) -> usize {
    let name = format!(r#""name":"{tool}""#);
    room.text("record").lines().filter(|line| line.contains("tools/call") && line.contains(&name)).count()
}
