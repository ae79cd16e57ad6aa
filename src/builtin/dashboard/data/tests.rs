use super::*;
use crate::outcome::Outcome;
use crate::store::totals::Ended;

/// 2026-11-21T03:40:00Z
const NOW_MS: i64 = 1_795_232_400_000;
const DAY_MS: i64 = 24 * HOUR_MS;

#[track_caller]
fn check_span(hours: i64, step_hours: i64, steps: usize) {
    let span = Span::of("", NOW_MS - hours * HOUR_MS, NOW_MS);
    assert_eq!((span.step_ms / HOUR_MS, span.steps), (step_hours, steps), "{hours} hours");
    // It ends with the hour that runs.
    assert_eq!(stamp::text(span.to_ms()), "2026-11-21T04:00:00.000Z");
    assert!(span.from_ms <= NOW_MS - (hours - 1) * HOUR_MS);
}

#[test]
fn a_span_is_cut_into_few_steps_that_end_with_the_hour_that_runs() {
    check_span(0, 1, 1);
    check_span(24, 1, 24);
    check_span(7 * 24, 3, 56);
    check_span(30 * 24, 12, 60);
    check_span(90 * 24, 48, 45);
    // Since ever.
    let span = Span::of("", 0, NOW_MS);
    assert!(span.steps <= 60 && span.from_ms <= 0, "{span:?}");
}

fn totals(calls: u64, failed: u64) -> Totals {
    let mut totals = Totals::default();
    for call in 0..calls {
        totals.add(Ended {
            started_at_ms: NOW_MS,
            duration_us: Some(1_500),
            outcome: if call < failed { Outcome::Timeout } else { Outcome::Ok },
            request_bytes: 1,
            response_bytes: 1,
        });
    }
    totals
}

fn event(server: &str, reason: &str) -> EventRow {
    EventRow {
        id: 1,
        at: stamp::text(NOW_MS),
        server: server.to_owned(),
        event: "exit".to_owned(),
        reason: Some(reason.to_owned()),
        pid: None,
        exit_code: None,
        signal: None,
        elapsed_ms: None,
    }
}

fn record() -> Record {
    let of = |name: &str, totals| NameTotals { name: Some(name.to_owned()), totals };
    Record {
        steps: vec![totals(0, 0), totals(10, 3)],
        servers: vec![of("a", totals(8, 3)), of("gone", totals(2, 0))],
        sessions: 4,
        sessions_open: 1,
        events: vec![event("a", "newest"), event("b", "it left"), event("a", "older")],
    }
}

fn span() -> Span {
    Span { steps: 2, ..Span::of("2h", NOW_MS - 2 * HOUR_MS, NOW_MS) }
}

fn running(pid: Option<u32>, state: &str) -> Running {
    let server = json!({ "name": "a", "state": state, "since": stamp::text(NOW_MS - DAY_MS), "because": null,
                         "pid": 7, "tools": 3, "retryAfterSeconds": null, "breaker": "closed" });
    let mistakes = json!({ "mistakes": ["config.toml:3:1: no"] });
    let changes = json!([{ "server": "a", "tool": "t", "change": "new", "held": false }]);
    let status = json!({ "servers": [server], "config": mistakes, "toolChanges": changes, "record": { "lostRows": 2, "lastError": "disk full" } });
    Running { pid, status: Ok(status) }
}

/// Name, state, calls and the bridge of each server.
fn shown(data: &Value) -> Vec<String> {
    let servers = data["servers"].as_array().unwrap();
    let line = |of: &Value| {
        format!("{} {} {} {}", of["name"], of["state"], of["calls"], of["bridge"]).replace('"', "")
    };
    servers.iter().map(line).collect()
}

#[test]
fn a_server_is_told_with_its_state_and_its_calls() {
    let data = data(&span(), &record(), &[running(None, "ready")]);
    assert_eq!(shown(&data), ["a ready 8 null", "gone removed 2 null"]);
    assert_eq!(data["series"]["calls"], json!([0, 10]));
    assert_eq!((&data["series"]["p50Ms"][0], &data["series"]["p50Ms"][1]), (&Value::Null, &json!(1.5)));
    assert_eq!((&data["totals"]["errors"], &data["totals"]["sessionsOpen"]), (&json!(3), &json!(1)));
    let [mistake, change, gap] = data["notes"].as_array().unwrap().as_slice() else { panic!("{data}") };
    assert_eq!(mistake, "A mistake in the configuration: config.toml:3:1: no");
    assert!(change.as_str().unwrap().starts_with("Tools of a are not what they were"), "{change}");
    assert_eq!(gap, "The record has a gap of 2 rows: disk full");
}

#[test]
fn several_bridges_are_told_apart_and_no_call_is_told_twice() {
    let silent = Running { pid: Some(3), status: Err("did not answer within 2 s".to_owned()) };
    let data = data(&span(), &record(), &[running(Some(1), "ready"), running(Some(2), "parked"), silent]);
    assert_eq!(shown(&data), ["a ready 8 1", "a parked 0 2", "gone removed 2 null"]);
    let notes = data["notes"].as_array().unwrap();
    assert_eq!(
        notes.last().unwrap(),
        "The bridge 3 tells nothing of its servers: it did not answer within 2 s"
    );
}

#[test]
fn without_a_bridge_the_record_has_the_last_word() {
    let data = data(&span(), &record(), &[]);
    assert_eq!(shown(&data), ["a stopped 8 null", "gone stopped 2 null", "b stopped 0 null"]);
    assert_eq!((&data["live"], &data["servers"][0]["because"]), (&json!(false), &json!("newest")));
}
