use super::*;
use crate::clients::book::Book;

/// What is taken of the one entry of a client: its own form, or why it stays.
fn taken(client: Client, entry: &str) -> String {
    let text = format!("{{\"{}\": {{\"s\": {entry}}}}}", client.servers_key());
    let book = Book::open(client, Some(text.as_bytes())).unwrap_or_else(|bad| panic!("{bad}"));
    match take(client, &book.slots()[0]) {
        Ok(Taken { entry, dropped }) => {
            let section = crate::config::edit::entry::section("s", &entry);
            let section = section.trim_start_matches("[servers.s]\n").trim_end().replace('\n', "; ");
            if dropped.is_empty() { section } else { format!("{section} without {}", dropped.join(", ")) }
        }
        Err(why) => why,
    }
}

#[test]
fn what_a_server_is_started_with_is_taken() {
    insta::assert_snapshot!(
        taken(Client::ClaudeDesktop, r#"{"command": "npx", "args": ["-y", "x"], "env": {"B": "1", "A": "2"}, "cwd": "/w", "env2": null}"#),
        @r#"command = "npx"; args = ["-y", "x"]; env = { B = "1", A = "2" }; cwd = "/w""#
    );
    insta::assert_snapshot!(
        taken(Client::Windsurf, r#"{"command": "/x", "type": "stdio", "disabled": true, "alwaysAllow": ["a"], "timeout": 5, "disabledTools": []}"#),
        @r#"command = "/x"; enabled = false without alwaysAllow, timeout"#
    );
    insta::assert_snapshot!(
        taken(Client::Zed, r#"{"source": "custom", "enabled": false, "command": "x", "settings": {}}"#),
        @r#"command = "x"; enabled = false without source"#
    );
}

#[test]
fn references_are_taken_as_the_client_means_them() {
    insta::assert_snapshot!(
        taken(Client::ClaudeCode, r#"{"command": "x", "args": ["${A}/b", "$C", "${"], "env": {"D": "Bearer ${E_1}"}}"#),
        @r#"command = "x"; args = ["${env:A}/b", "$C", "${"]; env = { D = "Bearer ${env:E_1}" }"#
    );
    insta::assert_snapshot!(
        taken(Client::ClaudeCode, r#"{"command": "x", "args": ["${A:-s3cret}"]}"#),
        @r#"has a ${NAME:-default} in "args", which only Claude Code fills in"#
    );
    insta::assert_snapshot!(taken(Client::Cursor, r#"{"command": "x", "args": ["${env:A}", "$B"]}"#), @r#"command = "x"; args = ["${env:A}", "$B"]"#);
    insta::assert_snapshot!(
        taken(Client::Vscode, r#"{"type": "stdio", "command": "x", "env": {"K": "${input:my-key}"}}"#),
        @r#"has ${input:…} in "env", which only VS Code fills in"#
    );
    insta::assert_snapshot!(
        taken(Client::Vscode, r#"{"command": "x", "cwd": "${workspaceFolder}/a"}"#),
        @r#"has ${workspaceFolder} in "cwd", which only VS Code fills in"#
    );
}

#[test]
fn what_the_bridge_would_do_otherwise_stays_and_is_named() {
    let stays = |entry: &str| taken(Client::Vscode, entry);
    let over_http = "is reached over HTTP, which the bridge cannot do yet";
    for entry in
        [r#"{"url": "http://x"}"#, r#"{"type": "sse", "command": "x"}"#, r#"{"serverUrl": "http://x"}"#]
    {
        assert_eq!(stays(entry), over_http);
    }
    insta::assert_snapshot!(stays(r#"{"command": "x", "envFile": "/e"}"#), @"reads its variables from a file (envFile)");
    insta::assert_snapshot!(stays(r#"{"command": "x", "disabledTools": ["a"]}"#), @"hides some of its tools (disabledTools), which stands elsewhere here: deny in [servers.NAME.tools]");
    insta::assert_snapshot!(stays(r#"{"command": "./x"}"#), @"has a command that is relative to a folder that only VS Code knows");
    insta::assert_snapshot!(stays(r#"{"command": "x", "cwd": "w"}"#), @"has a cwd that is relative to a folder that only VS Code knows");
    insta::assert_snapshot!(stays(r#"{"command": {"path": "x"}}"#), @r#"has something in "command" that is no text"#);
    insta::assert_snapshot!(stays(r#"{"command": "x", "env": {"PORT": 1}}"#), @r#"has something in "env" that is no text"#);
    insta::assert_snapshot!(stays(r#"{"command": "x", "args": "y"}"#), @r#"has "args", which is no list"#);
    insta::assert_snapshot!(stays(r#"{"command": "x", "sandbox": {}}"#), @r#"has the key "sandbox", which the bridge does not know"#);
    insta::assert_snapshot!(stays("{}"), @"has no command: VS Code finds it in another way");
    insta::assert_snapshot!(stays("1"), @"is no JSON object");
}
