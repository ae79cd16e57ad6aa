use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::read::Reader;
use crate::store::read::answers::ToolTotals;
use crate::store::read::series::Which;
use crate::store::rows::Job;
use crate::store::totals::{Ended, Totals};
use crate::store::upkeep;
use crate::store::writer::{Patience, Writer};

const NOW_MS: i64 = 1_795_232_400_123;

#[tokio::test]
async fn a_call_that_ends_twice_is_counted_once() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let call = room.finished();
    journal.finish(vec![call.clone(), call.clone()]).await;
    journal.finish(vec![call]).await;
    assert_eq!(room.ask("SELECT tool_calls FROM mcp_sessions"), 1);
    assert_eq!(room.ask("SELECT calls FROM call_totals"), 1);
}

#[tokio::test]
async fn an_end_that_never_arrived_is_replaced_by_the_one_that_did() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let told = room.finished();
    let lost = CallFinished {
        begun: CallBegun { server: None, tool: "elsewhere".into(), ..told.begun.clone() },
        outcome: Outcome::OutcomeUnknown,
        duration_us: told.duration_us + 70_000,
        response_bytes: 7,
        ..told.clone()
    };
    journal.finish(vec![lost]).await;
    journal.finish(vec![told.clone()]).await;
    assert_eq!(room.ask("SELECT tool_calls FROM mcp_sessions"), 1);
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), 1);
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 1);
    assert_eq!(room.ask("SELECT sum(errors) FROM call_totals"), 0);
    assert_eq!(room.ask("SELECT sum(upto_100ms) FROM call_totals"), 0);
    let sum = |column: &str| room.ask(&format!("SELECT sum({column}) FROM call_totals"));
    assert_eq!(sum("duration_us").unsigned_abs(), told.duration_us);
    assert_eq!(sum("response_bytes").unsigned_abs(), told.response_bytes);
    assert_eq!(sum("request_bytes").unsigned_abs(), told.begun.request_bytes);
}

#[tokio::test]
async fn two_sessions_that_drew_the_same_call_id_both_keep_their_row() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let (mine, mut theirs) = (room.finished(), room.finished());
    theirs.begun.call = mine.begun.call;
    theirs.begun.session = SessionId::new(1);
    journal.finish(vec![mine, theirs]).await;
    assert_eq!(room.ask("SELECT count(DISTINCT session_id) FROM tool_calls"), 2);
    assert_eq!(room.ask("SELECT calls FROM call_totals"), 2);
}

#[test]
fn eight_bridges_on_one_folder_lose_nothing() {
    let room = Room::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(write_as_a_bridge(room.path(), 150));
            });
        }
    });
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), 8 * 150);
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 8 * 150);
    assert_eq!(room.ask("SELECT count(*) FROM mcp_sessions WHERE tool_calls = 150 AND closed_at > ''"), 8);
}

async fn write_as_a_bridge(data_dir: &Path, calls: usize) {
    let ids = CallIds::new();
    let session = SessionId::new(stamp::now_ms());
    let lock = SessionLock::create(data_dir, session).unwrap();
    let journal = Journal::open(data_dir, Options::default());
    journal.session_opened(opened(session));
    for _ in 0..calls {
        let started_at_ms = stamp::now_ms();
        let begun = CallBegun {
            call: ids.next(started_at_ms),
            session,
            request_id: "1".into(),
            server: None,
            tool: "bridge_status".into(),
            started_at_ms,
            request_bytes: 1,
        };
        journal.begin(begun.clone());
        journal.finish(vec![finished(begun)]).await;
    }
    journal.session_closed(session, "end_of_input");
    journal.close().await;
    lock.release();
    assert_eq!(journal.trouble(), Default::default());
}

#[test]
fn old_rows_go_in_small_steps_and_totals_stay() {
    let room = Room::new();
    let mut writer = Writer::open(room.path(), Durability::Process, false).unwrap();
    let day_ms = 86_400_000;
    let old = (0..700).map(|n| call_at(&room, NOW_MS - 91 * day_ms + n));
    let young = (0..50).map(|n| call_at(&room, NOW_MS - 89 * day_ms + n));
    let jobs: Vec<_> = old.chain(young).map(Job::Finished).collect();
    writer.commit(&jobs, Patience::Full).unwrap();
    let mut left = vec![];
    while upkeep::remove_old(&mut writer, 90, NOW_MS).unwrap() {
        left.push(room.ask("SELECT count(*) FROM tool_calls"));
    }
    assert_eq!(left, [250, 50]);
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 750);
}

#[test]
fn a_beginning_within_an_hour_is_exact() {
    let room = Room::new();
    let mut writer = Writer::open(room.path(), Durability::Process, false).unwrap();
    let calls = [-7_200_000, -1_800_001, -1_800_000, -1].map(|ago| call_at(&room, NOW_MS + ago));
    writer.commit(&calls.map(Job::Finished), Patience::Full).unwrap();
    let reader = Reader::open(room.path()).unwrap().unwrap();
    let counted = |since_ms| {
        reader
            .tools(&Which { from_ms: since_ms, ..Which::default() })
            .unwrap()
            .iter()
            .map(|tool: &ToolTotals| tool.totals.calls)
            .sum::<u64>()
    };
    assert_eq!(
        [None, Some(NOW_MS - 3 * 3_600_000), Some(NOW_MS - 1_800_000), Some(NOW_MS - 5), Some(NOW_MS)]
            .map(counted),
        [4, 4, 2, 1, 0]
    );
}

fn call_at(room: &Room, started_at_ms: i64) -> CallFinished {
    // A generator of its own: ids of one generator never go back in time.
    let call = CallIds::new().next(started_at_ms);
    finished(CallBegun { call, started_at_ms, ..room.begun() })
}

/// Offset in ms, server, duration, outcome.
type Arbitrary = (i64, Option<bool>, u64, usize);

fn arbitrary() -> impl Strategy<Value = Arbitrary> {
    (0..20_000_000_i64, any::<Option<bool>>(), 0..100_000_000_u64, 0..Outcome::ALL.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn totals_are_the_sum_of_the_rows(batches in prop::collection::vec(prop::collection::vec(arbitrary(), 0..20), 1..5)) {
        let room = Room::new();
        let mut writer = Writer::open(room.path(), Durability::Process, false).unwrap();
        let mut expected: BTreeMap<Option<String>, Totals> = BTreeMap::new();
        for batch in batches {
            let calls: Vec<_> = batch.into_iter().map(|call| arbitrary_call(&room, call)).collect();
            for call in &calls {
                let server = call.begun.server.as_ref().map(ToString::to_string);
                expected.entry(server).or_default().add(Ended {
                    started_at_ms: call.begun.started_at_ms,
                    duration_us: Some(call.duration_us),
                    outcome: call.outcome,
                    request_bytes: call.begun.request_bytes,
                    response_bytes: call.response_bytes,
                });
            }
            let jobs: Vec<_> = calls.into_iter().map(Job::Finished).collect();
            writer.commit(&jobs, Patience::Full).unwrap();
        }
        let reader = Reader::open(room.path()).unwrap().unwrap();
        let tools = reader.tools(&Which::default()).unwrap().into_iter().map(|tool| (tool.server, tool.totals));
        prop_assert_eq!(tools.collect::<BTreeMap<_, _>>(), expected);
    }
}

fn arbitrary_call(room: &Room, (offset_ms, server, duration_us, outcome): Arbitrary) -> CallFinished {
    let mut call = call_at(room, NOW_MS + offset_ms);
    call.begun.server = server.map(|first| if first { "a".into() } else { "b".into() });
    CallFinished { duration_us, outcome: Outcome::ALL[outcome], ..call }
}
