//! Plays a script: what the fake server answers, and what it does beside it.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::ask::{self, Ask, Said};
use crate::os;
use crate::out::Out;
use crate::script::{Action, Event, Script, Tool, plain};

/// How long `request` waits for the client.
const CLIENT_ANSWER: Duration = Duration::from_secs(60);

/// A running fake server. All threads share it.
pub struct Server {
    script: Script,
    out: Out,
    record: Option<Mutex<File>>,
    /// Tools that `list-changed` added.
    extra: Mutex<Vec<Tool>>,
    /// Raw ids of cancelled requests.
    cancelled: Mutex<HashSet<String>>,
    /// Requests of ours by their raw id.
    asked: Mutex<HashMap<String, mpsc::Sender<String>>>,
    next_id: AtomicU64,
}

/// Where a chain of actions stands.
enum Then {
    Next,
    End,
}

impl Server {
    /// Opens what the script names.
    ///
    /// # Errors
    /// When stdout, the count file or the record file cannot be opened.
    pub fn new(script: Script) -> io::Result<Arc<Self>> {
        if script.ignore_term {
            os::ignore_term();
        }
        if let Some(path) = &script.count {
            append(path)?.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        }
        let record = script.record.as_deref().map(append).transpose()?.map(Mutex::new);
        let server = Self {
            script,
            out: Out::stdout()?,
            record,
            extra: Mutex::default(),
            cancelled: Mutex::default(),
            asked: Mutex::default(),
            next_id: AtomicU64::new(1),
        };
        Ok(Arc::new(server))
    }

    /// Plays the chain of an event that is no message.
    pub fn happen(&self, event: &Event) {
        if let Some(actions) = self.script.rule(event) {
            self.play(actions, &Ask::default());
        }
        self.flush();
    }

    /// Takes one line. What waits goes to a thread of its own, so that other requests go on.
    pub fn receive(self: &Arc<Self>, line: &[u8]) {
        self.record(line);
        match ask::read(line) {
            Some(Said::Answer(id, value)) => self.hear(id, value),
            Some(Said::Ask(Ask { cancelled: Some(id), .. })) => {
                lock(&self.cancelled).insert(id.to_owned());
            }
            Some(Said::Ask(ask)) => match self.rule(&ask) {
                Some(actions) if actions.iter().any(Action::waits) => {
                    let (server, line) = (Arc::clone(self), line.to_vec());
                    thread::spawn(move || server.receive_aside(&line));
                }
                Some(actions) => self.play(actions, &ask),
                None => self.ordinary(&ask),
            },
            None => {}
        }
    }

    /// Writes what is answered.
    pub fn flush(&self) {
        self.out.flush();
    }

    /// True when the end of input is not the end.
    pub fn outlives_input(&self) -> bool {
        self.script.ignore_eof
    }

    fn receive_aside(&self, line: &[u8]) {
        if let Some(Said::Ask(ask)) = ask::read(line) {
            self.play(self.rule(&ask).unwrap_or_default(), &ask);
        }
    }

    /// The chain for a message. A tool that is not on offer has none.
    fn rule(&self, ask: &Ask<'_>) -> Option<&[Action]> {
        if ask.method == "tools/call" && !self.offers(ask) {
            return None;
        }
        self.script.rule_for(&ask.method, ask.tool.as_deref())
    }

    fn play(&self, actions: &[Action], ask: &Ask<'_>) {
        let mut open = ask.id.is_some();
        for action in actions {
            let then = self.act(action, ask, &mut open);
            self.flush();
            if matches!(then, Then::End) {
                return;
            }
        }
        if open {
            self.ordinary(ask);
            self.flush();
        }
    }

    fn act(&self, action: &Action, ask: &Ask<'_>, open: &mut bool) -> Then {
        match action {
            Action::Hang => return Then::End,
            Action::Sleep(ms) => thread::sleep(Duration::from_millis(*ms)),
            Action::Progress(count) => self.progress(ask, *count),
            Action::LateProgress(count) => {
                if std::mem::take(open) {
                    self.ordinary(ask);
                }
                self.progress(ask, *count);
            }
            Action::Log { level, text } => {
                let params = serde_json::json!({"level": level, "logger": "fake", "data": text}).to_string();
                self.notify("notifications/message", &params);
            }
            Action::ListChanged => self.list_changed(),
            Action::Notify(line) => self.out.line(&[filled(line, ask).as_str()]),
            Action::Garbage(text) => self.out.line(&[text.as_str()]),
            Action::Stderr(text) => {
                let _gone = writeln!(io::stderr(), "{text}");
            }
            Action::Exit(code) => os::end(*code),
            Action::Signal(number) => os::kill_self(*number),
            Action::CloseStdout => self.out.close(),
            Action::ForkDeaf { hold_stdout, pid_file } => fork_deaf(*hold_stdout, pid_file.as_deref()),
            Action::Once { marker, action } => {
                if File::create_new(marker).is_ok() {
                    return self.act(action, ask, open);
                }
            }
            answer => {
                if std::mem::take(open) {
                    self.answer(answer, ask);
                }
            }
        }
        Then::Next
    }

    /// The actions that answer; `act` has handled all others.
    fn answer(&self, action: &Action, ask: &Ask<'_>) {
        match action {
            Action::Echo => self.echo(ask),
            Action::Reply(result) => self.result(ask, &[&filled(result, ask)]),
            Action::Raw(line) => self.out.line(&[filled(line, ask).as_str()]),
            Action::Error { code, message } => self.error(ask, *code, message),
            Action::IsError(text) => {
                let text = serde_json::Value::from(text.as_str()).to_string();
                self.result(ask, &[r#"{"content":[{"type":"text","text":"#, &text, r#"}],"isError":true}"#]);
            }
            Action::Big(bytes) => self.big(ask, *bytes),
            Action::Empty => self.result(ask, &[r#"{"tools":[]}"#]),
            Action::Page(size) => self.list(ask, Some(*size)),
            Action::Request { method, params } => {
                let value = self.request(method, params.as_deref());
                self.result(ask, &[r#"{"content":[],"structuredContent":{"answer":"#, &value, "}}"]);
            }
            _ => self.ordinary(ask),
        }
    }

    /// What a server without a script answers.
    fn ordinary(&self, ask: &Ask<'_>) {
        match ask.method.as_ref() {
            "tools/call" if self.offers(ask) => self.echo(ask),
            "tools/call" => self.error(ask, -32602, "no such tool"),
            "tools/list" => self.list(ask, None),
            "ping" | "logging/setLevel" => self.result(ask, &["{}"]),
            "initialize" => {
                let version = ask.version.unwrap_or(r#""2025-11-25""#);
                let rest = r#","capabilities":{"tools":{"listChanged":true},"logging":{}},"serverInfo":{"name":"fake","version":"1"}}"#;
                self.result(ask, &[r#"{"protocolVersion":"#, version, rest]);
            }
            _ => self.error(ask, -32601, "method not found"),
        }
    }

    fn echo(&self, ask: &Ask<'_>) {
        let arguments = ask.arguments.unwrap_or("{}");
        self.result(
            ask,
            &[r#"{"content":[{"type":"text","text":"echo"}],"structuredContent":"#, arguments, "}"],
        );
    }

    fn big(&self, ask: &Ask<'_>, bytes: usize) {
        let Some(id) = self.answerable(ask) else { return };
        let head = [r#"{"jsonrpc":"2.0","id":"#, id, r#","result":{"content":[{"type":"text","text":""#];
        self.out.long_line(&head, bytes, r#""}]}}"#);
    }

    fn list(&self, ask: &Ask<'_>, page: Option<usize>) {
        let extra = lock(&self.extra);
        let from = ask.cursor.as_deref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let size = page.unwrap_or(usize::MAX);
        let all = self.script.tools.iter().chain(extra.iter());
        let shown: Vec<&str> = all.skip(from).take(size).map(|tool| tool.definition.as_str()).collect();
        let next = from + shown.len();
        let more = next < self.script.tools.len() + extra.len();
        let cursor = if more { format!(r#","nextCursor":"{next}""#) } else { String::new() };
        self.result(ask, &[r#"{"tools":["#, &shown.join(","), "]", &cursor, "}"]);
    }

    fn list_changed(&self) {
        let mut extra = lock(&self.extra);
        let name = format!("extra_{}", extra.len() + 1);
        extra.push(plain(&name));
        drop(extra);
        self.out.line(&[r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#]);
    }

    fn progress(&self, ask: &Ask<'_>, count: u64) {
        let Some(token) = ask.token else { return };
        for step in 1..=count {
            let params = format!(r#"{{"progressToken":{token},"progress":{step},"total":{count}}}"#);
            self.notify("notifications/progress", &params);
        }
    }

    fn notify(&self, method: &str, params: &str) {
        self.out.line(&[r#"{"jsonrpc":"2.0","method":""#, method, r#"","params":"#, params, "}"]);
    }

    /// Asks the client and waits. The answer is its result, or `{"error":…}`.
    fn request(&self, method: &str, params: Option<&str>) -> String {
        let id = format!(r#""fake-{}""#, self.next_id.fetch_add(1, Ordering::Relaxed));
        let (tell, answer) = mpsc::channel();
        lock(&self.asked).insert(id.clone(), tell);
        let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
        self.out.line(&[r#"{"jsonrpc":"2.0","id":"#, &id, r#","method":""#, method, "\"", &params, "}"]);
        self.flush();
        answer.recv_timeout(CLIENT_ANSWER).unwrap_or_else(|_| r#"{"error":"no answer"}"#.to_owned())
    }

    fn hear(&self, id: &str, value: String) {
        if let Some(tell) = lock(&self.asked).remove(id) {
            let _gone = tell.send(value);
        }
    }

    fn result(&self, ask: &Ask<'_>, result: &[&str]) {
        let Some(id) = self.answerable(ask) else { return };
        let head = [r#"{"jsonrpc":"2.0","id":"#, id, r#","result":"#];
        self.out.line(head.iter().chain(result).chain(&["}"]));
    }

    fn error(&self, ask: &Ask<'_>, code: i64, message: &str) {
        let Some(id) = self.answerable(ask) else { return };
        let error = serde_json::json!({"code": code, "message": message}).to_string();
        self.out.line(&[r#"{"jsonrpc":"2.0","id":"#, id, r#","error":"#, &error, "}"]);
    }

    /// The id to answer to: none for a notification, nor for a cancelled request when the script obeys.
    fn answerable<'a>(&self, ask: &Ask<'a>) -> Option<&'a str> {
        ask.id.filter(|id| !self.script.obey_cancel || !lock(&self.cancelled).contains(*id))
    }

    fn offers(&self, ask: &Ask<'_>) -> bool {
        let Some(name) = ask.tool.as_deref() else { return false };
        let known = |tools: &[Tool]| tools.iter().any(|tool| tool.name == name);
        known(&self.script.tools) || known(&lock(&self.extra))
    }

    fn record(&self, line: &[u8]) {
        if let Some(file) = &self.record {
            let _full = lock(file).write_all(&[line, b"\n"].concat());
        }
    }
}

/// Puts the request's own bytes in the place of `$ID`, `$ARGS` and `$TOKEN`.
fn filled(template: &str, ask: &Ask<'_>) -> String {
    let fill =
        [("$ID", ask.id), ("$ARGS", ask.arguments.or(Some("{}"))), ("$TOKEN", ask.token.or(Some("null")))];
    fill.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value.unwrap_or("null")))
}

/// Starts this program again as a process that does not hear SIGTERM. Nobody waits for it: an orphan is the point.
fn fork_deaf(hold_stdout: bool, pid_file: Option<&Path>) {
    let Ok(program) = std::env::current_exe() else { return };
    let stdout = if hold_stdout { Stdio::inherit() } else { Stdio::null() };
    let mut command = Command::new(program);
    command.arg("--deaf").stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
    let Ok(child) = command.spawn() else { return };
    if let Some(mut file) = pid_file.and_then(|path| append(path).ok()) {
        let _full = file.write_all(format!("{}\n", child.id()).as_bytes());
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
