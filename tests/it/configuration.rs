//! A configuration that is missing, broken or somebody else's still gives a bridge that serves.

use serde_json::{Value, json};

use crate::said::OWN;
use crate::support::{Bridge, Room, fake_server};

#[track_caller]
fn tools(bridge: &mut Bridge) -> Vec<Value> {
    let list = bridge.ask("tools/list", &json!({}));
    list["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect()
}

#[test]
fn without_a_configuration_it_serves_its_own_tools() {
    let room = Room::new().env("BRIDGE_CONFIG", "");
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), OWN);
    let status = bridge.status();
    assert_eq!(
        status["config"],
        json!({ "file": null, "keptFromBefore": false, "mistakes": [], "needNewStart": [], "notes": [] })
    );
    assert_eq!(status["servers"], json!([]));
}

#[test]
fn a_file_that_is_named_and_missing_is_a_mistake_and_no_end() {
    let room = Room::new().env("BRIDGE_CONFIG", "/no/such/file.toml");
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), OWN);
    let mistakes = bridge.status()["config"]["mistakes"].to_string();
    assert!(mistakes.contains("/no/such/file.toml") && mistakes.contains("cannot be read"), "{mistakes}");
}

#[track_caller]
fn check_mistakes(file: &str, text: &str, expected: &[&str], served: &[&str]) {
    let text = text.replace("$FAKE", fake_server());
    let room = Room::new().config(file, &text);
    let mut bridge = room.start();
    bridge.initialize();
    let status = bridge.status();
    let mistakes: Vec<&str> = status["config"]["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| mistake.as_str().unwrap())
        .collect();
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.contains(expected), "{mistake} does not say {expected}");
        bridge.wait_for_log(expected);
    }
    let names: Vec<&str> =
        status["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect();
    assert_eq!(names, served);
    for name in served {
        let answer = bridge.call(&format!("{name}__echo"), json!({ "a": 1 }));
        assert_eq!(answer["result"]["structuredContent"], json!({ "a": 1 }), "{answer}");
    }
    let text = bridge.call("bridge_status", json!({}))["result"]["content"][0]["text"].take();
    assert!(
        expected.is_empty() || text.as_str().unwrap().contains("Mistakes in the configuration"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    check_mistakes("config.toml", "[settings]\n\n[servers.a\ncommand = \"x\"\n", &["config.toml:3"], &[]);
}

#[test]
fn every_mistake_is_named_at_once_and_the_rest_is_served() {
    let text = r#"[settings]
retention_dayz = 9
[servers.good]
command = "$FAKE"
[servers.bad]
comand = "$FAKE"
[servers.worse]
command = "$FAKE"
call_timeout_s = -1
"#;
    check_mistakes(
        "config.toml",
        text,
        &["config.toml:2", "config.toml:5", "config.toml:6", "config.toml:9"],
        &["good"],
    );
}

#[test]
fn a_clients_own_file_is_read_as_it_stands() {
    let text = r#"{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "one": { "command": "$FAKE", "args": ["-e", "tool echo"], "type": "stdio", "autoApprove": [] },
    "two": { "command": "$FAKE", "env": { "FAKE_SCRIPT": "tool echo" } },
    "off": { "command": "/no/such/program", "disabled": true }
  }
}"#;
    check_mistakes("claude_desktop_config.json", text, &[], &["one", "two"]);
}

#[test]
fn json_that_is_broken_is_named_with_its_line() {
    check_mistakes("mcp.json", "{\n  \"mcpServers\": {\n    \"a\": oops\n  }\n}", &["mcp.json:3"], &[]);
}

#[test]
fn a_command_that_does_not_exist_is_said_to_the_model_and_hides_nobody() {
    let text = format!(
        "[servers.gone]\ncommand = \"no-such-program-here\"\n[servers.s]\ncommand = {:?}\n",
        fake_server()
    );
    let room = Room::new().config("config.toml", &text);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), [&OWN[..], &["s__echo"]].concat());
    let answer = bridge.call("gone__anything", json!({}));
    let error = &answer["result"]["_meta"]["bridge/error"];
    assert_eq!((&error["kind"], &error["cause"]), (&json!("unavailable"), &json!("not_found")), "{answer}");
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("no-such-program-here"));
}

#[test]
fn a_server_that_is_switched_off_is_not_there() {
    let room = Room::new().server_with("s", &["count $ROOM/pids"], "enabled = false");
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(tools(&mut bridge), OWN);
    assert_eq!(bridge.call("s__echo", json!({}))["error"]["code"], -32602);
    assert_eq!(room.text("pids"), "");
}

#[test]
fn a_reference_to_a_variable_that_is_missing_is_named() {
    let room = Room::new().server_with("s", &["tool echo"], "env = { TOKEN = \"${env:NOT_THERE}\" }");
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", json!({}));
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "unavailable");
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("NOT_THERE"), "{answer}");
}
