//! The verbs for people: data on stdout, the rest on stderr, and an exit code that a script can trust.

use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Room;

const VERBS: [&str; 26] = [
    "add",
    "import",
    "list",
    "remove",
    "enable",
    "disable",
    "serve",
    "hub",
    "install",
    "doctor",
    "status",
    "logs",
    "top",
    "stop",
    "start",
    "upgrade",
    "reload",
    "restart",
    "tools",
    "approve",
    "stats",
    "dashboard",
    "export",
    "sessions",
    "demo",
    "completions",
];

#[track_caller]
fn json_of(room: &Room, args: &[&str]) -> Value {
    serde_json::from_str(&room.said(args)).unwrap()
}

/// A room with a record: one client gone, one that crashed, one that is here; returned with the last.
fn used() -> (Room, crate::support::Bridge) {
    let room = Room::new()
        .server("s", &["on tools/call fails: iserror no", "on tools/call dies: exit 3"])
        .server("t", &[]);
    let mut gone = room.start();
    gone.initialize();
    for tool in ["s__echo", "s__echo", "s__fails", "s__dies", "t__echo"] {
        gone.call(tool, json!({}));
    }
    gone.end();
    let mut crashed = room.start();
    crashed.initialize();
    crashed.call("s__echo", json!({}));
    crashed.signal(Signal::KILL);
    crashed.wait_exit();
    let mut here = room.start();
    here.initialize();
    here.wait_for_log("recovered after a crash");
    here.call("s__echo", json!({}));
    (room, here)
}

#[test]
fn every_verb_has_a_manual_page() {
    let room = Room::new();
    let folder = room.path("man");
    room.said(&["__man", folder.to_str().unwrap()]);
    for verb in VERBS {
        let page = std::fs::read_to_string(folder.join(format!("bridge-{verb}.1"))).unwrap();
        assert!(page.contains("Example"), "bridge-{verb}.1 shows no example");
    }
    assert!(std::fs::read_to_string(folder.join("bridge.1")).unwrap().contains("bridge\\-stats(1)"));
    assert!(!folder.join("bridge-__sample.1").exists() && !folder.join("bridge-help.1").exists());
    let a_page = folder.join("bridge.1");
    let (code, _, bad) = room.run(&["__man", a_page.to_str().unwrap()]);
    assert!(code == Some(1) && bad.contains("cannot write manual pages into"), "{bad}");
}

#[test]
fn stats_tell_calls_errors_and_rates_of_every_tool() {
    let (room, _here) = used();
    let screen = room.said(&["stats"]);
    let (head, table) = screen.split_once("\n\n").unwrap();
    assert!(head.starts_with("sessions  3 total, 1 active, "), "{head}");
    assert!(head.ends_with("calls     7 in all"), "{head}");
    // How long they took differs from run to run.
    let columns = |line: &str| line.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
    insta::assert_snapshot!(table.lines().map(columns).collect::<Vec<_>>().join("\n"), @r"
    SERVER TOOL CALLS ERRORS RATE
    s echo 4 0 0.0%
    s dies 1 1 100.0%
    s fails 1 1 100.0%
    t echo 1 0 0.0%
    ");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    assert!(!screen.contains('\u{1b}'), "no colour where no terminal is");
}

#[test]
fn stats_in_json_hold_the_four_head_figures_and_every_tool() {
    let (room, _here) = used();
    let stats = json_of(&room, &["stats", "--json"]);
    let head = &stats["mcpSessions"];
    assert_eq!(head.as_object().unwrap().len(), 4, "{head}");
    assert_eq!((&head["total"], &head["active"], &head["totalToolCalls"]), (&json!(3), &json!(1), &json!(7)));
    assert!(head["avgDurationSeconds"].is_f64(), "{head}");
    let mut tool =
        stats["tools"].as_array().unwrap().iter().find(|tool| tool["tool"] == "fails").unwrap().clone();
    for varies in ["p50Ms", "p95Ms", "requestBytes", "responseBytes"] {
        assert!(tool[varies].as_f64().is_some_and(|figure| figure > 0.0), "{tool}");
        tool[varies] = json!("a figure");
    }
    assert!(tool["lastUsed"].as_str().unwrap().ends_with('Z'), "{tool}");
    tool["lastUsed"] = json!("a time");
    insta::assert_snapshot!(format!("{tool:#}"), @r#"
    {
      "calls": 1,
      "cancelled": 0,
      "errorRate": 1.0,
      "errors": 1,
      "lastUsed": "a time",
      "p50Ms": "a figure",
      "p95Ms": "a figure",
      "requestBytes": "a figure",
      "responseBytes": "a figure",
      "server": "s",
      "tool": "fails"
    }
    "#);
    let of_one = json_of(&room, &["stats", "--json", "--server", "t"]);
    assert_eq!(of_one["tools"].as_array().unwrap().len(), 1);
    assert_eq!(of_one["mcpSessions"]["totalToolCalls"], of_one["tools"][0]["calls"], "of that server alone");
    let of_a_day = json_of(&room, &["stats", "--json", "--since", "24h"]);
    assert_eq!(of_a_day["tools"], stats["tools"]);
    let of_the_future = json_of(&room, &["stats", "--json", "--since", "2099-01-01T00:00:00Z"]);
    assert_eq!(of_the_future["tools"], json!([]));
}

#[test]
fn stats_by_client_and_by_server_tell_the_same_calls() {
    let (room, _here) = used();
    let calls = |by: &str, list: &str| {
        let told = json_of(&room, &["stats", "--by", by, "--json"]);
        let rows = told[list].as_array().unwrap().clone();
        rows.iter().map(|row| (row[by].clone(), row["calls"].as_u64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(calls("server", "servers"), [(json!("s"), 6), (json!("t"), 1)]);
    let clients: u64 = calls("client", "clients").iter().map(|(_, calls)| calls).sum();
    let days: u64 = calls("day", "days").iter().map(|(_, calls)| calls).sum();
    let hours: u64 = calls("hour", "hours").iter().map(|(_, calls)| calls).sum();
    assert_eq!((clients, days, hours), (7, 7, 7));
    let errors = json_of(&room, &["stats", "--errors", "--json"]);
    let told = errors["errors"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|error| (&error["tool"], &error["outcome"], &error["errorKind"])).collect();
    assert_eq!(
        told,
        [
            (&json!("dies"), &json!("outcome_unknown"), &json!("crashed")),
            (&json!("fails"), &json!("tool_error"), &Value::Null),
        ]
    );
    let csv = room.said(&["stats", "--errors", "1", "--csv"]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let histogram = json_of(&room, &["stats", "--histogram", "--json", "--server", "s"]);
    let counted: u64 =
        histogram["latency"].as_array().unwrap().iter().map(|column| column["calls"].as_u64().unwrap()).sum();
    assert_eq!((counted, &histogram["calls"]), (6, &json!(6)));
    for screen in [&["stats", "--by", "hour"][..], &["stats", "--errors"], &["stats", "--histogram"]] {
        let screen = room.said(screen);
        assert!(screen.is_ascii() || screen.contains('µ'), "no locale says that there are blocks: {screen}");
        assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    }
}

#[test]
fn an_average_of_nothing_is_null() {
    let room = Room::new();
    let mut bridge = room.start();
    bridge.initialize();
    bridge.status();
    assert_eq!(json_of(&room, &["stats", "--json"])["mcpSessions"]["avgDurationSeconds"], Value::Null);
    assert!(room.said(&["stats"]).contains("1 active, - on average"));
}

#[test]
fn sessions_tell_who_is_here_and_how_the_others_ended() {
    let (room, here) = used();
    let sessions = json_of(&room, &["sessions", "--json"]);
    let states: Vec<_> = sessions.as_array().unwrap().iter().map(|session| &session["state"]).collect();
    assert_eq!(states, ["active", "crashed", "closed"], "the newest first");
    let active = json_of(&room, &["sessions", "--active", "--json"]);
    assert_eq!((active.as_array().unwrap().len(), &active[0]["pid"]), (1, &json!(here.pid())));
    let limited = json_of(&room, &["sessions", "--limit", "2", "--json"]);
    assert_eq!(limited.as_array().unwrap().len(), 2);
    let screen = room.said(&["sessions"]);
    let states: Vec<_> = screen.lines().skip(1).map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(states, ["active", "crashed", "end_of_input"], "{screen}");
}

#[test]
fn before_the_first_client_there_is_nothing_and_no_error() {
    let room = Room::new();
    let place = room.data().display().to_string();
    for verb in ["stats", "sessions"] {
        let nothing = format!(
            "Nothing is recorded yet in {place}.\nIt begins with the first client of `bridge serve`.\n"
        );
        assert_eq!(room.said(&[verb]), nothing, "{verb}");
    }
    assert_eq!(json_of(&room, &["sessions", "--json"]), json!([]));
    insta::assert_snapshot!(room.said(&["stats", "--json"]), @r#"
    {
      "mcpSessions": {
        "active": 0,
        "avgDurationSeconds": null,
        "total": 0,
        "totalToolCalls": 0
      },
      "server": null,
      "since": null,
      "tool": null,
      "tools": [],
      "until": null
    }
    "#);
    assert!(!room.path("data/bridge.db").exists(), "looking makes nothing");
}

#[test]
fn a_data_folder_that_is_a_file_is_said_to_be_none() {
    let room = Room::new();
    let file = room.path("file");
    std::fs::write(&file, "x").unwrap();
    for verb in ["stats", "sessions"] {
        let (code, _, said) = room.run(&[verb, "--data-dir", file.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{verb}: {said}");
        let record = file.join("bridge.db");
        assert!(said.contains(&format!("there is no way to a record at {}", record.display())), "{said}");
    }
}

#[test]
fn a_beginning_that_is_none_is_an_error_that_says_what_would_be_good() {
    let room = Room::new();
    let (code, stdout, stderr) = room.run(&["stats", "--since", "yesterday"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(stderr, @"error: --since `yesterday` is neither a duration (90m, 24h, 7d), nor a day (2026-11-21), nor a time (2026-11-21T00:00:00Z)");
}

#[test]
fn words_that_are_not_understood_exit_with_2() {
    let room = Room::new();
    for args in [
        &["dance"][..],
        &["stats", "--sinc", "1h"],
        &["completions", "nosh"],
        &["sessions", "--limit", "x"],
        &["stats", "--by", "week"],
        &["stats", "--by", "day", "--errors"],
        &["stats", "--histogram", "--by", "day"],
        &["stats", "--csv", "--json"],
        &["stats", "--errors", "all"],
    ] {
        let (code, stdout, stderr) = room.run(args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[test]
fn a_record_that_cannot_be_read_exits_with_1() {
    let room = Room::new();
    std::fs::write(room.path("data/bridge.db"), "no database ".repeat(1000)).unwrap();
    for verb in ["stats", "sessions"] {
        let (code, stdout, stderr) = room.run(&[verb]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{verb}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[test]
fn every_help_has_an_example_and_fits_80_columns_and_every_verb_is_listed() {
    let room = Room::new();
    let all = room.said(&["--help"]);
    assert!(all.contains("Examples:") && !all.contains("__"), "{all}");
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb} in {all}");
    }
    for help in VERBS.map(|verb| room.said(&[verb, "--help"])).iter().chain([&all]) {
        assert!(help.contains("Example"), "{help}");
        // What stands in this room's variables is shown too.
        let wide = help.lines().find(|line| line.chars().count() > 80 && !line.contains("[env: "));
        assert_eq!(wide, None);
    }
}

#[test]
fn the_version_is_the_packages() {
    let room = Room::new();
    assert_eq!(room.said(&["--version"]), concat!("bridge ", env!("CARGO_PKG_VERSION"), "\n"));
    let newer = room.program_of("newer", "9.9.9");
    let said = std::process::Command::new(newer).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "bridge 9.9.9\n");
}

#[test]
fn every_shell_gets_its_completions() {
    let room = Room::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = room.said(&["completions", shell]);
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{shell}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_fault() {
    let (room, _here) = used();
    for args in [
        &["stats"][..],
        &["stats", "--json"],
        &["sessions"],
        &["completions", "bash"],
        &["demo"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = room.command(args);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{args:?}: {:?} {stderr}", output.status);
    }
}

#[test]
fn the_demo_shows_three_deaths_in_time_and_leaves_nothing_behind() {
    let room = Room::new();
    std::fs::create_dir(room.path("tmp")).unwrap();
    let room = { room.path("tmp").to_str().map(str::to_owned).map(|tmp| room.env("TMPDIR", &tmp)).unwrap() };
    let before = Instant::now();
    let told = room.said(&["demo"]);
    assert!(before.elapsed().as_secs() < 20, "{:?}", before.elapsed());
    let (steps, stats) = told.split_once("What `bridge stats` says of it:").unwrap();
    for step in [
        "panics inside the bridge",
        "the sample server is dead",
        "started again",
        "the bridge's hub is dead, in the middle of a call",
        "The bridge's hub died while the call ran",
        "it calls again, in the same session: \"what death?\" (hub started again as",
    ] {
        assert!(steps.contains(step), "{step:?} in {steps}");
    }
    assert!(
        steps
            .trim_end()
            .lines()
            .all(|line| line[..6].trim().parse::<u32>().is_ok() && line[6..].starts_with(" ms  ")),
        "{steps}"
    );
    assert!(stats.contains("sessions  1 total, 0 active") && stats.contains("sample "), "{stats}");
    assert_eq!(std::fs::read_dir(room.path("tmp")).unwrap().count(), 0);
    assert!(!room.path("data/bridge.db").exists(), "the user's own record is not touched");
}
