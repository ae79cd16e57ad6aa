//! Nothing but the protocol reaches stdout, and no payload reaches a log or a row.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bridge, Room, fake_server};

/// One word for each place where a secret can stand.
const SECRETS: [&str; 11] = [
    "planted-in-arguments",
    "planted-in-result",
    "planted-in-literal-env",
    "planted-in-env-reference",
    "planted-in-argument-reference",
    "planted-in-own-env",
    "planted-in-error",
    "planted-in-iserror",
    "planted-in-garbage",
    "planted-in-broken-line",
    "planted-in-handshake",
];

fn room() -> Room {
    let room = Room::new()
        .env("RUST_LOG", "trace")
        .env("BRIDGE_SELFTEST", "1")
        .env("PLANTED_ENV", "planted-in-env-reference")
        .env("PLANTED_ARG", "planted-in-argument-reference")
        .env("AWS_SECRET_ACCESS_KEY", "planted-in-own-env");
    let script = [
        "tool echo",
        "record $ROOM/record",
        r#"on tools/call result: reply {"content":[{"type":"text","text":"planted-in-result"}]}"#,
        "on tools/call error: error -32000 planted-in-error",
        "on tools/call iserror: iserror planted-in-iserror",
        "on tools/call garbage: garbage planted-in-garbage; echo",
        "on tools/call die: exit 3",
        "on tools/call slow: hang",
    ];
    let script = script.join("\n").replace("$ROOM", room.path("").to_str().unwrap());
    std::fs::write(room.path("scripts/s"), script).unwrap();
    let odd = r#"on initialize: reply {"protocolVersion":7,"x":"planted-in-handshake"}"#;
    std::fs::write(room.path("scripts/odd"), odd).unwrap();
    let config = format!(
        r##"
        [servers.s]
        command = "{fake}"
        args = ["--script", "{room}/scripts/s", "-e", "# ${{env:PLANTED_ARG}}"]
        env = {{ TOKEN = "${{env:PLANTED_ENV}}", LITERAL = "planted-in-literal-env" }}
        call_timeout_s = 1
        [servers.odd]
        command = "{fake}"
        args = ["--script", "{room}/scripts/odd"]
        "##,
        fake = fake_server(),
        room = room.path("").display(),
    );
    room.config("servers.toml", &config)
}

/// Meets everything that can happen to a call, with a secret in it; gives what was heard.
fn converse(bridge: &mut Bridge) -> Vec<Vec<u8>> {
    bridge.initialize();
    let secret = json!({ "password": "planted-in-arguments", "kind": "planted-in-arguments" });
    let tools = [
        "s__echo",
        "s__result",
        "s__error",
        "s__iserror",
        "s__garbage",
        "s__die",
        "s__slow",
        "s__echo",
        "odd__x",
        "bridge_status",
        "bridge_stats",
        "bridge_selftest",
        "nobody__x",
    ];
    for tool in tools {
        bridge.call(tool, secret.clone());
    }
    for kind in ["panic", "panic_late", "error"] {
        bridge.call("bridge_selftest", json!({ "kind": kind, "x": "planted-in-arguments" }));
    }
    bridge.modern("tools/call", json!({ "name": "s__echo", "arguments": secret }));
    bridge.send(r#"{"jsonrpc":"2.0","id":"b","method":"tools/call","params":{"x":"planted-in-broken-line"}"#);
    bridge.raw_answer_to("\"b\"");
    bridge.send(r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":"planted-in-broken-line"}"#);
    bridge.raw_answer_to("\"c\"");
    bridge.notify("notifications/planted", &json!({ "x": "planted-in-arguments" }));
    bridge.begin_call("s__slow", json!({ "x": "planted-in-arguments" }));
    bridge.said_so_far();
    bridge.signal(Signal::TERM);
    let mut rest = Vec::new();
    while let Some(line) = bridge.next_line() {
        rest.push(line);
    }
    rest
}

#[test]
fn every_line_on_stdout_is_a_message_also_with_trace() {
    let room = room();
    let mut bridge = room.start();
    // Whatever came before was read as JSON by the client's own functions.
    for line in converse(&mut bridge) {
        let value: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["jsonrpc"], "2.0", "{value}");
    }
    bridge.wait_exit();
    let log = bridge.log();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the filter was heard:\n{log}");
    assert!(log.contains("tool panicked"), "{log}");
}

/// A `println!` of a dependency goes to descriptor 1.
#[cfg(target_os = "linux")]
#[test]
fn descriptor_one_is_a_second_stderr() {
    let room = Room::new();
    let mut bridge = room.start();
    bridge.initialize();
    let open_file = |number: u8| std::fs::read_link(format!("/proc/{}/fd/{number}", bridge.pid())).unwrap();
    assert_eq!(open_file(1), open_file(2));
    assert_eq!(open_file(0), Path::new("/dev/null"));
}

#[test]
fn no_planted_secret_is_found_in_log_file_or_row() {
    let room = room();
    let mut bridge = room.start();
    converse(&mut bridge);
    bridge.wait_exit();
    assert!(room.text("record").contains("planted-in-arguments"), "the server got it");
    let mut places = vec![("stderr".to_owned(), bridge.log())];
    for file in files(&room.data()) {
        places.push((
            file.display().to_string(),
            String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into(),
        ));
    }
    assert!(places.iter().any(|(name, _)| name.ends_with("bridge.db")), "{:?}", places.len());
    let mut found = Vec::new();
    for (name, text) in &places {
        for secret in SECRETS {
            if let Some(at) = text.find(secret) {
                let line = text[..at].rsplit('\n').next().unwrap_or_default();
                found.push(format!("{secret} in {name}: {line}…"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let rows = room.rows("SELECT count(*) FROM tool_calls WHERE outcome IS NOT NULL");
    assert_eq!(rows, [[json!(19)]], "every call is a row");
}

#[test]
fn a_server_gets_its_own_environment_and_not_ours() {
    let room = room().env("LC_ALL", "C.UTF-8");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let pid = bridge.status()["servers"].as_array().unwrap().iter().find_map(|server| server["pid"].as_u64());
    let environ = std::fs::read_to_string(format!("/proc/{}/environ", pid.unwrap())).unwrap_or_default();
    if environ.is_empty() {
        // There is no such file outside Linux.
        return;
    }
    let variables: Vec<&str> = environ.split_terminator('\0').collect();
    assert!(variables.contains(&"TOKEN=planted-in-env-reference"), "{variables:?}");
    assert!(variables.contains(&"LITERAL=planted-in-literal-env") && variables.contains(&"LC_ALL=C.UTF-8"));
    for name in ["AWS_SECRET_ACCESS_KEY", "PLANTED_ENV", "BRIDGE_SELFTEST", "BRIDGE_DATA_DIR", "RUST_LOG"] {
        assert!(!variables.iter().any(|variable| variable.starts_with(name)), "{name} was passed on");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
