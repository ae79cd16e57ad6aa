//! In whatever way the bridge ends, no process of a server outlives it by more than a second, and the guard
//! that sees to it does not either (faults.md, "stop").

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

use crate::said::{echoed, kind};
use crate::support::{Bridge, Room, alive, check_gone, send_signal, wait_for, wait_until};

/// The promise is one second; a busy machine gets some more.
const GONE_MAX: Duration = Duration::from_secs(3);

/// What makes a server as deaf as it can be.
const DEAF: [&str; 3] = ["ignore-term", "ignore-eof", "tool echo"];

/// The same with a grandchild that holds its stdout.
const DEAF_FAMILY: [&str; 4] =
    ["ignore-term", "ignore-eof", "on start: fork-deaf hold $ROOM/grandchildren", "tool echo"];

fn deaf_room(servers: usize, script: &[&str]) -> Room {
    (0..servers).fold(Room::new(), |room, n| room.server(&format!("s{n}"), script))
}

/// A bridge all of whose servers were called.
fn with_all_ready(room: &Room, servers: usize) -> Bridge {
    let mut bridge = room.start();
    bridge.initialize();
    let calls: Vec<u64> =
        (0..servers).map(|n| bridge.begin_call(&format!("s{n}__echo"), json!({}))).collect();
    calls.into_iter().for_each(|call| _ = echoed(&bridge.answer_to(call)));
    bridge
}

/// Every process that stands in the room: the bridge, its servers and theirs, but not the guard.
fn standing_in(room: &Room) -> Vec<u32> {
    let stands = |pid: &u32| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(room.path("")))
    };
    all_pids().into_iter().filter(stands).collect()
}

fn all_pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The guards of a bridge, from its children.
fn guards(bridge: u32) -> Vec<u32> {
    let is_guard = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().unwrap_or_default().split(' ').nth(1).unwrap_or_default();
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == bridge.to_string() && words == *b"bridge\0__guard\0"
    };
    all_pids().into_iter().filter(is_guard).collect()
}

#[track_caller]
fn guard_of(bridge: &Bridge) -> u32 {
    wait_for("a guard stands by", || guards(bridge.pid()).first().copied())
}

/// Waits until nobody of the room and no guard is left, and says how long it took.
#[track_caller]
#[expect(
    clippy::print_stderr,
    reason = "the figure is worth seeing, and the machine may be slower than the promise"
)]
fn check_nobody(room: &Room, guard: u32, what: &str, since: Instant) {
    wait_until("every process of the room is gone", || standing_in(room).is_empty());
    let servers = since.elapsed();
    wait_until("the guard is gone", || !alive(guard));
    let took = since.elapsed();
    eprintln!("{what}: servers gone after {servers:?}, guard after {took:?}");
    assert!(took < GONE_MAX, "{what}: {took:?}");
}

#[track_caller]
fn check_ending(servers: usize, script: &[&str], processes: usize, what: &str, end: impl FnOnce(&Bridge)) {
    let room = deaf_room(servers, script).via(&["setsid"]);
    let bridge = with_all_ready(&room, servers);
    let guard = guard_of(&bridge);
    wait_until("everybody runs", || standing_in(&room).len() == 1 + processes);
    let before = Instant::now();
    end(&bridge);
    check_nobody(&room, guard, what, before);
}

fn kill_9(bridge: &Bridge) {
    bridge.signal(Signal::KILL);
}

#[test]
fn a_deaf_server_does_not_outlive_a_killed_bridge() {
    check_ending(1, &DEAF, 1, "kill -9, a deaf server", kill_9);
}

#[test]
fn a_deaf_grandchild_that_holds_stdout_does_not_outlive_a_killed_bridge() {
    check_ending(1, &DEAF_FAMILY, 2, "kill -9, a deaf grandchild", kill_9);
}

#[test]
fn twenty_deaf_servers_do_not_outlive_a_killed_bridge() {
    check_ending(20, &DEAF, 20, "kill -9, 20 deaf servers", kill_9);
}

#[test]
fn nobody_outlives_a_kill_of_the_whole_process_group() {
    check_ending(3, &DEAF_FAMILY, 6, "kill -9 of the group", |bridge| {
        // `setsid` made the bridge the first of a group of its own.
        let group = Pid::from_raw(i32::try_from(bridge.pid()).unwrap()).unwrap();
        kill_process_group(group, Signal::KILL).unwrap();
    });
}

#[test]
fn nobody_outlives_a_signal_that_the_bridge_does_not_hear() {
    check_ending(1, &DEAF_FAMILY, 2, "SIGALRM", |bridge| bridge.signal(Signal::ALARM));
}

#[test]
fn nobody_outlives_a_bridge_that_is_told_twice_to_stop() {
    check_ending(2, &DEAF_FAMILY, 4, "SIGINT and SIGTERM", |bridge| {
        bridge.signal(Signal::INT);
        bridge.signal(Signal::TERM);
    });
}

#[test]
fn nobody_outlives_a_bridge_that_is_killed_while_its_servers_start() {
    const SERVERS: usize = 10;
    const SCRIPT: [&str; 4] = ["ignore-term", "ignore-eof", "count $ROOM/pids", "on initialize: hang"];
    for running in [1, 3, 5, 8, SERVERS] {
        let room = deaf_room(SERVERS, &SCRIPT).setting("max_cold_starts = 10");
        let mut bridge = room.start();
        bridge.initialize();
        for n in 0..SERVERS {
            bridge.begin_call(&format!("s{n}__echo"), json!({}));
        }
        wait_until("some run", || room.pids("pids").len() >= running);
        let guard = guard_of(&bridge);
        let before = Instant::now();
        bridge.signal(Signal::KILL);
        check_nobody(&room, guard, &format!("kill -9 among 10 starts, after {running}"), before);
    }
}

#[test]
fn a_process_that_was_only_asked_its_revision_is_guarded_too() {
    let script = ["ignore-term", "ignore-eof", "count $ROOM/pids", "on server/discover: hang"];
    let room = deaf_room(1, &script);
    let mut bridge = room.start();
    bridge.modern_request("tools/call", json!({ "name": "s0__echo", "arguments": {} }));
    wait_until("it runs", || room.pids("pids").len() == 1);
    let guard = guard_of(&bridge);
    let before = Instant::now();
    bridge.signal(Signal::KILL);
    check_nobody(&room, guard, "kill -9 while a server is asked its revision", before);
}

#[test]
fn a_guard_that_is_killed_costs_no_call_and_is_replaced_with_the_next_start() {
    let room = deaf_room(2, &DEAF);
    let mut bridge = room.start();
    bridge.initialize();
    echoed(&bridge.call("s0__echo", json!({})));
    let first = guard_of(&bridge);
    send_signal(first, Signal::KILL);
    wait_until("the guard is dead", || !alive(first));
    assert_eq!(echoed(&bridge.call("s0__echo", json!({ "n": 1 }))), &json!({ "n": 1 }));
    assert_eq!(echoed(&bridge.call("s1__echo", json!({ "n": 2 }))), &json!({ "n": 2 }));
    let line = bridge.wait_for_log("guard against orphans ended");
    assert!(line.contains("WARN") && line.contains(&first.to_string()), "{line}");
    let second = guard_of(&bridge);
    assert_ne!(first, second);
    let before = Instant::now();
    // The first server as well, which was started under the first guard.
    bridge.signal(Signal::KILL);
    check_nobody(&room, second, "kill -9 under a second guard", before);
    assert_eq!(bridge.log().matches("guard against orphans").count(), 1, "{}", bridge.log());
}

#[test]
fn a_guard_comes_with_the_first_server_and_goes_with_the_bridge() {
    let room = Room::new().server("s0", &["tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("bridge_status", json!({}));
    assert_eq!(guards(bridge.pid()), [] as [u32; 0], "nobody asked for a server");
    echoed(&bridge.call("s0__echo", json!({})));
    let guard = guard_of(&bridge);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        send_signal(guard, signal);
    }
    echoed(&bridge.call("s0__echo", json!({})));
    assert_eq!(guards(bridge.pid()), [guard], "it does not hear what ends others");
    assert!(bridge.end().success());
    check_gone(&[guard]);
}

#[test]
fn a_command_that_cannot_be_started_leaves_its_guard_in_order() {
    let text = format!(
        "[servers.none]\ncommand = \"no-such-command\"\n[servers.s0]\ncommand = {}\nargs = [\"-e\", \"tool echo\"]\n",
        json!(crate::support::fake_server())
    );
    let room = Room::new().config("none.toml", &text);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(kind(&bridge.call("none__echo", json!({}))), "unavailable");
    echoed(&bridge.call("s0__echo", json!({})));
    let guard = guard_of(&bridge);
    let before = Instant::now();
    bridge.signal(Signal::KILL);
    check_nobody(&room, guard, "kill -9 after a start that failed", before);
}

/// A stopped process, which goes on when the test ends.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        send_signal(self.0, Signal::CONT);
    }
}

#[test]
fn the_guard_holds_nothing_of_the_client() {
    let room = deaf_room(1, &DEAF).env("A_SECRET", "s3cret");
    let (leaked, shell) =
        (room.path("leaked"), format!("exec \"$0\" \"$@\" 7<{}", room.path("leaked").display()));
    std::fs::write(&leaked, "").unwrap();
    let room = room.via(&["sh", "-c", &shell]);
    let mut bridge = with_all_ready(&room, 1);
    let guard = guard_of(&bridge);
    let place = |name: &str| PathBuf::from(format!("/proc/{guard}/{name}"));
    let mut open: Vec<String> = std::fs::read_dir(place("fd"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let file = std::fs::read_link(entry.path()).unwrap();
            let kind = if file.to_str().unwrap().starts_with("pipe:") { "pipe".into() } else { file };
            format!("{} {}", entry.file_name().to_str().unwrap(), kind.display())
        })
        .collect();
    open.sort();
    assert_eq!(open, ["0 pipe", "1 /dev/null", "2 /dev/null"]);
    assert_eq!(std::fs::read_link(place("cwd")).unwrap(), PathBuf::from("/"));
    assert_eq!(std::fs::read(place("environ")).unwrap(), b"");
    // While it cannot do anything, the client sees the end of a killed bridge all the same.
    send_signal(guard, Signal::STOP);
    let stopped = Stopped(guard);
    bridge.kill_9();
    assert_eq!(bridge.next_line(), None);
    assert!(alive(guard) && !standing_in(&room).is_empty());
    let before = Instant::now();
    drop(stopped);
    check_nobody(&room, guard, "a guard that was stopped goes on", before);
}

#[test]
fn a_guard_that_is_stopped_does_not_hold_up_a_stop() {
    let room = deaf_room(1, &["tool echo"]);
    let bridge = with_all_ready(&room, 1);
    let guard = guard_of(&bridge);
    send_signal(guard, Signal::STOP);
    let stopped = Stopped(guard);
    assert!(bridge.end().success());
    drop(stopped);
    check_gone(&[guard]);
}

#[test]
fn deaf_servers_are_stopped_side_by_side() {
    const SERVERS: usize = 10;
    /// One after another they would take 260 ms each.
    const STOP_MAX: Duration = Duration::from_millis(1500);
    let room = deaf_room(SERVERS, &DEAF_FAMILY);
    let mut bridge = with_all_ready(&room, SERVERS);
    let guard = guard_of(&bridge);
    wait_until("everybody runs", || standing_in(&room).len() == 1 + 2 * SERVERS);
    let before = Instant::now();
    bridge.close_stdin();
    assert!(bridge.wait_exit().success());
    let took = before.elapsed();
    check_nobody(&room, guard, "an orderly stop of 10 deaf servers", before);
    assert!(took < STOP_MAX, "{took:?}");
}

#[test]
fn a_bridge_whose_file_was_replaced_is_guarded() {
    let room = deaf_room(1, &DEAF);
    let copy = room.path("bridge");
    std::fs::copy(env!("CARGO_BIN_EXE_bridge"), &copy).unwrap();
    // `$0` is the program that the room would start.
    let room = room.via(&["sh", "-c", "exec ../bridge \"$@\""]);
    let mut bridge = room.start();
    bridge.initialize();
    std::fs::remove_file(&copy).unwrap();
    echoed(&bridge.call("s0__echo", json!({})));
    let guard = guard_of(&bridge);
    let before = Instant::now();
    bridge.signal(Signal::KILL);
    check_nobody(&room, guard, "kill -9 of a bridge whose file is gone", before);
}
