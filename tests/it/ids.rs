//! A client's id is opaque: whatever it wrote comes back, byte for byte.

use serde_json::{Value, json};

use crate::support::Room;

const IDS: [&str; 18] = [
    "0",
    "-1",
    "-9223372036854775808",
    "9223372036854775807",
    "18446744073709551615",
    "1180591620717411303424",
    "1099511627776",
    "1.5",
    "1.0",
    "1E2",
    "1e-7",
    "-0",
    "\"\"",
    "\"a\"",
    "\"7\"",
    r#""\u0061\/\n\"\\""#,
    "\"é😀\u{2028}\"",
    r#""\ud83d\ude00""#,
];

#[test]
fn every_kind_of_id_comes_back_as_it_was_written() {
    let room = Room::new().server("s", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    for id in IDS {
        for (method, params) in [
            ("ping", "{}"),
            ("tools/list", "{}"),
            ("no/such", "{}"),
            ("tools/call", r#"{"name":"s__echo"}"#),
            ("tools/call", r#"{"name":"bridge_status"}"#),
            ("tools/call", r#"{"name":"nothing"}"#),
            ("tools/call", "{}"),
        ] {
            bridge.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#));
            let line = bridge.raw_answer_to(id);
            assert!(line.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},""#)), "{method}: {line}");
        }
    }
    let written: Vec<Value> =
        bridge.rows("SELECT DISTINCT request_id FROM tool_calls WHERE tool = 'echo' ORDER BY id").concat();
    assert_eq!(written, IDS, "the record has them as they were written");
}

#[test]
fn two_outstanding_requests_with_one_id_are_both_answered() {
    let room = Room::new()
        .server("s", &["on tools/call first: sleep 50; echo", "on tools/call second: sleep 80; echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    for tool in ["first", "second"] {
        bridge.send(format!(
            r#"{{"jsonrpc":"2.0","id":"same","method":"tools/call","params":{{"name":"s__{tool}","arguments":{{"i":"{tool}"}}}}}}"#
        ));
    }
    let answers: Vec<String> = (0..2).map(|_| bridge.raw_answer_to("\"same\"")).collect();
    let is_of = |tool: &str| answers.iter().any(|line| line.contains(&format!(r#"{{"i":"{tool}"}}"#)));
    assert!(is_of("first") && is_of("second"), "{answers:?}");
    bridge.wait_for_log("two outstanding requests with one id");
    assert_eq!(bridge.rows("SELECT outcome FROM tool_calls"), [[json!("ok")], [json!("ok")]]);
}

#[test]
fn an_id_that_was_answered_can_be_used_again() {
    let room = Room::new().server("s", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    for n in 0..3 {
        bridge.send(format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"s__echo","arguments":{{"n":{n}}}}}}}"#
        ));
        assert!(bridge.raw_answer_to("7").contains(&format!(r#"{{"n":{n}}}"#)));
    }
}

#[test]
fn an_id_and_a_name_of_megabytes_are_answered_and_not_kept() {
    let mut bridge = Room::new().start();
    bridge.initialize();
    let (id, name) = (format!("\"{}\"", "é".repeat(500_000)), "n".repeat(5_000_000));
    bridge
        .send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}"}}}}"#));
    assert!(bridge.raw_answer_to(&id).contains("-32602"));
    assert_eq!(
        bridge.rows("SELECT length(request_id), length(tool), outcome FROM tool_calls"),
        [[json!(256), json!(256), json!("rejected")]]
    );
}
