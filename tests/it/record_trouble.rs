//! The record cannot be written: calls are answered all the same, and the gap is shown.

use std::path::PathBuf;
use std::time::Instant;

use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};

use crate::said::{echoed, text};
use crate::support::{Bridge, Room, wait_until};

#[track_caller]
fn calls(bridge: &mut Bridge, count: u64) {
    for n in 0..count {
        assert_eq!(echoed(&bridge.call("s__echo", json!({ "n": n }))), &json!({ "n": n }));
    }
}

#[track_caller]
fn record(bridge: &mut Bridge) -> Value {
    bridge.status()["record"].take()
}

#[track_caller]
fn check_gap(bridge: &mut Bridge, words: &str) {
    let record = record(bridge);
    assert!(record["lostRows"].as_u64().unwrap() > 0, "{record}");
    assert!(record["lastError"].as_str().unwrap().contains(words), "{record}");
    let status = bridge.call("bridge_status", json!({}));
    assert!(text(&status).contains("The record has a gap of"), "{}", text(&status));
    bridge.wait_for_log("record has a gap");
    assert_eq!(bridge.log().matches("record has a gap").count(), 1, "said once: {}", bridge.log());
}

/// Files in the data folder whose name begins like this.
fn files(room: &Room, prefix: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(room.data()).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix)).collect()
}

#[test]
fn a_locked_record_costs_rows_and_no_call_and_goes_on_when_it_is_free() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 2);
    let holder = Connection::open(room.path("data/bridge.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let before = Instant::now();
    calls(&mut bridge, 3);
    // 5 s for the first, a quarter of a second for those that follow it.
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
    check_gap(&mut bridge, "locked");
    holder.execute_batch("ROLLBACK").unwrap();
    calls(&mut bridge, 2);
    bridge.wait_for_log("record goes on");
    let kept = room.rows("SELECT count(*) FROM tool_calls WHERE server = 's'");
    assert_eq!(kept, [[4]], "the two before and the two after");
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_the_size_of_files_costs_rows_and_no_call_and_goes_on_when_it_is_lifted() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 2);
    let pid = Pid::from_raw(i32::try_from(bridge.pid()).unwrap());
    let limit = |current| {
        prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    };
    // Its log is shorter.
    limit(Some(room.path("data/bridge.db-wal").metadata().unwrap().len()));
    calls(&mut bridge, 3);
    check_gap(&mut bridge, "disk");
    limit(None);
    calls(&mut bridge, 2);
    bridge.wait_for_log("record goes on");
}

#[test]
fn an_orderly_stop_waits_for_a_record_that_somebody_else_holds() {
    let room = Room::new().server("s", &["on tools/call: hang"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.begin_call("s__echo", json!({}));
    let open = "SELECT count(*) FROM tool_calls WHERE outcome IS NULL";
    wait_until("the call is under way", || bridge.rows(open) == [[1]]);
    let holder = Connection::open(room.path("data/bridge.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    bridge.signal(Signal::TERM);
    // The servers are gone by now, and the rows wait.
    bridge.wait_for_log("the bridge stopped");
    holder.execute_batch("ROLLBACK").unwrap();
    assert!(bridge.wait_exit().success());
    let calls = room.rows("SELECT outcome, error_kind FROM tool_calls");
    assert_eq!(calls, [["outcome_unknown", "bridge_stopped"]]);
    assert_eq!(room.rows("SELECT close_reason FROM mcp_sessions"), [["sigterm"]]);
}

#[test]
fn a_folder_that_cannot_be_made_costs_the_record_and_nothing_else() {
    let room = Room::new().server("s", &[]).env("BRIDGE_DATA_DIR", "/proc/no-such-folder");
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 3);
    check_gap(&mut bridge, "cannot be written");
    assert!(bridge.end().success());
}

#[test]
fn a_record_that_may_not_be_written_costs_rows_and_no_call() {
    use std::os::unix::fs::{PermissionsExt, chown};
    const NOBODY: u32 = 65534;
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 1);
    bridge.end();
    let file = room.path("data/bridge.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
    let mut room = room;
    if rustix::process::geteuid().is_root() {
        // Root may write everything, so somebody else has to try.
        for path in ["", "home", "data", "data/bridge.db", "data/locks", "data/logs", "data/locks/open.gate"]
        {
            chown(room.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        room = room.via(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        let can_run = room.command(&["--version"]).output().is_ok_and(|output| output.status.success());
        if !can_run {
            eprintln!("SKIPPED: root writes everything, and this program cannot be run as somebody else");
            return;
        }
    }
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 3);
    check_gap(&mut bridge, "cannot be written");
    bridge.end();
}

#[test]
fn a_full_disk_costs_rows_and_no_call() {
    // No file may grow over 200 KiB, and the signal that says so is ignored, so that writing fails.
    let small = r#"trap "" XFSZ; ulimit -f 400; exec "$@""#;
    let room = Room::new().server("s", &[]).via(&["sh", "-c", small, "sh"]);
    let mut bridge = room.start();
    bridge.initialize();
    let full = |bridge: &mut Bridge| record(bridge)["lostRows"].as_u64().unwrap() > 0;
    wait_until("the disk is full", || {
        calls(&mut bridge, 20);
        full(&mut bridge)
    });
    calls(&mut bridge, 20);
    check_gap(&mut bridge, "");
    let kept = room.rows("SELECT count(*) > 0 FROM tool_calls WHERE outcome = 'ok'");
    assert_eq!(kept, [[1]], "what was written before is still there");
}

#[test]
fn a_file_that_is_no_record_is_moved_aside_and_a_new_one_made() {
    let room = Room::new().server("s", &[]);
    let rubbish = "this is no database, whatever its name says ".repeat(200);
    std::fs::write(room.path("data/bridge.db"), &rubbish).unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 3);
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls WHERE server = 's'"), [[3]]);
    let aside = files(&room, "bridge.db.corrupt-");
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), rubbish, "nothing is thrown away");
    bridge.wait_for_log("moved aside");
}

#[test]
fn a_record_that_is_damaged_while_it_is_used_fails_no_call_and_begins_anew() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 3);
    bridge.end();
    // Every page but the first, so that it opens like a good one.
    let file = room.path("data/bridge.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[2048..].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    wait_until("a new record is made", || {
        calls(&mut bridge, 5);
        !files(&room, "bridge.db.corrupt-").is_empty()
    });
    calls(&mut bridge, 3);
    let record = record(&mut bridge);
    let kept = room.rows("SELECT count(*) FROM tool_calls WHERE server = 's'")[0][0].as_u64().unwrap();
    assert!(kept >= 3, "{kept} rows, and {record}");
}

#[test]
fn a_record_of_a_newer_bridge_is_left_alone() {
    let room = Room::new().server("s", &[]);
    let newer = Connection::open(room.path("data/bridge.db")).unwrap();
    newer.execute_batch("CREATE TABLE later (x); PRAGMA user_version = 99").unwrap();
    drop(newer);
    let mut bridge = room.start();
    bridge.initialize();
    calls(&mut bridge, 3);
    check_gap(&mut bridge, "use the newer one");
    assert!(bridge.end().success());
    assert_eq!(room.rows("SELECT name FROM sqlite_schema"), [["later"]]);
    assert_eq!(room.rows("PRAGMA user_version"), [[99]]);
    let stats = room.command(&["stats"]).output().unwrap();
    let said = String::from_utf8(stats.stderr).unwrap();
    assert_eq!(stats.status.code(), Some(1));
    assert!(said.starts_with("error: ") && said.contains("use the newer one"), "{said}");
}
