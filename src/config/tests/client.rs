//! Files of other programs.

use super::{parsed, shown};

use crate::config::Loaded;
use crate::config::settings::Settings;

fn client(text: &str) -> Loaded {
    parsed("claude.json", text)
}

#[test]
fn a_clients_file_is_read_as_it_stands() {
    let loaded = client(
        r#"{
  "theme": {"a": [1, 2.5, null]},
  "settings": {"retention_days": 1},
  "mcpServers": {
    "zulu": {"command": "z", "args": ["-v"], "env": {"B": "1"}, "type": "stdio", "autoApprove": [], "timeout": 60000, "env": null},
    "off": {"command": "x", "disabled": true, "alwaysAllow": ["y"]},
    "us": {"command": "/usr/local/bin/bridge", "args": ["serve", "--config", "x"], "whatever": 1},
    "alpha": {"command": "a", "argz": [], "envFile": ".env"}
  }
}"#,
    );
    insta::assert_snapshot!(shown(&loaded), @r#"
    note claude.json:7:5: mcpServers.us: left out: it is the bridge itself
    note claude.json:8:31: mcpServers.alpha.argz: this key is not known here and has no effect, did you mean "args"?
    note claude.json:8:43: mcpServers.alpha.envFile: this key is not known here and has no effect, did you mean "env"?
    usable: zulu, off, alpha
    "#);
    assert_eq!(loaded.config.servers.iter().map(|s| s.enabled).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(loaded.config.settings, Settings::default());
}

#[test]
fn mistakes_in_a_clients_file_have_their_lines() {
    let loaded = client(
        r#"{"mcpServers": {
    "web": {"type": "http", "headers": {}},
    "sse": {"url": "x"},
    "good": {"command": "x"},
    "none": {"args": [
       1.5, {}, "${env:"], "env": {"A": 1}},
    "good": {"command": "y"},
    "ünï": {"command": "x", "cwd": "a/${HOME}"}, "text": "x"
}}"#,
    );
    insta::assert_snapshot!(shown(&loaded), @r#"
    claude.json:2:5: mcpServers.web: needs a "url" to reach the server at
    claude.json:3:13: mcpServers.sse.url: must begin with https:// or http://
    claude.json:5:5: mcpServers.none: needs a "command" to start the server with
    claude.json:6:8: mcpServers.none.args[0]: must be a text, found a fraction or a huge number
    claude.json:6:13: mcpServers.none.args[1]: must be a text, found a table
    claude.json:6:17: mcpServers.none.args[2]: a "${env:" has no closing "}", write ${env:NAME}, or $${env: for the text itself
    claude.json:6:36: mcpServers.none.env.A: must be a text, found an integer
    claude.json:7:5: mcpServers.good: written twice, remove one
    claude.json:8:29: mcpServers.ünï.cwd: variables are not expanded here, write the path itself, or begin it with ~/
    claude.json:8:50: mcpServers.text: must be a table, found a text
    usable: good
    "#);
}

#[test]
fn other_forms_of_json_are_understood_or_explained() {
    let all: String = [
        "\u{feff}{\"servers\": {\"code\": {\"command\": \"x\", \"type\": \"stdio\"}}, \"inputs\": []}",
        "{}",
        "[]",
        "",
        "{\n  // my servers\n  \"mcpServers\": {}}",
        "{\"mcpServers\": {} /* none */}",
        "{\"mcpServers\": {\"a\": {\"command\": \"x\",}}}",
        "{\"mcpServers\": {\"ä\": {\"command\": \"ä\" x}}}",
        "{\"mcpServers\": [1]}",
        "{\"mcpServers\": {\"a\": {\"command\": \"\\ud800\"}}}",
        "{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": [[[[[[[[[1]]]]]]]]]}}}",
    ]
    .iter()
    .map(|text| shown(&client(text)) + "\n")
    .collect();
    insta::assert_snapshot!(all, @r#"
    usable: code
    note claude.json:1:1: no servers: there is neither a "mcpServers" nor a "servers" map in this file
    usable: 
    claude.json:1:1: must be a JSON object
    usable: 
    claude.json:1:1: not valid JSON: EOF while parsing a value
    usable: 
    claude.json:2:3: JSON has no comments: remove it, or write this configuration as TOML
    usable: 
    claude.json:1:19: JSON has no comments: remove it, or write this configuration as TOML
    usable: 
    claude.json:1:38: not valid JSON: remove the comma before this
    usable: 
    claude.json:1:38: not valid JSON: expected `,` or `}`
    usable: 
    claude.json:1:2: mcpServers: must be a table, found a list
    usable: 
    claude.json:1:23: mcpServers.a.command: must be a text, found a text that is not Unicode
    usable: 
    claude.json:1:48: mcpServers.a.args[0]: must be a text, found a list
    usable:
    "#);
    assert_eq!(shown(&parsed("servers", " \n{\"mcpServers\": {\"a\": {\"command\": \"x\"}}}")), "usable: a");
}
