//! The room that a test stands in, and a bridge that was started in it.
//!
//! ```ignore
//! let room = Room::new().server("s", &["on tools/call: exit 3"]);
//! let mut bridge = room.start();
//! bridge.initialize();
//! let answer = bridge.call("s__echo", json!({}));
//! ```

mod begins;
mod ends;
mod hears;
pub mod housed;
mod room;
mod says;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// A test that waits longer than this for anything has failed. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at that nobody tells us of.
const POLL: Duration = Duration::from_millis(3);

/// The revision of [`Bridge::modern`].
pub const MODERN: &str = "2026-07-28";

// What stands in `_meta`: the first four in a modern request, the last in what comes for a subscription.
pub const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
pub const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
pub const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";
pub const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
pub const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

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
    through_hub: bool,
}

/// A bridge that runs, seen by its client; or a fake server alone, by [`Room::fake`].
pub struct Bridge {
    /// Its process; none for a client of a house that runs here.
    child: Option<Child>,
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
    /// What each modern request carries in `_meta`.
    meta: Map<String, Value>,
    /// Holds stdin open where a thread has it.
    held: Vec<Sender<()>>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

/// A request that came to the client.
pub struct Asked {
    /// The bytes of its id.
    pub id: String,
    pub params: Value,
    /// The whole line.
    pub line: String,
}

/// The scripted server's program.
pub fn fake_server() -> &'static str {
    env!("CARGO_BIN_EXE_fake-server")
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
