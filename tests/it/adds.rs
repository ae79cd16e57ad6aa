//! Servers are added, removed, switched and listed: only what is meant changes in the file, and everything is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Room, alive, check_gone, fake_server, send_signal, wait_for, wait_until};

/// A room with a configuration that verbs may change, and what it holds.
fn room(text: &str) -> Room {
    Room::new().config("own.toml", text)
}

/// A script of a server, to be named behind `fake-server --script`.
fn script(room: &Room, lines: &[&str]) -> String {
    let file = room.path("scripts/play");
    fs::write(&file, lines.join("\n").replace("$ROOM", room.path("").to_str().unwrap())).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Adds a server that plays a script: exit code, stdout, stderr, without what differs from run to run.
fn add(room: &Room, options: &[&str], lines: &[&str]) -> (Option<i32>, String, String) {
    let script = script(room, lines);
    let args = [&["add", "new"], options, &["--", fake_server(), "--script", &script]].concat();
    let (code, out, err) = room.run(&args);
    let wide = out.lines().find(|line| line.chars().count() > 80 && !line.contains("/"));
    assert_eq!(wide, None);
    (code, plain(room, &out), plain(room, &err))
}

fn plain(room: &Room, text: &str) -> String {
    let text = text.replace(fake_server(), "$FAKE").replace(room.path("").to_str().unwrap(), "$ROOM");
    let took = |word: &str| {
        let number = word.trim_end_matches([',', ')']);
        let is_time = ["ms", "µs", "s"]
            .iter()
            .any(|unit| number.strip_suffix(unit).is_some_and(|number| number.parse::<f64>().is_ok()));
        if is_time { word.replace(number, "TIME") } else { word.to_owned() }
    };
    let words = |line: &str| line.split(' ').map(took).collect::<Vec<_>>().join(" ");
    let text = text.lines().map(words).collect::<Vec<_>>().join("\n");
    match text.split_once("(process ") {
        Some((before, rest)) => format!("{before}(process PID){}", rest.split_once(')').unwrap().1),
        None => text,
    }
}

const MINE: &str =
    "# mine\r\n[settings] # é\r\nhang_after   =  4\r\n\r\n[servers.old]\r\ncommand = 'x' # it\r\n";

#[test]
fn a_server_that_works_is_added_and_shows_what_it_has() {
    let room = room(MINE);
    let (code, out, err) = add(
        &room,
        &["--env", "A=s3cr3t", "--env", "HOME", "--scope", "session"],
        &[r#"tool get {"description":"Gets it.\nAll of it."}"#, "tool put", "prompt p"],
    );
    insta::assert_snapshot!(out, @r#"
    added to $ROOM/own.toml:

      [servers.new]
      command = "$FAKE"
      args = ["--script", "$ROOM/scripts/play"]
      env = { A = "***", HOME = "${env:HOME}" }
      scope = "session"

    warning: others may read this file, which holds what servers are given:
      $ROOM/own.toml

    new was ready in TIME (process PID)
      program   $FAKE
      server    fake 1, protocol 2025-11-25
      start     process after TIME, handshake after TIME, lists after TIME
      offers    2 tools (168 bytes), 1 prompt

    TOOL  BYTES  DESCRIPTION
    get      83  Gets it.
    put      85  put of the fake server
    "#);
    insta::assert_snapshot!(err, @r"
    new: starting
    new: ready in TIME
    ");
    assert_eq!(code, Some(0));
    let added = room.text("own.toml").strip_prefix(MINE).unwrap().to_owned();
    assert!(added.starts_with("\r\n[servers.new]\r\ncommand = "), "{added}");
    let ends = "env = { A = \"s3cr3t\", HOME = \"${env:HOME}\" }\r\nscope = \"session\"\r\n";
    assert!(added.ends_with(ends), "{added}");
    room.said(&["remove", "new"]);
    assert_eq!(room.text("own.toml"), MINE);
    assert!(!room.path("data/bridge.db").exists(), "nothing of it is recorded");
}

#[test]
fn a_server_that_fails_says_why_and_stays() {
    let check = |lines: &[&str], settings: &str| {
        let room = room(settings);
        let (code, out, err) = add(&room, &[], lines);
        assert_eq!(code, Some(1), "{out}");
        assert!(room.text("own.toml").contains("[servers.new]"));
        let told = out.split_once("\n\nnew did not").unwrap().1.to_owned();
        (format!("new did not{told}"), err)
    };
    let (out, err) = check(&["on start: stderr KeyError: 'TOKEN'; exit 3"], "");
    insta::assert_snapshot!(out, @r"
    new did not become ready: it ended before it was ready (exit code 3)
      program   $FAKE
      cause     exited_before_ready, after TIME
      it wrote  KeyError: 'TOKEN'
      to do     What it wrote says why; run its command in a terminal to see more.
    ");
    insta::assert_snapshot!(err, @r"
    new: starting
    new: failed: it ended before it was ready (exit code 3)
    error: new did not start, see above; new stays in $ROOM/own.toml; bridge remove new takes it out
    ");
    let garbage = ["on initialize: garbage Welcome to my server; exit 1"];
    insta::assert_snapshot!(check(&garbage, "").0, @r"
    new did not become ready: it ended before it was ready (exit code 1)
      program   $FAKE
      cause     exited_before_ready, after TIME
      it wrote  [stdout] Welcome to my server
      to do     What it wrote says why; run its command in a terminal to see more.
    ");
}

#[test]
fn a_command_that_is_not_there_is_said_to_be_none() {
    let room = room("");
    let (code, out, err) = room.run(&["add", "new", "--", "no-such-program-here"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(plain(&room, &out), @r#"
    added to $ROOM/own.toml:

      [servers.new]
      command = "no-such-program-here"

    new did not become ready: it could not be started: the command
      "no-such-program-here" was not found; give its absolute path, or add its
      folder to PATH
      cause     not_found, after TIME
      to do     See whether it is spelled right and installed, or name its absolute
                path.
    "#);
    insta::assert_snapshot!(plain(&room, &err), @r#"
    new: starting
    new: failed: it could not be started: the command "no-such-program-here" was not found; give its absolute path, or add its folder to PATH
    error: new did not start, see above; new stays in $ROOM/own.toml; bridge remove new takes it out
    "#);
}

#[test]
fn a_server_can_be_added_without_a_start() {
    let room = room("");
    let script = script(&room, &["count $ROOM/pids"]);
    let new = ["--", fake_server(), "--script", &script];
    room.said(&[&["add", "new", "--no-start"][..], &new].concat());
    let out = room.said(&[&["add", "off", "--disabled"][..], &new].concat());
    assert!(out.ends_with("\nIt is switched off: bridge enable off switches it on.\n"), "{out}");
    assert!(!room.path("pids").exists());
}

#[test]
fn nothing_is_left_when_somebody_interrupts_it() {
    let room = room("");
    let script = script(&room, &["count $ROOM/pids", "ignore-term", "on initialize: hang"]);
    let mut command = room.command(&["add", "new", "--", fake_server(), "--script", &script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = wait_for("it was started", || room.pids("pids").pop());
    send_signal(child.id(), Signal::INT);
    let code = child.wait().unwrap().code();
    check_gone(&[pid]);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: new stays in ") && said.contains("caused by: interrupted"), "{said}");
    // A second time, by the guard alone.
    room.said(&["remove", "new"]);
    let mut child = room.command(&["add", "new", "--", fake_server(), "--script", &script]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = wait_for("it was started", || room.pids("pids").into_iter().find(|other| *other != pid));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("its server is gone", || !alive(pid));
}

#[test]
fn a_bridge_that_runs_hears_of_it() {
    let room = room("[servers.old]\ncommand = 'no-such-program'\n");
    let _bridge = room.start_with_door();
    let (code, out, _) = add(&room, &[], &[]);
    assert!(code == Some(0) && out.contains("\nThe bridge that runs hears of it by itself.\n"), "{out}");
    assert_eq!(
        room.said(&["disable", "new", "old"]),
        "new is switched off\nold is switched off\nThe bridge that runs hears of it by itself.\n"
    );
    assert_eq!(room.said(&["disable", "new"]), "new was already off\n");
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_touched() {
    let check = |text: &str, args: &[&str], said: &str| {
        let room = room(text);
        let (code, out, err) = room.run(args);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{args:?}: {err}");
        assert!(plain(&room, &err).contains(said), "{args:?}: {err}");
        assert_eq!(room.text("own.toml"), text);
    };
    let two = "[servers.github]\ncommand = 'x'\n[servers.'a b']\ncommand = 'y'\n";
    let add = ["add", "日本", "--", "x"];
    check(two, &add, "\"日本\" cannot be its name\ncaused by: a server's name needs a letter or a digit");
    check(
        two,
        &["add", "github", "--", "x"],
        "$ROOM/own.toml has a server \"github\" already: bridge remove github",
    );
    check(two, &["add", "a_b", "--", "x"], "has a server \"a b\", whose tools would have the same names");
    check(two, &["add", "bridge", "--", "x"], "give the server another name");
    check(two, &["add", "(bridge)", "--", "x"], "(bridge) stands for the bridge's own tools");
    check(two, &["add", "w", "--", "bridge", "serve"], "own.toml: it is the bridge itself");
    check(two, &["add", "w", "--url", "example.org"], "must begin with https:// or http://");
    check(
        two,
        &["add", "w", "--url", "https://x", "--header", "s3cr3t"],
        "a --header needs a name and a value",
    );
    check(two, &["add", "w", "--env", "A=${input:x}", "--", "x"], "only ${env:NAME} can be referred to");
    check(two, &["remove", "gihtub"], "$ROOM/own.toml has no server \"gihtub\": did you mean github?");
    check(two, &["enable", "github", "z"], "has no server \"z\": there are github, a b");
    check(
        "[servers\n",
        &["add", "w", "--", "x"],
        "cannot be understood, repair it first: line 1: not valid TOML",
    );
    check("{}", &["add", "w", "--", "x"], "is JSON: only TOML is edited, name a config.toml");
    check("servers = { a.command = 'x' }\n", &["remove", "a"], "in a form that is not edited here");
    check("", &["disable", "x"], "has no server \"x\": it has no servers");
    let room = Room::new().config("own.toml", two);
    fs::set_permissions(room.path("own.toml"), fs::Permissions::from_mode(0o400)).unwrap();
    let (code, _, err) = room.run(&["remove", "github"]);
    assert!(code == Some(1) && err.contains("own.toml is read-only: allow writing to it"), "{err}");
    // What is no command line is clap's.
    for args in [
        &["add", "x"][..],
        &["add", "x", "--scope", "tread", "--", "y"],
        &["add", "x", "--header", "a:b", "--", "y"],
    ] {
        assert_eq!(room.run(args).0, Some(2), "{args:?}");
    }
}

#[test]
fn a_link_stays_one_and_the_mode_too_and_what_is_missing_is_made() {
    let room = Room::new().config("real.toml", MINE);
    let (real, link) = (room.path("real.toml"), room.path("link.toml"));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.toml", &link).unwrap();
    let config = link.to_str().unwrap();
    room.said(&["add", "new", "--config", config, "--disabled", "--", "./server"]);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let home: PathBuf = room.path("home").canonicalize().unwrap();
    assert!(
        room.text("real.toml").contains(home.join("server").to_str().unwrap()),
        "{}",
        room.text("real.toml")
    );
    room.said(&["remove", "new", "--config", config]);
    assert_eq!(room.text("real.toml"), MINE);
    let new = room.path("made/for/it.toml");
    let out =
        room.said(&["add", "web", "--config", new.to_str().unwrap(), "--url", "https://example.org/mcp"]);
    assert!(out.ends_with("\nIt is stored; it is used when servers over HTTP can be reached.\n"), "{out}");
    assert_eq!(fs::read_to_string(&new).unwrap(), "[servers.web]\nurl = \"https://example.org/mcp\"\n");
    assert_eq!(new.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

const LISTED: &str = r#"
[servers.time]
command = "uvx"
args = ["mcp-server-time", "--token", "s3cr3t", "a", "longer", "and", "longer", "line", "of", "them"]
env = { KEY = "s3cr3t" }
[servers.off]
command = "x"
enabled = false
scope = "session"
[servers.web]
url = "https://me:s3cr3t@example.org/mcp?key=s3cr3t"
headers = { Authorization = "Bearer s3cr3t" }
[servers.bad]
comand = "x"
"#;

#[test]
fn servers_are_listed_without_secrets() {
    let room = room(LISTED);
    let out = room.said(&["list"]);
    let (table, rest) = out.split_once("\n\n").unwrap();
    insta::assert_snapshot!(table, @r"
    SERVER  STATE    SCOPE    STARTS
    time    on       shared   uvx mcp-server-time --token *** a longer and longer …
    off     off      session  x
    web     later             https://***@example.org/mcp?***
    bad     mistake
    ");
    // Where a line is broken depends on how long a path is.
    let rest = plain(&room, &rest.split_whitespace().collect::<Vec<_>>().join(" "));
    insta::assert_snapshot!(rest.replace(" mistake:", "\nmistake:").replace(" note:", "\nnote:"), @r#"
    $ROOM/own.toml
    mistake: $ROOM/own.toml:13:10: servers.bad: needs a "command" to start the server with
    mistake: $ROOM/own.toml:14:1: servers.bad.comand: unknown key, did you mean "command"?
    note: $ROOM/own.toml:10:10: servers.web: kept, and not used yet: the bridge cannot reach servers over HTTP
    "#);
    let told = room.said(&["list", "--json"]);
    assert!(!out.contains("s3cr3t") && !told.contains("s3cr3t"), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["servers"].as_array().unwrap().len(), 4);
    insta::assert_snapshot!(format!("{:#}", told["servers"][0]), @r#"
    {
      "args": [
        "mcp-server-time",
        "--token",
        "***",
        "a",
        "longer",
        "and",
        "longer",
        "line",
        "of",
        "them"
      ],
      "command": "uvx",
      "cwd": null,
      "env": [
        "KEY"
      ],
      "name": "time",
      "scope": "shared",
      "state": "on"
    }
    "#);
    insta::assert_snapshot!(format!("{:#}", told["servers"][2]), @r#"
    {
      "headers": [
        "Authorization"
      ],
      "name": "web",
      "state": "later",
      "url": "https://***@example.org/mcp?***"
    }
    "#);
    assert_eq!((&told["exists"], &told["mistakes"].as_array().unwrap().len()), (&json!(true), &2));
}

#[test]
fn where_there_is_no_configuration_it_is_said_how_to_begin() {
    let room = Room::new().config("own.toml", "");
    assert_eq!(
        plain(&room, &room.said(&["list"])),
        "There are no servers yet: bridge add NAME -- COMMAND adds one.\n\n$ROOM/own.toml"
    );
}
