//! What `bridge status` shows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::look::Look;
use super::screen::text;
use crate::cli::running::{Asked, SIGN_OF_LIFE};
use crate::control::NoAnswer;
use crate::outcome::Outcome;
use crate::store::stamp;
use crate::store::totals::{Ended, Totals};

const NOW_MS: i64 = 1_795_232_400_000;

fn time(before_s: i64) -> String {
    stamp::text(NOW_MS - before_s * 1_000)
}

fn server(name: &str, state: &str, more: &Value) -> Value {
    let mut server = json!({
        "name": name, "state": state, "since": time(90), "pid": null, "tools": 3, "starts": 0,
        "breaker": "closed", "because": null, "retryAfterSeconds": null,
    });
    server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server
}

fn look(asked: Vec<Asked>) -> Look {
    Look { asked, hub: None, calls: Ok(BTreeMap::new()) }
}

/// Calls that took these times, microseconds.
fn calls(took: &[u64]) -> Totals {
    let mut totals = Totals::default();
    for us in took {
        let (duration_us, outcome) = (Some(*us), Outcome::Ok);
        totals.add(Ended {
            started_at_ms: NOW_MS,
            duration_us,
            outcome,
            request_bytes: 1,
            response_bytes: 1,
        });
    }
    totals
}

fn answer() -> Value {
    json!({
        "since": time(7_400),
        "sessions": [
            { "session": "0", "client": "claude-code", "clientVersion": "2.1.0", "since": time(7_300), "uses": ["files", "time"] },
            { "session": "1", "client": null, "clientVersion": null, "since": time(5), "uses": ["time"] },
        ],
        "status": {
            "bridge": { "version": "0.1.0" },
            "config": { "file": "/home/x/.config/bridge/config.toml", "mistakes": ["config.toml:3:1: no"], "needNewStart": ["durability"] },
            "retiring": [{ "server": "time", "pid": 4_710, "activeRequests": 1, "because": "its entry changed" }],
            "tools": 1_234,
            "servers": [
                server("time", "ready", &json!({
                    "pid": 4711, "starts": 2, "scope": "thread",
                    "connections": {
                        "total": 3, "active": 1, "idle": 2, "waiting": 4, "waitingMax": 100, "reuseRate": 0.974,
                        "byUser": { "ann": 2 }, "byThread": (1..8).map(|n| (format!("t{n}"), json!(1))).collect::<Value>(),
                    },
                })),
                server("a-server-with-a-long-name", "stopped", &json!({ "tools": null, "since": time(7_400) })),
                server("github", "parked", &json!({
                    "breaker": "open", "starts": 6, "because": "it ended with exit code 3, and has failed too often",
                    "retryAfterSeconds": 59, "stderr": ["usage:", "no token: set GITHUB_TOKEN"],
                })),
                server("files", "parked", &json!({
                    "breaker": "half_open", "because": "it ended", "retryAfterSeconds": 0, "stderr": [],
                })),
            ],
            "record": { "lostRows": 2, "lastError": "disk full" },
        },
    })
}

#[test]
fn the_screen_fits_80_columns() {
    let mut look = look(vec![
        Asked { pid: Some(4_001), answer: Ok(answer()) },
        Asked { pid: Some(4_002), answer: Err(NoAnswer::Late(SIGN_OF_LIFE)) },
    ]);
    look.calls =
        Ok([("time".to_owned(), calls(&[1_250, 900, 40_000])), ("files".to_owned(), calls(&[70]))].into());
    insta::assert_snapshot!(text(&look, NOW_MS, 80), @r"
    bridge 4001  2 clients
      started 2h ago, version 0.1.0, 1,234 tools on offer
      configuration /home/x/.config/bridge/config.toml

    CLIENT             ATTACHED  PID  USES
    claude-code 2.1.0    2h ago    -  files, time
    (unnamed)            5s ago    -  time

    SERVER                     STATE     SINCE   PID  TOOLS  RESTARTS  BREAKER
    time                       ready    1m ago  4711      3         1  closed
    a-server-with-a-long-name  stopped  2h ago     -      -         0  closed
    github                     parked   1m ago     -      3         5  open
    files                      parked   1m ago     -      3         0  half-open

    CONNECTIONS  SCOPE   TOTAL  ACTIVE  IDLE  WAITING  REUSED    P50    P95
    time         thread      3       1     2    4/100     97%  2.0ms   50ms
    files                    0       0     0        0       -  100µs  100µs

    connections of time: by user ann 2; by thread t1 1, t2 1, t3 1, t4 1, t5 1, and
      2 more
    github: it ended with exit code 3, and has failed too often; it wrote last: no
      token: set GITHUB_TOKEN; again in 59s, or at once with bridge restart github
    files: it ended; the next call starts it again
    time: process 4710 goes on with 1 request and then ends: its entry changed
    settings that changed, and hold when the bridge starts anew: durability
    mistake: config.toml:3:1: no
    the record has a gap of 2 rows: disk full

    bridge 4002  did not answer within 2 s
    ");
}

#[test]
fn a_bridge_without_servers_and_clients_says_so() {
    let answer = json!({
        "since": time(1), "sessions": [],
        "status": { "bridge": { "version": "0.1.0" }, "config": { "file": null }, "tools": 2, "servers": [] },
    });
    let look = look(vec![Asked { pid: Some(1), answer: Ok(answer) }]);
    insta::assert_snapshot!(text(&look, NOW_MS, 80), @r"
    bridge 1  no client has said a word yet
      started 1s ago, version 0.1.0, 2 tools on offer
      configuration none
    ");
}

#[test]
fn json_holds_those_too_that_do_not_answer() {
    let asked = [
        Asked { pid: Some(1), answer: Err(NoAnswer::Late(SIGN_OF_LIFE)) },
        Asked { pid: Some(2), answer: Ok(answer()) },
    ];
    let mut look = look(asked.into());
    look.calls = Ok([("time".to_owned(), calls(&[1_250]))].into());
    let json = look.json();
    assert_eq!(json[0], json!({ "pid": 1, "answers": false, "error": "did not answer within 2 s" }));
    assert_eq!((&json[1]["answers"], &json[1]["status"]["tools"]), (&json!(true), &json!(1_234)));
    assert_eq!(
        (&json[1]["latency"]["time"]["calls"], &json[1]["latency"]["github"]),
        (&json!(1), &Value::Null)
    );
    look.calls = Err("it is locked".into());
    assert_eq!(
        (&look.json()[1]["latency"], &look.json()[1]["latencyError"]),
        (&Value::Null, &json!("it is locked"))
    );
    assert!(text(&look, NOW_MS, 80).ends_with("\n\nhow long calls took is not known: it is locked"));
}

#[test]
fn ten_clients_have_a_line_each() {
    let session = |n: i64| {
        let uses: Vec<String> = (0..n).map(|n| format!("server-{n}")).collect();
        json!({ "client": "claude-code", "clientVersion": "2.1.0", "pid": 5_000 + n, "since": time(n * 700), "uses": uses })
    };
    let answer = json!({
        "since": time(8_000), "sessions": (0..10).map(session).collect::<Value>(),
        "status": {
            "bridge": { "version": "0.1.0" }, "config": { "file": "/home/x/.config/bridge/config.toml" }, "tools": 2,
            "servers": [server("github", "stopped", &json!({ "because": "bridge stop", "held": true }))],
        },
    });
    let look = look(vec![Asked { pid: Some(1), answer: Ok(answer) }]);
    insta::assert_snapshot!(text(&look, NOW_MS, 80), @r"
    bridge 1  10 clients
      started 2h ago, version 0.1.0, 2 tools on offer
      configuration /home/x/.config/bridge/config.toml

    CLIENT             ATTACHED   PID  USES
    claude-code 2.1.0       now  5000  -
    claude-code 2.1.0   11m ago  5001  server-0
    claude-code 2.1.0   23m ago  5002  server-0, server-1
    claude-code 2.1.0   35m ago  5003  server-0, server-1, server-2
    claude-code 2.1.0   46m ago  5004  server-0, server-1, server-2, and 1 more
    claude-code 2.1.0   58m ago  5005  server-0, server-1, server-2, and 2 more
    claude-code 2.1.0    1h ago  5006  server-0, server-1, server-2, and 3 more
    claude-code 2.1.0    1h ago  5007  server-0, server-1, server-2, and 4 more
    claude-code 2.1.0    1h ago  5008  server-0, server-1, server-2, and 5 more
    claude-code 2.1.0    1h ago  5009  server-0, server-1, server-2, and 6 more

    SERVER  STATE     SINCE  PID  TOOLS  RESTARTS  BREAKER
    github  stopped  1m ago    -      3         0  closed

    github: a person stopped it; bridge start github starts it again
    ");
}
