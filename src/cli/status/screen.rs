//! The screen of `bridge status`.

use serde_json::Value;

use crate::builtin::changes;
use crate::builtin::status::goes_on;
use crate::cli::running::{self, Asked};
use crate::cli::status::look::Look;
use crate::cli::status::place;
use crate::cli::words;
use crate::store::stamp;
use crate::store::totals::Totals;

/// So many users and threads are named.
const NAMED_MAX: usize = 5;

/// So many servers that a client uses are named.
const USES_MAX: usize = 3;

/// What a person reads, at a time (Unix milliseconds) and on so many columns.
pub fn text(look: &Look, now_ms: i64, columns: u16) -> String {
    let answers = look.asked.iter().filter_map(|asked| asked.answer.as_ref().ok());
    let sessions: Vec<&Value> = answers.flat_map(|answer| list(&answer["sessions"])).collect();
    let hub = look.hub.iter().map(|hub| place::lines(hub, &sessions, now_ms, columns));
    let of_one = |asked: &Asked| {
        let pid = asked.pid.map_or_else(|| "?".into(), |pid| pid.to_string());
        match &asked.answer {
            Ok(answer) => bridge(&pid, answer, look, (now_ms, columns)),
            Err(error) => format!("bridge {pid}  {error}"),
        }
    };
    let mistake = look
        .calls
        .as_ref()
        .err()
        .map(|error| words::wrapped(&format!("how long calls took is not known: {error}"), columns));
    hub.chain(look.asked.iter().map(of_one)).chain(mistake).collect::<Vec<_>>().join("\n\n")
}

#[expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]
fn bridge(pid: &str, answer: &Value, look: &Look, (now_ms, columns): (i64, u16)) -> String {
    let status = &answer["status"];
    let sessions = list(&answer["sessions"]);
    let clients = match sessions {
        [] => "no client has said a word yet".to_owned(),
        [only] => client(only, now_ms),
        many => format!("{} clients", many.len()),
    };
    let mut text = format!(
        "bridge {pid}  {clients}\n  started {}, version {}, {} tools on offer\n  configuration {}",
        ago(&answer["since"], now_ms),
        words_of(&status["bridge"]["version"]),
        words::count(status["tools"].as_u64().unwrap_or_default()),
        status["config"]["file"].as_str().unwrap_or("none"),
    );
    if sessions.len() > 1 {
        text.push_str(&format!("\n\n{}", self::clients(sessions, now_ms, columns)));
    }
    let servers = list(&status["servers"]);
    if !servers.is_empty() {
        let rows = servers.iter().map(|server| row(server, now_ms)).collect();
        let header = ["SERVER", "STATE", "SINCE", "PID", "TOOLS", "RESTARTS", "BREAKER"];
        text.push_str("\n\n");
        text.push_str(&words::table(&header, &[2, 3, 4, 5], rows, columns));
    }
    let calls = |server: &Value| look.calls.as_ref().ok()?.get(server["name"].as_str()?);
    let is_told = |server: &&Value| is_used(&server["connections"]) || calls(server).is_some();
    let pools: Vec<&Value> = servers.iter().filter(is_told).collect();
    if !pools.is_empty() {
        let rows = pools.iter().map(|server| pool(server, calls(server))).collect();
        let header = ["CONNECTIONS", "SCOPE", "TOTAL", "ACTIVE", "IDLE", "WAITING", "REUSED", "P50", "P95"];
        text.push_str("\n\n");
        text.push_str(&words::table(&header, &[2, 3, 4, 5, 6, 7, 8], rows, columns));
    }
    let mut remarks: Vec<String> = pools.iter().filter_map(|server| whose(server)).collect();
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

/// The clients of a bridge that has many.
fn clients(sessions: &[Value], now_ms: i64, columns: u16) -> String {
    let row = |session: &Value| {
        let all = list(&session["uses"]);
        let more = all.len().saturating_sub(USES_MAX);
        let more = (more > 0).then(|| format!("and {more} more"));
        let uses: Vec<String> =
            all.iter().take(USES_MAX).map(|name| words_of(name).to_owned()).chain(more).collect();
        let uses = if uses.is_empty() { "-".to_owned() } else { uses.join(", ") };
        let pid = session["pid"].as_u64().map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        vec![client_name(session), ago(&session["since"], now_ms), pid, uses]
    };
    words::table(&["CLIENT", "ATTACHED", "PID", "USES"], &[1, 2], sessions.iter().map(row).collect(), columns)
}

/// What a client calls itself, as a terminal may show it.
pub fn client_name(session: &Value) -> String {
    let name = session["client"].as_str().unwrap_or("(unnamed)");
    let version = session["clientVersion"].as_str().map(|version| format!(" {version}"));
    words::plain(&format!("{name}{}", version.unwrap_or_default()))
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
fn pool(server: &Value, calls: Option<&Totals>) -> Vec<String> {
    let connections = &server["connections"];
    let number = |key: &str| words::count(connections[key].as_u64().unwrap_or_default());
    let rate = connections["reuseRate"].as_f64();
    // An older bridge does not say how many may wait.
    let waiting_max = connections["waitingMax"].as_u64().map(|max| format!("/{}", words::count(max)));
    let took = |percent| calls.and_then(|calls| calls.histogram.percentile_us(percent));
    let took = |percent| took(percent).map_or_else(|| "-".into(), words::micros);
    vec![
        words_of(&server["name"]).into(),
        words_of(&server["scope"]).into(),
        number("total"),
        number("active"),
        number("idle"),
        number("waiting") + &waiting_max.unwrap_or_default(),
        rate.map_or_else(|| "-".into(), |rate| format!("{:.0}%", rate * 100.0)),
        took(50),
        took(95),
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

/// Why a server is in its state, and when it may leave it.
fn why(server: &Value) -> Option<String> {
    let because = server["because"].as_str()?;
    let name = words_of(&server["name"]);
    if server["held"] == true {
        return Some(format!("{name}: a person stopped it; bridge start {name} starts it again"));
    }
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

/// How long a time is ago.
pub fn ago(time: &Value, now_ms: i64) -> String {
    time.as_str().and_then(stamp::parse).map_or_else(|| "-".into(), |at_ms| words::ago(at_ms, now_ms))
}

/// The items of a list, or none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text, or none.
pub fn words_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
