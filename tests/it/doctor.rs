//! `bridge doctor`: quiet where all is well, and each fault is named with what to do; nothing is changed by looking.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Room, alive, send_signal, wait_for, wait_until};

/// A server with one tool.
const SOUND: [&str; 1] = ["tool echo"];

/// What the doctor says, without what differs from run to run, and its exit code.
#[track_caller]
fn screen(room: &Room, args: &[&str]) -> (Option<i32>, String) {
    let (code, stdout, _) = room.run(&[&["doctor"], args].concat());
    assert!(!stdout.contains('\u{1b}'), "no colour where no terminal is");
    (code, settled(room, &stdout))
}

fn settled(room: &Room, text: &str) -> String {
    let text = text.replace(room.path("").to_str().unwrap(), "$ROOM");
    text.lines().map(without_figures).collect::<Vec<_>>().join("\n")
}

/// A line without how long something took, and how large something is.
fn without_figures(line: &str) -> String {
    let mut text = line.to_owned();
    if let Some((before, after)) = line.split_once("ready in ") {
        let rest = after.split_once(',').map_or("", |(_, rest)| rest);
        text = format!("{before}ready in TIME,{rest}");
    }
    if let Some((_, rest)) = line.split_once(" tools, no name") {
        // The bridge has tools of its own.
        text = format!("  ✓ N tools, no name{rest}");
    }
    for unit in [" KiB", " MiB", " GiB"] {
        if let Some((before, after)) = text.clone().split_once(unit)
            && let Some((before, _)) = before.rsplit_once(' ')
        {
            text = format!("{before} SIZE{after}");
        }
    }
    text
}

#[track_caller]
fn findings(room: &Room, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let (code, stdout, stderr) = room.run(&[&["doctor", "--json"], args].concat());
    let told: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (code, told["findings"].as_array().unwrap().clone())
}

/// The one finding of a check.
#[track_caller]
fn only(findings: &[Value], check: &str) -> Value {
    let all: Vec<&Value> = findings.iter().filter(|found| found["check"] == check).collect();
    assert_eq!(all.len(), 1, "{check} in {findings:#?}");
    all[0].clone()
}

/// What stands in a folder: each path with its mode, its size and when it was changed.
fn standing(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, found) = (entry.path(), entry.path().symlink_metadata().unwrap());
        all.insert(path.clone(), (found.mode(), found.len(), found.mtime(), found.mtime_nsec()));
        if found.is_dir() {
            all.extend(standing(&path));
        }
    }
    all
}

/// A room that is a home, so that lines are as long wherever it stands.
fn at_home() -> Room {
    let room = Room::new();
    let home = room.path("").to_str().unwrap().to_owned();
    room.env("HOME", &home).env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8")
}

/// One that a bridge was in, with a server `s`.
fn lived_in() -> Room {
    let room = at_home();
    std::os::unix::fs::symlink(crate::support::fake_server(), room.path("fake")).unwrap();
    let entry = "[servers.s]\ncommand = \"$ROOM/fake\"\nargs = [\"-e\", \"tool echo\"]\n";
    let room = room.config("config.toml", entry);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    bridge.end();
    room
}

#[test]
fn a_room_in_which_all_is_well_is_told_in_a_screen() {
    let room = lived_in();
    let (code, screen) = screen(&room, &[]);
    insta::assert_snapshot!(screen, @r"
    Configuration
      ✓ ~/config.toml: 1 server

    Data folder
      ✓ ~/data: is there, and this user's alone
      ✓ ~/data: SIZE are free on its disk
      ✓ ~/data/bridge.db: SIZE, whole

    Programs
      ✓ ~/fake: is there (for s)

    Servers
      ✓ s: ready in TIME, 1 tool, legacy era, 2025-11-25

    Names
      ✓ N tools, no name meets another, and none is cut

    Clients
      · none of the clients that bridge install knows is installed here
        → in any other client write an entry that starts: bridge serve

    Bridges that run
      ✓ none runs now; a client starts one

    All is well, with 1 note.
    ");
    assert_eq!(code, Some(0));
}

#[test]
fn looking_changes_nothing_and_takes_half_a_second_where_nothing_is_started() {
    let room = lived_in();
    let before = standing(&room.path(""));
    let begun = Instant::now();
    let (code, found) = findings(&room, &["--no-start"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((code, standing(&room.path(""))), (Some(0), before.clone()));
    assert_eq!(
        only(&found, "server.known")["message"],
        "not started now; it offered 1 tool when it was asked last"
    );
    let (_, started) = findings(&room, &[]);
    assert_eq!(standing(&room.path("")), before);
    let server = only(&started, "server.start");
    assert_eq!(
        (&server["level"], &server["tools"], &server["ready"]),
        (&json!("ok"), &json!(1), &json!(true))
    );
    assert!(server["afterMs"].is_u64() && server["protocolVersion"].is_string(), "{server}");
    let empty = Room::new();
    let before = standing(&empty.path("home"));
    findings(&empty, &[]);
    assert_eq!((standing(&empty.path("home")), standing(&empty.data())), (before, BTreeMap::new()));
}

/// A room in which much is wrong.
fn full_of_faults() -> Room {
    let room = at_home().config(
        "config.toml",
        r#"[settings]
hang_aftr = 3

[servers.fails]
command = "/bin/sh"
args = ["-c", "echo the token $TOKEN is not good >&2; exit 3"]
env = { TOKEN = "ghp_s3cr3ts3cr3ts3cr3t" }

[servers.gone]
command = "no-such-command"

[servers.unset]
command = "/bin/sh"
args = ["${env:NOT_SET_HERE}"]
cwd = "$ROOM/nowhere"

[servers.broken]
comand = "x"
"#,
    );
    fs::set_permissions(room.path("config.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(room.data(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(room.data().join("bridge.db"), "garbage ".repeat(1000)).unwrap();
    fs::set_permissions(room.data().join("bridge.db"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir_all(room.path(".cursor")).unwrap();
    let entry = json!({ "command": "/gone/bridge", "args": ["serve"] });
    let other = json!({ "command": "npx", "args": ["-y", "x"], "env": { "KEY": "s3cr3t" } });
    let servers = json!({ "mcpServers": { "bridge": entry, "gone": other } });
    fs::write(room.path(".cursor/mcp.json"), servers.to_string()).unwrap();
    fs::create_dir_all(room.path(".codeium/windsurf")).unwrap();
    fs::write(room.path(".codeium/windsurf/mcp_config.json"), "{ \"mcpServers\": ").unwrap();
    fs::create_dir_all(room.data().join("run")).unwrap();
    fs::set_permissions(room.data().join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(room.data().join("run/hub.hold"), "").unwrap();
    room
}

#[test]
fn a_room_full_of_faults_is_told_in_a_screen_without_secrets() {
    let room = full_of_faults();
    let (code, screen) = screen(&room, &[]);
    insta::assert_snapshot!(screen, @r#"
    Configuration
      ✗ ~/config.toml:2: settings.hang_aftr: unknown key, did you mean "hang_after"?
        → correct it; until then the defaults hold
      ✗ ~/config.toml:17: servers.broken: needs a "command" to start the server with
        → correct it; until then broken is left out
      ✗ ~/config.toml:18: servers.broken.comand: unknown key, did you mean
        "command"?
        → correct it; until then broken is left out
      ✗ unset: its entry refers to ${env:NOT_SET_HERE}, which is not set here
        → set NOT_SET_HERE where your client is started, or write the value into the
          entry
      ✗ unset: its folder (cwd) is not there: ~/nowhere
        → make it, or correct cwd in its entry
      ! ~/config.toml: others may read it, and it holds secrets: TOKEN (fails)
        → chmod 600 ~/config.toml, or write ${env:NAME} in the place of the value
      ✓ ~/config.toml: 3 servers

    Data folder
      ✗ ~/data/bridge.db: is damaged: file is not a database
        → bridge stop, then move it away; the next start makes a new one
      ! ~/data: others may look into it
        → chmod 700 ~/data (the next start does it, too)
      ✓ ~/data: SIZE are free on its disk

    Programs
      ✗ no-such-command: is not found (for gone)
        → install it, or add its folder to PATH, or write its absolute path
      ✓ PATH: has 2 folders here; servers get that of whoever starts the bridge
      ✓ /bin/sh: is there (for fails, unset)

    Servers
      ✗ fails: did not become ready: it ended before it was ready (exit code 3)
        │ the token *** is not good
        → What it wrote says why; run its command in a terminal to see more.

    Clients
      ✗ Cursor: starts /gone/bridge, which is not there
        → bridge install cursor
      ✗ Windsurf: its file is not valid JSON, repair it first: line 1, column 17:
        Expected value after colon in object property
        → correct ~/.codeium/windsurf/mcp_config.json; until then the client may see
          no servers at all
      ! Cursor: starts gone itself, and the bridge does so too
        → bridge install cursor --move-servers, or remove them there

    Bridges that run
      ✗ hub: is stopped and held (bridge stop --hold), so that no client is served
        → bridge start

    11 errors, 3 warnings: begin with the first error above.
    "#);
    assert_eq!(code, Some(2));
    assert!(!screen.contains("s3cr3t"), "{screen}");
    let ascii = room.env("LC_ALL", "C").run(&["doctor", "--no-start"]).1;
    assert!(ascii.is_ascii(), "{ascii}");
}

#[test]
fn the_same_in_json_has_words_that_stay() {
    let room = full_of_faults();
    let (code, stdout, _) = room.run(&["doctor", "--json"]);
    assert_eq!(code, Some(2));
    assert!(!stdout.contains("s3cr3t"), "{stdout}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let lines = told["findings"].as_array().unwrap().iter();
    let lines = lines.map(|found| {
        assert!(["message", "subject", "advice"].iter().all(|key| found.get(key).is_some()), "{found}");
        let word = |key: &str| found[key].as_str().unwrap().to_owned();
        format!("{} {}", word("level"), word("check"))
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    ok config.file
    error config.mistake
    error config.mistake
    error config.mistake
    warning config.open
    error config.variable
    error config.cwd
    warning data.mode
    ok data.disk
    error data.record
    ok program.path
    ok program.found
    error program.missing
    error server.start
    error client.gone
    warning client.doubled
    error client.file
    error bridge.held
    ");
    insta::assert_snapshot!(told["summary"].to_string(), @r#"{"errors":11,"notes":0,"ok":4,"warnings":3,"worst":"error"}"#);
    let found: Vec<Value> = told["findings"].as_array().unwrap().clone();
    let mut server = only(&found, "server.start");
    assert!(server["afterMs"].take().is_u64());
    insta::assert_snapshot!(format!("{server:#}"), @r#"
    {
      "advice": "What it wrote says why; run its command in a terminal to see more.",
      "afterMs": null,
      "cause": "exited_before_ready",
      "check": "server.start",
      "exitCode": 3,
      "level": "error",
      "message": "did not become ready: it ended before it was ready (exit code 3)",
      "output": [
        "the token *** is not good"
      ],
      "ready": false,
      "signal": null,
      "subject": "fails"
    }
    "#);
}

#[test]
fn warnings_exit_with_1_and_what_cannot_be_looked_at_with_3() {
    let room = Room::new();
    let (code, found) = findings(&room, &[]);
    assert_eq!(code, Some(1), "a configuration without servers is a warning: {found:#?}");
    let room = Room::new().server("s", &SOUND);
    let (code, stdout, stderr) = room.run(&["doctor", "nobody"]);
    assert_eq!((code, stdout.as_str()), (Some(3), ""));
    assert!(stderr.starts_with("error: There is no server \"nobody\" in "), "{stderr}");
    assert!(stderr.ends_with("config.toml, which has s\n"), "{stderr}");
}

#[test]
fn only_the_servers_that_are_named_are_started_also_one_that_is_switched_off() {
    let room = Room::new()
        .server_with("a", &["on start: count $ROOM/started", "tool echo"], "enabled = false")
        .server("b", &["on start: count $ROOM/b-started", "tool echo"]);
    let (_, found) = findings(&room, &["a"]);
    assert_eq!(only(&found, "server.start")["subject"], "a");
    assert!(!room.path("b-started").exists());
}

#[test]
fn a_server_that_was_stopped_by_hand_is_an_error() {
    let room = lived_in();
    let bridge = room.start_with_door();
    room.said(&["stop", "s"]);
    let (code, found) = findings(&room, &["--no-start"]);
    assert_eq!((code, &only(&found, "server.stopped")["advice"]), (Some(2), &json!("bridge start s")));
    bridge.end();
}

#[test]
fn a_record_of_a_newer_program_stays_as_it_is() {
    let room = lived_in();
    let record = rusqlite::Connection::open(room.data().join("bridge.db")).unwrap();
    record.pragma_update(None, "user_version", 99).unwrap();
    drop(record);
    let before = standing(&room.data());
    let (code, found) = findings(&room, &["--no-start"]);
    assert_eq!((code, &only(&found, "data.schema")["level"]), (Some(2), &json!("error")));
    assert_eq!(standing(&room.data()), before);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let room = lived_in();
    fs::set_permissions(room.data(), fs::Permissions::from_mode(0o500)).unwrap();
    let (code, found) = findings(&room, &["--no-start"]);
    fs::set_permissions(room.data(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!((code, &only(&found, "data.writable")["level"]), (Some(2), &json!("error")));
}

#[test]
fn without_a_home_folder_it_looks_at_the_rest() {
    let room = Room::new().server("s", &SOUND);
    let output = room.command(&["doctor", "--json"]).env_remove("HOME").output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["findings"].as_array().unwrap();
    assert_eq!(only(found, "server.start")["level"], "ok", "{found:#?}");
}

#[test]
fn a_hub_its_clients_and_one_that_hangs_are_told() {
    let room = lived_in().through_hub();
    let mut front = room.start();
    front.initialize();
    front.call("s__echo", json!({}));
    let (code, found) = findings(&room, &["--no-start"]);
    let running = only(&found, "bridge.running");
    assert_eq!((code, &running["clients"]), (Some(0), &json!(1)), "{found:#?}");
    let status: Value = serde_json::from_str(&room.said(&["status", "--json"])).unwrap();
    let hub = status.as_array().unwrap().iter().find_map(|it| it["hub"]["pid"].as_u64()).unwrap();
    let hub = u32::try_from(hub).unwrap();
    send_signal(hub, Signal::STOP);
    let begun = Instant::now();
    let (code, found) = findings(&room, &["--no-start"]);
    send_signal(hub, Signal::CONT);
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(code, Some(2));
    let silent = only(&found, "bridge.hub");
    assert!(silent["message"].as_str().unwrap().contains(&format!("process {hub}")), "{silent}");
}

#[test]
fn a_server_that_outlived_its_bridge_is_found_and_no_other_process() {
    let room = Room::new().server("s", &["ignore-term", "ignore-eof", "tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let rows = "SELECT pid FROM server_events WHERE event = 'ready'";
    let server = wait_for("its start is recorded", || room.rows(rows).pop());
    let server = u32::try_from(server[0].as_u64().unwrap()).unwrap();
    let (_, found) = findings(&room, &["--no-start"]);
    assert!(!found.iter().any(|found| found["check"] == "bridge.leftover"), "it has its bridge: {found:#?}");
    // Both at once, or the one replaces the other.
    bridge.signal(Signal::STOP);
    let guards = children(bridge.pid()).into_iter().filter(|pid| *pid != server);
    let guards: Vec<u32> = guards.collect();
    guards.iter().for_each(|pid| send_signal(*pid, Signal::KILL));
    bridge.kill_9();
    wait_until("the guard is gone", || !guards.iter().any(|pid| alive(*pid)));
    assert!(alive(server));
    let (code, found) = findings(&room, &["--no-start"]);
    send_signal(server, Signal::KILL);
    let leftover = only(&found, "bridge.leftover");
    assert_eq!((code, &leftover["pid"], &leftover["subject"]), (Some(1), &json!(server), &json!("s")));
    wait_until("it is gone", || !alive(server));
    let (_, found) = findings(&room, &["--no-start"]);
    assert!(!found.iter().any(|found| found["check"] == "bridge.leftover"), "{found:#?}");
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit(") ").next().unwrap_or_default().to_owned();
        after.split(' ').nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}
