//! Plays a script: what the fake server answers, and what it does beside it.

mod answer;
mod client;
mod handshake;
mod listen;
mod tasks;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::ask::{self, Ask, Said};
use crate::os;
use crate::out::Out;
use crate::script::{Action, Event, Kind, Offer, Script};

/// A running fake server. All threads share it.
pub struct Server {
    script: Script,
    out: Out,
    record: Option<Mutex<File>>,
    /// What the changes added.
    extra: Mutex<Vec<Offer>>,
    /// Raw ids of cancelled requests.
    cancelled: Mutex<HashSet<String>>,
    asked: client::Asked,
    listens: Mutex<Vec<listen::Listen>>,
    /// URIs that a legacy client subscribed to.
    subscribed: Mutex<HashSet<String>>,
    tasks: Mutex<Vec<tasks::Task>>,
    /// Whether a server of both eras was opened in the modern one.
    opened_modern: OnceLock<bool>,
    /// Whether any request came.
    greeted: AtomicBool,
}

/// Where a chain of actions stands.
enum Then {
    Next,
    End,
}

/// A request in play.
struct Turn<'a> {
    ask: Ask<'a>,
    /// Whether it has no answer yet.
    open: bool,
    /// Whether it brings what an `input` in the chain asked for, so that the next one is a new round.
    next_round: bool,
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
            asked: client::Asked::default(),
            listens: Mutex::default(),
            subscribed: Mutex::default(),
            tasks: Mutex::default(),
            opened_modern: OnceLock::new(),
            greeted: AtomicBool::new(false),
        };
        Ok(Arc::new(server))
    }

    /// Plays the chain of an event that is no message.
    pub fn happen(&self, event: &Event) {
        if let Some(actions) = self.script.rule(event) {
            self.play(actions, Ask::default());
        }
        self.flush();
    }

    /// Takes one line. What waits goes to a thread of its own, so that other requests go on.
    pub fn receive(self: &Arc<Self>, line: &[u8]) {
        self.record(line);
        let mut ask = match ask::read(line) {
            Some(Said::Answer(id, value)) => return self.hear(id, value),
            Some(Said::Ask(ask)) => ask,
            None => return,
        };
        if let ("notifications/cancelled", Some(id)) = (ask.method.as_ref(), ask.params.request_id) {
            self.forget_listen(id.get());
            lock(&self.cancelled).insert(id.get().to_owned());
        }
        if ask.id.is_some() && !self.admits(&ask) {
            return;
        }
        self.begin_task_if_asked(&mut ask);
        match self.rule(&ask) {
            Some(actions) if actions.iter().any(Action::waits) => {
                let (server, line, task) = (Arc::clone(self), line.to_vec(), ask.task);
                thread::spawn(move || server.receive_aside(&line, task));
            }
            Some(actions) => self.play(actions, ask),
            None => self.ordinary(&ask),
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

    fn receive_aside(&self, line: &[u8], task: Option<usize>) {
        if let Some(Said::Ask(mut ask)) = ask::read(line) {
            ask.task = task;
            self.play(self.rule(&ask).unwrap_or_default(), ask);
        }
    }

    /// The chain for a message. What is not on offer has none.
    fn rule(&self, ask: &Ask<'_>) -> Option<&[Action]> {
        if Kind::used_by(&ask.method).is_some() && !self.offers(ask) {
            return None;
        }
        self.script.rule_for(&ask.method, ask.name.as_deref())
    }

    fn play(&self, actions: &[Action], ask: Ask<'_>) {
        let from = answered_round(actions, &ask).map_or(0, |round| round + 1);
        let mut turn = Turn { open: ask.id.is_some(), next_round: from > 0, ask };
        for action in actions.iter().skip(from) {
            let then = self.act(action, &mut turn);
            self.flush();
            if matches!(then, Then::End) {
                return;
            }
        }
        let asks_for_input = actions.iter().any(|action| matches!(action, Action::Input { .. }));
        match (turn.open, asks_for_input && turn.ask.is_retry()) {
            (false, _) => return,
            (true, true) => self.received_input(&turn.ask),
            (true, false) => self.ordinary(&turn.ask),
        }
        self.flush();
    }

    fn act(&self, action: &Action, turn: &mut Turn<'_>) -> Then {
        let ask = &turn.ask;
        match action {
            Action::Hang => return Then::End,
            Action::Sleep(ms) => thread::sleep(Duration::from_millis(*ms)),
            Action::Progress(count) => self.progress(ask, *count),
            Action::LateProgress(count) => {
                if std::mem::take(&mut turn.open) {
                    self.ordinary(ask);
                }
                self.progress(ask, *count);
            }
            Action::Input { .. } if ask.is_retry() && !turn.next_round => {}
            Action::Input { requests, state } => {
                if std::mem::take(&mut turn.open) {
                    self.input(ask, requests, state.as_deref());
                }
                return Then::End;
            }
            Action::Log { level, text } => self.log(ask, level, text),
            Action::Changed(kind) => self.changed(*kind),
            Action::Updated(uri) => self.updated(uri),
            Action::Ask { method, params } => {
                self.send_request(method, self.filled_params(params.as_deref(), ask).as_deref());
            }
            Action::CancelRequest => self.cancel_request(),
            Action::EndListen { cancelled } => self.end_listens(*cancelled),
            Action::Task => self.begin_task_if_possible(&mut turn.ask),
            Action::TaskStatus(status) => self.task_status(ask.task, status),
            Action::Once { marker, action } => {
                if File::create_new(marker).is_ok() {
                    return self.act(action, turn);
                }
            }
            Action::Times { count, action } => {
                for _ in 0..*count {
                    if let Then::End = self.act(action, turn) {
                        return Then::End;
                    }
                }
            }
            other if self.happens(other, ask) => {}
            answer => {
                if std::mem::take(&mut turn.open) {
                    self.answer(answer, ask);
                }
            }
        }
        Then::Next
    }

    /// What happens to the process and its pipes; false for any other action.
    fn happens(&self, action: &Action, ask: &Ask<'_>) -> bool {
        match action {
            Action::Notify(line) => self.out.line(&[self.filled(line, ask).as_str()]),
            Action::Garbage(text) => self.out.line(&[text.as_str()]),
            Action::Stderr(text) => {
                let _gone = writeln!(io::stderr(), "{text}");
            }
            Action::Exit(code) => os::end(*code),
            Action::Signal(number) => os::kill_self(*number),
            Action::CloseStdout => self.out.close(),
            Action::ForkDeaf { hold_stdout, pid_file } => fork_deaf(*hold_stdout, pid_file.as_deref()),
            _ => return false,
        }
        true
    }

    fn offers(&self, ask: &Ask<'_>) -> bool {
        let (Some(kind), Some(name)) = (Kind::used_by(&ask.method), ask.name.as_deref()) else {
            return false;
        };
        let fits = |offer: &Offer| match offer.kind {
            Kind::Template if kind == Kind::Resource => {
                name.starts_with(offer.name.split('{').next().unwrap_or_default())
            }
            other => other == kind && offer.name == name,
        };
        self.script.offers.iter().any(fits) || lock(&self.extra).iter().any(fits)
    }

    fn record(&self, line: &[u8]) {
        if let Some(file) = &self.record {
            let _full = lock(file).write_all(&[line, b"\n"].concat());
        }
    }

    /// Puts the request's own bytes in the place of `$ID`, `$ARGS`, `$TOKEN` and `$TASK`, and this process's id in
    /// that of `$PID`.
    fn filled(&self, template: &str, ask: &Ask<'_>) -> String {
        let raw = |value: Option<&RawValue>, none: &str| value.map_or(none, RawValue::get).to_owned();
        let task = || ask.task.map_or_else(|| "null".to_owned(), |task| format!("\"{}\"", tasks::id(task)));
        if !template.contains('$') {
            return template.to_owned();
        }
        let fill = [
            ("$ID", ask.id.unwrap_or("null").to_owned()),
            ("$ARGS", raw(ask.params.arguments, "{}")),
            ("$TOKEN", raw(ask.params.meta.token, "null")),
            ("$TASK", task()),
            ("$PID", std::process::id().to_string()),
        ];
        fill.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    fn filled_params(&self, params: Option<&str>, ask: &Ask<'_>) -> Option<String> {
        params.map(|params| self.filled(params, ask))
    }

    /// True for a strict server's first request that is no `initialize`.
    fn is_taken_aback(&self, ask: &Ask<'_>) -> bool {
        self.script.strict && !self.greeted.swap(true, Ordering::Relaxed) && ask.method != "initialize"
    }
}

/// The place of the `input` whose state this request brings back.
fn answered_round(actions: &[Action], ask: &Ask<'_>) -> Option<usize> {
    let brought = ask.params.request_state?.get();
    let is_its =
        |action: &Action| matches!(action, Action::Input { state: Some(state), .. } if state == brought);
    actions.iter().position(is_its)
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
