//! What can be wrong with clients' files, and one in which nothing is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::config;

/// A program that is there, and stays.
const OWN: &str = "/bin/sh";

fn seen(client: Client, text: impl Into<String>) -> Seen {
    Seen { client, file: "/home/u/file.json".into(), bytes: Ok(Some(text.into().into_bytes())) }
}

/// A client's file with these entries.
fn with(client: Client, entries: &[(&str, Value)]) -> Seen {
    let entries: Value = entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
    seen(client, json!({ client.servers_key(): entries }).to_string())
}

fn bridge(command: &str) -> Value {
    json!({ "command": command, "args": ["serve"] })
}

fn found(seen: &[Seen]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "[servers.github]\ncommand = 'x'\n[servers.off]\ncommand = 'x'\nenabled = false\n")
        .unwrap();
    let loaded = config::load(Some(&file));
    let launch = Launch { program: OWN.into(), config: None, data_dir: None };
    let (findings, _) = look(seen, &Wanted { launch, servers: &loaded.config.servers });
    let mut text = String::new();
    for found in findings {
        let (level, check, subject, message) =
            (found.level.word(), found.check, found.subject, found.message);
        let advice = found.advice.map(|advice| format!(" -> {advice}")).unwrap_or_default();
        writeln!(text, "{level} {check} {subject}: {message}{advice}").unwrap();
    }
    text
}

#[test]
fn clients_that_start_this_bridge_alone_are_quiet() {
    let all =
        [with(Client::ClaudeDesktop, &[("bridge", bridge(OWN))]), with(Client::Zed, &[("mcp", bridge(OWN))])];
    assert_eq!(
        found(&all),
        "ok client.entry Claude Desktop: starts this bridge\nok client.entry Zed: starts this bridge\n"
    );
}

#[test]
fn who_does_not_start_it_is_a_warning_unless_another_client_does() {
    let none = Seen { bytes: Ok(None), ..seen(Client::Cursor, "") };
    let well = with(Client::Zed, &[("bridge", bridge(OWN))]);
    let told = [found(&[]), found(std::slice::from_ref(&none)), found(&[none, well])].join("--\n");
    insta::assert_snapshot!(told, @r"
    note client.none : none of the clients that bridge install knows is installed here -> in any other client write an entry that starts: bridge serve
    --
    warning client.missing Cursor: does not start the bridge -> bridge install cursor
    --
    ok client.entry Zed: starts this bridge
    note client.missing Cursor: does not start the bridge -> bridge install cursor
    ");
}

#[test]
fn an_entry_that_does_not_start_this_program_is_said() {
    let entry = |command: &str| found(&[with(Client::Cursor, &[("bridge", bridge(command))])]);
    let off = json!({ "command": OWN, "args": ["serve"], "disabled": true });
    let places = json!({ "command": OWN, "args": ["serve", "--config", "/x.toml"] });
    let passing = tempfile::tempdir().unwrap();
    let passing_bridge = passing.path().join("bridge");
    std::fs::write(&passing_bridge, "").unwrap();
    let told = [
        entry("bridge"),
        entry("/no/such/bridge"),
        entry(passing_bridge.to_str().unwrap()).replace(passing.path().to_str().unwrap(), "$TMP"),
        found(&[with(Client::Windsurf, &[("bridge", off)])]),
        found(&[with(Client::Zed, &[("bridge", places)])]),
        found(&[with(Client::Cursor, &[("a", bridge(OWN)), ("b", bridge(OWN))])]),
    ];
    insta::assert_snapshot!(told.concat(), @r#"
    warning client.relative Cursor: starts "bridge", which a desktop's PATH may not find -> bridge install cursor
    error client.gone Cursor: starts /no/such/bridge, which is not there -> bridge install cursor
    warning client.other Cursor: starts another bridge: $TMP/bridge; this one is /bin/sh -> bridge install cursor
    warning client.off Windsurf: the entry bridge is switched off -> switch it on there (in /home/u/file.json)
    note client.places Zed: starts this bridge in other places than those looked at here: serve --config /x.toml -> bridge doctor --config /x.toml
    ok client.entry Cursor: starts this bridge
    ok client.entry Cursor: starts this bridge
    warning client.twice Cursor: starts the bridge more than once: a, b -> remove all but one of them in /home/u/file.json
    "#);
}

#[test]
fn servers_beside_the_bridge_are_said_and_those_that_run_twice_first() {
    let other = json!({ "command": "npx", "args": ["x"], "env": { "TOKEN": "s3cr3t" } });
    let off = json!({ "command": "npx", "disabled": true });
    let all = with(
        Client::Cursor,
        &[("bridge", bridge(OWN)), ("github", other.clone()), ("web", other.clone()), ("asleep", off)],
    );
    let told = found(&[all]);
    assert!(!told.contains("s3cr3t") && !told.contains("asleep"), "{told}");
    insta::assert_snapshot!(told, @r"
    ok client.entry Cursor: starts this bridge
    warning client.doubled Cursor: starts github itself, and the bridge does so too -> bridge install cursor --move-servers, or remove them there
    note client.beside Cursor: starts beside the bridge, unwatched: web -> bridge install cursor --move-servers
    ");
}

#[test]
fn a_file_that_its_client_cannot_read_is_said() {
    let unreadable = Seen { bytes: Err("cannot be read: denied".into()), ..seen(Client::Vscode, "") };
    insta::assert_snapshot!(found(&[seen(Client::Cursor, "{ \"mcpServers\": {"), unreadable]), @r"
    error client.file Cursor: its file is not valid JSON, repair it first: line 1, column 17: Unterminated object -> correct /home/u/file.json; until then the client may see no servers at all
    error client.file VS Code: its file cannot be read: denied -> correct /home/u/file.json; until then the client may see no servers at all
    ");
}

#[test]
fn a_program_in_a_passing_place_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bridge");
    std::fs::write(&program, "").unwrap();
    let launch = Launch { program: program.to_str().unwrap().into(), config: None, data_dir: None };
    let seen = with(Client::Cursor, &[("bridge", bridge(&launch.program))]);
    let (findings, entered) = look(&[seen], &Wanted { launch, servers: &[] });
    assert_eq!(findings[0].check, "client.place");
    assert_eq!(entered, [Entered { client: Client::Cursor, entry: "bridge".into() }]);
}
