//! Lines that are not well formed (protocol.md): after each of them the same connection still answers.

use serde_json::Value;

use crate::support::{Bridge, Room};

/// What a line is, its bytes, and what is said to it.
type Case<'a> = (&'a str, &'a [u8], &'a [(i64, &'a str)]);

/// What is said to a line: codes and ids of the errors, in order.
#[track_caller]
fn check_in(bridge: &mut Bridge, what: &str, line: &[u8], expected: &[(i64, &str)]) {
    bridge.send(line);
    let said = bridge.said_so_far();
    let errors: Vec<(i64, String)> = said
        .iter()
        .map(|value| (value["error"]["code"].as_i64().unwrap_or(0), value["id"].to_string()))
        .collect();
    let expected: Vec<(i64, String)> = expected.iter().map(|(code, id)| (*code, (*id).to_owned())).collect();
    assert_eq!(errors, expected, "after {what}: {said:?}");
}

fn serving(version: &str) -> (Room, Bridge) {
    let room = Room::new().server("s", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize_as(version);
    (room, bridge)
}

#[track_caller]
fn check(what: &str, line: impl AsRef<[u8]>, expected: &[(i64, &str)]) {
    let (_room, mut bridge) = serving("2025-11-25");
    check_in(&mut bridge, what, line.as_ref(), expected);
}

#[test]
fn a_broken_line_is_answered_where_its_id_is_found() {
    let (_room, mut bridge) = serving("2025-11-25");
    let cases: [Case<'_>; 21] = [
        ("words", b"Server started on port 80", &[]),
        ("a number", b"42", &[]),
        ("a string", b"\"ping\"", &[]),
        ("null", b"null", &[]),
        ("an empty object", b"{}", &[]),
        ("half a message", br#"{"jsonrpc":"2.0","id":7001,"method":"pi"#, &[(-32700, "7001")]),
        ("half without an id", br#"{"jsonrpc":"2.0","method":"pi"#, &[]),
        ("an id cut off", br#"{"jsonrpc":"2.0","id":70"#, &[]),
        (
            "two messages on one line",
            br#"{"id":7002,"method":"ping"}{"id":3,"method":"ping"}"#,
            &[(-32700, "7002")],
        ),
        ("invalid UTF-8", b"{\"id\":7003,\"method\":\"ping\",\"x\":\"\xff\xfe\"}", &[(-32700, "7003")]),
        ("invalid UTF-8 in front", b"\xff{\"id\":7003,\"method\":\"ping\"}", &[]),
        ("NUL inside", b"{\"id\":7004,\"method\":\"ping\0\"}", &[(-32700, "7004")]),
        ("only NULs", b"\0\0\0\0", &[]),
        ("id null", br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, &[]),
        ("id and no method", br#"{"jsonrpc":"2.0","id":7005}"#, &[(-32600, "7005")]),
        ("method that is no string", br#"{"jsonrpc":"2.0","id":7006,"method":7}"#, &[(-32600, "7006")]),
        ("duplicate ids", br#"{"id":7007,"id":2,"method":"ping"}"#, &[(-32600, "7007")]),
        ("duplicate methods", br#"{"id":7008,"method":"ping","method":"x"}"#, &[(-32600, "7008")]),
        ("a trailing comma", br#"{"id":7009,"method":"ping",}"#, &[(-32700, "7009")]),
        ("single quotes", b"{'id':1,'method':'ping'}", &[]),
        ("a byte order mark", b"\xef\xbb\xbf{\"id\":7010,\"method\":\"nothing\"}", &[]),
    ];
    for (what, line, expected) in cases {
        check_in(&mut bridge, what, line, expected);
    }
    bridge.wait_for_log("client sent a line that is no message");
}

#[test]
fn blank_lines_and_carriage_returns_are_fine() {
    let (_room, mut bridge) = serving("2025-11-25");
    bridge.send_bytes(b"\n\r\n  \t \n{\"jsonrpc\":\"2.0\",\"id\":\"crlf\",\"method\":\"ping\"}\r\n\n");
    assert_eq!(bridge.raw_answer_to("\"crlf\""), r#"{"jsonrpc":"2.0","id":"crlf","result":{}}"#);
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_line_over_16_mib_is_refused_by_its_id_and_not_kept() {
    let filling = "x".repeat(17 << 20);
    check(
        "17 MiB with its id in front",
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"s__echo","x":"{filling}"}}}}"#
        ),
        &[(-32600, "7")],
    );
    check("17 MiB with its id at the end", format!(r#"{{"x":"{filling}","id":7,"method":"ping"}}"#), &[]);
    check("17 MiB of nothing", &filling, &[]);
}

#[test]
fn a_line_of_15_mib_passes() {
    let (_room, mut bridge) = serving("2025-11-25");
    let filling = "x".repeat(15 << 20);
    let answer = bridge.call("s__echo", serde_json::json!({ "x": filling }));
    assert_eq!(answer["result"]["structuredContent"]["x"].as_str().map(str::len), Some(15 << 20));
}

#[test]
fn deep_nesting_breaks_nothing() {
    const DEEP: usize = 100_000;
    let (_room, mut bridge) = serving("2025-11-25");
    let (open, close) = ("[".repeat(DEEP), "]".repeat(DEEP));
    let (open_map, close_map) = (r#"{"a":"#.repeat(DEEP), "}".repeat(DEEP));
    check_in(&mut bridge, "brackets without an end", open.as_bytes(), &[]);
    check_in(&mut bridge, "objects without an end", open_map.as_bytes(), &[]);
    let line = format!(r#"{{"id":{open}{close},"method":"nothing"}}"#);
    bridge.send(line);
    let line = format!(r#"{{"jsonrpc":"2.0","id":8,"method":"nothing","params":{open_map}1{close_map}}}"#);
    bridge.send(line);
    assert!(bridge.raw_answer_to("8").contains("-32601"));
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{"name":"s__echo","arguments":{open}{close}}}}}"#
    ));
    assert!(bridge.raw_answer_to("9").contains(&open), "a proxied call passes as it is");
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{{"name":"bridge_status","arguments":{{"a":{open}{close}}}}}}}"#
    ));
    assert!(bridge.raw_answer_to("10").contains("-32602"), "our own tools say that they do not take it");
}

#[test]
fn a_batch_is_part_of_one_revision_only() {
    let batch = br#"[{"jsonrpc":"2.0","id":"b1","method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":"b2","method":"nothing"}]"#;
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let (_room, mut bridge) = serving(version);
        check_in(&mut bridge, version, batch, &[(-32600, "\"b1\"")]);
    }
    let (_room, mut bridge) = serving("2025-03-26");
    bridge.send(batch);
    assert_eq!(bridge.raw_answer_to("\"b1\""), r#"{"jsonrpc":"2.0","id":"b1","result":{}}"#);
    assert!(bridge.raw_answer_to("\"b2\"").contains("-32601"));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn hostile_batches_break_nothing() {
    const DEEP: usize = 100_000;
    let (open, close) = ("[".repeat(DEEP), "]".repeat(DEEP));
    for version in ["2025-03-26", "2025-11-25"] {
        let (_room, mut bridge) = serving(version);
        for line in ["[]", "[[]]", "[1,2,null]", "[{}]", "[", "[{\"id\":1,\"method\":\"ping\"", &open] {
            bridge.send(line);
        }
        bridge.send(format!("{open}{close}"));
        bridge.said_so_far();
        let answer = bridge.call("s__echo", serde_json::json!({ "still": "here" }));
        assert_eq!(answer["result"]["structuredContent"], serde_json::json!({ "still": "here" }));
    }
}

#[test]
fn half_a_line_and_then_the_end_is_nothing() {
    let (room, mut bridge) = serving("2025-11-25");
    bridge.send_bytes(br#"{"jsonrpc":"2.0","id":99,"method":"ping"}"#);
    bridge.close_stdin();
    assert!(bridge.wait_exit().success());
    while let Some(line) = bridge.next_line() {
        assert!(!String::from_utf8_lossy(&line).contains("99"));
    }
    assert_eq!(room.rows("SELECT close_reason FROM mcp_sessions"), [["end_of_input"]]);
}

#[test]
fn a_line_that_comes_byte_by_byte_is_one_line() {
    let (_room, mut bridge) = serving("2025-11-25");
    for byte in b"{\"jsonrpc\":\"2.0\",\"id\":\"slow\",\"method\":\"ping\"}\n" {
        bridge.send_bytes(&[*byte]);
    }
    assert_eq!(bridge.raw_answer_to("\"slow\""), r#"{"jsonrpc":"2.0","id":"slow","result":{}}"#);
}

#[test]
fn garbage_of_a_server_is_skipped_and_counted() {
    let room = Room::new().server(
        "s",
        &["on tools/call: garbage Listening on 80; garbage; garbage {\"level\":\"info\"}; garbage [1]; garbage 42; echo"],
    );
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", serde_json::json!({ "a": 1 }));
    assert_eq!(answer["result"]["structuredContent"], serde_json::json!({ "a": 1 }));
    assert_eq!(bridge.status()["servers"][0]["linesOutsideTheProtocol"], 4, "a blank line is none");
    bridge.wait_for_log("server wrote something that is no message");
}
