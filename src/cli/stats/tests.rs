use super::*;
use crate::figures::Key;
use crate::outcome::Outcome;
use crate::store::stamp::HOUR_MS;
use crate::store::totals::Ended;

const NOW_MS: i64 = 1_795_232_400_000;

fn totals(calls: u64, failed: u64, duration_us: u64) -> Totals {
    let mut totals = Totals::default();
    for call in 0..calls {
        totals.add(Ended {
            started_at_ms: NOW_MS - 180_000,
            duration_us: Some(duration_us * (call + 1) / calls),
            outcome: if call < failed { Outcome::Timeout } else { Outcome::Ok },
            request_bytes: 10,
            response_bytes: 20,
        });
    }
    totals
}

fn tool(server: Option<&str>, tool: &str, totals: Totals) -> ToolTotals {
    ToolTotals { server: server.map(Into::into), tool: tool.into(), totals }
}

fn overview() -> Told {
    let trend = |server: &str, tool: &str, calls: [u64; 6]| Trend {
        server: Some(server.into()),
        tool: tool.into(),
        calls: calls.to_vec(),
    };
    Told::Tools(Overview {
        sessions: 1_204,
        active: 2,
        mean_duration_s: Some(3_725.4),
        calls: 1_240,
        tools: vec![
            tool(Some("time"), "get_current_time", totals(1_200, 3, 9_000)),
            tool(Some("filesystem"), "read_multiple_files_with_a_long_name", totals(39, 39, 31_000_000)),
            tool(None, "bridge_status", totals(1, 0, 80)),
        ],
        trends: vec![
            trend("time", "get_current_time", [100, 150, 200, 0, 10, 740]),
            trend("filesystem", "read_multiple_files_with_a_long_name", [0, 0, 0, 0, 0, 39]),
        ],
    })
}

fn in_zone<T>(zone: &str, args: &Args, with: impl FnOnce(&Asked<'_>) -> T) -> T {
    with(&Asked {
        args,
        which: Which { from_ms: Some(NOW_MS), ..Which::default() },
        now_ms: NOW_MS,
        zone: TimeZone::get(zone).unwrap(),
        columns: 80,
        letters: Letters::Blocks,
    })
}

fn screen(told: &Told) -> String {
    let screen = in_zone("Europe/Berlin", &Args::default(), |asked| Screen { asked }.of(told));
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    screen
}

fn lines(by: By, lines: Vec<(Key, Totals)>, rows_since_ms: Option<i64>) -> Told {
    let lines = lines.into_iter().map(|(key, totals)| Line { key, totals }).collect();
    Told::Lines { by, lines, rows_since_ms }
}

#[test]
fn the_screen_fits_80_columns() {
    insta::assert_snapshot!(screen(&overview()), @r#"
    sessions  1,204 total, 2 active, 1h 02m on average
    calls     1,240 in all

    SERVER      TOOL               CALLS  ERRORS    RATE    P50    P95  AGO  TREND
    time        get_current_time   1,200       3    0.2%  4.5ms  9.4ms   3m  ▂▂▃ ▁█
    filesystem  read_multiple_fil     39      39  100.0%    16s    45s   3m       █
                es_with_a_long_na
                me
    (bridge)    bridge_status          1       0    0.0%  100µs  100µs   3m
    "#);
}

#[test]
fn where_text_is_not_utf_8_the_screen_is_drawn_with_plain_letters() {
    let asked = |letters| {
        in_zone("UTC", &Args::default(), |asked| {
            Screen {
                asked: &Asked { letters, which: asked.which.clone(), zone: asked.zone.clone(), ..*asked },
            }
            .of(&overview())
        })
    };
    let last = asked(Letters::Ascii).lines().nth(4).unwrap().to_owned();
    assert!(last.ends_with("  ::- .@"), "{last}");
}

#[test]
fn a_record_without_calls_says_so() {
    insta::assert_snapshot!(screen(&Told::Tools(Overview::default())), @r#"
    sessions  0 total, 0 active, - on average
    calls     0 in all

    No tool was called.
    "#);
    assert_eq!(screen(&lines(By::Day, Vec::new(), None)), "No tool was called.");
    assert_eq!(screen(&Told::Histogram(Totals::default())), "No tool was called.");
    assert_eq!(screen(&Told::Errors { errors: Vec::new(), rows_since_ms: None }), "No call failed.");
}

#[test]
fn days_are_those_of_the_user_and_hours_are_told_apart_when_clocks_go_back() {
    // Midnight in Berlin before the day of 25 hours.
    const MIDNIGHT_MS: i64 = 1_792_879_200_000;
    let days = [(0, 1_200, 3), (25, 640, 39)]
        .map(|(hour, calls, failed)| (Key::Day(MIDNIGHT_MS + hour * HOUR_MS), totals(calls, failed, 9_000)));
    insta::assert_snapshot!(screen(&lines(By::Day, days.to_vec(), None)), @r#"
    1,840 calls in all

    DAY             CALLS  ERRORS  RATE    P50    P95
    2026-10-25 Sun  1,200       3  0.2%  4.5ms  9.4ms  ████████████████████
    2026-10-26 Mon    640      39  6.1%  4.5ms  9.4ms  ██████████▊
    "#);
    let hours = [1, 2, 3, 4].map(|hour| (Key::Hour(MIDNIGHT_MS + hour * HOUR_MS), totals(10, 0, 9_000)));
    insta::assert_snapshot!(screen(&lines(By::Hour, hours.to_vec(), None)), @r#"
    40 calls in all

    HOUR                   CALLS  ERRORS  RATE    P50   P95
    2026-10-25 01:00 CEST     10       0  0.0%  5.0ms  10ms  ████████████████████
    2026-10-25 02:00 CEST     10       0  0.0%  5.0ms  10ms  ████████████████████
    2026-10-25 02:00 CET      10       0  0.0%  5.0ms  10ms  ████████████████████
    2026-10-25 03:00 CET      10       0  0.0%  5.0ms  10ms  ████████████████████
    "#);
}

#[test]
fn clients_are_told_as_far_as_their_calls_are_kept() {
    let clients = vec![
        (Key::Client(Some("claude-ai".into())), totals(1_200, 3, 9_000)),
        (Key::Client(None), totals(1, 1, 31_000_000)),
    ];
    insta::assert_snapshot!(screen(&lines(By::Client, clients, Some(NOW_MS))), @r#"
    1,201 calls in all

    CLIENT     CALLS  ERRORS    RATE    P50    P95
    claude-ai  1,200       3    0.2%  4.5ms  9.4ms  ████████████████████
    (unnamed)      1       1  100.0%    60s    60s  ▏

    Single calls are kept since 2026-11-21 04:40; what was before is in the totals
      by tool, server, hour and day only (retention_days).
    "#);
}

#[test]
fn a_histogram_shows_the_columns_from_the_quickest_call_to_the_slowest() {
    let mut all = totals(1_200, 3, 9_000);
    all.merge(&totals(39, 0, 130_000_000));
    all.calls += 2;
    insta::assert_snapshot!(screen(&Told::Histogram(all)), @r#"
    1,239 calls: half within 4.6ms, 95 of 100 within 9.7ms, 99 within 60s

    WITHIN  CALLS  SHARE
     100µs     13   1.0%  █
     200µs     13   1.0%  █
     500µs     40   3.2%  ███
     1.0ms     67   5.4%  █████▏
     2.0ms    133  10.7%  ██████████
     5.0ms    400  32.3%  ██████████████████████████████
      10ms    534  43.1%  ████████████████████████████████████████
      20ms      0   0.0%
      50ms      0   0.0%
     100ms      0   0.0%
     200ms      0   0.0%
     500ms      0   0.0%
      1.0s      0   0.0%
      2.0s      0   0.0%
      5.0s      1   0.1%  ▏
       10s      2   0.2%  ▎
       30s      6   0.5%  ▌
       60s      9   0.7%  ▊
    longer     21   1.7%  █▋

    Of 2 calls nobody knows how long they took.
    "#);
}

#[test]
fn errors_are_told_with_their_causes() {
    let errors = vec![
        Failure {
            at_ms: NOW_MS,
            client: Some("claude-ai".into()),
            server: Some("filesystem".into()),
            tool: "read_multiple_files".into(),
            outcome: "outcome_unknown".into(),
            error_kind: Some("bridge_crashed".into()),
            duration_us: None,
        },
        Failure {
            at_ms: NOW_MS - 90_061_000,
            client: None,
            server: Some("time".into()),
            tool: "now".into(),
            outcome: "timeout".into(),
            error_kind: Some("hung".into()),
            duration_us: Some(30_000_000),
        },
        Failure {
            at_ms: NOW_MS - 90_062_000,
            client: Some("claude-ai".into()),
            tool: "bridge_stats".into(),
            outcome: "rejected".into(),
            duration_us: Some(90),
            ..Failure::default()
        },
    ];
    insta::assert_snapshot!(screen(&Told::Errors { errors, rows_since_ms: None }), @r#"
    STARTED          CLIENT     SERVER      TOOL              WHY              TOOK
    Nov 21 04:40:00  claude-ai  filesystem  read_multiple_fi  outcome_unknown     -
                                            les               bridge_crashed
    Nov 20 03:38:59  (unnamed)  time        now               timeout hung      30s
    Nov 20 03:38:58  claude-ai  (bridge)    bridge_stats      rejected         90µs
    "#);
}

#[test]
fn json_holds_the_head_figures_under_one_name() {
    let mut told = overview();
    if let Told::Tools(overview) = &mut told {
        overview.tools.truncate(1);
    }
    let json = in_zone("UTC", &Args::default(), |asked| format!("{:#}", told.json(asked)));
    insta::assert_snapshot!(json, @r#"
    {
      "mcpSessions": {
        "active": 2,
        "avgDurationSeconds": 3725.4,
        "total": 1204,
        "totalToolCalls": 1240
      },
      "server": null,
      "since": "2026-11-21T03:40:00.000Z",
      "tool": null,
      "tools": [
        {
          "calls": 1200,
          "cancelled": 0,
          "errorRate": 0.0025,
          "errors": 3,
          "lastUsed": "2026-11-21T03:37:00.000Z",
          "p50Ms": 4.505,
          "p95Ms": 9.438,
          "requestBytes": 12000,
          "responseBytes": 24000,
          "server": "time",
          "tool": "get_current_time"
        }
      ],
      "until": null
    }
    "#);
}

#[test]
fn a_program_reads_the_same_rows_in_both_forms() {
    let days = lines(By::Day, vec![(Key::Day(NOW_MS), totals(2, 1, 9_000))], Some(NOW_MS));
    let (json, csv) = in_zone("UTC", &Args::default(), |asked| {
        let mut out = Vec::new();
        sheet::print(&mut out, days.head(asked), days.rows(asked)).unwrap();
        (format!("{:#}", days.json(asked)), String::from_utf8(out).unwrap())
    });
    insta::assert_snapshot!(json, @r#"
    {
      "days": [
        {
          "calls": 2,
          "cancelled": 0,
          "day": "2026-11-21",
          "errorRate": 0.5,
          "errors": 1,
          "from": "2026-11-21T03:40:00.000Z",
          "lastUsed": "2026-11-21T03:37:00.000Z",
          "p50Ms": 5.0,
          "p95Ms": 10.0,
          "requestBytes": 20,
          "responseBytes": 40
        }
      ],
      "rowsSince": "2026-11-21T03:40:00.000Z",
      "server": null,
      "since": "2026-11-21T03:40:00.000Z",
      "tool": null,
      "until": null
    }
    "#);
    insta::assert_snapshot!(csv, @r#"
    day,from,calls,errors,cancelled,errorRate,p50Ms,p95Ms,requestBytes,responseBytes,lastUsed
    2026-11-21,2026-11-21T03:40:00.000Z,2,1,0,0.5,5.0,10.0,20,40,2026-11-21T03:37:00.000Z
    "#);
}

#[test]
fn without_a_record_a_person_reads_a_sentence_and_a_script_reads_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let said = |args: Args| {
        let mut out = Vec::new();
        run(&args, dir.path(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(said(Args::default()).starts_with("Nothing is recorded yet in "));
    let json: Value = serde_json::from_str(&said(Args { json: true, ..Args::default() })).unwrap();
    assert_eq!(json["mcpSessions"]["total"], 0);
    assert_eq!(json["mcpSessions"]["avgDurationSeconds"], Value::Null);
    let of = |args: Args| serde_json::from_str::<Value>(&said(Args { json: true, ..args })).unwrap();
    assert_eq!(of(Args { by: Some(By::Day), ..Args::default() })["days"], json!([]));
    assert_eq!(of(Args { errors: Some(5), ..Args::default() })["errors"], json!([]));
    assert_eq!(of(Args { histogram: true, ..Args::default() })["calls"], 0);
    let csv = said(Args { csv: true, errors: Some(5), ..Args::default() });
    assert_eq!(csv, "startedAt,client,server,tool,outcome,errorKind,durationMs\r\n");
}

#[test]
fn an_end_before_the_beginning_is_refused_in_words() {
    let args = Args { since: Some("1h".into()), until: Some("2h".into()), ..Args::default() };
    let error = run(&args, Path::new("nowhere"), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "--until 2h is not after --since 1h");
}
