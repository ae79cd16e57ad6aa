//! A secret stays where it was put: in no file of ours, no log, no row, no reply.

use std::path::Path;

use serde_json::json;

use crate::said::kind;
use crate::support::{Room, fake_server};

/// Each is planted in its own place.
const PLANTED: [&str; 6] = [
    "plant-literal-4f1c",
    "plant-variable-9b2e",
    "plant-argument-77aa",
    "plant-payload-c0de",
    "plant-result-d1ce",
    "plant-inherited-e44e",
];

#[track_caller]
fn check(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in PLANTED {
        assert!(!text.contains(secret), "{secret} in {what}: {text}");
    }
}

#[track_caller]
fn check_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_folder(&path);
        } else if path.is_file() {
            // A socket holds nothing.
            check(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_planted_secret_appears_in_no_file_log_row_or_reply() {
    let [literal, variable, argument, payload, result, inherited] = PLANTED;
    let fake = json!(fake_server());
    let script = json!(format!(
        "on start: once $ROOM/said stderr ready\non tools/call tells: reply {{\"content\":[],\"x\":\"{result}\"}}\non tools/call dies: exit 3"
    ));
    let config = format!(
        r#"
[servers.s]
command = {fake}
args = ["-e", "${{env:SCRIPT_LINE}}"]
env = {{ TOKEN = "{literal}", OTHER = "x-${{env:PLANTED_VARIABLE}}-x", FAKE_SCRIPT = {script} }}
[servers.exits]
command = {fake}
args = ["-e", "on start: exit 4", "-e", "tool {argument}"]
env = {{ TOKEN = "{literal}" }}
[servers.missing]
command = "no-such-command"
args = ["--key", "{argument}"]
env = {{ TOKEN = "${{env:PLANTED_VARIABLE}}", GONE = "{literal}${{env:NOT_SET}}" }}
"#
    );
    let room = Room::new()
        .config("secret.toml", &config)
        .env("PLANTED_VARIABLE", variable)
        .env("SCRIPT_LINE", &format!("tool echo {{\"x\":\"y\"}}\n# {argument}"))
        .env("INHERITED_TOKEN", inherited)
        .env("BRIDGE_LOG", "trace");
    let mut bridge = room.start();
    check("initialize", bridge.initialize().to_string().as_bytes());
    check("the list", bridge.ask("tools/list", &json!({})).to_string().as_bytes());
    assert_eq!(
        bridge.call("s__tells", json!({ "p": payload }))["result"]["x"],
        result,
        "the client gets what is its own"
    );
    let dead = bridge.call("s__dies", json!({ "p": payload }));
    assert_eq!(kind(&dead), "outcome_unknown");
    check("a death", dead.to_string().as_bytes());
    for server in ["exits", "missing"] {
        let refused = bridge.call(&format!("{server}__x"), json!({ "p": payload }));
        assert_eq!(kind(&refused), "unavailable", "{refused}");
        check("a refusal", refused.to_string().as_bytes());
    }
    bridge.send(format!(
        r#"{{"jsonrpc":"2.0","id":900,"method":"tools/call","params":{{"name":7,"x":"{payload}"}}}}"#
    ));
    check("a bad request", bridge.raw_answer_to("900").as_bytes());
    bridge.send(format!(r#"{{"id":901,"half":"{payload}"#));
    check("the status", bridge.status().to_string().as_bytes());
    check("the statistics", bridge.call("bridge_stats", json!({})).to_string().as_bytes());
    check("the log", bridge.log().as_bytes());
    check_folder(&room.data());
    bridge.close_stdin();
    bridge.wait_exit();
    check("the whole log", bridge.log().as_bytes());
    check_folder(&room.data());
}

#[test]
fn a_configuration_that_cannot_be_read_keeps_its_secrets() {
    let secret = PLANTED[0];
    let mistakes = [
        ("a.toml", format!("[servers.s]\ncommand = \"x\"\nenv = {{ TOKEN = \"{secret}\" \"\n")),
        ("b.toml", format!("[servers.s]\ncommand = \"x\"\nenv = {{ TOKEN = [\"{secret}\"] }}\n")),
        ("c.toml", format!("[servers.s]\ncommand = \"x\"\nenv = [\"TOKEN={secret}\"]\n")),
        ("d.toml", format!("[servers.s]\ncommand = \"x\"\nenv = {{ \"TOKEN={secret}\" = \"\" }}\n")),
        ("e.toml", format!("[servers.s]\ncommand = \"x\"\nenv = {{ TOKEN = \"${{env:{secret}\" }}\n")),
        ("f.json", format!(r#"{{"mcpServers":{{"s":{{"command":"x","env":{{"TOKEN":"{secret}}}}}}}}}"#)),
        ("g.json", format!(r#"{{"mcpServers":{{"s":{{"command":"x","env":{{"TOKEN":["{secret}"]}}}}}}}}"#)),
        ("h.json", format!(r#"{{"mcpServers":{{"s":{{"command":"x","args":"--key={secret}"}}}}}}"#)),
    ];
    for (name, text) in mistakes {
        let room = Room::new().config(name, &text).env("BRIDGE_LOG", "trace");
        let mut bridge = room.start();
        bridge.initialize();
        let status = bridge.call("bridge_status", json!({}));
        assert_ne!(status["result"]["structuredContent"]["config"]["mistakes"], json!([]), "{name}");
        check(name, status.to_string().as_bytes());
        check(name, bridge.log().as_bytes());
    }
}
