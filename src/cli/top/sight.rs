//! What is seen at one moment: each server of each bridge, its last calls, and the last errors.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::cli::ended::Following;
use crate::cli::logs::entry::{Entry, Wanted};
use crate::cli::logs::files::Files;
use crate::cli::logs::rows::Rows;
use crate::cli::running::Asked;
use crate::cli::status::look::Look;
use crate::cli::words;
use crate::paths::Paths;
use crate::store::ids::CallId;
use crate::store::read::Reader;
use crate::store::read::ended::Ended;

/// So many looks are kept of how long calls took.
const LOOKS_MAX: usize = 60;

/// So many errors are kept.
const ERRORS_MAX: usize = 50;

/// So many lines of a server's stderr are read.
const WRITTEN_MAX: usize = 40;

/// What is seen at one moment.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Each server of each bridge.
    pub servers: Vec<Seen>,
    /// Clients that are attached.
    pub clients: usize,
    /// Bridges that run.
    pub bridges: usize,
    /// What went wrong with looking.
    pub troubles: Vec<String>,
    /// The last errors, the newest first.
    pub errors: Vec<Entry>,
}

/// One server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The bridge that has it.
    pub bridge: Option<u32>,
    /// Its name.
    pub name: String,
    /// Its state in a word; `no answer` while its bridge says nothing.
    pub state: String,
    /// Whether a person stopped it.
    pub held: bool,
    /// Why it is in its state.
    pub because: String,
    /// Calls of servers with this name that ended, per second: of all bridges, whose record is one.
    pub rate: f64,
    /// How long those calls took that ended within each of the last looks, in the middle, microseconds; 0 without any.
    pub took_us: Vec<u64>,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests that wait, and how many may; an older bridge does not say that.
    pub waiting: (u64, Option<u64>),
    /// How often it was started again.
    pub restarts: u64,
}

/// Looks again and again.
pub struct Watcher {
    data_dir: PathBuf,
    rows: Rows,
    errors: VecDeque<Entry>,
    is_begun: bool,
    calls: Following,
    took: BTreeMap<String, VecDeque<u64>>,
    looked: Instant,
    last: Vec<Seen>,
}

impl Watcher {
    /// Nothing was seen yet.
    pub fn new(paths: &Paths) -> Self {
        Self {
            data_dir: paths.data_dir.clone(),
            rows: Rows::new(paths, &Wanted::default()),
            errors: VecDeque::new(),
            is_begun: false,
            calls: Following::from(words::now_ms()),
            took: BTreeMap::new(),
            looked: Instant::now(),
            last: Vec::new(),
        }
    }

    /// Looks now.
    pub fn look(&mut self) -> Sight {
        let mut sight = Sight::default();
        let (rates, trouble) = self.count();
        sight.troubles.extend(trouble);
        match Look::take(&self.data_dir) {
            Ok(look) => {
                for asked in &look.asked {
                    self.bridge(asked, &rates, &mut sight);
                }
            }
            Err(error) => sight.troubles.push(format!("{error:#}")),
        }
        self.last.clone_from(&sight.servers);
        self.hear();
        sight.errors = self.errors.iter().cloned().collect();
        sight
    }

    fn bridge(&self, asked: &Asked, rates: &BTreeMap<String, f64>, sight: &mut Sight) {
        sight.bridges += 1;
        match &asked.answer {
            Ok(answer) => {
                sight.clients += answer["sessions"].as_array().map_or(0, Vec::len);
                let servers =
                    answer.pointer("/status/servers").and_then(Value::as_array).into_iter().flatten();
                sight.servers.extend(servers.map(|server| self.seen(asked.pid, server, rates)));
            }
            Err(error) => {
                let pid = asked.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
                sight.troubles.push(format!("bridge {pid} {error}"));
                let before = self.last.iter().filter(|seen| seen.bridge == asked.pid);
                let silent = |seen: &Seen| {
                    let (rate, took_us) = self.figures(&seen.name, rates);
                    Seen { state: "no answer".to_owned(), rate, took_us, ..seen.clone() }
                };
                sight.servers.extend(before.map(silent));
            }
        }
    }

    fn seen(&self, bridge: Option<u32>, server: &Value, rates: &BTreeMap<String, f64>) -> Seen {
        let name = server["name"].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| server["connections"].get(key).and_then(Value::as_u64);
        let (rate, took_us) = self.figures(&name, rates);
        Seen {
            bridge,
            state: server["state"].as_str().unwrap_or("?").to_owned(),
            held: server["held"] == true,
            because: server["because"].as_str().unwrap_or_default().to_owned(),
            rate,
            took_us,
            in_flight: number("inFlight").unwrap_or_default(),
            waiting: (number("waiting").unwrap_or_default(), number("waitingMax")),
            restarts: server["starts"].as_u64().unwrap_or_default().saturating_sub(1),
            name,
        }
    }

    /// What the record says of a name.
    fn figures(&self, name: &str, rates: &BTreeMap<String, f64>) -> (f64, Vec<u64>) {
        let took = self.took.get(name).map(|took| took.iter().copied().collect());
        (rates.get(name).copied().unwrap_or_default(), took.unwrap_or_default())
    }

    /// The calls that ended since the last look: how many per second, and how long they took.
    #[expect(clippy::cast_precision_loss, reason = "so many calls are not counted to the last one")]
    fn count(&mut self) -> (BTreeMap<String, f64>, Option<String>) {
        let reader = Reader::open(&self.data_dir).map_err(anyhow::Error::from);
        let all = Ended { from: CallId::first_at(0), failed: false, server: None, session: None };
        let ended = reader.and_then(|reader| match reader {
            Some(reader) => Ok(self.calls.next(&reader, all, words::now_ms())?),
            None => Ok(Vec::new()),
        });
        let passed = std::mem::replace(&mut self.looked, Instant::now()).elapsed().as_secs_f64().max(0.001);
        let mut took: BTreeMap<String, Vec<u64>> =
            self.took.keys().map(|name| (name.clone(), Vec::new())).collect();
        let trouble = ended.as_ref().err().map(|error| format!("the record cannot be read: {error:#}"));
        // What ended before the first look was not counted from its beginning.
        for call in ended.unwrap_or_default().into_iter().filter(|_| self.is_begun) {
            took.entry(call.server.unwrap_or_default()).or_default().extend(call.duration_us);
        }
        let rates = took.iter().map(|(name, took)| (name.clone(), took.len() as f64 / passed)).collect();
        for (name, mut took) in took {
            took.sort_unstable();
            let kept = self.took.entry(name).or_default();
            kept.push_back(took.get(took.len() / 2).copied().unwrap_or_default());
            kept.drain(..kept.len().saturating_sub(LOOKS_MAX));
        }
        (rates, trouble)
    }

    /// The errors that came.
    fn hear(&mut self) {
        let mut come = match std::mem::replace(&mut self.is_begun, true) {
            false => self.rows.last(u32::try_from(ERRORS_MAX).unwrap_or(u32::MAX)),
            true => self.rows.more(),
        };
        come.retain(|entry| is_error(&entry.text));
        come.sort_by_key(|entry| entry.at_ms);
        come.into_iter().for_each(|entry| self.errors.push_front(entry));
        self.errors.truncate(ERRORS_MAX);
    }
}

/// Whether a row of the record tells of something that went wrong: the reason of such an end begins with the word of
/// its cause.
fn is_error(text: &str) -> bool {
    let is_cause = |reason: &str| reason.split_once(": ").is_some_and(|(cause, _)| !cause.contains(' '));
    text.starts_with("call of ")
        || ["exit", "parked"].iter().any(|event| text.starts_with(event))
            && text.split_once(": ").is_some_and(|(_, reason)| is_cause(reason))
}

/// What a server wrote last.
pub fn last_written(paths: &Paths, server: Option<&str>) -> Vec<String> {
    let Some(server) = server else { return Vec::new() };
    let wanted =
        Wanted { server: Some(server.to_owned()), known: vec![server.to_owned()], ..Wanted::default() };
    Files::of_servers(paths, &wanted).last(WRITTEN_MAX, false).into_iter().map(|entry| entry.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::paths::Overrides;
    use crate::store::ids::{CallIds, SessionId};
    use crate::store::rows::{CallBegun, CallFinished};
    use crate::store::{Journal, Options, stamp};

    fn call(ids: &CallIds, server: Option<&str>, duration_us: u64) -> CallFinished {
        let started_at_ms = stamp::now_ms();
        let begun = CallBegun {
            call: ids.next(started_at_ms),
            session: SessionId::new(started_at_ms),
            request_id: "7".into(),
            server: server.map(Into::into),
            tool: "now".into(),
            started_at_ms,
            request_bytes: 1,
        };
        CallFinished { begun, duration_us, outcome: Outcome::Ok, error_kind: None, response_bytes: 1 }
    }

    #[tokio::test]
    async fn calls_are_counted_once_by_name_from_the_second_look_on() {
        let room = tempfile::tempdir().unwrap();
        let place = Overrides { data_dir: Some(room.path().to_owned()), ..Overrides::default() };
        let paths = Paths::find(place).unwrap();
        let (journal, ids) = (Journal::open(&paths.data_dir, Options::default()), CallIds::new());
        journal.finish(vec![call(&ids, Some("s"), 9_000)]).await;
        let mut watcher = Watcher::new(&paths);
        assert_eq!(watcher.count(), (BTreeMap::new(), None), "nobody knows since when");
        watcher.is_begun = true;
        let calls = [(Some("s"), 10), (Some("s"), 30), (Some("s"), 20), (None, 7)];
        journal.finish(calls.map(|(server, us)| call(&ids, server, us)).into()).await;
        let (rates, trouble) = watcher.count();
        assert!(trouble.is_none() && rates[""] > 0.0, "{rates:?}");
        assert!((rates["s"] / rates[""] - 3.0).abs() < 1e-9, "{rates:?}");
        assert_eq!(watcher.figures("s", &rates).1, [20]);
        let (rates, _) = watcher.count();
        assert_eq!(watcher.figures("s", &rates), (0.0, vec![20, 0]));
        assert_eq!(watcher.figures("other", &rates), (0.0, Vec::new()));
    }
}
