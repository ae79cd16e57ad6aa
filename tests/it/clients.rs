//! One house, many clients: each has its own session, hears what concerns it and nothing of the others, and harms
//! none of them, whatever it does.

mod asked;
mod eras;
mod faces;
mod framed;
mod scopes;
mod told;
mod trouble;

use serde_json::{Value, json};

use crate::support::{Bridge, Room, wait_until};

/// A server that says its process's number.
const SAYS_PID: &str = r#"on tools/call echo: reply {"content":[],"structuredContent":{"pid":$PID}}"#;

/// Opens a session under this name, with these capabilities.
fn hello(client: &mut Bridge, name: &str, capabilities: Value) {
    client.initialize_with(
        json!({ "clientInfo": { "name": name, "version": "1" }, "capabilities": capabilities }),
    );
}

/// Calls `s__echo` of a server that says its process.
fn pid(client: &mut Bridge) -> u32 {
    let answer = client.call("s__echo", json!({}));
    u32::try_from(answer["result"]["structuredContent"]["pid"].as_u64().unwrap()).unwrap()
}

/// Everything of this method that a client was told so far.
fn told_so_far(client: &mut Bridge, method: &str) -> Vec<Value> {
    let said = client.said_so_far();
    said.into_iter().filter(|said| said["method"] == method).map(|mut said| said["params"].take()).collect()
}

/// Begins a call and waits until its server has it.
fn begin(room: &Room, client: &mut Bridge, tool: &str) -> u64 {
    let reached = || room.recorded("record", "tools/call").len();
    let before = reached();
    let id = client.begin_call(&format!("s__{tool}"), json!({}));
    wait_until("the call has reached its server", || reached() > before);
    id
}

#[test]
fn clients_share_servers_and_each_has_its_own_session() {
    let room = Room::new().server("s", &["count $ROOM/count", SAYS_PID]);
    let house = room.house();
    let ((mut a, _a), (mut b, gone)) = (room.guest(&house), room.deaf_guest(&house));
    b.read();
    hello(&mut a, "a", json!({}));
    b.initialize_with(
        json!({ "clientInfo": { "name": "b", "version": "2" }, "protocolVersion": "2025-06-18" }),
    );
    assert_eq!(pid(&mut a), pid(&mut b));
    assert_eq!(room.pids("count").len(), 1);
    let status = b.status();
    let shown: Vec<_> = status["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| {
            (session["client"].clone(), session["protocolVersion"].clone(), session["pid"].clone())
        })
        .collect();
    let own = std::process::id();
    assert_eq!(json!(shown), json!([["a", "2025-11-25", own], ["b", "2025-06-18", own]]));
    let text = a.call("bridge_status", json!({}))["result"]["content"][0]["text"].to_string();
    assert!(text.contains("attached: b, process ") && text.contains(", session "), "{text}");
    b.close_stdin();
    assert_eq!(gone.gone().word(), "end_of_input");
    assert_eq!(a.status()["sessions"].as_array().unwrap().len(), 1);
    let rows = room.rows("SELECT client_name, pid, close_reason FROM mcp_sessions ORDER BY client_name");
    assert_eq!(json!(rows), json!([["a", own, null], ["b", own, "end_of_input"]]));
    let calls = room.rows("SELECT client_name, count(*) FROM tool_calls JOIN mcp_sessions ON mcp_sessions.id = session_id WHERE server = 's' GROUP BY 1 ORDER BY 1");
    assert_eq!(json!(calls), json!([["a", 1], ["b", 1]]));
}

#[test]
fn bridge_status_names_every_client() {
    let room = Room::new().server("s", &[]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    hello(&mut a, "first", json!({}));
    hello(&mut b, "second", json!({}));
    wait_until("both are named", || {
        let said = room.command(&["status"]).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        said.contains("first 1") && said.contains("second 1")
    });
}

#[test]
fn a_client_that_has_not_said_who_it_is_is_told_so_whoever_else_is_there() {
    let room = Room::new().server("s", &[]);
    let house = room.house();
    let ((mut a, _a), (mut b, _b)) = (room.guest(&house), room.guest(&house));
    a.initialize();
    assert_eq!(b.call("s__echo", json!({}))["error"]["code"], -32602);
    assert_eq!(a.call("s__echo", json!({}))["result"]["structuredContent"], json!({}));
}
