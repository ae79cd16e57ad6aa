//! What happens: the words for it.

use std::path::PathBuf;

use serde_json::value::RawValue;

use super::{Kind, number, object, quoted, some, word};

/// What happens. See the table in `script.rs` for the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Echo,
    Reply(String),
    Raw(String),
    Error { code: i64, message: String },
    IsError(String),
    Big(usize),
    Empty,
    Page(usize),
    Request { method: String, params: Option<String> },
    Input { requests: String, state: Option<String> },
    Hang,
    Sleep(u64),
    Progress(u64),
    LateProgress(u64),
    Log { level: String, text: String },
    Changed(Kind),
    Updated(String),
    Ask { method: String, params: Option<String> },
    CancelRequest,
    EndListen { cancelled: bool },
    Task,
    TaskStatus(String),
    Notify(String),
    Garbage(String),
    Stderr(String),
    Exit(i32),
    Signal(i32),
    CloseStdout,
    ForkDeaf { hold_stdout: bool, pid_file: Option<PathBuf> },
    Once { marker: PathBuf, action: Box<Action> },
    Times { count: u64, action: Box<Action> },
}

impl Action {
    /// True when the action waits, so that it must not stand on the thread that reads.
    pub fn waits(&self) -> bool {
        matches!(self.innermost(), Self::Sleep(_) | Self::Request { .. })
    }

    /// What `once` or `times` holds, or else the action itself.
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Once { action, .. } | Self::Times { action, .. } => action.innermost(),
            action => action,
        }
    }
}

/// `ACTION; ACTION`.
///
/// # Errors
/// Says what is not understood.
pub fn chain(text: &str) -> Result<Vec<Action>, String> {
    split(text).iter().map(|part| action(part.trim())).collect()
}

fn action(text: &str) -> Result<Action, String> {
    let (word, rest) = word(text);
    Ok(match word {
        "echo" => Action::Echo,
        "reply" => Action::Reply(some(rest)?.to_owned()),
        "raw" => Action::Raw(some(rest)?.to_owned()),
        "error" => error(rest)?,
        "iserror" => Action::IsError(rest.to_owned()),
        "big" => Action::Big(number(rest)?),
        "empty" => Action::Empty,
        "page" => Action::Page(number::<usize>(rest)?.max(1)),
        "request" => {
            let (method, params) = request(some(rest)?);
            Action::Request { method, params }
        }
        "input" => input(some(rest)?)?,
        "hang" => Action::Hang,
        "sleep" => Action::Sleep(number(rest)?),
        "progress" => Action::Progress(number(rest)?),
        "late-progress" => Action::LateProgress(number(rest)?),
        "log" => log(some(rest)?),
        "list-changed" => Action::Changed(Kind::Tool),
        "prompts-changed" => Action::Changed(Kind::Prompt),
        "resources-changed" => Action::Changed(Kind::Resource),
        "updated" => Action::Updated(some(rest)?.to_owned()),
        "ask" => {
            let (method, params) = request(some(rest)?);
            Action::Ask { method, params }
        }
        "cancel-request" => Action::CancelRequest,
        "end-listen" => Action::EndListen { cancelled: rest == "cancelled" },
        "task" => Action::Task,
        "task-status" => Action::TaskStatus(some(rest)?.to_owned()),
        "notify" => Action::Notify(some(rest)?.to_owned()),
        "garbage" => Action::Garbage(rest.to_owned()),
        "stderr" => Action::Stderr(rest.to_owned()),
        "exit" => Action::Exit(number(rest)?),
        "signal" => Action::Signal(number(rest)?),
        "close-stdout" => Action::CloseStdout,
        "fork-deaf" => fork_deaf(rest),
        "once" => once(some(rest)?)?,
        "times" => times(some(rest)?)?,
        other => return Err(format!("no action `{other}`")),
    })
}

fn error(rest: &str) -> Result<Action, String> {
    if rest.is_empty() {
        return Ok(Action::Error { code: -32603, message: "internal error".to_owned() });
    }
    let (code, message) = word(rest);
    Ok(Action::Error { code: number(code)?, message: message.to_owned() })
}

fn request(rest: &str) -> (String, Option<String>) {
    let (method, params) = word(rest);
    (method.to_owned(), (!params.is_empty()).then(|| params.to_owned()))
}

/// `REQUESTS [STATE]`: one JSON object, then text, or a JSON string that keeps its bytes.
fn input(rest: &str) -> Result<Action, String> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let first = values.next().and_then(Result::ok).ok_or("the requests are no JSON object")?;
    let state = rest.get(values.byte_offset()..).unwrap_or_default().trim();
    let is_json = state.starts_with('"') && serde_json::from_str::<&RawValue>(state).is_ok();
    let state = if is_json { state.to_owned() } else { quoted(state) };
    Ok(Action::Input { requests: object(first.get())?, state: (state != "\"\"").then_some(state) })
}

fn log(rest: &str) -> Action {
    let (level, text) = word(rest);
    Action::Log { level: level.to_owned(), text: text.to_owned() }
}

fn fork_deaf(rest: &str) -> Action {
    let (hold_stdout, file) = match word(rest) {
        ("hold", file) => (true, file),
        _ => (false, rest),
    };
    Action::ForkDeaf { hold_stdout, pid_file: (!file.is_empty()).then(|| file.into()) }
}

fn once(rest: &str) -> Result<Action, String> {
    let (marker, then) = word(rest);
    Ok(Action::Once { marker: marker.into(), action: Box::new(action(then)?) })
}

fn times(rest: &str) -> Result<Action, String> {
    let (count, then) = word(rest);
    Ok(Action::Times { count: number(count)?, action: Box::new(action(then)?) })
}

/// Splits at `;`, except inside a JSON string; `\;` outside of one is a plain `;`.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![];
    let (mut part, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        match c {
            ';' if escaped && !quoted => {
                part.pop();
                part.push(c);
            }
            ';' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => part.push(c),
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}
