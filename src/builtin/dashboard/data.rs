//! The data of the dashboard, one shape for the tool and for the file.

use std::path::Path;

use serde_json::{Value, json};

use crate::builtin::changes;
use crate::store::lock;
use crate::store::read::Reader;
use crate::store::read::answers::{EventRow, NameTotals, TimeTotals};
use crate::store::read::series::Which;
use crate::store::stamp::{self, HOUR_MS};
use crate::store::totals::Totals;

/// The version of the shape; a page shows no other.
const VERSION: u64 = 1;

/// A span is cut into at most so many steps …
const STEPS_MAX: i64 = 60;

/// … of so many hours, if that is enough.
const STEP_HOURS: [i64; 11] = [1, 2, 3, 4, 6, 12, 24, 48, 72, 168, 336];

/// So many of the newest events are looked through for the last word of each server.
const EVENTS_MAX: u32 = 1_000;

/// Errors that reading the record can have.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] crate::store::migrate::OpenError),
    /// It was opened, and a question had no answer.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// A span of time in equal steps, of whole hours, that end with the hour that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// As it was asked for: `7d`.
    asked: String,
    /// When it was asked for, Unix milliseconds.
    now_ms: i64,
    /// When its first step begins, Unix milliseconds.
    pub from_ms: i64,
    step_ms: i64,
    steps: usize,
}

impl Span {
    /// The span from a time to now, both Unix milliseconds; an hour that it has not whole at its beginning is left
    /// out, and its first step may begin earlier.
    #[must_use]
    pub fn of(asked: &str, since_ms: i64, now_ms: i64) -> Self {
        let to_ms = now_ms.div_euclid(HOUR_MS) * HOUR_MS + HOUR_MS;
        let hours = ((to_ms - since_ms.max(0)) / HOUR_MS).max(1);
        let enough = |step: &&i64| (hours + **step - 1) / **step <= STEPS_MAX;
        let step = STEP_HOURS.iter().find(enough).copied().unwrap_or((hours + STEPS_MAX - 1) / STEPS_MAX);
        let steps = (hours + step - 1) / step;
        Self {
            asked: asked.to_owned(),
            now_ms,
            from_ms: to_ms - steps * step * HOUR_MS,
            step_ms: step * HOUR_MS,
            steps: usize::try_from(steps).unwrap_or(1),
        }
    }

    fn to_ms(&self) -> i64 {
        self.from_ms + self.step_ms * i64::try_from(self.steps).unwrap_or(i64::MAX)
    }
}

/// What the record says of a span. Calls of the bridge's own tools are left out: the page itself makes them.
#[derive(Debug, Default)]
pub struct Record {
    /// The sums of each step.
    steps: Vec<Totals>,
    /// The sums of each server that was called, the busiest first.
    servers: Vec<NameTotals>,
    sessions: u64,
    sessions_open: u64,
    /// What happened to servers, the newest first.
    events: Vec<EventRow>,
}

impl Record {
    /// Reads it; where nothing is recorded yet, everything is nothing. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(data_dir: &Path, span: &Span) -> Result<Self, ReadError> {
        let mut steps = vec![Totals::default(); span.steps];
        let Some(reader) = Reader::open(data_dir)? else { return Ok(Self { steps, ..Self::default() }) };
        let which = Which { from_ms: Some(span.from_ms), to_ms: Some(span.to_ms()), ..Which::default() };
        let place = |at_ms: i64| usize::try_from((at_ms - span.from_ms) / span.step_ms).ok();
        for TimeTotals { at_ms, totals } in reader.hours(&which)? {
            if let Some(step) = place(at_ms).and_then(|place| steps.get_mut(place)) {
                step.merge(&totals);
            }
        }
        for TimeTotals { at_ms, totals } in
            reader.hours(&Which { server: Some(String::new()), ..which.clone() })?
        {
            if let Some(step) = place(at_ms).and_then(|place| steps.get_mut(place)) {
                step.without(&totals);
            }
        }
        let mut servers = reader.servers(&which)?;
        servers.retain(|server| server.name.is_some());
        let sessions = reader.session_totals(Some(span.from_ms))?;
        let open = sessions.open.iter().filter(|&&id| lock::is_alive(data_dir, id)).count();
        let events = reader.events(None, 0, EVENTS_MAX)?;
        Ok(Self { steps, servers, sessions: sessions.total, sessions_open: open as u64, events })
    }

    fn of_server(&self, name: &str) -> Totals {
        let found = self.servers.iter().find(|server| server.name.as_deref() == Some(name));
        found.map(|server| server.totals.clone()).unwrap_or_default()
    }
}

/// A bridge that runs.
#[derive(Debug)]
pub struct Running {
    /// Its process, where there are several to be told apart.
    pub pid: Option<u32>,
    /// What it tells, as `bridge_status` does; or why it tells nothing.
    pub status: Result<Value, String>,
}

impl Running {
    fn list(&self, pointer: &str) -> &[Value] {
        let list =
            self.status.as_ref().ok().and_then(|status| status.pointer(pointer)).and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    }
}

/// The data of the page, from the record and the bridges that run.
///
/// ```json
/// { "version": 1, "madeAt": "…Z", "live": true,
///   "span": { "asked": "7d", "since": "…Z", "stepHours": 3 },
///   "totals": { "calls", "errors", "cancelled", "p50Ms", "p95Ms", "sessions", "sessionsOpen" },
///   "series": { "calls": [], "errors": [], "cancelled": [], "p50Ms": [], "p95Ms": [] },
///   "servers": [{ "name", "state", "since", "because", "pid", "tools", "retryAfterSeconds", "bridge",
///                 "calls", "errors", "cancelled", "p50Ms", "p95Ms" }],
///   "notes": ["…"] }
/// ```
///
/// Times are RFC 3339, durations milliseconds, `null` where nothing is known. `errors` are those of `calls` that
/// failed, `cancelled` those that the client took back; `p50Ms` is what half of them did not pass, `p95Ms` 19 of 20.
/// Each list of `series` has a figure for each step. A server that only the record knows is `removed`; without a
/// bridge (`live` is false) each is `stopped`, and `because` is the last that happened to it.
#[must_use]
pub fn data(span: &Span, record: &Record, bridges: &[Running]) -> Value {
    let mut all = Totals::default();
    record.steps.iter().for_each(|step| all.merge(step));
    let each = |figure: fn(&Totals) -> Value| record.steps.iter().map(figure).collect::<Vec<_>>();
    let mut totals = figures(&all);
    put(&mut totals, &json!({ "sessions": record.sessions, "sessionsOpen": record.sessions_open }));
    json!({
        "version": VERSION,
        "madeAt": stamp::text(span.now_ms),
        "live": bridges.iter().any(|bridge| bridge.status.is_ok()),
        "span": { "asked": span.asked, "since": stamp::text(span.from_ms), "stepHours": span.step_ms / HOUR_MS },
        "totals": totals,
        "series": {
            "calls": each(|step| step.calls.into()),
            "errors": each(|step| step.errors.into()),
            "cancelled": each(|step| step.cancelled.into()),
            "p50Ms": each(|step| percentile_ms(step, 50)),
            "p95Ms": each(|step| percentile_ms(step, 95)),
        },
        "servers": servers(record, bridges),
        "notes": notes(bridges),
    })
}

fn figures(totals: &Totals) -> Value {
    json!({
        "calls": totals.calls,
        "errors": totals.errors,
        "cancelled": totals.cancelled,
        "p50Ms": percentile_ms(totals, 50),
        "p95Ms": percentile_ms(totals, 95),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a duration that loses digits lasts for centuries")]
fn percentile_ms(totals: &Totals, percent: u64) -> Value {
    totals.histogram.percentile_us(percent).map(|us| us as f64 / 1_000.0).into()
}

/// Every server that runs, may run, or was called.
fn servers(record: &Record, bridges: &[Running]) -> Vec<Value> {
    let mut all = Vec::new();
    for bridge in bridges {
        for is in bridge.list("/servers") {
            let name = is.get("name").and_then(Value::as_str).unwrap_or_default();
            let mut server = json!({ "bridge": bridge.pid });
            for key in ["name", "state", "since", "because", "pid", "tools", "retryAfterSeconds"] {
                put(&mut server, &json!({ key: is.get(key) }));
            }
            // Of one that several bridges have, the calls are told once.
            let is_first = all.iter().all(|before: &Value| before.get("name") != Some(&name.into()));
            put(&mut server, &figures(&if is_first { record.of_server(name) } else { Totals::default() }));
            all.push(server);
        }
    }
    let rest = last_words(record, bridges.is_empty());
    let is_new = |server: &Value| all.iter().all(|before| before.get("name") != server.get("name"));
    let rest: Vec<Value> = rest.into_iter().filter(is_new).collect();
    all.extend(rest);
    all
}

/// The servers that the record knows: those that were called and, where no bridge runs that would know better, those
/// to which something happened.
fn last_words(record: &Record, is_all: bool) -> Vec<Value> {
    let happened = record.events.iter().filter(|_| is_all).map(|event| event.server.as_str());
    let mut names: Vec<&str> = Vec::new();
    for name in record.servers.iter().filter_map(|server| server.name.as_deref()).chain(happened) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |name: &&str| {
        let last = record.events.iter().find(|event| is_all && event.server == **name);
        let because = last.and_then(|event| event.reason.clone());
        let mut server = json!({
            "bridge": null,
            "name": name,
            "state": if is_all { "stopped" } else { "removed" },
            "since": last.map(|event| &event.at),
            "because": because,
            "pid": null,
            "tools": null,
            "retryAfterSeconds": null,
        });
        put(&mut server, &figures(&record.of_server(name)));
        server
    };
    names.iter().map(of).collect()
}

fn notes(bridges: &[Running]) -> Vec<String> {
    if bridges.is_empty() {
        return vec!["What is shown of the servers is what the record said last.".to_owned()];
    }
    let mut notes: Vec<String> = Vec::new();
    // What several say is said once.
    let mut say = |note: String| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    for bridge in bridges {
        if let Err(why) = &bridge.status {
            let pid = bridge.pid.map(|pid| format!(" {pid}")).unwrap_or_default();
            say(format!("The bridge{pid} tells nothing of its servers: it {why}"));
        }
        for mistake in bridge.list("/config/mistakes").iter().filter_map(Value::as_str) {
            say(format!("A mistake in the configuration: {mistake}"));
        }
        let Ok(status) = &bridge.status else { continue };
        changes::told(status.get("toolChanges").unwrap_or(&Value::Null)).into_iter().for_each(&mut say);
        let record = status.get("record");
        let gap = record.and_then(|of| Some((of.get("lastError")?.as_str()?, of.get("lostRows")?)));
        if let Some((error, lost)) = gap {
            say(format!("The record has a gap of {lost} rows: {error}"));
        }
    }
    notes
}

/// Adds the members of an object to another.
fn put(object: &mut Value, more: &Value) {
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
}

#[cfg(test)]
mod tests;
