//! Files that somebody else changed after the bridge did.

use std::process::Stdio;

use super::*;
use crate::support::wait_until;

const TWO: &str = "{\n  \"mcpServers\": {\n    \"a\": {\n      \"command\": \"x\"\n    },\n    \"web\": {\n      \"url\": \"u\"\n    }\n  },\n  \"n\": 1\n}\n";

/// Cursor with two servers of which one was moved, and then changed by `change`.
fn moved(change: impl FnOnce(String) -> String) -> Home {
    let home = Home::new().with(CURSOR, TWO);
    home.said(&["install", "--move-servers", "--yes"]);
    home.write(CURSOR.file, change(home.text(CURSOR.file)));
    home
}

#[test]
fn what_somebody_else_changed_since_stays_when_the_rest_is_taken_back() {
    let home = moved(|text| text.replace("\"n\": 1", "\"n\": 2,\n  \"new\": true"));
    let said = home.said(&["install", "--undo", "--yes"]);
    assert!(said.contains("  was changed since: only what the bridge did is taken back\n"), "{said}");
    let copy = "its copy stays: $ROOM/home/.cursor/mcp.json.before-bridge";
    assert!(flat(&said).contains(copy), "{said}");
    let servers = json!({ "a": { "command": "x" }, "web": { "url": "u" } });
    assert_eq!(parsed(&home.text(CURSOR.file)), json!({ "mcpServers": servers, "n": 2, "new": true }));
    assert!(!home.path(CONFIG).exists(), "and the configuration went, as nobody needs it");
    assert!(home.said(&["install", "--undo", "--yes"]).starts_with("Nothing to undo"));
}

#[test]
fn a_client_that_writes_its_file_anew_is_taken_back_too() {
    let home = moved(|text| parsed(&text).to_string());
    home.said(&["install", "--undo", "--yes"]);
    assert_eq!(parsed(&home.text(CURSOR.file)), parsed(TWO));
}

#[test]
fn an_entry_that_somebody_changed_is_not_taken_back_without_force() {
    let home = moved(|text| text.replace("\"serve\"", "\"serve\", \"--in-process\""));
    let changed = home.text(CURSOR.file);
    let refused = home.refused(&["install", "--undo", "--yes"]);
    let words = "it was changed since, its entry bridge too: --force brings all of it back as it was";
    assert!(refused.contains(words), "{refused}");
    let words = "config.toml stays as it is: it has servers that were moved out of a client's file which stays as it is";
    assert!(refused.contains(words), "{refused}");
    let said = home.said(&["install", "--undo", "--yes", "--force"]);
    assert!(said.contains("  was changed since: a copy of what is there now is kept\n"), "{said}");
    assert_eq!(home.text(CURSOR.file), TWO);
    assert_eq!(home.text(".cursor/mcp.json.before-bridge-2"), changed);
    assert!(!home.path(CONFIG).exists());
}

#[test]
fn a_server_that_somebody_put_back_stays_as_that() {
    let home = moved(|text| text.replace("\"web\"", "\"a\": {\"command\": \"newer\"},\n    \"web\""));
    home.said(&["install", "--undo", "--yes"]);
    let servers = json!({ "a": { "command": "newer" }, "web": { "url": "u" } });
    assert_eq!(parsed(&home.text(CURSOR.file))["mcpServers"], servers);
}

#[test]
fn a_configuration_that_went_on_keeps_what_is_new() {
    let home = Home::new().with(CURSOR, TWO);
    home.said(&["install", "--move-servers", "--yes"]);
    home.write(CONFIG, format!("# mine\n{}\n[servers.c]\ncommand = \"z\"\n", home.config()));
    home.said(&["install", "--undo", "--yes"]);
    assert_eq!(home.text(CURSOR.file), TWO);
    insta::assert_snapshot!(home.config(), @r#"
    # mine

    [servers.c]
    command = "z"
    "#);
}

#[test]
fn a_section_that_somebody_changed_is_not_taken_back_without_force() {
    let home = Home::new().with(CURSOR, TWO);
    home.said(&["install", "--move-servers", "--yes"]);
    home.write(CONFIG, home.config().replace("\"x\"", "\"xx\""));
    let (code, stdout, stderr) = home.run(&["install", "--undo", "--yes"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        flat(&stdout).contains("it was changed since, [servers.a] too: --force brings all of it back"),
        "{stdout}"
    );
    assert!(stderr.ends_with("see above: The bridge's configuration\n"), "{stderr}");
    assert_eq!(home.text(CURSOR.file), TWO, "the client has its server again");
    home.said(&["install", "--undo", "--yes", "--force"]);
    assert!(!home.path(CONFIG).exists());
    assert!(home.path(".config/bridge/config.toml.before-bridge").exists(), "and a copy is kept");
}

#[test]
fn clients_are_taken_back_one_by_one_and_the_configuration_with_the_last() {
    let home =
        Home::new().with(CURSOR, TWO).with(ZED, "{\"context_servers\": {\"b\": {\"command\": \"y\"}}}");
    let before = home.things();
    home.said(&["install", "--move-servers", "--yes"]);
    let said = home.said(&["install", "--undo", "--yes", "cursor"]);
    assert!(!said.contains("config.toml"), "{said}");
    assert_eq!(home.text(CURSOR.file), TWO);
    assert!(home.config().contains("[servers.a]"));
    let said = home.said(&["install", "--undo", "--yes", "cursor"]);
    assert!(said.starts_with("Nothing to undo: no change for these is recorded in "), "{said}");
    home.said(&["install", "--undo", "--yes"]);
    assert_eq!(home.things(), before);
}

#[test]
fn two_installs_are_taken_back_by_one_undo_also_with_a_change_in_between() {
    for change in ["", "\n"] {
        let home = Home::new().with(CURSOR, TWO);
        let before = home.things();
        home.said(&["install", "--yes"]);
        home.write(CURSOR.file, home.text(CURSOR.file) + change);
        home.said(&["install", "--yes", "--move-servers"]);
        home.said(&["install", "--undo", "--yes"]);
        if change.is_empty() {
            assert_eq!(home.things(), before);
        } else {
            assert_eq!(home.text(CURSOR.file), format!("{TWO}\n"), "what somebody added stays");
        }
        assert!(home.said(&["install", "--undo", "--yes"]).starts_with("Nothing to undo"));
    }
}

#[test]
fn a_file_that_is_gone_comes_back_with_force() {
    let home = Home::new().with(CURSOR, TWO);
    home.said(&["install", "--yes"]);
    fs::remove_file(home.path(CURSOR.file)).unwrap();
    let refused = home.refused(&["install", "--undo", "--yes"]);
    assert!(refused.contains("it is gone: --force brings it back as it was"), "{refused}");
    home.said(&["install", "--undo", "--yes", "--force"]);
    assert_eq!(home.text(CURSOR.file), TWO);
}

#[test]
fn without_its_copy_a_file_stays_and_the_copy_is_named() {
    for (text, words) in [(None, "cannot be read"), (Some("{}"), "was changed")] {
        let home = Home::new().with(CURSOR, TWO);
        home.said(&["install", "--yes"]);
        let copy = home.path(".cursor/mcp.json.before-bridge");
        text.map_or_else(|| fs::remove_file(&copy), |text| fs::write(&copy, text)).unwrap();
        let refused = home.refused(&["install", "--undo", "--yes", "--force"]);
        let said = "it cannot come back: its copy $ROOM/home/.cursor/mcp.json.before-bridge";
        assert!(refused.contains(said) && refused.contains(words), "{refused}");
    }
}

#[test]
fn a_record_that_cannot_be_read_says_where_the_copies_are() {
    let home = Home::new().with(CURSOR, TWO);
    home.said(&["install", "--yes"]);
    home.write(".local/share/bridge/install.json", "{");
    for args in [&["install", "--undo", "--yes"][..], &["install", "--move-servers", "--yes"]] {
        let refused = home.refused(args);
        assert!(
            refused.contains("install.json does not say any more what was changed; the copies beside"),
            "{refused}"
        );
    }
}

#[test]
fn a_death_between_the_record_and_the_file_loses_nothing() {
    let home = Home::new().with(CURSOR, TWO);
    let before = home.things();
    home.said(&["install", "--yes"]);
    // As if it had died before the file was replaced.
    home.write(CURSOR.file, TWO);
    let said = home.said(&["install", "--undo", "--yes"]);
    assert!(said.contains("  is as it was before\n"), "{said}");
    assert_eq!(home.things(), before);
}

#[test]
fn a_death_at_any_moment_can_be_taken_back() {
    let data = |name: &str| format!("{DATA}/{name}");
    let moments = [
        data("install.lock"),
        data("install.json"),
        CONFIG.to_owned(),
        format!("{}.before-bridge", ZED.file),
    ];
    for moment in moments {
        let home =
            Home::new().with(CURSOR, TWO).with(ZED, "{\"context_servers\": {\"b\": {\"command\": \"y\"}}}");
        let before = kept(&home);
        let mut child =
            home.command(&["install", "--move-servers", "--yes"]).stdout(Stdio::null()).spawn().unwrap();
        wait_until("it is so far", || home.path(&moment).exists());
        child.kill().unwrap();
        child.wait().unwrap();
        home.said(&["install", "--undo", "--yes"]);
        assert_eq!(kept(&home), before, "{moment}");
        home.said(&["install", "--move-servers", "--yes"]);
        assert_eq!(home.entry(ZED), home.usual_entry(ZED));
    }
}

/// All files but what a death in the middle of writing leaves: a half-written file, a copy that nobody knows of.
fn kept(home: &Home) -> BTreeMap<PathBuf, Thing> {
    let mut things = home.things();
    things.retain(|path, thing| {
        let name = path.file_name().unwrap().to_str().unwrap();
        *thing != Thing::Folder && !name.starts_with(".bridge-") && !name.contains(".before-bridge")
    });
    things
}
