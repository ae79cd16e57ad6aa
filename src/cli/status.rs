//! `bridge status`: what the bridges that run now, and their servers, are doing.

mod place;

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::builtin::changes;
use crate::builtin::status::goes_on;
use crate::cli::running::{self, Asked, SIGN_OF_LIFE};
use crate::cli::words;
use crate::control::Request;
use crate::store::stamp;

/// So many users and threads are named.
const NAMED_MAX: usize = 5;

/// Show the bridges that run now, and what each of their servers does
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "A server is stopped until somebody needs it; its breaker is open while calls to
it are refused, because it failed too often.

Examples:
  bridge status          every bridge that runs, and its servers
  bridge status --json   for a script")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what the bridges of a data folder say of themselves.
///
/// # Errors
/// When the folder of their sockets is not this user's own.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let asked = running::ask_all(data_dir, &Request::Status, SIGN_OF_LIFE)?;
    let hub = place::look(data_dir);
    let text = match (args.json, asked.as_slice(), &hub) {
        (true, asked, hub) => {
            format!("{:#}", asked.iter().map(json_of).chain(hub.clone()).collect::<Value>())
        }
        (false, [], None) => running::nobody(data_dir),
        (false, asked, hub) => {
            let (now_ms, columns) = (words::now_ms(), words::screen_columns());
            let sessions = asked.iter().filter_map(|asked| asked.answer.as_ref().ok());
            let sessions: Vec<&Value> = sessions.flat_map(|answer| list(&answer["sessions"])).collect();
            let hub = hub.iter().map(|hub| place::lines(hub, &sessions, now_ms, columns));
            hub.chain(screen(asked, now_ms, columns)).collect::<Vec<_>>().join("\n\n")
        }
    };
    words::say(out, &text)
}

fn json_of(asked: &Asked) -> Value {
    match &asked.answer {
        Ok(answer) => {
            let mut all = json!({ "pid": asked.pid, "answers": true });
            if let (Some(all), Some(answer)) = (all.as_object_mut(), answer.as_object()) {
                all.extend(answer.clone());
            }
            all
        }
        Err(error) => json!({ "pid": asked.pid, "answers": false, "error": error.to_string() }),
    }
}

fn screen(asked: &[Asked], now_ms: i64, columns: u16) -> impl Iterator<Item = String> {
    let of_one = move |asked: &Asked| {
        let pid = asked.pid.map_or_else(|| "?".into(), |pid| pid.to_string());
        match &asked.answer {
            Ok(answer) => bridge(&pid, answer, now_ms, columns),
            Err(error) => format!("bridge {pid}  {error}"),
        }
    };
    asked.iter().map(of_one)
}

#[expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]
fn bridge(pid: &str, answer: &Value, now_ms: i64, columns: u16) -> String {
    let status = &answer["status"];
    let sessions = list(&answer["sessions"]).iter().map(|session| client(session, now_ms));
    let sessions = Some(sessions.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty());
    let mut text = format!(
        "bridge {pid}  {}\n  started {}, version {}, {} tools on offer\n  configuration {}",
        sessions.unwrap_or_else(|| "no client has said a word yet".into()),
        ago(&answer["since"], now_ms),
        words_of(&status["bridge"]["version"]),
        words::count(status["tools"].as_u64().unwrap_or_default()),
        status["config"]["file"].as_str().unwrap_or("none"),
    );
    let servers = list(&status["servers"]);
    if !servers.is_empty() {
        let rows = servers.iter().map(|server| row(server, now_ms)).collect();
        let header = ["SERVER", "STATE", "SINCE", "PID", "TOOLS", "RESTARTS", "BREAKER"];
        text.push_str("\n\n");
        text.push_str(&words::table(&header, &[2, 3, 4, 5], rows, columns));
    }
    let pools: Vec<&Value> = servers.iter().filter(|server| is_used(&server["connections"])).collect();
    if !pools.is_empty() {
        let rows = pools.iter().map(|server| pool(server)).collect();
        let header = ["CONNECTIONS", "SCOPE", "TOTAL", "ACTIVE", "IDLE", "WAITING", "REUSED"];
        text.push_str("\n\n");
        text.push_str(&words::table(&header, &[2, 3, 4, 5, 6], rows, columns));
    }
    let mut remarks: Vec<String> = pools.iter().filter_map(|server| whose(server)).collect();
    remarks.extend(servers.iter().filter_map(|server| users(server, list(&answer["sessions"]))));
    remarks.extend(servers.iter().filter_map(why));
    remarks.extend(list(&status["retiring"]).iter().map(goes_on));
    let later = list(&status["config"]["needNewStart"]).iter().map(words_of).collect::<Vec<_>>().join(", ");
    if !later.is_empty() {
        remarks.push(format!("settings that changed, and hold when the bridge starts anew: {later}"));
    }
    remarks.extend(changes::told(&status["toolChanges"]));
    remarks.extend(list(&status["config"]["mistakes"]).iter().map(|it| format!("mistake: {}", words_of(it))));
    remarks.extend(list(&status["config"]["notes"]).iter().map(|it| format!("note: {}", words_of(it))));
    if let Some(error) = status["record"]["lastError"].as_str() {
        remarks.push(format!("the record has a gap of {} rows: {error}", status["record"]["lostRows"]));
    }
    if !remarks.is_empty() {
        let remarks: Vec<String> = remarks.iter().map(|remark| words::wrapped(remark, columns)).collect();
        text.push_str(&format!("\n\n{}", remarks.join("\n")));
    }
    text
}

fn client(session: &Value, now_ms: i64) -> String {
    format!("{}, attached {}", client_name(session), ago(&session["since"], now_ms))
}

fn client_name(session: &Value) -> String {
    let name = session["client"].as_str().unwrap_or("(unnamed)");
    let version = session["clientVersion"].as_str().map(|version| format!(" {version}"));
    format!("{name}{}", version.unwrap_or_default())
}

fn row(server: &Value, now_ms: i64) -> Vec<String> {
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".into(), words::count);
    vec![
        words_of(&server["name"]).into(),
        words_of(&server["state"]).into(),
        ago(&server["since"], now_ms),
        server["pid"].as_u64().map_or_else(|| "-".into(), |pid| pid.to_string()),
        number(&server["tools"]),
        words::count(server["starts"].as_u64().unwrap_or_default().saturating_sub(1)),
        server["breaker"].as_str().unwrap_or("-").replace('_', "-"),
    ]
}

/// Whether there is a connection, or somebody waits for one.
fn is_used(connections: &Value) -> bool {
    ["total", "waiting"].into_iter().any(|key| connections[key].as_u64().is_some_and(|count| count > 0))
}

/// How the connections of one server are used.
fn pool(server: &Value) -> Vec<String> {
    let connections = &server["connections"];
    let number = |key: &str| words::count(connections[key].as_u64().unwrap_or_default());
    let rate = connections["reuseRate"].as_f64();
    vec![
        words_of(&server["name"]).into(),
        words_of(&server["scope"]).into(),
        number("total"),
        number("active"),
        number("idle"),
        number("waiting"),
        rate.map_or_else(|| "-".into(), |rate| format!("{:.0}%", rate * 100.0)),
    ]
}

/// Who has how many of a server's connections, as far as they are named.
fn whose(server: &Value) -> Option<String> {
    let named = |key: &str, what: &str| {
        let all = server.get("connections")?.get(key)?.as_object().filter(|all| !all.is_empty())?;
        let shown = all.iter().take(NAMED_MAX).map(|(name, count)| format!("{name} {count}"));
        let more = all.len().saturating_sub(NAMED_MAX);
        let more = (more > 0).then(|| format!("and {more} more"));
        Some(format!("{what} {}", shown.chain(more).collect::<Vec<_>>().join(", ")))
    };
    let parts = [named("byUser", "by user"), named("byThread", "by thread")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("connections of {}: {}", words_of(&server["name"]), parts.join("; ")))
}

/// Which of several clients use a server.
fn users(server: &Value, sessions: &[Value]) -> Option<String> {
    let uses = |session: &&Value| list(&session["uses"]).contains(&server["name"]);
    let users: Vec<String> = sessions.iter().filter(uses).map(client_name).collect();
    let is_told = sessions.len() > 1 && !users.is_empty();
    is_told.then(|| format!("{} is used by {}", words_of(&server["name"]), users.join(", ")))
}

/// Why a server is in its state, and when it may leave it.
fn why(server: &Value) -> Option<String> {
    let because = server["because"].as_str()?;
    let name = words_of(&server["name"]);
    // Only of one that does not run now is its last output what a person looks for.
    let (output, again) = match server["retryAfterSeconds"].as_u64() {
        None => (String::new(), String::new()),
        Some(0) => (running::last_output(&server["stderr"]), "; the next call starts it again".to_owned()),
        Some(s) => {
            // Until then every call is refused.
            let sooner = match words_of(&server["state"]) {
                "parked" => format!(", or at once with bridge restart {name}"),
                _ => String::new(),
            };
            (running::last_output(&server["stderr"]), format!("; again in {}{sooner}", words::seconds(s)))
        }
    };
    Some(format!("{name}: {because}{output}{again}"))
}

fn ago(time: &Value, now_ms: i64) -> String {
    time.as_str().and_then(stamp::parse).map_or_else(|| "-".into(), |at_ms| words::ago(at_ms, now_ms))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn words_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::NoAnswer;

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
                            "total": 3, "active": 1, "idle": 2, "waiting": 4, "reuseRate": 0.974,
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
        let asked = [
            Asked { pid: Some(4_001), answer: Ok(answer()) },
            Asked { pid: Some(4_002), answer: Err(NoAnswer::Late(SIGN_OF_LIFE)) },
        ];
        insta::assert_snapshot!(screen(&asked, NOW_MS, 80).collect::<Vec<_>>().join("\n\n"), @r"
        bridge 4001  claude-code 2.1.0, attached 2h ago, (unnamed), attached 5s ago
          started 2h ago, version 0.1.0, 1,234 tools on offer
          configuration /home/x/.config/bridge/config.toml

        SERVER                     STATE     SINCE   PID  TOOLS  RESTARTS  BREAKER
        time                       ready    1m ago  4711      3         1  closed
        a-server-with-a-long-name  stopped  2h ago     -      -         0  closed
        github                     parked   1m ago     -      3         5  open
        files                      parked   1m ago     -      3         0  half-open

        CONNECTIONS  SCOPE   TOTAL  ACTIVE  IDLE  WAITING  REUSED
        time         thread      3       1     2        4     97%

        connections of time: by user ann 2; by thread t1 1, t2 1, t3 1, t4 1, t5 1, and
          2 more
        time is used by claude-code 2.1.0, (unnamed)
        files is used by claude-code 2.1.0
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
        let asked = [Asked { pid: Some(1), answer: Ok(answer) }];
        insta::assert_snapshot!(screen(&asked, NOW_MS, 80).collect::<Vec<_>>().join("\n\n"), @r"
        bridge 1  no client has said a word yet
          started 1s ago, version 0.1.0, 2 tools on offer
          configuration none
        ");
    }

    #[test]
    fn json_holds_those_too_that_do_not_answer() {
        let hung = json_of(&Asked { pid: Some(1), answer: Err(NoAnswer::Late(SIGN_OF_LIFE)) });
        assert_eq!(hung, json!({ "pid": 1, "answers": false, "error": "did not answer within 2 s" }));
        let well = json_of(&Asked { pid: Some(1), answer: Ok(answer()) });
        assert_eq!((&well["answers"], &well["status"]["tools"]), (&json!(true), &json!(1_234)));
    }
}
