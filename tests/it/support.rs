//! The room that a test stands in, and a bridge that was started in it.
//!
//! ```ignore
//! let room = Room::new().server("s", &["on tools/call: exit 3"]);
//! let mut bridge = room.start();
//! bridge.initialize();
//! let answer = bridge.call("s__echo", json!({}));
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A test that waits longer than this for anything has failed. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at that nobody tells us of.
const POLL: Duration = Duration::from_millis(3);

/// The revision of [`Bridge::modern`].
pub const MODERN: &str = "2026-07-28";

/// What the client's end of stdin and stdout is made of.
#[derive(Debug, Clone, Default)]
pub enum Wires {
    /// Two pipes.
    #[default]
    Pipes,
    /// Two socket pairs, as Claude Code uses them.
    Sockets,
    /// `< stdin > stdout`: two files in the room. Nothing can be sent; read the file at the end.
    Files { stdin: PathBuf, stdout: PathBuf },
}

/// An airtight room: a home, a data folder, a configuration. Start as many bridges in it as you like.
pub struct Room {
    dir: Arc<TempDir>,
    settings: String,
    servers: String,
    config: Option<PathBuf>,
    env: Vec<(String, String)>,
    args: Vec<String>,
    via: Vec<String>,
    wires: Wires,
    read_later: bool,
}

impl Room {
    /// An empty room: no servers, every setting at its default.
    pub fn new() -> Self {
        let dir = Arc::new(tempfile::Builder::new().prefix("bridge-it-").tempdir().unwrap());
        for folder in ["home", "data", "scripts"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self {
            dir,
            settings: String::new(),
            servers: String::new(),
            config: None,
            env: Vec::new(),
            args: Vec::new(),
            via: Vec::new(),
            wires: Wires::Pipes,
            read_later: false,
        }
    }

    /// A server that plays this script (`tests/fakes/script.rs`). `$ROOM` in a line is the room's folder.
    pub fn server(self, name: &str, script: &[&str]) -> Self {
        self.server_with(name, script, "")
    }

    /// The same, with more keys in its entry, each on a line of its own: `call_timeout_s = 1`.
    pub fn server_with(mut self, name: &str, script: &[&str], keys: &str) -> Self {
        let file = self.path("scripts").join(name);
        std::fs::write(&file, script.join("\n").replace("$ROOM", self.path("").to_str().unwrap())).unwrap();
        let entry = format!(
            "[servers.{}]\ncommand = {}\nargs = [\"--script\", {}]\n{keys}\n",
            json!(name),
            json!(fake_server()),
            json!(file),
        );
        self.servers.push_str(&entry);
        self
    }

    /// A line of `[settings]`: `first_list_wait_s = 1`.
    pub fn setting(mut self, line: &str) -> Self {
        let _ = writeln!(self.settings, "{line}");
        self
    }

    /// Another configuration than the room's own, as it stands: its file name in the room and its text.
    pub fn config(mut self, name: &str, text: &str) -> Self {
        let file = self.path(name);
        std::fs::write(&file, text.replace("$ROOM", self.path("").to_str().unwrap())).unwrap();
        self.config = Some(file);
        self
    }

    /// A variable of the bridge's environment, which is otherwise nearly empty.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more argument after `serve`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts the bridge by another program, which gets the command line as its last arguments.
    pub fn via(mut self, program: &[&str]) -> Self {
        self.via = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// What stdin and stdout are made of.
    pub fn wires(mut self, wires: Wires) -> Self {
        self.wires = wires;
        self
    }

    /// Nothing is read from the bridge until [`Bridge::read`].
    pub fn read_later(mut self) -> Self {
        self.read_later = true;
        self
    }

    /// A place in the room.
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(name) }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The text of a file in the room; empty while it is not there.
    pub fn text(&self, name: &str) -> String {
        std::fs::read(self.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Process ids out of a file that a script's `count` or `fork-deaf` wrote.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        self.text(name).lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Rows of the record, read-only.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&self.data(), sql)
    }

    /// The command line with the room's environment, not started: for verbs other than `serve`.
    pub fn command(&self, args: &[&str]) -> Command {
        let words = self.via.iter().map(String::as_str);
        let mut words = words.chain([env!("CARGO_BIN_EXE_bridge")]).chain(args.iter().copied());
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BRIDGE_DATA_DIR", self.data())
            .env("BRIDGE_CONFIG", self.config_file())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path("home"));
        command
    }

    /// Starts `bridge serve` in the room.
    #[track_caller]
    pub fn start(&self) -> Bridge {
        let mut args = vec!["serve"];
        args.extend(self.args.iter().map(String::as_str));
        Bridge::start(self.command(&args), &self.wires, self.read_later, Arc::clone(&self.dir))
    }

    fn config_file(&self) -> PathBuf {
        if let Some(file) = &self.config {
            return file.clone();
        }
        let file = self.path("config.toml");
        let text = format!("[settings]\n{}\n{}", self.settings, self.servers);
        // A bridge that was started a moment ago may be reading it.
        if !std::fs::read_to_string(&file).is_ok_and(|there| there == text) {
            std::fs::write(&file, text).unwrap();
        }
        file
    }
}

/// The scripted server's program.
pub fn fake_server() -> &'static str {
    env!("CARGO_BIN_EXE_fake-server")
}

/// A bridge that runs, seen by its client.
pub struct Bridge {
    child: Child,
    /// The room stands as long as somebody is in it.
    room: Arc<TempDir>,
    stdin: Option<Box<dyn Write + Send>>,
    lines: Receiver<Vec<u8>>,
    /// Lines that were received and that nobody has asked for yet.
    backlog: VecDeque<Vec<u8>>,
    /// The end that nobody reads yet, and where its lines will go.
    unread: Option<(File, Sender<Vec<u8>>)>,
    log: Arc<Log>,
    next_id: u64,
    /// Holds stdin open where a thread has it.
    held: Vec<Sender<()>>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    fn gather(&self, stderr: impl Read) {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&line));
            self.grown.notify_all();
            line.clear();
        }
    }
}

impl Bridge {
    #[track_caller]
    fn start(mut command: Command, wires: &Wires, read_later: bool, room: Arc<TempDir>) -> Self {
        let (stdin, stdout) = match wires {
            Wires::Pipes => {
                let (theirs_in, ours_in) = std::io::pipe().unwrap();
                let (ours_out, theirs_out) = std::io::pipe().unwrap();
                command.stdin(theirs_in).stdout(theirs_out);
                let (stdin, stdout) = (File::from(OwnedFd::from(ours_in)), OwnedFd::from(ours_out));
                (Some(Box::new(stdin) as Box<dyn Write + Send>), Some(File::from(stdout)))
            }
            Wires::Sockets => {
                let (ours_in, theirs_in) = UnixStream::pair().unwrap();
                let (ours_out, theirs_out) = UnixStream::pair().unwrap();
                command.stdin(OwnedFd::from(theirs_in)).stdout(OwnedFd::from(theirs_out));
                (Some(Box::new(ours_in) as Box<dyn Write + Send>), Some(File::from(OwnedFd::from(ours_out))))
            }
            Wires::Files { stdin, stdout } => {
                command.stdin(File::open(stdin).unwrap()).stdout(File::create(stdout).unwrap());
                (None, None)
            }
        };
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // Our copies of the client's ends would keep the pipes open after the bridge has ended.
        drop(command);
        let log = Arc::new(Log::default());
        let (stderr, gathered) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || gathered.gather(stderr));
        let (sender, lines) = channel();
        let unread = stdout.map(|stdout| (stdout, sender));
        let backlog = VecDeque::new();
        let mut bridge =
            Self { child, room, stdin, lines, backlog, unread, log, next_id: 0, held: Vec::new() };
        if !read_later {
            bridge.read();
        }
        bridge
    }

    /// Begins to read the bridge's stdout, if that was put off.
    pub fn read(&mut self) {
        let Some((stdout, sender)) = self.unread.take() else { return };
        thread::spawn(move || {
            let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
    }

    /// Closes the client's end of stdout, if it is not read.
    pub fn close_stdout(&mut self) {
        self.unread = None;
    }

    /// The bridge's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    // --- what the client says ---

    /// Sends one line as it stands; its end is added.
    #[track_caller]
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        self.send_bytes(&[line.as_ref(), b"\n"].concat());
    }

    /// Sends bytes as they stand.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        if let Err(error) = stdin.write_all(bytes) {
            panic!("the bridge does not read: {error}\n{}", self.log());
        }
    }

    /// Sends bytes from a thread of its own, because the bridge may stop reading; the receiver hears when
    /// all are written. Nothing else can be sent from then on.
    pub fn send_aside(&mut self, bytes: Vec<u8>) -> Receiver<()> {
        let mut stdin = self.stdin.take().expect("stdin is open");
        let (sender, written) = channel();
        let (keep_open, held) = channel::<()>();
        self.held.push(keep_open);
        thread::spawn(move || {
            if stdin.write_all(&bytes).is_ok() {
                let _ = sender.send(());
                // Closing it would end the bridge.
                let _ = held.recv();
            }
        });
        written
    }

    /// Sends what it can; a bridge that is gone is no fault.
    pub fn try_send(&mut self, line: &str) -> bool {
        self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(format!("{line}\n").as_bytes()).is_ok())
    }

    /// Sends a request under a new id, and returns the id.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        id
    }

    /// Sends a notification.
    #[track_caller]
    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Sends a `tools/call` and returns its id.
    #[track_caller]
    pub fn begin_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.request("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls a tool and returns the whole answer.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.begin_call(tool, arguments);
        self.answer_to(id)
    }

    /// Sends a request and returns the whole answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.answer_to(id)
    }

    /// Opens a session as today's clients do; returns the result of `initialize`.
    #[track_caller]
    pub fn initialize(&mut self) -> Value {
        self.initialize_as("2025-11-25")
    }

    /// The same under another revision.
    #[track_caller]
    pub fn initialize_as(&mut self, version: &str) -> Value {
        let client = json!({ "name": "it", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
        let mut answer = self.ask("initialize", &params);
        self.notify("notifications/initialized", &json!({}));
        answer["result"].take()
    }

    /// Sends a request of the modern revision under a new id, and returns the id.
    #[track_caller]
    pub fn modern_request(&mut self, method: &str, mut params: Value) -> u64 {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "modern-it", "version": "1" });
        self.request(method, &params)
    }

    /// Sends a request of the modern revision and returns the whole answer.
    #[track_caller]
    pub fn modern(&mut self, method: &str, params: Value) -> Value {
        let id = self.modern_request(method, params);
        self.answer_to(id)
    }

    /// The data of `bridge_status`.
    #[track_caller]
    pub fn status(&mut self) -> Value {
        let mut answer = self.call("bridge_status", json!({}));
        answer["result"]["structuredContent"].take()
    }

    /// Closes the client's end of stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    // --- what the client hears ---

    /// The next line, without its end; `None` at the end of the bridge's output.
    #[track_caller]
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        match self.backlog.pop_front() {
            Some(line) => Some(line),
            None => self.hear(),
        }
    }

    #[track_caller]
    fn hear(&mut self) -> Option<Vec<u8>> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(mut line) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("nothing was heard for {DEADLINE:?}; the log:\n{}", self.log())
            }
        }
    }

    /// The next line as text.
    #[track_caller]
    pub fn recv_line(&mut self) -> String {
        let Some(line) = self.next_line() else { panic!("the output ended; the log:\n{}", self.log()) };
        String::from_utf8(line).unwrap()
    }

    /// The next line as JSON.
    #[track_caller]
    pub fn recv(&mut self) -> Value {
        let line = self.recv_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer with this id; what comes before it is kept for later.
    #[track_caller]
    pub fn answer_to(&mut self, id: u64) -> Value {
        serde_json::from_str(&self.raw_answer_to(&id.to_string())).unwrap()
    }

    /// The line of the answer whose id has these bytes; what comes before it is kept for later.
    #[track_caller]
    pub fn raw_answer_to(&mut self, id: &str) -> String {
        self.find(&format!("answer to {id}"), |head| {
            head.is_answer() && head.id.is_some_and(|i| i.get() == id)
        })
    }

    /// The next notification or request with this method; what comes before it is kept for later.
    #[track_caller]
    pub fn told(&mut self, method: &str) -> Value {
        let line = self.find(method, |head| head.method.as_deref() == Some(method));
        serde_json::from_str(&line).unwrap()
    }

    /// Everything that comes before the answer to a `ping` that is sent now: what the bridge has said so
    /// far, and proof that it still answers.
    #[track_caller]
    pub fn said_so_far(&mut self) -> Vec<Value> {
        let id = self.request("ping", &json!({}));
        let mut said = Vec::new();
        loop {
            let value = self.recv();
            if value["id"] == id && value["method"].is_null() {
                assert_eq!(value["result"], json!({}), "a ping is answered");
                return said;
            }
            said.push(value);
        }
    }

    #[track_caller]
    fn find(&mut self, what: &str, is_it: impl Fn(&Head<'_>) -> bool) -> String {
        let matches = |line: &Vec<u8>| serde_json::from_slice(line).is_ok_and(|head| is_it(&head));
        if let Some(index) = self.backlog.iter().position(matches) {
            return String::from_utf8(self.backlog.remove(index).unwrap()).unwrap();
        }
        loop {
            let Some(line) = self.hear() else {
                panic!("no {what}: the output ended; the log:\n{}", self.log())
            };
            if matches(&line) {
                return String::from_utf8(line).unwrap();
            }
            self.backlog.push_back(line);
        }
    }

    // --- what else there is to see ---

    /// What the bridge has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a line of stderr holds the text, and returns that line.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut log = self.log.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the log never said {text:?}:\n{log}");
            log = self.log.grown.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Rows of the record, read-only.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&self.room.path().join("data"), sql)
    }

    // --- how it ends ---

    /// Sends a signal to the bridge.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Waits until the bridge has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_for("the bridge ends", || self.child.try_wait().unwrap())
    }

    /// Ends its input and waits until it has ended.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        self.close_stdin();
        self.wait_exit()
    }
}

/// A test that fails leaves no process behind: the bridge gets a moment to end its servers.
impl Drop for Bridge {
    fn drop(&mut self) {
        self.stdin = None;
        self.unread = None;
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(3);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(POLL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The head of a line.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
}

impl Head<'_> {
    fn is_answer(&self) -> bool {
        self.method.is_none()
    }
}

/// Waits until the question has an answer.
#[track_caller]
pub fn wait_for<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        thread::sleep(POLL);
    }
}

/// Waits until the condition holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Whether a process runs; one that only waits to be reaped is gone.
pub fn alive(pid: u32) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    if rustix::process::test_kill_process(raw).is_err() {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z')
}

/// No process outlives the bridge by more than a second (faults.md, "stop").
#[track_caller]
pub fn check_gone(pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let left: Vec<u32> = pids.iter().copied().filter(|pid| alive(*pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "processes outlived the bridge: {left:?}");
        thread::sleep(POLL);
    }
}

/// Sends a signal to any process; one that is gone already is no fault.
pub fn send_signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Rows of the record in a data folder, read-only.
#[track_caller]
pub fn rows(data: &Path, sql: &str) -> Vec<Vec<Value>> {
    use rusqlite::types::ValueRef;
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let path = data.join("bridge.db");
    let file = wait_for("the record is there", || rusqlite::Connection::open_with_flags(&path, flags).ok());
    file.busy_timeout(DEADLINE).unwrap();
    // A bridge that has just begun makes its tables while it serves already.
    let is_made = |error: &rusqlite::Error| !error.to_string().contains("no such table");
    let mut statement = wait_for("the record is made", || match file.prepare(sql) {
        Err(error) if !is_made(&error) => None,
        prepared => Some(prepared.unwrap()),
    });
    let columns = statement.column_count();
    let read = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    ValueRef::Real(number) => number.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                })
            })
            .collect()
    });
    read.unwrap().map(Result::unwrap).collect()
}
