//! One client and its own bridge.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use serde::Deserialize;
use serde_json::json;

use crate::book::{Asked, Book, name};

/// A bridge that has nothing to wait for ends within this.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A bridge and the one who asks it.
pub struct Client {
    /// The process of the bridge.
    pub pid: u32,
    /// What was asked and answered.
    pub book: Arc<Book>,
    /// When the bridge was started.
    pub started: Instant,
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    reader: Mutex<Option<JoinHandle<()>>>,
    next_id: AtomicU64,
}

/// How a bridge is started.
pub struct Start {
    /// The program.
    pub bridge: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it stands, and its servers with it.
    pub folder: PathBuf,
    /// Where its log goes.
    pub stderr: PathBuf,
}

/// How long a list took and what it holds.
pub struct Listed {
    /// Names that are shown.
    pub tools: usize,
    /// Requests that it took.
    pub pages: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// When the last answer was read.
    pub at: Instant,
}

#[derive(Deserialize)]
struct Answer {
    result: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    next_cursor: Option<String>,
}

impl Client {
    /// Starts a bridge. Nothing is sent yet.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(start: &Start) -> Result<Arc<Self>> {
        std::fs::create_dir_all(&start.folder)?;
        let started = Instant::now();
        let mut child = Command::new(&start.bridge)
            .args(&start.arguments)
            .current_dir(&start.folder)
            .env_remove("RUST_LOG")
            .env_remove("BRIDGE_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().append(true).create(true).open(&start.stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {}", start.bridge.display()))?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let book = Arc::new(Book::default());
        let reader = thread::spawn({
            let book = Arc::clone(&book);
            move || read(stdout, &book)
        });
        Ok(Arc::new(Self {
            pid: child.id(),
            book,
            started,
            child: Mutex::new(child),
            stdin: Mutex::new(Some(stdin)),
            reader: Mutex::new(Some(reader)),
            next_id: AtomicU64::new(1),
        }))
    }

    /// Opens the session.
    ///
    /// # Errors
    /// When the bridge ends.
    pub fn initialize(&self) -> Result<()> {
        let client = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"chaos","version":"1"}}"#;
        self.request("initialize", client)?;
        self.write("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")
    }

    /// All tools, page by page.
    ///
    /// # Errors
    /// When the bridge ends.
    pub fn list(&self) -> Result<Listed> {
        let (asked, mut params) = (Instant::now(), json!({}));
        let (mut tools, mut pages) = (0, 0);
        loop {
            let (line, at) = self.request("tools/list", &params.to_string())?;
            tools += memmem::find_iter(&line, br#"{"name":""#).count();
            pages += 1;
            match serde_json::from_slice::<Answer>(&line)?.result.next_cursor {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return Ok(Listed { tools, pages, took: at.duration_since(asked), at }),
            }
        }
    }

    /// Writes a call; `arguments` is a JSON object.
    ///
    /// # Errors
    /// When the bridge does not read any more.
    pub fn call(&self, server: usize, tool: &'static str, arguments: &str) -> Result<()> {
        self.calls([(server, tool, arguments.to_owned())])
    }

    /// Writes several calls at once. Each one's progress token is its id.
    ///
    /// # Errors
    /// When the bridge does not read any more.
    pub fn calls(&self, calls: impl IntoIterator<Item = (usize, &'static str, String)>) -> Result<()> {
        let (mut lines, mut ids) = (String::new(), Vec::new());
        for (server, tool, arguments) in calls {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let name = name(server);
            // Writing to a String cannot fail.
            let _done = writeln!(
                lines,
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}__{tool}","arguments":{arguments},"_meta":{{"progressToken":{id}}}}}}}"#
            );
            let expected = format!(r#"{{"server":"{name}","asked":{arguments}}}"#);
            self.book.ask(id, Asked { server, tool, expected, at: Instant::now() });
            ids.push(id);
        }
        let written = self.write(&lines);
        if written.is_err() {
            ids.into_iter().for_each(|id| self.book.forget(id));
        }
        written
    }

    /// Closes the bridge's input and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end.
    pub fn close(&self) -> Result<()> {
        lock(&self.stdin).take();
        let before = Instant::now();
        while lock(&self.child).try_wait()?.is_none() {
            ensure!(before.elapsed() < END_WITHIN, "the bridge {} does not end", self.pid);
            thread::sleep(Duration::from_millis(2));
        }
        self.ended();
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(&self) -> Result<()> {
        let mut child = lock(&self.child);
        child.kill()?;
        child.wait()?;
        drop(child);
        self.ended();
        Ok(())
    }

    /// What the bridge wrote is read to its end.
    fn ended(&self) {
        if let Some(reader) = lock(&self.reader).take() {
            let _read = reader.join();
        }
    }

    fn request(&self, method: &str, params: &str) -> Result<(Vec<u8>, Instant)> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.book.ask_plain(id);
        let method = json!(method);
        self.write(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},\"params\":{params}}}\n"
        ))?;
        self.book.answer_to(id)
    }

    fn write(&self, lines: &str) -> Result<()> {
        let mut stdin = lock(&self.stdin);
        let stdin = stdin.as_mut().context("its input is closed")?;
        Ok(stdin.write_all(lines.as_bytes())?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ended_already = child.kill();
        let _ended_already = child.wait();
    }
}

fn read(stdout: ChildStdout, book: &Book) {
    let mut stdout = BufReader::with_capacity(256 * 1024, stdout);
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let at = Instant::now();
        // Half a line is the end of a bridge that was killed.
        if let Some(whole) = line.strip_suffix(b"\n") {
            book.hear(whole, at);
        }
        line.clear();
    }
    book.end();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
