//! The same at any moment, under a client that never has less than many requests open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;

/// So many requests have no answer at any time.
const OPEN: usize = 32;

/// How often the program changes.
const CHANGES: usize = 12;

/// The size of the text of a request, in bytes: mostly little, sometimes much.
fn size(id: usize) -> usize {
    match id % 97 {
        13 => 3 << 20,
        50 => 300_000,
        rest => rest * rest,
    }
}

fn line(id: usize) -> String {
    let params = json!({ "name": "s__echo", "arguments": { "text": "x".repeat(size(id)) } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// Takes one answer: whole, to what was asked, and the first to it.
#[track_caller]
fn take(bridge: &mut Bridge, open: &mut BTreeMap<usize, ()>) -> bool {
    let answer = bridge.recv();
    let id = usize::try_from(answer["id"].as_u64().unwrap()).unwrap();
    assert!(open.remove(&id).is_some(), "{id} was answered twice or never asked");
    let error = &answer["result"]["_meta"]["bridge/error"]["kind"];
    if error == "outcome_unknown" {
        return false;
    }
    let text = answer["result"]["structuredContent"]["text"].as_str();
    assert_eq!(text.map(str::len), Some(size(id)), "{}", &answer.to_string()[..300]);
    true
}

#[test]
fn programs_change_at_any_moment_and_each_request_is_answered_once() {
    let room = echo().read_later();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.read();
    bridge.initialize();
    let (mut asked, mut done, mut open) = (0, 0, BTreeMap::new());
    let mut previous = None;
    for change in 0..=CHANGES {
        let program = (change < CHANGES).then(|| hubs.newer());
        let (since, moment) = (Instant::now(), Duration::from_millis(fastrand::u64(50..400)));
        while since.elapsed() < moment {
            while open.len() < OPEN {
                asked += 1;
                open.insert(asked, ());
                bridge.send(line(asked));
            }
            done += usize::from(take(&mut bridge, &mut open));
        }
        let Some(program) = program else { break };
        hubs.replace(&mut bridge, &program);
        wait_until("the bridge is the newer program", || is_program(&bridge, &program));
        if let Some(previous) = previous.replace(program) {
            std::fs::remove_file(previous).unwrap();
        }
    }
    while !open.is_empty() {
        done += usize::from(take(&mut bridge, &mut open));
    }
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    assert!(done > asked / 2, "of {asked} calls {done} were done");
    let outcomes = room.rows("SELECT outcome = 'ok', count(*) FROM tool_calls GROUP BY 1 ORDER BY 1 DESC");
    assert_eq!(outcomes[0], [json!(1), json!(done)], "{outcomes:?}");
    let rows: u64 = outcomes.iter().filter_map(|row| row[1].as_u64()).sum();
    assert_eq!(rows, asked as u64);
    assert!(bridge.end().success());
    let sessions = || room.rows("SELECT close_reason, tool_calls FROM mcp_sessions");
    wait_until("one session, closed", || sessions() == [[json!("end_of_input"), json!(asked)]]);
}
