//! What can be wrong with bridges that run and died, and when nothing is.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::control::NoAnswer;

const NOW_MS: i64 = 1_800_000_000_000;

fn process(pid: u32, parent: u32, age_ms: i64, words: &[&str]) -> Process {
    let words = words.iter().map(|&word| word.to_owned()).collect();
    Process { pid, parent, age_ms, words, is_replaced: false }
}

fn hub(version: &str) -> Option<Value> {
    Some(json!({ "pid": 4_000, "version": version, "fronts": [
        { "pid": 4_001, "version": version }, { "pid": 4_002, "version": version::own() },
    ] }))
}

fn started(server: &str, pid: u32, ago_ms: i64) -> StartRow {
    StartRow { at_ms: NOW_MS - ago_ms, server: server.into(), pid }
}

fn found(seen: &Seen) -> String {
    let lines = look(seen, NOW_MS).into_iter().map(|found| {
        let advice = found.advice.map(|advice| format!(" -> {advice}")).unwrap_or_default();
        format!("{} {} {}: {}{advice}", found.level.word(), found.check, found.subject, found.message)
    });
    lines.collect::<Vec<_>>().join("\n").replace(version::own(), "OWN")
}

#[test]
fn no_bridge_and_a_sound_one_are_quiet() {
    assert_eq!(found(&Seen::default()), "ok bridge.running : none runs now; a client starts one");
    let seen = Seen { hub: hub(version::own()), ..Seen::default() };
    assert_eq!(found(&seen), "ok bridge.running : hub 4000, and 2 clients");
}

#[test]
fn what_hangs_is_held_or_was_rolled_back_is_said() {
    let late = || NoAnswer::Late(Duration::from_secs(2));
    let seen = Seen {
        asked: vec![Asked { pid: Some(5_000), answer: Err(late()) }],
        error: Some(format!("{} (process 4000)", late())),
        is_held: true,
        rolled_back: Some(RolledBack {
            path: "/home/u/Downloads/bridge".into(),
            because: "it was not ready within 5 s".into(),
            at: "2026-11-21T03:40:00Z".into(),
        }),
        ..Seen::default()
    };
    insta::assert_snapshot!(found(&seen), @r"
    error bridge.silent bridge 5000: did not answer within 2 s -> if it stays so, end it: kill 5000; its client starts it again, or has to be restarted
    error bridge.hub hub: gives no answer: did not answer within 2 s (process 4000) -> end it with bridge stop, or by its process; the next request starts another
    error bridge.held hub: is stopped and held (bridge stop --hold), so that no client is served -> bridge start
    warning bridge.rolled-back /home/u/Downloads/bridge: was rolled back: it was not ready within 5 s -> the one before it serves; bridge upgrade PATH with a sound program
    ");
}

#[test]
fn other_versions_and_programs_that_are_gone_are_said() {
    let seen = Seen {
        asked: vec![Asked {
            pid: Some(5_000),
            answer: Ok(json!({ "status": { "bridge": { "pid": 5_000, "version": "9.9.9" } } })),
        }],
        hub: hub("0.0.1"),
        processes: vec![
            Process { is_replaced: true, ..process(4_002, 1, 10, &["bridge", "serve"]) },
            Process { is_replaced: true, ..process(7_000, 1, 10, &["something", "else"]) },
        ],
        ..Seen::default()
    };
    insta::assert_snapshot!(found(&seen), @r"
    warning bridge.version hub 4000: has version 0.0.1, this program OWN -> bridge upgrade: clients notice nothing
    note bridge.version front 4001: has version 0.0.1, this program OWN -> an older one takes the newer program by itself; else restart its client
    warning bridge.version bridge 5000: has version 9.9.9, this program OWN -> restart its client
    note bridge.replaced bridge 4002: the file of its program was removed or replaced since it began -> restart its client, or bridge upgrade, so that it is the program that lies there now
    ok bridge.running : hub 4000, and 3 clients
    ");
    let newer =
        Seen { hub: Some(json!({ "pid": 4_000, "version": "9.9.9", "fronts": [] })), ..Seen::default() };
    assert!(found(&newer).contains("use the newer program"));
}

#[test]
fn a_server_that_is_parked_and_a_record_with_a_gap_are_said() {
    let server = |name: &str, state: &str| json!({ "name": name, "state": state, "because": "it ended with exit code 3" });
    let answer = json!({ "status": {
        "bridge": { "pid": 5_000, "version": version::own() },
        "servers": [server("github", "parked"), server("time", "ready")],
        "record": { "lastError": "disk full" },
    } });
    let seen = Seen { asked: vec![Asked { pid: Some(5_000), answer: Ok(answer) }], ..Seen::default() };
    insta::assert_snapshot!(found(&seen), @r"
    warning bridge.parked github: is parked in bridge 5000, its calls are refused: it ended with exit code 3 -> once it can start: bridge restart github
    warning bridge.gap bridge 5000: its record has a gap: disk full -> see what is said of the data folder and its disk
    ok bridge.running : 1 serves its client alone
    ");
    assert_eq!(ready(&seen), BTreeSet::from(["time".to_owned()]));
}

#[test]
fn only_a_server_that_outlived_its_bridge_is_left_over() {
    let mut seen = Seen {
        processes: vec![
            process(1, 0, 900_000, &["/sbin/init"]),
            process(300, 1, 60_000, &["/usr/bin/node", "server.js", "--token", "s3cr3t"]),
        ],
        unended: vec![started("github", 300, 60_900)],
        ..Seen::default()
    };
    assert_eq!(
        found(&seen),
        "warning bridge.leftover github: process 300 (node) outlived its bridge -> end it and what it started: kill -- -300\n\
         ok bridge.running : none runs now; a client starts one"
    );
    let is_quiet = |seen: &Seen| !found(seen).contains("leftover");
    // Another process has its number by now.
    seen.unended = vec![started("github", 300, 90_000), started("time", 301, 60_000)];
    assert!(is_quiet(&seen));
    seen.unended = vec![started("github", 300, 60_000)];
    assert!(!is_quiet(&seen));
    // Its bridge lives: by its name, as the hub, and in another namespace, of which nothing can be told.
    for parent in [
        Some(process(200, 1, 70_000, &["/home/u/bridge-2", "hub"])),
        Some(process(4_000, 1, 1, &["x"])),
        None,
    ] {
        let pid = parent.as_ref().map_or(0, |parent| parent.pid);
        seen.hub = hub(version::own());
        seen.processes = vec![process(1, 0, 900_000, &["init"]), process(300, pid, 60_000, &["node"])];
        seen.processes.extend(parent);
        assert!(is_quiet(&seen), "{pid}");
    }
}
