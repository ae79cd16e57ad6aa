//! A server that says what is no message, says too much, or says nothing any more.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::said::{echoed, fault, kind, text};
use crate::support::{Room, fake_server, wait_for, wait_until};

const MIB: usize = 1 << 20;

#[test]
fn what_is_no_message_on_a_servers_output_is_skipped_and_counted_and_logged() {
    let noise =
        r#"on tools/call noisy: garbage <html>; garbage; garbage {"half":; notify {"stray":1}; notify [1]"#;
    let room = Room::new().server("s", &["on start: garbage Listening on stdio", noise]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(echoed(&bridge.call("s__noisy", json!({ "n": 1 }))), &json!({ "n": 1 }));
    let status = bridge.status();
    assert_eq!(status["servers"][0]["linesOutsideTheProtocol"], 5, "{status}");
    let line = bridge.wait_for_log("server wrote something that is no message");
    assert!(line.contains("server=s "), "{line}");
    assert!(!bridge.log().contains("<html>"), "what a server says is not logged");
    assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 2 }))), &json!({ "n": 2 }));
}

#[track_caller]
fn check_that_others_have_their_turn(line: &str) {
    let flood = format!("on tools/call flood: times 1000000000 garbage {line}");
    let room = Room::new().server("flood", &[&flood]).server("s", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    echoed(&bridge.call("s__echo", json!({})));
    bridge.begin_call("flood__flood", json!({}));
    bridge.wait_for_log("count=1024");
    for n in 0..100 {
        assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": n }))), &json!({ "n": n }));
    }
}

#[test]
fn a_server_that_writes_short_lines_without_end_does_not_take_the_turn_of_the_others() {
    check_that_others_have_their_turn("noise");
}

#[test]
fn a_server_that_writes_long_lines_without_end_does_not_take_the_turn_of_the_others() {
    check_that_others_have_their_turn(&"noise ".repeat(30_000));
}

#[test]
fn a_result_over_the_limit_is_told_with_its_size_and_the_connection_goes_on() {
    let filling = "x".repeat(MIB);
    let id_last = format!(
        r#"on tools/call last: raw {{"jsonrpc":"2.0","result":{{"content":[],"x":"{filling}"}},"id":$ID}}"#
    );
    let room = Room::new()
        .setting("out_line_max_mib = 1")
        .server("s", &["count $ROOM/count", "on tools/call first: big 1048577", &id_last]);
    let mut bridge = room.start();
    bridge.initialize();
    for tool in ["s__first", "s__last"] {
        let answer = bridge.call(tool, json!({}));
        assert_eq!((kind(&answer), &fault(&answer)["retryable"]), ("too_large", &json!(false)), "{tool}");
        let bytes: usize = text(&answer).split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!((MIB..MIB + 200).contains(&bytes), "{bytes}");
        assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    }
    assert_eq!(room.pids("count").len(), 1);
    let rows = bridge.rows("SELECT count(*) FROM tool_calls WHERE outcome = 'too_large'");
    assert_eq!(rows, [[2]]);
}

#[test]
fn a_result_of_ten_mebibytes_arrives_whole() {
    let room = Room::new().server("s", &["on tools/call: big 10485760"]);
    let mut bridge = room.start();
    bridge.initialize();
    let id = bridge.begin_call("s__echo", json!({}));
    let line = bridge.raw_answer_to(&id.to_string());
    let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":""#);
    let filling = line.strip_prefix(&head).unwrap().strip_suffix(r#""}]}}"#).unwrap();
    assert_eq!(filling.len(), 10 * MIB);
    assert!(filling.bytes().all(|byte| byte == b'x'));
    let size = "SELECT outcome, response_bytes FROM tool_calls";
    assert_eq!(bridge.rows(size), [[json!("ok"), json!(line.len() + 1)]]);
}

#[test]
fn a_server_that_closes_its_output_is_over_for_its_calls_and_started_again_by_the_next() {
    let room = Room::new().server(
        "s",
        &["count $ROOM/count", "ignore-eof", "on tools/call shut: once $ROOM/shut close-stdout"],
    );
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__shut", json!({}));
    assert_eq!(kind(&answer), "outcome_unknown");
    assert!(text(&answer).contains("closed its output"), "{answer}");
    assert_eq!(echoed(&bridge.call("s__shut", json!({ "n": 1 }))), &json!({ "n": 1 }));
    let pids = room.pids("count");
    assert_eq!(pids.len(), 2);
    assert!(!crate::support::alive(pids[0]), "the old one is not left behind");
}

#[test]
fn a_flood_on_stderr_stops_nobody_and_its_log_stays_small() {
    const CAP: u64 = 64 * 1024;
    let flood = format!(
        "(yes '{}' | head -c 100000000 >&2; echo > \"$1\") & exec {} -e 'tool echo'",
        "a line of a flood on stderr ".repeat(15),
        fake_server()
    );
    let entry = format!(
        "[settings]\nstderr_log_max_kib = 64\n[servers.s]\ncommand = \"sh\"\nargs = [\"-c\", {}, \"sh\", \"$ROOM/done\"]\n",
        json!(flood)
    );
    let room = Room::new().config("flood.toml", &entry);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let mut calls = 0;
    wait_until("the flood is over", || {
        let before = Instant::now();
        assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": calls }))), &json!({ "n": calls }));
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
        calls += 1;
        room.path("done").exists()
    });
    for file in ["data/logs/s.log", "data/logs/s.log.old"] {
        // One of them is made at this moment, perhaps.
        let bytes = wait_for("the log is there", || std::fs::metadata(room.path(file)).ok()).len();
        assert!((0..=CAP).contains(&bytes), "{file} has {bytes} bytes");
    }
    assert!(bridge.log().len() < 64 * 1024, "nor does our own log carry it");
}
