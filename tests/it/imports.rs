//! Servers of another file come into the configuration, and that file is only read.

use std::fs;

use crate::support::Room;

const OWN: &str =
    "# mine\n[servers.time]\ncommand = 'other'\n\n[servers.same]\ncommand = \"x\"\nargs = [\"y\"]\n";

const CLIENTS: &str = r#"{"mcpServers": {
  "github": {"command": "npx", "args": ["-y", "server-github"], "env": {"TOKEN": "s3cr3t", "HOME": "${env:HOME}"}, "timeout": 5},
  "time": {"command": "uvx", "disabled": true},
  "same": {"command": "x", "args": ["y"]},
  "web": {"url": "https://example.org/mcp"},
  "asks": {"command": "x", "args": ["${input:key}"]}
}}"#;

/// A room with a configuration and another file, and both words for `bridge import`.
fn room(name: &str, text: &str) -> (Room, String) {
    let room = Room::new().config("own.toml", OWN);
    let file = room.path(name);
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (room, file)
}

fn plain(room: &Room, text: &str) -> String {
    text.replace(room.path("").to_str().unwrap(), "$ROOM")
}

#[test]
fn what_a_client_has_comes_and_the_rest_is_told() {
    let (room, file) = room("mcp.json", CLIENTS);
    let shown = room.said(&["import", &file, "--dry-run"]);
    insta::assert_snapshot!(plain(&room, &shown), @r#"
    $ROOM/mcp.json
      takes github without its timeout
      takes time as time-2 (the bridge has another time)
      has same already
      leaves web: it is reached over HTTP, which the bridge cannot do yet
      leaves asks: it has ${input:…} in "args", which only Cursor fills in

    --- $ROOM/own.toml
    +++ $ROOM/own.toml
    @@ -7,0 +8,9 @@
    +
    +[servers.github]
    +command = "npx"
    +args = ["-y", "server-github"]
    +env = { TOKEN = "***", HOME = "${env:HOME}" }
    +
    +[servers.time-2]
    +command = "uvx"
    +enabled = false
    "#);
    assert_eq!(room.text("own.toml"), OWN);
    let (code, _, err) = room.run(&["import", &file]);
    assert!(code == Some(1) && err.contains("nobody can be asked here, say --yes"), "{err}");
    assert_eq!(room.text("own.toml"), OWN);
    assert!(room.said(&["import", &file, "--yes"]).contains("\nwrote "));
    let added = room.text("own.toml").strip_prefix(OWN).unwrap().to_owned();
    insta::assert_snapshot!(added, @r#"
    [servers.github]
    command = "npx"
    args = ["-y", "server-github"]
    env = { TOKEN = "s3cr3t", HOME = "${env:HOME}" }

    [servers.time-2]
    command = "uvx"
    enabled = false
    "#);
    assert_eq!(room.text("mcp.json"), CLIENTS);
    let again = room.said(&["import", &file, "--yes"]);
    assert!(again.contains("  has github already\n"), "{again}");
}

#[test]
fn another_configuration_comes_where_nothing_of_it_is_lost() {
    let text = "[servers.new]\ncommand = './server'\nscope = 'thread'\n[servers.slow]\ncommand = 'x'\nstart_timeout_s = 9\n\
                [servers.web]\nurl = 'https://x'\n[servers.bad]\ncomand = 'x'\n";
    let (room, file) = room("old.toml", text);
    let out = room.said(&["import", &file, "--yes"]);
    insta::assert_snapshot!(plain(&room, &out), @r#"
    $ROOM/old.toml
      takes new
      leaves slow: it has keys that are not taken over (limits, tools): copy its
        section by hand
      leaves web: it is reached over HTTP, which the bridge cannot do yet
      leaves bad: it has a mistake in its entry

    --- $ROOM/own.toml
    +++ $ROOM/own.toml
    @@ -7,0 +8,4 @@
    +
    +[servers.new]
    +command = "$ROOM/./server"
    +scope = "thread"

    wrote $ROOM/own.toml
    warning: others may read this file, which holds what servers are given:
      $ROOM/own.toml
    "#);
    assert_eq!(room.text("old.toml"), text);
    let wanted = format!(
        "{OWN}\n[servers.new]\ncommand = \"{}\"\nscope = \"thread\"\n",
        room.path("./server").display()
    );
    assert_eq!(room.text("own.toml"), wanted);
}

#[test]
fn what_cannot_be_read_is_named() {
    let (room, file) = room("mcp.json", "{\"mcpServers\": ");
    let own = room.path("own.toml").to_str().unwrap().to_owned();
    let none = room.path("none.json").to_str().unwrap().to_owned();
    let empty = room.path("empty.json").to_str().unwrap().to_owned();
    fs::write(&empty, "{}").unwrap();
    for (file, wanted) in [
        (&file, "mcp.json is not valid JSON, repair it first"),
        (&own, "own.toml is the bridge's own configuration already"),
        (&none, "none.json cannot be read"),
        (&empty, "empty.json names no servers"),
    ] {
        let (code, _, err) = room.run(&["import", file, "--yes"]);
        assert!(code == Some(1) && err.contains(wanted), "{file}: {err}");
    }
    assert_eq!(room.text("own.toml"), OWN);
}
