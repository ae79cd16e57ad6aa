//! Servers are spoken to as if the client stood before them itself.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::{Bridge, Room};

#[derive(Deserialize)]
struct Line {
    params: Box<RawValue>,
}

/// The params of the `initialize` that the server got, in their own bytes.
#[track_caller]
fn greeted_with(room: &Room) -> String {
    let line = room.wait_for_line("record", r#""method":"initialize""#);
    serde_json::from_str::<Line>(&line).unwrap().params.get().to_owned()
}

/// A session that was opened with these params, and its only server started.
fn opened(room: &Room, params: &str) -> Bridge {
    let mut bridge = room.start();
    bridge.send(format!(r#"{{"jsonrpc":"2.0","id":"i","method":"initialize","params":{params}}}"#));
    assert!(bridge.raw_answer_to("\"i\"").contains(r#""result""#));
    bridge.notify("notifications/initialized", &json!({}));
    bridge.call("s__echo", json!({}));
    bridge
}

fn room() -> Room {
    Room::new().server("s", &["record $ROOM/record"])
}

#[test]
fn a_server_sees_the_clients_own_capabilities_and_name_byte_for_byte() {
    let capabilities = r#"{ "roots":{"listChanged" :true},"sampling":{"tools":{},"x":1E2},"elicitation":{"url":{},"form":{ }},
        "tasks":{"requests":{"sampling":{"createMessage":{}}}},"x\u0041":[50.0],"experimental":{"é":null}}"#
        .replace('\n', " ");
    let info = r#"{"version":"1.0","name":"n\u0061me","title":"T","icons":[{"src":"x"}],"n":1E400}"#;
    let room = room();
    let params = format!(
        r#"{{"clientInfo" :{info},"x":1,"capabilities": {capabilities},"protocolVersion":"2025-06-18"}}"#
    );
    let _bridge = opened(&room, &params);
    assert_eq!(greeted_with(&room), params);
}

#[test]
fn a_server_is_greeted_in_the_clients_own_revision() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let room = room();
        let _bridge = opened(&room, &format!(r#"{{"protocolVersion":"{version}"}}"#));
        let params: Value = serde_json::from_str(&greeted_with(&room)).unwrap();
        assert_eq!(params["protocolVersion"], version);
    }
}

#[test]
fn a_client_that_can_nothing_offers_nothing() {
    for params in [
        r#"{"protocolVersion":"2025-11-25"}"#,
        r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#,
        r#"{"protocolVersion":"2025-11-25","capabilities":null,"clientInfo":7}"#,
    ] {
        let room = room();
        let _bridge = opened(&room, params);
        let params: Value = serde_json::from_str(&greeted_with(&room)).unwrap();
        assert_eq!(params["capabilities"], json!({}));
        assert_eq!(params["clientInfo"]["name"], "bridge", "somebody has to be there");
    }
}
