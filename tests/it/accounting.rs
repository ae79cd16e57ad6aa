//! Every answer that a client saw is a row: once, with the right outcome, whatever dies.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::said::echoed;
use crate::support::{Bridge, Room};

/// How often the bridge is killed, in so many rooms side by side.
const KILLS: u32 = 200;
const ROOMS: u32 = 4;

/// Calls of one life; all of them are on their way at once.
const BURST: u32 = 24;

#[test]
fn every_answer_seen_before_200_kills_is_one_row_with_its_outcome() {
    let rooms: Vec<_> =
        (0..ROOMS).map(|room| thread::spawn(move || killed_often(room, KILLS / ROOMS))).collect();
    let seen: usize = rooms.into_iter().map(|room| room.join().unwrap()).sum();
    assert!(seen > 1000, "only {seen} answers were seen: the kills came too early to prove anything");
}

/// Kills the bridges of one room; returns how many answers their clients saw.
fn killed_often(seed: u32, kills: u32) -> usize {
    let room = Room::new().server("s", &["on tools/call fails: iserror no", "on tools/call slow: sleep 12"]);
    let mut random = fastrand::Rng::with_seed(seed.into());
    // The id of every answer that a client saw, and the outcome that its row must have.
    let mut seen: HashMap<String, &str> = HashMap::new();
    for life in 0..kills {
        let mut bridge = room.start();
        bridge.initialize();
        for n in 0..BURST {
            let tool = ["s__echo", "s__slow", "s__fails", "bridge_status"][random.usize(..4)];
            let id = format!("{life}-{n}");
            bridge.send(call(&id, tool));
        }
        for _ in 0..random.u32(..=BURST) {
            note(&mut seen, &bridge.next_line().unwrap());
        }
        bridge.kill_9();
        while let Some(line) = bridge.next_line() {
            note(&mut seen, &line);
        }
    }
    let mut last = room.start();
    last.initialize();
    last.wait_for_log("recovered after a crash");
    last.status();
    check_books(&room, &seen);
    seen.len()
}

fn call(id: &str, tool: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool, "arguments": { "id": id } } })
        .to_string()
}

fn note(seen: &mut HashMap<String, &'static str>, line: &[u8]) {
    // The last line of a bridge that was killed may be half a line, which no client takes for an answer.
    let Ok(answer) = serde_json::from_slice::<Value>(line) else { return };
    let Some(id) = answer["id"].as_str() else { return };
    if let Some(argument) = echoed(&answer).get("id") {
        assert_eq!(argument, id, "its own answer and no other's");
    }
    let outcome = if answer["result"]["isError"] == true { "tool_error" } else { "ok" };
    let twice = seen.insert(id.to_owned(), outcome);
    assert_eq!(twice, None, "{id} was answered twice");
}

#[track_caller]
fn check_books(room: &Room, seen: &HashMap<String, &str>) {
    let mut outcomes: HashMap<String, String> = HashMap::new();
    for row in
        room.rows("SELECT request_id, coalesce(outcome, 'open') FROM tool_calls WHERE request_id LIKE '\"%'")
    {
        let id: String = serde_json::from_str(row[0].as_str().unwrap()).unwrap();
        let twice = outcomes.insert(id.clone(), row[1].as_str().unwrap().to_owned());
        assert_eq!(twice, None, "{id} has two rows");
    }
    for (id, outcome) in seen {
        assert_eq!(outcomes.get(id).map(String::as_str), Some(*outcome), "the row of {id}");
    }
    let unseen = outcomes.iter().filter(|(id, _)| !seen.contains_key(*id));
    for (id, outcome) in unseen {
        assert!(["ok", "tool_error", "outcome_unknown"].contains(&outcome.as_str()), "{id} is {outcome}");
    }
    check_sums(room);
}

/// Rows, totals and the sessions' own counts say the same.
#[track_caller]
fn check_sums(room: &Room) {
    let sums = "SELECT (SELECT count(*) FROM tool_calls WHERE outcome IS NOT NULL), \
                       (SELECT sum(calls) FROM call_totals), \
                       (SELECT sum(tool_calls) FROM mcp_sessions), \
                       (SELECT count(*) FROM tool_calls WHERE outcome NOT IN ('ok', 'cancelled')), \
                       (SELECT sum(errors) FROM call_totals)";
    let sums = room.rows(sums).remove(0);
    assert!(sums[0] == sums[1] && sums[1] == sums[2] && sums[3] == sums[4], "{sums:?}");
}

#[test]
fn eight_bridges_at_once_on_one_folder_lose_no_row_and_refuse_no_call() {
    const BRIDGES: usize = 8;
    const CALLS: u64 = 150;
    const EVERY: Duration = Duration::from_millis(20);
    let room = Room::new().server("s", &[]);
    let bridges: Vec<Bridge> = (0..BRIDGES).map(|_| room.start()).collect();
    thread::scope(|scope| {
        for mut bridge in bridges {
            scope.spawn(move || {
                bridge.initialize();
                let start = Instant::now();
                for n in 0..CALLS {
                    let answer = bridge.call("s__echo", json!({ "n": n }));
                    assert_eq!(echoed(&answer), &json!({ "n": n }), "{answer}");
                    // 50 calls a second: the load, not a synchronisation.
                    thread::sleep((EVERY * u32::try_from(n).unwrap()).saturating_sub(start.elapsed()));
                }
                let record = &bridge.status()["record"];
                assert_eq!((&record["lostRows"], &record["lastError"]), (&json!(0), &json!(null)));
                bridge.close_stdin();
                assert!(bridge.wait_exit().success());
                let log = bridge.log();
                assert!(!log.contains("ERROR") && !log.contains("locked"), "{log}");
            });
        }
    });
    let total = BRIDGES as u64 * CALLS;
    assert_eq!(room.rows("SELECT count(*) FROM tool_calls WHERE server = 's' AND outcome = 'ok'"), [[total]]);
    let closed = "SELECT count(*), sum(close_reason = 'end_of_input') FROM mcp_sessions";
    assert_eq!(room.rows(closed), [[BRIDGES, BRIDGES]]);
    check_sums(&room);
}

#[test]
fn a_rows_request_id_is_the_one_the_client_wrote() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    bridge.initialize();
    let ids = ["7", r#""7""#, r#""a\u0062""#, "1.50", "-0", "1E2", "123456789012345678901234567890", r#""""#];
    for id in ids {
        let request = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"s__echo"},"id":"#;
        bridge.send(format!("{request}{id}}}"));
        bridge.raw_answer_to(id);
    }
    let kept = bridge.rows("SELECT request_id FROM tool_calls WHERE server = 's' ORDER BY rowid");
    let kept: Vec<&str> = kept.iter().map(|row| row[0].as_str().unwrap()).collect();
    let (mut kept, mut ids) = (kept, ids.to_vec());
    kept.sort_unstable();
    ids.sort_unstable();
    assert_eq!(kept, ids);
}

/// A modern call in the name of a client.
#[track_caller]
fn call_as(bridge: &mut Bridge, id: u64, client: &str) {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": client, "version": "1" },
    });
    let params = json!({ "name": "s__echo", "_meta": meta });
    bridge.send(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string());
    bridge.raw_answer_to(&id.to_string());
}

#[test]
fn a_modern_client_is_one_session_for_its_name_and_process() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    for (id, client) in ["a", "b", "a", "a"].into_iter().enumerate() {
        call_as(&mut bridge, 1000 + id as u64, client);
    }
    let mut sibling = room.start();
    call_as(&mut sibling, 1, "a");
    let sessions = "SELECT client_name, protocol_version, tool_calls, pid FROM mcp_sessions ORDER BY client_name, tool_calls";
    let (own, other) = (bridge.pid(), sibling.pid());
    let expected = [
        json!(["a", "2026-07-28", 1, other]),
        json!(["a", "2026-07-28", 3, own]),
        json!(["b", "2026-07-28", 1, own]),
    ];
    assert_eq!(json!(bridge.rows(sessions)), json!(expected));
}

/// The lock files of sessions.
fn locks(room: &Room) -> usize {
    let files = std::fs::read_dir(room.path("data/locks")).unwrap();
    files
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "lock"))
        .count()
}

#[test]
fn a_probe_leaves_no_row() {
    let room = Room::new().server("s", &["count $ROOM/count"]);
    let mut bridge = room.start();
    assert!(bridge.modern("server/discover", json!({}))["result"].is_object());
    bridge.ask("ping", &json!({}));
    assert!(bridge.end().success());
    assert_eq!(room.rows("SELECT count(*) FROM mcp_sessions"), [[0]]);
    assert!(room.pids("count").is_empty());
    assert_eq!(locks(&room), 0);
}

#[test]
fn a_session_says_why_it_ended() {
    let check = |reason: &str, end: &dyn Fn(&mut Bridge)| {
        let room = Room::new().server("s", &[]);
        let mut bridge = room.start();
        bridge.initialize();
        bridge.call("s__echo", json!({}));
        end(&mut bridge);
        bridge.wait_exit();
        let row = "SELECT client_name, close_reason, tool_calls, closed_at >= last_active FROM mcp_sessions";
        assert_eq!(json!(room.rows(row)), json!([["it", reason, 1, 1]]));
    };
    check("end_of_input", &|bridge| bridge.close_stdin());
    check("sigint", &|bridge| bridge.signal(Signal::INT));
    check("sigterm", &|bridge| bridge.signal(Signal::TERM));
    check("sighup", &|bridge| bridge.signal(Signal::HUP));
}

#[test]
fn a_session_keeps_its_lock_until_its_end_is_committed() {
    let room = Room::new();
    let mut bridge = room.start();
    bridge.initialize();
    bridge.status();
    assert_eq!(locks(&room), 1);
    // A sibling writes, for longer than this bridge can wait.
    let sibling = rusqlite::Connection::open(room.path("data/bridge.db")).unwrap();
    sibling.execute_batch("BEGIN IMMEDIATE").unwrap();
    bridge.close_stdin();
    bridge.wait_exit();
    assert_eq!(room.rows("SELECT count(*) FROM mcp_sessions WHERE closed_at IS NULL"), [[1]]);
    assert_eq!(locks(&room), 1, "an open row without a lock file would be a crash to everybody");
}
