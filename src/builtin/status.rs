//! `bridge_status`: what the bridge and its servers are doing, for a person, a model and a program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::builtin::{Answer, changes};
use crate::config::Loaded;
use crate::downstream::LinkState;
use crate::downstream::fleet::Fleet;
use crate::downstream::pool::Pool;
use crate::downstream::pool::key::Farewell;
use crate::downstream::pool::report::Figures;
use crate::list::List;
use crate::roster::{Present, Roster};
use crate::router::offers::{Offers, View};
use crate::store::Journal;
use crate::store::stamp;
use crate::version;

/// Names that met, as many as are told in words.
const CLASHES_TOLD: usize = 20;

/// Where the report comes from.
pub struct Sources {
    /// The configuration and its mistakes.
    pub loaded: watch::Receiver<Arc<Loaded>>,
    /// The configuration as it was when the bridge started.
    pub first: Arc<Loaded>,
    /// Every server.
    pub fleet: Arc<Fleet>,
    /// What is on offer.
    pub offers: Arc<Offers>,
    /// Who is attached.
    pub roster: Arc<Roster>,
    /// The record.
    pub journal: Journal,
    /// When the bridge started.
    pub started: Instant,
}

/// The report, as text and as data.
pub(super) fn report(sources: &Sources) -> Answer {
    let structured = data(sources);
    Answer { text: text(&structured), structured: Some(structured), is_error: false }
}

/// The report as data.
#[must_use]
pub fn data(sources: &Sources) -> Value {
    let view = sources.offers.view();
    let servers: Vec<Value> = sources.fleet.all().iter().map(|pool| server(pool, &view)).collect();
    let retiring: Vec<Value> = sources.fleet.retiring().iter().flat_map(|pool| retiring(pool)).collect();
    let trouble = sources.journal.trouble();
    let loaded = Arc::clone(&sources.loaded.borrow());
    let mistakes: Vec<String> = loaded.mistakes.iter().map(ToString::to_string).collect();
    let notes = loaded.notes.iter().map(ToString::to_string);
    let notes: Vec<String> = notes.chain(sources.offers.idle_rules()).collect();
    let clashes = view.catalog.clashes.iter().map(|clash| {
        json!({
            "list": clash.list.word(),
            "server": clash.server.as_str(),
            "name": clash.name,
            "wanted": clash.wanted,
            "shown": clash.shown,
        })
    });
    json!({
        "bridge": {
            "version": version::own(),
            "pid": std::process::id(),
            "uptimeSeconds": sources.started.elapsed().as_secs(),
        },
        "config": {
            "keptFromBefore": loaded.keeps,
            "file": loaded.source.as_ref().map(|file| file.display().to_string()),
            "mistakes": mistakes,
            "needNewStart": loaded.later(&sources.first),
            "notes": notes,
        },
        "sessions": sessions(sources),
        "servers": servers,
        "retiring": retiring,
        "tools": view.catalog.len(List::Tools),
        "prompts": view.catalog.len(List::Prompts),
        "resources": view.catalog.len(List::Resources),
        "resourceTemplates": view.catalog.len(List::Templates),
        "nameClashes": clashes.collect::<Vec<_>>(),
        "toolChanges": changes::data(&sources.offers),
        "record": { "lostRows": trouble.lost_rows, "lastError": trouble.last_error },
    })
}

/// The sessions that are open, in the order in which they were opened.
#[must_use]
pub fn sessions(sources: &Sources) -> Vec<Value> {
    let session = |present: &Present| {
        json!({
            "session": present.session.to_string(),
            "client": present.client.name,
            "clientVersion": present.client.version,
            "protocolVersion": present.client.protocol_version,
            "pid": present.pid,
            "since": stamp::text(present.since_ms),
            "uses": present.uses,
        })
    };
    sources.roster.all().iter().map(session).collect()
}

fn server(pool: &Pool, view: &View) -> Value {
    let link = pool.base();
    let status = link.status();
    let breaker = pool.terms.budget.standing().breaker;
    let noise = match &status.state {
        LinkState::Ready(connection) => connection.noise(),
        _ => (0, 0),
    };
    let known = !view.unlisted.contains(&link.name);
    let greeting = view.greetings.iter().find(|(name, _)| *name == link.name).map(|(_, greeting)| greeting);
    let count = |list| known.then(|| view.catalog.count(list, Some(&link.name)));
    json!({
        "name": link.name.as_str(),
        "state": status.state.word(),
        "since": since(status.since),
        "pid": status.pid,
        "era": greeting.map(|greeting| greeting.era.word()),
        "protocolVersion": greeting.map(|greeting| &greeting.protocol_version),
        "because": status.because,
        "held": matches!(status.state, LinkState::Held(_)),
        "breaker": breaker.word(),
        "retryAfterSeconds": retry_after_s(&status.state),
        "lastEnding": status.last_ending.as_ref().map(ToString::to_string),
        "stderr": status.last_ending.as_ref().map(|ending| ending.stderr.clone()),
        "starts": status.starts,
        "failedStarts": status.failed_starts,
        "tools": count(List::Tools),
        "prompts": count(List::Prompts),
        "resources": count(List::Resources),
        "resourceTemplates": count(List::Templates),
        "linesOutsideTheProtocol": noise.0,
        "lateAnswers": noise.1,
        "callTimeoutSeconds": link.call_timeout.as_secs(),
        "scope": pool.terms.scope.word(),
        "connections": connections(&pool.figures()),
    })
}

/// The processes of a server that was replaced or taken out.
fn retiring(pool: &Pool) -> Vec<Value> {
    let rows = pool.rows().into_iter().filter(|row| row.status.pid.is_some());
    let data = rows.map(|row| {
        json!({
            "server": pool.name().as_str(),
            "pid": row.status.pid,
            "activeRequests": row.active,
            "because": pool.farewell().map(Farewell::reason),
        })
    });
    data.collect()
}

/// What is said of such a process.
#[must_use]
pub fn goes_on(retiring: &Value) -> String {
    let (pid, requests) = (&retiring["pid"], retiring["activeRequests"].as_u64().unwrap_or_default());
    let s = if requests == 1 { "" } else { "s" };
    let (server, because) = (words(&retiring["server"]), words(&retiring["because"]));
    format!("{server}: process {pid} goes on with {requests} request{s} and then ends: {because}")
}

#[expect(clippy::cast_precision_loss, reason = "a rate that loses digits is of very many")]
fn connections(figures: &Figures) -> Value {
    let reused = figures.reused as f64 / figures.requests as f64;
    json!({
        "total": figures.total,
        "active": figures.active,
        "idle": figures.total - figures.active,
        "waiting": figures.waiting,
        "waitingMax": figures.waiting_max,
        "inFlight": figures.in_flight,
        "byUser": counts(&figures.by_user),
        "byThread": counts(&figures.by_thread),
        "requests": figures.requests,
        "reused": figures.reused,
        "reuseRate": (figures.requests > 0).then_some(reused),
    })
}

fn counts(of: &BTreeMap<Arc<str>, usize>) -> Map<String, Value> {
    of.iter().map(|(name, count)| (name.to_string(), (*count).into())).collect()
}

fn retry_after_s(state: &LinkState) -> Option<u64> {
    match state {
        LinkState::Resting { until, .. } | LinkState::Parked { until, .. } => {
            Some(until.saturating_duration_since(Instant::now()).as_secs())
        }
        LinkState::Stopped | LinkState::Held(_) | LinkState::Starting | LinkState::Ready(_) => None,
    }
}

pub(super) fn since(time: SystemTime) -> String {
    let ms = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    stamp::text(i64::try_from(ms).unwrap_or_default())
}

#[expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]
fn text(report: &Value) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        write!(text, "bridge {}, process {}, ", words(&report["bridge"]["version"]), report["bridge"]["pid"]);
    let _ = writeln!(
        text,
        "running for {} s, {} tools on offer.",
        report["bridge"]["uptimeSeconds"], report["tools"]
    );
    attached(&mut text, report["sessions"].as_array().map(Vec::as_slice).unwrap_or_default());
    let servers = report["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if servers.is_empty() {
        let _ = writeln!(text, "No servers: {}.", no_servers(report));
    }
    for server in servers {
        let _ = write!(
            text,
            "- {}: {} since {}",
            words(&server["name"]),
            words(&server["state"]),
            words(&server["since"])
        );
        match server["tools"].as_u64() {
            Some(count) => {
                _ = write!(text, ", {count} tools");
                for more in ["prompts", "resources"] {
                    if let Some(count) = server[more].as_u64().filter(|count| *count > 0) {
                        _ = write!(text, ", {count} {more}");
                    }
                }
            }
            None => _ = write!(text, ", tools not known yet"),
        }
        let (total, waiting) = (&server["connections"]["total"], &server["connections"]["waiting"]);
        // The state is that of the one that serves everybody.
        let told = u64::from(matches!(words(&server["state"]), "ready" | "starting"));
        if total.as_u64() > Some(told) {
            let s = if total.as_u64() == Some(1) { "" } else { "s" };
            _ = write!(text, ", {total} connection{s}, {} in use", server["connections"]["active"]);
        }
        if waiting.as_u64() > Some(0) {
            _ = write!(text, ", {waiting} calls waiting");
        }
        if let Some(because) = server["because"].as_str() {
            let _ = write!(text, "; {because}");
        }
        if let Some(breaker) = server["breaker"].as_str().filter(|breaker| *breaker != "closed") {
            let _ = write!(text, "; its breaker is {}", breaker.replace('_', "-"));
        }
        let _ = match server["retryAfterSeconds"].as_u64() {
            None => Ok(()),
            Some(0) => write!(text, "; the next call starts it again"),
            Some(seconds) => write!(text, "; started again by a call after {seconds} s"),
        };
        text.push('\n');
    }
    for retiring in report["retiring"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let _ = writeln!(text, "- {}", goes_on(retiring));
    }
    let mistakes = match report["config"]["keptFromBefore"] == true {
        true => "Mistakes in the configuration (what they touch stays as it was before):",
        false => "Mistakes in the configuration (what they touch is not used):",
    };
    list(&mut text, mistakes, &report["config"]["mistakes"]);
    list(
        &mut text,
        "Settings that changed, and hold when the bridge starts anew:",
        &report["config"]["needNewStart"],
    );
    list(&mut text, "Notes on the configuration:", &report["config"]["notes"]);
    clashes(&mut text, report["nameClashes"].as_array().map(Vec::as_slice).unwrap_or_default());
    for change in changes::told(&report["toolChanges"]) {
        let _ = writeln!(text, "{change}");
    }
    if let Some(error) = report["record"]["lastError"].as_str() {
        let _ = writeln!(text, "The record has a gap of {} rows: {error}", report["record"]["lostRows"]);
    }
    text
}

/// Who asks knows of itself; it is told of others.
fn attached(text: &mut String, sessions: &[Value]) {
    if sessions.len() < 2 {
        return;
    }
    for session in sessions {
        let (id, pid, since) = (words(&session["session"]), &session["pid"], words(&session["since"]));
        let client = session["client"].as_str().unwrap_or("a client without a name");
        // Writing to a string cannot fail.
        let uses = session["uses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let uses: Vec<&str> = uses.iter().map(words).collect();
        let uses = if uses.is_empty() { "no server yet".to_owned() } else { uses.join(", ") };
        let _ =
            writeln!(text, "- attached: {client}, process {pid}, session {id}, since {since}, uses {uses}");
    }
}

/// Two entries for one server clash in everything they have, which no model wants to read.
fn clashes(text: &mut String, clashes: &[Value]) {
    for clash in clashes.iter().take(CLASHES_TOLD) {
        let (wanted, name, server) = (&clash["wanted"], &clash["name"], &clash["server"]);
        let _ = match clash["shown"].is_string() {
            true => {
                writeln!(
                    text,
                    "The name {wanted} was taken: {name} of {server} is shown as {}.",
                    clash["shown"]
                )
            }
            false => {
                writeln!(text, "The URI {wanted} of {server} is shown once: an earlier server has it too.")
            }
        };
    }
    if clashes.len() > CLASHES_TOLD {
        let _ = writeln!(text, "There are {} more of these.", clashes.len() - CLASHES_TOLD);
    }
}

#[expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]
fn no_servers(report: &Value) -> &'static str {
    match report["config"]["file"].is_null() {
        true => "there is no configuration file",
        false => "none is usable in the configuration",
    }
}

fn list(text: &mut String, title: &str, items: &Value) {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    if !items.is_empty() {
        let _ = writeln!(text, "{title}");
    }
    for item in items {
        let _ = writeln!(text, "- {}", words(item));
    }
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
