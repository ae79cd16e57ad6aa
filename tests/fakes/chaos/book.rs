//! What a client asked and what it was answered: every line is looked at, and every answer belongs to one request.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A call that waits for its answer.
pub struct Asked {
    /// The server's number.
    pub server: usize,
    /// The tool as the server calls it.
    pub tool: &'static str,
    /// The only right `structuredContent`, byte for byte.
    pub expected: String,
    /// When it was written.
    pub at: Instant,
}

/// A call that was answered.
pub struct Ended {
    /// Its JSON-RPC id.
    pub id: u64,
    /// The server's number.
    pub server: usize,
    /// When it was written.
    pub at: Instant,
    /// From the first byte written to the last byte read.
    pub took: Duration,
    /// What the answer said.
    pub said: Said,
}

/// What an answer says.
#[derive(Clone)]
pub enum Said {
    /// What this server answers to this request.
    Right,
    /// A structured error of the bridge about this server and tool.
    Failed {
        /// The word of `bridge/error`, which is that of the row.
        kind: String,
        /// The classified cause; empty without one.
        cause: String,
    },
    /// Anything else, quoted.
    Wrong(String),
}

/// One client's requests and answers.
#[derive(Default)]
pub struct Book {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, Asked>,
    /// Requests that are no calls, with their answers' lines.
    plain: HashMap<u64, Option<(Vec<u8>, Instant)>>,
    ended: Vec<Ended>,
    answered: HashSet<u64>,
    duplicates: u64,
    /// Lines that belong to nothing that was asked.
    strays: Vec<String>,
    /// The bridge's output is over.
    over: bool,
}

/// All that a client knows at the end.
pub struct Tally {
    /// Every answered call, in the order of the answers.
    pub ended: Vec<Ended>,
    /// Calls without an answer.
    pub unanswered: usize,
    /// Answers to what was answered before.
    pub duplicates: u64,
    /// Lines that belong to nothing that was asked.
    pub strays: Vec<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    progress_token: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<'a> {
    #[serde(borrow)]
    structured_content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: bool,
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "bridge/error")]
    error: Option<BridgeError>,
}

#[derive(Deserialize)]
struct BridgeError {
    kind: String,
    server: String,
    tool: String,
    #[serde(default)]
    cause: String,
}

/// What a server is called in the configuration.
pub fn name(server: usize) -> String {
    format!("s{server}")
}

impl Book {
    /// Before the call is written.
    pub fn ask(&self, id: u64, asked: Asked) {
        self.lock().open.insert(id, asked);
    }

    /// It could not be written.
    pub fn forget(&self, id: u64) {
        self.lock().open.remove(&id);
    }

    /// Before a request is written that is no call.
    pub fn ask_plain(&self, id: u64) {
        self.lock().plain.insert(id, None);
    }

    /// A line came.
    pub fn hear(&self, line: &[u8], at: Instant) {
        let mut state = self.lock();
        if let Err(why) = state.hear(line, at) {
            state.strays.push(format!("{why}: {}", quote(line)));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// No further line comes.
    pub fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// The answer to a request that is no call.
    ///
    /// # Errors
    /// When the bridge ends before it, or takes longer than a minute.
    pub fn answer_to(&self, id: u64) -> Result<(Vec<u8>, Instant)> {
        let mut found = None;
        self.wait(Duration::from_secs(60), |state| {
            found = state.plain.get_mut(&id).and_then(Option::take);
            found.is_some() || state.over
        });
        let Some(found) = found else { bail!("no answer to request {id}") };
        Ok(found)
    }

    /// Waits until every call is answered, so long at most.
    pub fn settle(&self, within: Duration) {
        self.wait(within, |state| state.open.is_empty() || state.over);
    }

    /// Calls that wait for longer than this.
    pub fn waiting_for(&self, time: Duration) -> usize {
        self.lock().open.values().filter(|asked| asked.at.elapsed() > time).count()
    }

    /// When the last answer came, and how many calls were answered with what is right.
    pub fn right_since(&self, since: Instant) -> (usize, Duration) {
        let state = self.lock();
        let right = state.ended.iter().filter(|e| e.at >= since && matches!(e.said, Said::Right));
        let last = right.clone().map(|ended| ended.at + ended.took).max();
        (right.count(), last.map_or(Duration::ZERO, |last| last.duration_since(since)))
    }

    /// Everything, at the end.
    pub fn close(&self) -> Tally {
        let mut state = self.lock();
        Tally {
            ended: std::mem::take(&mut state.ended),
            unanswered: state.open.len(),
            duplicates: state.duplicates,
            strays: std::mem::take(&mut state.strays),
        }
    }

    fn wait(&self, within: Duration, mut is_done: impl FnMut(&mut State) -> bool) {
        let until = Instant::now() + within;
        let mut state = self.lock();
        while !is_done(&mut state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hear(&mut self, line: &[u8], at: Instant) -> Result<(), &'static str> {
        let parsed: Line<'_> = serde_json::from_slice(line).map_err(|_| "no message")?;
        if let Some(method) = &parsed.method {
            return self.told(method, &parsed);
        }
        let id = parsed.id.ok_or("an answer to nobody")?;
        if let Some(waits) = self.plain.get_mut(&id) {
            *waits = Some((line.to_vec(), at));
            return Ok(());
        }
        let Some(asked) = self.open.remove(&id) else {
            let again = self.answered.contains(&id);
            self.duplicates += u64::from(again);
            return if again { Ok(()) } else { Err("an answer to nothing that was asked") };
        };
        self.answered.insert(id);
        let said = parsed.result.and_then(|result| asked.judge(result));
        let said = said.unwrap_or_else(|| Said::Wrong(quote(line)));
        let took = at.duration_since(asked.at);
        self.ended.push(Ended { id, server: asked.server, at: asked.at, took, said });
        Ok(())
    }

    /// Progress belongs to a call that is open; other notifications to nobody.
    fn told(&self, method: &str, line: &Line<'_>) -> Result<(), &'static str> {
        if line.id.is_some() {
            return Err("a request that nobody has answers for");
        }
        if method != "notifications/progress" {
            return Ok(());
        }
        let progress = line.params.and_then(|params| serde_json::from_str::<Progress>(params.get()).ok());
        match progress.map(|progress| self.open.contains_key(&progress.progress_token)) {
            Some(true) => Ok(()),
            _ => Err("progress of a call that is not open"),
        }
    }
}

impl Asked {
    /// None for what is neither right nor a structured error about this call.
    fn judge(&self, result: &RawValue) -> Option<Said> {
        let result: ToolResult<'_> = serde_json::from_str(result.get()).ok()?;
        if !result.is_error {
            return (result.structured_content?.get() == self.expected).then_some(Said::Right);
        }
        let error = result.meta?.error?;
        let is_about_it = error.server == name(self.server) && error.tool == self.tool;
        is_about_it.then_some(Said::Failed { kind: error.kind, cause: error.cause })
    }
}

fn quote(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..400).unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client says that asked s3 for `work` once, as request 7, and heard these lines.
    fn heard(lines: &[&str]) -> Tally {
        let book = Book::default();
        let expected = r#"{"server":"s3","asked":{"n":1}}"#.to_owned();
        book.ask(7, Asked { server: 3, tool: "work", expected, at: Instant::now() });
        lines.iter().for_each(|line| book.hear(line.as_bytes(), Instant::now()));
        book.close()
    }

    /// What becomes of one answer, in a word.
    #[track_caller]
    fn check(result: &str, expected: &str) {
        let tally = heard(&[&format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#)]);
        let said = match &tally.ended[0].said {
            Said::Right => "right".to_owned(),
            Said::Failed { kind, cause } => format!("{kind} {cause}"),
            Said::Wrong(_) => "wrong".to_owned(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn only_the_servers_own_answer_to_this_request_is_right() {
        check(r#"{"content":[],"structuredContent":{"server":"s3","asked":{"n":1}}}"#, "right");
        check(r#"{"content":[],"structuredContent":{"server":"s4","asked":{"n":1}}}"#, "wrong");
        check(r#"{"content":[],"structuredContent":{"server":"s3","asked":{"n":2}}}"#, "wrong");
        check(r#"{"content":[]}"#, "wrong");
    }

    #[test]
    fn a_failure_is_structured_and_about_this_call() {
        let failure = |server: &str, tool: &str| {
            format!(
                r#"{{"isError":true,"_meta":{{"bridge/error":{{"kind":"timeout","cause":"hung","server":"{server}","tool":"{tool}"}}}}}}"#
            )
        };
        check(&failure("s3", "work"), "timeout hung");
        check(&failure("s4", "work"), "wrong");
        check(&failure("s3", "other"), "wrong");
        check(r#"{"content":[],"isError":true}"#, "wrong");
        let tally = heard(&[r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"x"}}"#]);
        assert!(matches!(tally.ended[0].said, Said::Wrong(_)));
    }

    #[test]
    fn an_answer_that_comes_twice_or_never_or_to_nobody_is_counted() {
        let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
        let tally = heard(&[answer, answer, r#"{"jsonrpc":"2.0","id":8,"result":{}}"#, "noise"]);
        assert_eq!((tally.unanswered, tally.duplicates, tally.strays.len()), (0, 1, 2));
        assert_eq!(heard(&[]).unanswered, 1);
    }

    #[test]
    fn progress_does_not_follow_the_answer() {
        let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}}"#;
        assert_eq!(heard(&[progress, answer]).strays.len(), 0);
        assert_eq!(heard(&[answer, progress]).strays.len(), 1);
    }
}
