//! What was asked and what was answered.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// How a call was answered, in the record's word.
pub type Told = String;

/// One client's requests.
#[derive(Default)]
pub struct Book {
    pages: Mutex<Pages>,
    changed: Condvar,
}

#[derive(Default)]
struct Pages {
    open: usize,
    /// Each request, and its answer.
    calls: BTreeMap<u64, Option<Told>>,
    duplicates: Vec<u64>,
    torn: Vec<String>,
    /// Kills whose next answer is waited for, and when their successor was there.
    kills: Vec<(Instant, Instant)>,
    waits: Vec<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    id: Option<u64>,
    #[serde(default)]
    result: Option<ToolResult>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ToolResult {
    #[serde(default, rename = "_meta")]
    meta: Option<Value>,
    #[serde(default, rename = "isError")]
    is_error: bool,
    #[serde(default, rename = "content")]
    _content: IgnoredAny,
}

impl Book {
    /// A request is sent as soon as fewer than `max` are under way; false when nobody is to ask any more.
    pub fn ask(&self, id: u64, max: usize, is_over: &dyn Fn() -> bool) -> bool {
        let mut pages = self.lock();
        while pages.open >= max && !is_over() {
            pages = self
                .changed
                .wait_timeout(pages, Duration::from_millis(20))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if is_over() {
            return false;
        }
        pages.open += 1;
        pages.calls.insert(id, None);
        true
    }

    /// A line came.
    pub fn hear(&self, line: &[u8]) {
        let now = Instant::now();
        let answer: Result<Answer, _> = serde_json::from_slice(line);
        let mut pages = self.lock();
        match answer {
            Err(error) => {
                let head: Vec<u8> = line.iter().copied().take(200).collect();
                pages.torn.push(format!("{error}: {}", String::from_utf8_lossy(&head)));
            }
            Ok(Answer { id: Some(id), result, error }) => {
                let told = told(result.as_ref(), error.as_ref());
                match pages.calls.get_mut(&id) {
                    Some(call @ None) => {
                        *call = Some(told);
                        pages.open -= 1;
                    }
                    Some(Some(_)) => pages.duplicates.push(id),
                    // The handshake's.
                    None => {}
                }
                let Pages { kills, waits, .. } = &mut *pages;
                kills.retain(|(killed, back)| {
                    let is_next = now > *back;
                    waits.extend(is_next.then(|| now - *killed));
                    !is_next
                });
            }
            Ok(_) => {}
        }
        drop(pages);
        self.changed.notify_all();
    }

    /// A hub was killed, and its successor is there.
    pub fn await_answer_after(&self, killed: Instant, back: Instant) {
        self.lock().kills.push((killed, back));
    }

    /// Waits for all answers; how many did not come.
    pub fn await_all(&self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let mut pages = self.lock();
        while pages.open > 0 && Instant::now() < deadline {
            pages = self
                .changed
                .wait_timeout(pages, Duration::from_millis(20))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        pages.open
    }

    /// From each kill to the next answer.
    pub fn waits(&self) -> Vec<Duration> {
        self.lock().waits.clone()
    }

    /// How each call was answered.
    pub fn calls(&self) -> BTreeMap<u64, Option<Told>> {
        self.lock().calls.clone()
    }

    /// What the client saw that it must not see.
    pub fn faults(&self, missing: usize) -> Vec<String> {
        let pages = self.lock();
        let mut faults = Vec::new();
        faults.extend((missing > 0).then(|| format!("{missing} requests have no answer")));
        faults.extend(pages.duplicates.iter().map(|id| format!("request {id} was answered twice")));
        faults.extend(pages.torn.iter().map(|line| format!("a torn line: {line}")));
        faults
    }

    /// All of it in a sentence.
    pub fn summary(&self, missing: usize) -> String {
        let pages = self.lock();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for told in pages.calls.values().flatten() {
            *counts.entry(told).or_default() += 1;
        }
        let (duplicates, torn) = (pages.duplicates.len(), pages.torn.len());
        format!(
            "{} calls {counts:?}, missing {missing}, duplicate {duplicates}, torn {torn}",
            pages.calls.len()
        )
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record's word for an answer.
fn told(result: Option<&ToolResult>, error: Option<&Value>) -> Told {
    let kind = |value: &Value, place: &str| value.pointer(place).and_then(Value::as_str).map(str::to_owned);
    let of_result = |result: &ToolResult| match (&result.meta, result.is_error) {
        (Some(meta), true) => kind(meta, "/bridge~1error/kind"),
        (_, false) => Some("ok".to_owned()),
        (None, true) => None,
    };
    let told = result.and_then(of_result).or_else(|| error.and_then(|error| kind(error, "/data/kind")));
    told.unwrap_or_else(|| "tool_error".to_owned())
}
