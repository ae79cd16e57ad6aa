//! `--move-servers`: what stands in a client's file goes behind the bridge.

use super::*;

#[test]
fn a_server_that_was_moved_answers_through_the_bridge() {
    let home = Home::new();
    let script = home.room.path("scripts/s");
    fs::write(&script, "on tools/call: echo").unwrap();
    let entry = json!({ "command": crate::support::fake_server(), "args": ["--script", script] });
    let home = home.with(CURSOR, json!({ "mcpServers": { "s": entry } }).to_string());
    home.said(&["install", "--move-servers", "--yes"]);
    assert_eq!(parsed(&home.text(CURSOR.file))["mcpServers"], json!({ "bridge": home.usual_entry(CURSOR) }));
    let config = home.config();
    let mut bridge = home.room.config("moved.toml", &config).start();
    bridge.initialize();
    assert_eq!(bridge.call("s__echo", json!({ "a": 1 }))["result"]["structuredContent"], json!({ "a": 1 }));
}

#[test]
fn servers_of_all_clients_meet_in_one_configuration() {
    let home = Home::new()
        .with(CURSOR, r#"{"mcpServers": {"a": {"command": "x", "env": {"B": "1", "A": "2"}}, "b": {"command": "y"}}}"#)
        .with(ZED, r#"{"context_servers": {"a": {"command": "x", "env": {"A": "2", "B": "1"}}, "b": {"command": "z"}}}"#);
    home.write(CONFIG, "# mine\n\n[settings] # here\nhang_after = 4\n[servers.\"A.b\"]\ncommand = 'q'");
    let before = home.things();
    let said = home.said(&["install", "--move-servers", "--yes"]);
    for line in ["  moves a (the bridge has it already)\n", "  moves b as b-2 (the bridge has another b)\n"] {
        assert!(said.contains(line), "{said}");
    }
    insta::assert_snapshot!(home.config(), @r#"
    # mine

    [settings] # here
    hang_after = 4
    [servers."A.b"]
    command = 'q'

    [servers.a]
    command = "x"
    env = { B = "1", A = "2" }

    [servers.b]
    command = "y"

    [servers.b-2]
    command = "z"
    "#);
    assert!(home.said(&["install", "--move-servers", "--yes"]).contains("Zed: nothing to do"));
    home.said(&["install", "--undo", "--yes"]);
    assert_eq!(home.things(), before);
}

#[test]
fn what_cannot_be_taken_stays_and_is_named() {
    let vscode = CLIENTS[3];
    let text = r#"{
  "inputs": [{"id": "k"}],
  "servers": {
    "asks": {"type": "stdio", "command": "x", "env": {"K": "${input:k}"}},
    "web": {"type": "http", "url": "https://example.com/?k=s3cret"},
    "file": {"command": "x", "envFile": "${workspaceFolder}/.env"},
    "good": {"type": "stdio", "command": "x", "args": ["${env:HOME}"], "disabled": true, "gallery": true},
    "日本": {"command": "x"}
  }
}
"#;
    let home = Home::new().with(vscode, text);
    let said = home.said(&["install", "--move-servers", "--yes"]);
    let words: Vec<&str> =
        said.lines().skip_while(|line| !line.contains("VS Code:")).skip(1).take(6).collect();
    insta::assert_snapshot!(words.join("\n"), @r#"
    leaves asks: it has ${input:…} in "env", which only VS Code fills in
    leaves web: it is reached over HTTP, which the bridge cannot do yet
    leaves file: it reads its variables from a file (envFile)
    moves good without its gallery
    leaves 日本: it has a problem: a server's name needs a letter or a digit (a-z,
      0-9)
    "#);
    insta::assert_snapshot!(home.config(), @r#"
    [servers.good]
    command = "x"
    args = ["${env:HOME}"]
    enabled = false
    "#);
    let left = parsed(&home.text(vscode.file));
    let names: Vec<&String> = left["servers"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["asks", "bridge", "file", "web", "日本"]);
    assert_eq!(left["inputs"], json!([{ "id": "k" }]));
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_configuration_that_others_may_read_is_warned_of() {
    for (mode, warns) in [(0o600, false), (0o640, true), (0o644, true)] {
        let home =
            Home::new().with(CURSOR, r#"{"mcpServers": {"a": {"command": "x", "env": {"K": "s3cret"}}}}"#);
        home.write(CONFIG, "");
        set_mode(&home.path(CONFIG), mode);
        let said = home.said(&["install", "--move-servers", "--yes"]);
        let warning = "warning: others may read this file, which would hold what the servers are given:\n  $ROOM/home/.config";
        assert_eq!(said.contains(warning), warns, "{said}");
        assert_eq!(home.path(CONFIG).metadata().unwrap().mode() & 0o777, mode);
    }
}

#[test]
fn a_server_that_has_the_name_of_the_bridge_makes_room() {
    let home = Home::new().with(CURSOR, r#"{"mcpServers": {"bridge": {"command": "ssh", "args": ["-N"]}}}"#);
    let refused = home.refused(&["install", "--yes"]);
    let words = "it has an entry \"bridge\" that starts something else: rename it there, or have it moved";
    assert!(refused.contains(words), "{refused}");
    let said = home.said(&["install", "--yes", "--move-servers"]);
    assert!(said.contains("moves bridge as bridge-2"), "{said}");
    assert_eq!(home.entry(CURSOR), home.usual_entry(CURSOR));
    insta::assert_snapshot!(home.config(), @r#"
    [servers.bridge-2]
    command = "ssh"
    args = ["-N"]
    "#);
}

#[test]
fn of_a_client_that_stays_as_it_is_nothing_is_moved() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}, "bridge": {"url": "u"}}}"#;
    let home = Home::new().with(CURSOR, text).with(ZED, r#"{"context_servers": {"a": {"command": "y"}}}"#);
    let (code, said, _) = home.run(&["install", "--yes", "--move-servers"]);
    assert_eq!(code, Some(1), "{said}");
    let cursor = "mcp.json leaves bridge: it is reached over HTTP, which the bridge cannot do yet stays as it is: it has an entry";
    assert!(flat(&said).contains(cursor), "{said}");
    assert_eq!(home.text(CURSOR.file), text);
    assert_eq!(home.config(), "[servers.a]\ncommand = \"y\"\n");
}

#[test]
fn a_bridge_is_not_moved_and_a_second_one_is_named() {
    let text = r#"{"mcpServers": {"bridge": {"command": "/old/bridge", "args": ["serve"]}, "too": {"command": "/b/bridge", "args": ["serve"]}}}"#;
    let home = Home::new().with(CURSOR, text);
    let said = home.said(&["install", "--move-servers", "--yes"]);
    assert!(said.contains("  changes the entry bridge, so that it starts this bridge\n"), "{said}");
    assert!(said.contains("  note: the entry too starts a bridge too, remove one of them\n"), "{said}");
    assert!(!home.path(CONFIG).exists());
    assert_eq!(home.entry(CURSOR), home.usual_entry(CURSOR));
}

#[test]
fn a_configuration_that_cannot_take_servers_stops_the_move_before_anything_is_done() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}}}"#;
    let home = Home::new().with(CURSOR, text);
    home.write(CONFIG, "[servers\n");
    let refused = home.refused(&["install", "--move-servers", "--yes"]);
    assert!(
        refused.contains("config.toml cannot be understood, repair it first: line 1: not valid TOML"),
        "{refused}"
    );
    home.write(CONFIG, "servers = {}\n");
    let refused = home.run(&["install", "--move-servers", "--dry-run"]).1;
    assert!(
        flat(&refused).contains("leaves a: it cannot stand behind what is in the configuration"),
        "{refused}"
    );
    home.write("mcp.json", "{}");
    let file = home.path("mcp.json");
    let refused = home.refused(&["install", "--move-servers", "--yes", "--config", file.to_str().unwrap()]);
    assert!(refused.contains("mcp.json is JSON: only TOML is edited"), "{refused}");
    // Without a move, a bridge that cannot read its configuration serves all the same.
    home.said(&["install", "--yes"]);
}

#[test]
fn what_the_clients_entry_says_of_its_configuration_is_not_passed_over() {
    let text = r#"{"mcpServers": {"bridge": {"command": "/b/bridge", "args": ["serve", "--config", "/else.toml"]}, "a": {"command": "x"}}}"#;
    let home = Home::new().with(CURSOR, text);
    let refused = home.refused(&["install", "--move-servers", "--yes"]);
    let words = "it has an entry that starts the bridge with /else.toml: say --config /else.toml to move servers there";
    assert!(refused.contains(words), "{refused}");
}
