//! What the record knows: what happened to servers, and the calls that failed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cli::ended::Following;
use crate::cli::logs::entry::{Entry, Wanted};
use crate::cli::words;
use crate::paths::Paths;
use crate::store::ids::CallId;
use crate::store::read::Reader;
use crate::store::read::answers::{CallRow, EventRow};
use crate::store::read::ended::Ended;
use crate::store::stamp;

/// Failed calls are looked for among those of so many milliseconds, unless a beginning is named: they may be few
/// among millions.
const WEEK_MS: i64 = 7 * 24 * stamp::HOUR_MS;

/// The record is asked so often what is new.
const LOOK: Duration = Duration::from_secs(1);

/// So many new events are told of one look.
const EVENTS_MAX: u32 = 10_000;

/// The record, from the end of what was told on.
pub struct Rows {
    data_dir: PathBuf,
    wanted: Wanted,
    last_event: i64,
    calls: Following,
    looked: Instant,
    /// Why it could not be read last: that is said once.
    trouble: Option<String>,
}

impl Rows {
    /// Nothing is read yet.
    pub fn new(paths: &Paths, wanted: &Wanted) -> Self {
        Self {
            data_dir: paths.data_dir.clone(),
            wanted: wanted.clone(),
            last_event: 0,
            calls: Following::from(words::now_ms()),
            looked: Instant::now(),
            trouble: None,
        }
    }

    /// The newest, so many of each kind at most.
    pub fn last(&mut self, rows_max: u32) -> Vec<Entry> {
        self.read(|rows, reader| {
            let mut entries = rows.events(reader, rows_max)?;
            let from = rows.wanted.since_ms.unwrap_or_else(|| words::now_ms() - WEEK_MS);
            let which = failed(&rows.wanted, CallId::first_at(from));
            entries.extend(reader.ended(&which, rows_max)?.iter().map(call));
            // These are among them.
            drop(rows.calls.next(reader, which, words::now_ms())?);
            Ok(entries)
        })
    }

    /// What has come since.
    pub fn more(&mut self) -> Vec<Entry> {
        if self.looked.elapsed() < LOOK {
            return Vec::new();
        }
        self.looked = Instant::now();
        self.read(|rows, reader| {
            let mut entries = rows.events(reader, EVENTS_MAX)?;
            let which = failed(&rows.wanted, CallId::first_at(0));
            entries.extend(rows.calls.next(reader, which, words::now_ms())?.iter().map(call));
            Ok(entries)
        })
    }

    /// Opened anew each time: the file may be made later, or be replaced.
    fn read(&mut self, read: impl FnOnce(&mut Self, &Reader) -> anyhow::Result<Vec<Entry>>) -> Vec<Entry> {
        let reader = Reader::open(&self.data_dir).map_err(anyhow::Error::from);
        let found = reader.and_then(|reader| reader.map_or(Ok(Vec::new()), |reader| read(self, &reader)));
        let trouble = found.as_ref().err().map(|error| format!("the record cannot be read: {error:#}"));
        let is_told = trouble == self.trouble;
        self.trouble.clone_from(&trouble);
        let said = trouble.filter(|_| !is_told);
        let source = "bridge".to_owned();
        let said = said.map(|text| Entry { at_ms: words::now_ms(), about: false, source, text });
        found.unwrap_or_default().into_iter().chain(said).collect()
    }

    fn events(&mut self, reader: &Reader, rows_max: u32) -> anyhow::Result<Vec<Entry>> {
        // What happens to a server is no session's.
        if self.wanted.session.is_some() {
            return Ok(Vec::new());
        }
        let rows = reader.events(self.wanted.server.as_deref(), self.last_event, rows_max)?;
        self.last_event = rows.first().map_or(self.last_event, |newest| newest.id);
        Ok(rows.iter().rev().map(event).collect())
    }
}

fn failed(wanted: &Wanted, from: CallId) -> Ended<'_> {
    let (server, session) = (wanted.server.as_deref(), wanted.session.as_deref());
    Ended { from, failed: true, server, session }
}

fn event(row: &EventRow) -> Entry {
    let mut text = row.event.clone();
    text.extend(row.pid.map(|pid| format!(", process {pid}")));
    text.extend(row.elapsed_ms.map(|ms| format!(", after {}", words::micros(ms * 1_000))));
    text.extend(row.reason.as_ref().map(|reason| format!(": {reason}")));
    let at_ms = stamp::parse(&row.at).unwrap_or_default();
    Entry { at_ms, about: false, source: row.server.clone(), text: words::plain(&text) }
}

fn call(row: &CallRow) -> Entry {
    let took = row.duration_us.unwrap_or_default();
    let at_ms = row.started_at_ms.saturating_add_unsigned(took / 1_000);
    let mut text = format!("call of {} failed: {}", row.tool, row.outcome);
    text.extend(row.error_kind.as_ref().map(|kind| format!(" ({kind})")));
    text.extend(row.duration_us.map(|us| format!(", after {}", words::micros(us))));
    text.push_str(&format!(", session {}", row.session));
    let source = row.server.clone().unwrap_or_else(|| "bridge".to_owned());
    Entry { at_ms, about: false, source, text: words::plain(&text) }
}
