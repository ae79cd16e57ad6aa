//! How a bridge is started, and how its pipes are held.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError};
use std::thread;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{Bridge, CAPABILITIES_KEY, CLIENT_KEY, Log, MODERN, VERSION_KEY, Wires};

impl Bridge {
    #[track_caller]
    pub(super) fn start(mut command: Command, wires: &Wires, read_later: bool, room: Arc<TempDir>) -> Self {
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
        let (meta, held) = (usual_meta(), Vec::new());
        let child = Some(child);
        let mut bridge = Self { child, room, stdin, lines, backlog, unread, log, next_id: 0, meta, held };
        if !read_later {
            bridge.read();
        }
        bridge
    }

    /// A client of a house that runs here: what it says goes into `stdin`, what it hears comes out of `stdout`.
    pub(super) fn of_house(stdin: PipeWriter, stdout: PipeReader, room: Arc<TempDir>) -> Self {
        let (sender, lines) = channel();
        let (stdin, stdout) = (File::from(OwnedFd::from(stdin)), File::from(OwnedFd::from(stdout)));
        Self {
            child: None,
            room,
            stdin: Some(Box::new(stdin)),
            lines,
            backlog: VecDeque::new(),
            unread: Some((stdout, sender)),
            log: Arc::new(Log::default()),
            next_id: 0,
            meta: usual_meta(),
            held: Vec::new(),
        }
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

    pub(super) fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    /// The bridge's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }
}

/// What a modern request carries unless it is told otherwise.
fn usual_meta() -> Map<String, Value> {
    let client = json!({ "name": "modern-it", "version": "1" });
    let meta = [(VERSION_KEY, json!(MODERN)), (CAPABILITIES_KEY, json!({})), (CLIENT_KEY, client)];
    meta.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
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
