//! A client: one front, and as many requests on their way as it may have.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::SIZES;
use crate::book::Book;

/// A front without a client ends within this.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What stdin and stdout are made of.
#[derive(Debug, Clone, Copy)]
pub enum Wires {
    /// Two pipes.
    Pipes,
    /// Two socket pairs.
    Sockets,
}

type Input = Arc<Mutex<Option<File>>>;

/// A front and the one who asks it.
pub struct Client {
    /// What it asked and was told.
    pub book: Arc<Book>,
    /// What its front hears and speaks through.
    pub wires: Wires,
    child: Child,
    stdin: Input,
    /// Its requests have the numbers from here on.
    first: u64,
    reader: JoinHandle<()>,
}

/// Somebody who asks until he is stopped.
pub struct Asking {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Client {
    /// Starts a front in the room.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(bridge: &Path, room: &Path, number: usize, wires: Wires) -> Result<Self> {
        let (book, first) = (Arc::new(Book::default()), ((number as u64) << 32) + 1);
        let (theirs_in, ours_in, ours_out, theirs_out): (OwnedFd, OwnedFd, OwnedFd, OwnedFd) = match wires {
            Wires::Pipes => {
                let ((theirs_in, ours_in), (ours_out, theirs_out)) = (std::io::pipe()?, std::io::pipe()?);
                (theirs_in.into(), ours_in.into(), ours_out.into(), theirs_out.into())
            }
            Wires::Sockets => {
                let ((theirs_in, ours_in), (ours_out, theirs_out)) =
                    (UnixStream::pair()?, UnixStream::pair()?);
                (theirs_in.into(), ours_in.into(), ours_out.into(), theirs_out.into())
            }
        };
        let mut command = Command::new(bridge);
        command
            .args(["serve", "--config"])
            .arg(room.join("config.toml"))
            .arg("--data-dir")
            .arg(room.join("data"))
            .current_dir(room)
            .env_remove("RUST_LOG")
            .env_remove("BRIDGE_LOG")
            .stdin(theirs_in)
            .stdout(theirs_out)
            .stderr(File::create(room.join(format!("front-{number}.log")))?);
        let child = command.spawn().with_context(|| format!("cannot start {}", bridge.display()))?;
        drop(command);
        let reader = thread::spawn({
            let (book, out) = (Arc::clone(&book), File::from(ours_out));
            move || read(out, &book)
        });
        let stdin = Arc::new(Mutex::new(Some(File::from(ours_in))));
        Ok(Self { book, wires, child, stdin, first, reader })
    }

    /// Opens the session.
    ///
    /// # Errors
    /// When the front has ended.
    pub fn initialize(&self) -> Result<()> {
        let client = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"storm","version":"1"}}"#;
        let lines = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{client}}}\n{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}}\n"
        );
        if write(&self.stdin, &lines) { Ok(()) } else { bail!("the front does not read") }
    }

    /// Asks and asks, with so many requests on their way.
    pub fn keep_asking(&self, at_once: usize) -> Asking {
        let over = Arc::new(AtomicBool::new(false));
        let (book, stdin, is_over) = (Arc::clone(&self.book), Arc::clone(&self.stdin), Arc::clone(&over));
        let mut choices = fastrand::Rng::with_seed(fastrand::u64(..));
        let first = self.first;
        let thread = thread::spawn(move || {
            for id in first.. {
                let is_over = || is_over.load(Ordering::Relaxed);
                if !book.ask(id, at_once, &is_over) {
                    return;
                }
                let size = size(&mut choices);
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"s__t{size}\",\"arguments\":{{\"n\":{id}}}}}}}\n"
                );
                if !write(&stdin, &line) {
                    return;
                }
            }
        });
        Asking { over, thread }
    }

    /// Closes the front's input and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<ExitStatus> {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        let before = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let _read = self.reader.join();
                return Ok(status);
            }
            if before.elapsed() > END_WITHIN {
                self.child.kill()?;
                bail!("it still runs after {END_WITHIN:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Asking {
    /// Nothing more is asked.
    pub fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        let _asked = self.thread.join();
    }
}

fn size(choices: &mut fastrand::Rng) -> usize {
    let mut drawn = choices.u32(0..SIZES.iter().map(|(_, weight)| weight).sum());
    for (size, weight) in SIZES {
        match drawn.checked_sub(weight) {
            Some(rest) => drawn = rest,
            None => return size,
        }
    }
    1
}

fn write(stdin: &Input, lines: &str) -> bool {
    let mut stdin = stdin.lock().unwrap_or_else(PoisonError::into_inner);
    stdin.as_mut().is_some_and(|stdin| stdin.write_all(lines.as_bytes()).is_ok())
}

fn read(out: impl Read, book: &Book) {
    let mut out = BufReader::with_capacity(256 * 1024, out);
    let mut line = Vec::new();
    while out.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        book.hear(&line);
        line.clear();
    }
}
