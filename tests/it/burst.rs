//! Clients that write without reading, and clients that never read.

use serde_json::json;

use crate::support::{DEADLINE, Room, wait_for};

#[test]
fn a_burst_that_is_written_before_anything_is_read_is_answered_whole() {
    const CALLS: usize = 5000;
    let room = Room::new().setting("max_queue = 5000").setting("queue_timeout_s = 60");
    let room = room.server("s", &["tool echo"]).read_later();
    let mut bridge = room.start();
    let mut burst = String::from(concat!(
        r#"{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#,
        "\n"
    ));
    // More than all queues and pipes together hold of answers.
    let filling = "x".repeat(4096);
    for n in 0..CALLS {
        burst.push_str(&format!(
            r#"{{"jsonrpc":"2.0","id":{n},"method":"tools/call","params":{{"name":"s__echo","arguments":{{"x":"{filling}"}}}}}}"#
        ));
        burst.push('\n');
    }
    let written = bridge.send_aside(burst.into_bytes());
    assert!(written.recv_timeout(DEADLINE).is_ok(), "the bridge stopped reading:\n{}", bridge.log());
    bridge.read();
    let mut answered = vec![false; CALLS];
    for _ in 0..=CALLS {
        let answer = bridge.recv();
        if let Some(id) = answer["id"].as_u64() {
            assert!(answer["result"]["structuredContent"]["x"].is_string(), "{answer}");
            assert!(!std::mem::replace(&mut answered[usize::try_from(id).unwrap()], true), "{id} twice");
        }
    }
    assert!(answered.iter().all(|answered| *answered));
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), [[json!(CALLS)]]);
}

/// What the bridge may take while a client does not read: its own 16 MiB queue with what surrounds each
/// line in it, one line of each server beyond, and the program itself.
#[cfg(target_os = "linux")]
const RESIDENT_KIB_MAX: u64 = 160 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_never_reads_does_not_make_memory_grow() {
    let room = Room::new()
        .server("flood", &["on tools/call: progress 400000; echo"])
        .server("big", &["on tools/call: big 8000000"])
        .read_later();
    let mut bridge = room.start();
    bridge.send(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#,
    );
    bridge.request("tools/call", &json!({ "name": "flood__echo", "_meta": { "progressToken": 1 } }));
    for _ in 0..20 {
        bridge.begin_call("big__echo", json!({}));
    }
    let highest = settled_kib(bridge.pid());
    assert!(highest < RESIDENT_KIB_MAX, "{highest} KiB are resident");
    // And nothing is lost by it.
    bridge.read();
    let mut answers = 0;
    let mut steps = 0;
    while answers < 22 {
        let line = bridge.recv_line();
        answers += usize::from(line.contains(r#""result""#));
        steps += usize::from(line.contains("notifications/progress"));
    }
    assert_eq!(steps, 400_000);
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_does_not_wait_behind_all_that_another_server_says() {
    let room = Room::new()
        .server("flood", &["on tools/call: progress 400000"])
        .server("s", &["tool echo"])
        .read_later();
    let mut bridge = room.start();
    bridge.send(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#,
    );
    bridge.request("tools/call", &json!({ "name": "flood__echo", "_meta": { "progressToken": 1 } }));
    settled_kib(bridge.pid());
    bridge.begin_call("s__echo", json!({ "n": 7 }));
    settled_kib(bridge.pid());
    bridge.read();
    let mut before = 0;
    loop {
        let line = bridge.recv_line();
        if line.contains(r#"{"n":7}"#) {
            break;
        }
        before += line.len();
    }
    // What the two pipes and the server's share of the queue hold.
    assert!(before < 4 << 20, "{before} bytes came before it");
}

#[cfg(target_os = "linux")]
#[test]
fn refused_lines_do_not_pile_up_for_a_client_that_never_reads() {
    let room = Room::new().read_later();
    let mut bridge = room.start();
    bridge.send(
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{}}}"#,
    );
    let batch = format!("[{}]\n", vec![r#"{"id":1,"method":"x"}"#; 1000].join(","));
    let mut lines = String::new();
    for _ in 0..300 {
        lines.push_str(&batch);
        lines.push_str(&"{\"id\":2,\"method\"\n".repeat(1000));
    }
    // It may or may not be read to its end; what counts is what it costs.
    let _written = bridge.send_aside(lines.into_bytes());
    let highest = settled_kib(bridge.pid());
    assert!(highest < RESIDENT_KIB_MAX, "{highest} KiB are resident");
}

/// The resident memory at its highest, once it has stopped to grow for a while.
#[cfg(target_os = "linux")]
fn settled_kib(pid: u32) -> u64 {
    let (mut highest, mut same) = (0, 0);
    wait_for("memory settles", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        same = if kib > highest { 0 } else { same + 1 };
        highest = highest.max(kib);
        // Far more looks than the servers need for their next line.
        (same > 150 || highest > 4 * RESIDENT_KIB_MAX).then_some(highest)
    })
}
