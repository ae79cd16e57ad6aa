use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::store::read::answers::{NameTotals, TimeTotals};
use crate::store::read::export::Table;
use crate::store::read::series::{Steps, Which};
use crate::store::stamp::HOUR_MS;
use crate::store::totals::{Ended, Totals};
use crate::store::writer::{Patience, Writer};

/// Noon on the day before Berlin's clocks go back, 2026-10-24T12:00:00Z.
const FROM_MS: i64 = 1_792_843_200_000;
const SPAN_MS: i64 = 60 * HOUR_MS;
const CLIENTS: [Option<&str>; 3] = [Some("claude-ai"), Some("cursor"), None];

/// One call: offset in ms, server, tool, client, duration, outcome.
type Made = (i64, Option<bool>, bool, usize, u64, usize);

fn made() -> impl Strategy<Value = Made> {
    (
        0..SPAN_MS,
        any::<Option<bool>>(),
        any::<bool>(),
        0..CLIENTS.len(),
        0..100_000_000_u64,
        0..Outcome::ALL.len(),
    )
}

/// What of the calls is asked for: the span's beginning and end, a server, a tool.
fn asked() -> impl Strategy<Value = Which> {
    let moment = || prop::option::of(FROM_MS - HOUR_MS..FROM_MS + SPAN_MS + HOUR_MS);
    let server = prop::option::of(prop::sample::select(vec!["", "a", "b"]));
    let tool = prop::option::of(prop::sample::select(vec!["x", "y"]));
    (moment(), moment(), server, tool).prop_map(|(from_ms, to_ms, server, tool)| Which {
        from_ms,
        to_ms,
        server: server.map(str::to_owned),
        tool: tool.map(str::to_owned),
    })
}

/// A record with these calls, three clients', and the calls themselves.
fn record(made: Vec<Made>) -> (Room, Vec<CallFinished>) {
    let room = Room::new();
    let mut writer = Writer::open(room.path(), Durability::Process, false).unwrap();
    let sessions = [0, 1, 2].map(|number| room.session.front().nth(number));
    let mut jobs: Vec<_> = sessions
        .iter()
        .zip(CLIENTS)
        .map(|(&id, name)| {
            let client = ClientInfo { name: name.map(str::to_owned), ..ClientInfo::default() };
            Job::Opened(SessionOpened { client, ..opened(id) })
        })
        .collect();
    let call = |(offset_ms, server, tool, client, duration_us, outcome): Made| {
        let started_at_ms = FROM_MS + offset_ms;
        let begun = CallBegun {
            call: CallIds::new().next(started_at_ms),
            session: sessions[client],
            server: server.map(|first| if first { "a".into() } else { "b".into() }),
            tool: if tool { "x".into() } else { "y".into() },
            started_at_ms,
            ..room.begun()
        };
        CallFinished { begun, duration_us, outcome: Outcome::ALL[outcome], ..room.finished() }
    };
    let calls: Vec<_> = made.into_iter().map(call).collect();
    jobs.extend(calls.iter().cloned().map(Job::Finished));
    writer.commit(&jobs, Patience::Full).unwrap();
    (room, calls)
}

fn is_asked(which: &Which, call: &CallFinished) -> bool {
    let at_ms = call.begun.started_at_ms;
    which.from_ms.is_none_or(|from| at_ms >= from)
        && which.to_ms.is_none_or(|to| at_ms < to)
        && which.server.as_deref().is_none_or(|server| call.begun.server.as_deref().unwrap_or("") == server)
        && which.tool.as_deref().is_none_or(|tool| &*call.begun.tool == tool)
}

fn ended(call: &CallFinished) -> Ended {
    Ended {
        started_at_ms: call.begun.started_at_ms,
        duration_us: Some(call.duration_us),
        outcome: call.outcome,
        request_bytes: call.begun.request_bytes,
        response_bytes: call.response_bytes,
    }
}

fn added<K: Ord>(calls: &[CallFinished], key: impl Fn(&CallFinished) -> K) -> BTreeMap<K, Totals> {
    let mut sums: BTreeMap<K, Totals> = BTreeMap::new();
    calls.iter().for_each(|call| sums.entry(key(call)).or_default().add(ended(call)));
    sums
}

fn by_time(series: Vec<TimeTotals>) -> BTreeMap<i64, Totals> {
    series.into_iter().map(|of| (of.at_ms, of.totals)).collect()
}

fn by_name(series: Vec<NameTotals>) -> BTreeMap<Option<String>, Totals> {
    assert!(series.windows(2).all(|pair| pair[0].totals.calls >= pair[1].totals.calls), "the busiest first");
    series.into_iter().map(|of| (of.name, of.totals)).collect()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_series_is_the_sum_of_the_rows(made in prop::collection::vec(made(), 0..60), which in asked()) {
        let (room, calls) = record(made);
        let calls: Vec<_> = calls.into_iter().filter(|call| is_asked(&which, call)).collect();
        let reader = Reader::open(room.path()).unwrap().unwrap();
        let hour_ms = |call: &CallFinished| call.begun.started_at_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let server = |call: &CallFinished| call.begun.server.as_deref().map(str::to_owned);
        let client = |call: &CallFinished| {
            CLIENTS[usize::try_from(call.begun.session.number() & 3).unwrap()].map(str::to_owned)
        };
        let tools = reader.tools(&which).unwrap().into_iter().map(|of| ((of.server, of.tool), of.totals));
        prop_assert_eq!(tools.collect::<BTreeMap<_, _>>(), added(&calls, |call| (server(call), call.begun.tool.to_string())));
        prop_assert_eq!(by_name(reader.servers(&which).unwrap()), added(&calls, server));
        prop_assert_eq!(by_name(reader.clients(&which).unwrap()), added(&calls, client));
        prop_assert_eq!(by_time(reader.hours(&which).unwrap()), added(&calls, hour_ms));
        for name in ["Europe/Berlin", "America/New_York", "UTC"] {
            let zone = zone(name);
            let day = |call: &CallFinished| {
                let at = Timestamp::from_millisecond(call.begun.started_at_ms).unwrap().to_zoned(zone.clone());
                at.start_of_day().unwrap().timestamp().as_millisecond()
            };
            prop_assert_eq!(by_time(reader.days(&which, &zone).unwrap()), added(&calls, day), "{}", name);
        }
        let failed: Vec<i64> = reader.failures(&which, 1000).unwrap().iter().map(|of| of.at_ms).collect();
        let mut expected: Vec<i64> =
            calls.iter().filter(|call| call.outcome.is_error()).map(|call| call.begun.started_at_ms).collect();
        expected.sort_unstable_by_key(|at_ms| std::cmp::Reverse(*at_ms));
        prop_assert_eq!(failed, expected);
        let steps = Steps::over(which.from_ms.unwrap_or(FROM_MS), which.to_ms.unwrap_or(FROM_MS + SPAN_MS), 8);
        let trends = reader.trends(&which, &steps).unwrap();
        prop_assert!(trends.iter().all(|trend| trend.calls.len() == steps.count && steps.count <= 8));
        let counted: u64 = trends.iter().flat_map(|trend| &trend.calls).sum();
        prop_assert_eq!(counted, calls.len() as u64);
    }
}

#[test]
fn a_day_of_25_hours_is_one_day() {
    let minutes = [0, 10 * 60, 10 * 60 + 1, 34 * 60 + 59, 35 * 60];
    let made = minutes.map(|minute| (minute * 60_000, Some(true), true, 0, 1_000, 0)).to_vec();
    let (room, _) = record(made);
    let reader = Reader::open(room.path()).unwrap().unwrap();
    let days = reader.days(&Which::default(), &zone("Europe/Berlin")).unwrap();
    let told: Vec<_> = days.iter().map(|day| (stamp::text(day.at_ms), day.totals.calls)).collect();
    assert_eq!(
        told,
        [
            ("2026-10-23T22:00:00.000Z".to_owned(), 1),
            ("2026-10-24T22:00:00.000Z".to_owned(), 3),
            ("2026-10-25T23:00:00.000Z".to_owned(), 1)
        ]
    );
}

#[test]
fn an_hour_into_which_midnight_falls_belongs_to_the_day_in_which_it_begins() {
    // Midnight in India is 18:30 UTC: 6 h 30 min after the beginning.
    let made = [389, 391, 420].map(|minute| (minute * 60_000, None, true, 0, 1_000, 0)).to_vec();
    let (room, _) = record(made);
    let reader = Reader::open(room.path()).unwrap().unwrap();
    let days = reader.days(&Which::default(), &zone("Asia/Kolkata")).unwrap();
    let told: Vec<_> = days.iter().map(|day| (stamp::text(day.at_ms), day.totals.calls)).collect();
    assert_eq!(
        told,
        [("2026-10-23T18:30:00.000Z".to_owned(), 2), ("2026-10-24T18:30:00.000Z".to_owned(), 1)]
    );
}

#[test]
fn a_trend_has_its_calls_in_their_steps() {
    let made = [0, 1, 119, 120, 300].map(|minute| (minute * 60_000, None, true, 0, 1_000, 0)).to_vec();
    let (room, _) = record(made);
    let reader = Reader::open(room.path()).unwrap().unwrap();
    let trend = |from_ms, to_ms, count_max| {
        let which = Which { from_ms: Some(from_ms), to_ms: Some(to_ms), ..Which::default() };
        let trends = reader.trends(&which, &Steps::over(from_ms, to_ms, count_max)).unwrap();
        trends.into_iter().next().map(|trend| trend.calls)
    };
    let later = |minutes: i64| FROM_MS + minutes * 60_000;
    assert_eq!(trend(FROM_MS, later(360), 6), Some(vec![2, 1, 1, 0, 0, 1]));
    assert_eq!(trend(FROM_MS, later(360), 4), Some(vec![3, 1, 1]));
    assert_eq!(
        trend(later(1), later(301), 6),
        Some(vec![1, 1, 1, 0, 0, 1]),
        "hours that are asked for partly"
    );
    assert_eq!(trend(later(1), later(119), 6), Some(vec![1, 0]));
    assert_eq!(trend(later(2), later(3), 6), None);
}

#[test]
fn an_empty_record_has_no_series_and_no_oldest() {
    let (room, _) = record(Vec::new());
    let reader = Reader::open(room.path()).unwrap().unwrap();
    let which = Which::default();
    assert_eq!(reader.hours(&which).unwrap(), []);
    assert_eq!(reader.clients(&which).unwrap(), []);
    assert_eq!(reader.failures(&which, 5).unwrap(), []);
    assert_eq!(reader.trends(&which, &Steps::over(0, 1, 8)).unwrap(), []);
    assert_eq!(reader.oldest().unwrap(), (None, None));
}

#[test]
fn what_retention_has_removed_is_in_the_hours_still() {
    let made = [0, 60, 120].map(|minute| (minute * 60_000, None, true, 0, 1_000, 0)).to_vec();
    let (room, _) = record(made);
    let conn = Connection::open(place::database(room.path())).unwrap();
    let before = CallId::first_at(FROM_MS + HOUR_MS).number();
    conn.execute("DELETE FROM tool_calls WHERE id < ?1", [before]).unwrap();
    let reader = Reader::open(room.path()).unwrap().unwrap();
    assert_eq!(reader.oldest().unwrap(), (Some(FROM_MS), Some(FROM_MS + HOUR_MS)));
    assert_eq!(reader.hours(&Which::default()).unwrap().len(), 3);
    assert_eq!(reader.clients(&Which::default()).unwrap()[0].totals.calls, 2);
}

#[test]
fn an_export_is_of_one_moment_and_holds_up_no_writer() {
    let made = [0, 60, 120].map(|minute| (minute * 60_000, None, true, 0, 1_000, 0)).to_vec();
    let (room, _) = record(made);
    let reader = Reader::open(room.path()).unwrap().unwrap();
    reader.at_one_moment().unwrap();
    assert_eq!(reader.count_rows(Table::Calls, &Which::default()).unwrap(), 3);
    let mut writer = Writer::open(room.path(), Durability::Process, false).unwrap();
    let mut rows = 0;
    let told = reader.each_row(Table::Calls, &Which::default(), |_| {
        rows += 1;
        writer.commit(&[Job::Finished(room.finished())], Patience::Little).unwrap();
        std::ops::ControlFlow::Continue(())
    });
    told.unwrap();
    assert_eq!((rows, room.ask("SELECT count(*) FROM tool_calls")), (3, 6));
    drop(reader);
    let later = Reader::open(room.path()).unwrap().unwrap();
    assert_eq!(later.count_rows(Table::Calls, &Which::default()).unwrap(), 6);
    let columns = later.columns(Table::Events).unwrap();
    assert_eq!(columns, ["at", "server", "event", "reason", "pid", "exitCode", "signal", "elapsedMs"]);
}
