//! A server that is being measured, and the cheapest client for it: blocking pipes, no JSON parsing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use memchr::{memchr, memmem};

/// How to start one of the three sides.
pub struct Side {
    /// `direct`, `pump` or `bridge`.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What stands before a tool's name: `fake__` behind the bridge.
    pub prefix: &'static str,
    /// Where its stderr goes, to be quoted when something fails.
    pub stderr: PathBuf,
}

/// A running side.
pub struct Peer {
    child: Ended,
    stdin: ChildStdin,
    lines: Lines,
    prefix: &'static str,
    next_id: u64,
    request: Vec<u8>,
    /// Calls that were answered with a result.
    pub answered: u64,
}

/// A process that does not outlive its owner.
struct Ended(Child);

/// `arguments` of an echo: 64 bytes.
const ECHO: &str = r#"{"text":"a line of sixty-four bytes, as short calls are, whole"}"#;
const _: () = assert!(ECHO.len() == 64, "the echo's arguments are not 64 bytes long");

/// The first bytes of every answer to a call; the id's digits follow.
const HEAD: &[u8] = br#"{"jsonrpc":"2.0","id":"#;

impl Side {
    /// Starts the side. Nothing is sent yet.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn start(&self) -> Result<Peer> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().append(true).create(true).open(&self.stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let lines = Lines { stdout, buffer: vec![0; 256 * 1024], from: 0, to: 0 };
        Ok(Peer {
            child: Ended(child),
            stdin,
            lines,
            prefix: self.prefix,
            next_id: 1,
            request: Vec::new(),
            answered: 0,
        })
    }
}

impl Peer {
    /// Sends `initialize` and waits for the answer.
    ///
    /// # Errors
    /// When the pipes end.
    pub fn initialize(&mut self) -> Result<()> {
        let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#;
        self.ask("initialize", params)?;
        Ok(())
    }

    /// Sends `initialized` and `tools/list`; returns how many tools the answer holds.
    ///
    /// # Errors
    /// When the pipes end.
    pub fn list(&mut self) -> Result<usize> {
        self.stdin.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")?;
        let answer = self.ask("tools/list", "{}")?;
        let name = format!(r#""name":"{}"#, self.prefix);
        Ok(memmem::find_iter(&answer, &name).count())
    }

    /// One echo, from the first byte written to the last byte read.
    ///
    /// # Errors
    /// When the pipes end or the answer is another one.
    pub fn echo(&mut self) -> Result<()> {
        let id = self.queue("echo", ECHO);
        self.send()?;
        loop {
            match answered_id(self.lines.next()?)? {
                Some(got) if got == id => break,
                Some(got) => bail!("asked {id}, answered {got}"),
                None => {}
            }
        }
        self.answered += 1;
        Ok(())
    }

    /// `calls` echoes with `window` of them on their way at any time.
    ///
    /// # Errors
    /// When the pipes end, or an id is answered twice or never.
    pub fn echo_many(&mut self, calls: u64, window: u64) -> Result<()> {
        let first = self.next_id;
        let mut open = vec![true; usize::try_from(calls)?];
        let (mut sent, mut done) = (0, 0);
        while done < calls {
            while sent < calls && sent - done < window {
                self.queue("echo", ECHO);
                sent += 1;
            }
            self.send()?;
            self.lines.wait()?;
            while let Some(line) = self.lines.ready() {
                let Some(id) = answered_id(line)? else { continue };
                let slot = id.checked_sub(first).and_then(|at| open.get_mut(usize::try_from(at).ok()?));
                ensure!(slot.is_some_and(std::mem::take), "an answer nobody waits for: id {id}");
                done += 1;
            }
        }
        self.answered += calls;
        Ok(())
    }

    /// One big result; returns the length of its line in bytes.
    ///
    /// # Errors
    /// When the pipes end.
    pub fn big(&mut self) -> Result<usize> {
        self.queue("big", "{}");
        self.send()?;
        let mut head = Vec::new();
        let length = loop {
            let length = self.lines.skip(&mut head)?;
            if answered_id(&head)?.is_some() {
                break length;
            }
        };
        self.answered += 1;
        Ok(length)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends the input and waits for the process.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn close(self) -> Result<()> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        child.0.wait()?;
        Ok(())
    }

    fn ask(&mut self, method: &str, params: &str) -> Result<Vec<u8>> {
        let id = self.next_id;
        self.next_id += 1;
        writeln!(self.stdin, r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)?;
        loop {
            let line = self.lines.next()?;
            if answered_id(line)? == Some(id) {
                return Ok(line.to_vec());
            }
        }
    }

    fn queue(&mut self, tool: &str, arguments: &str) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let prefix = self.prefix;
        // Writing to a Vec cannot fail.
        let _done = writeln!(
            self.request,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{prefix}{tool}","arguments":{arguments}}}}}"#
        );
        id
    }

    fn send(&mut self) -> io::Result<()> {
        self.stdin.write_all(&self.request)?;
        self.request.clear();
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

/// The id a line answers; None for a notification. An error is not an answer here.
fn answered_id(line: &[u8]) -> Result<Option<u64>> {
    let Some(rest) = line.strip_prefix(HEAD) else { return Ok(None) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    let id = digits.fold(0, |id: u64, digit| id.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    let result = memmem::find(rest.get(..40).unwrap_or(rest), br#","result":"#).is_some();
    ensure!(result && memmem::find(rest, br#""isError":true"#).is_none(), "{}", quote(line));
    Ok(Some(id))
}

fn quote(line: &[u8]) -> String {
    format!("answered: {}", String::from_utf8_lossy(line.get(..600).unwrap_or(line)))
}

/// How much of a line that is read over is kept.
const HEAD_KEPT: usize = 512;

/// Lines out of one buffer.
struct Lines {
    stdout: ChildStdout,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Lines {
    /// The next line, read if it has to be.
    fn next(&mut self) -> Result<&[u8]> {
        self.wait()?;
        self.ready().context("a line was there")
    }

    /// Reads until a whole line is there.
    fn wait(&mut self) -> Result<()> {
        let mut seen = self.from;
        while memchr(b'\n', self.buffer.get(seen..self.to).unwrap_or_default()).is_none() {
            self.make_room();
            seen = self.to;
            self.fill()?;
        }
        Ok(())
    }

    /// The next line if it is there.
    fn ready(&mut self) -> Option<&[u8]> {
        let rest = self.buffer.get(self.from..self.to)?;
        let length = memchr(b'\n', rest)?;
        self.from += length + 1;
        rest.get(..length)
    }

    /// Reads over one line and keeps only its `head`; returns its length.
    fn skip(&mut self, head: &mut Vec<u8>) -> Result<usize> {
        let mut length = 0;
        head.clear();
        loop {
            let rest = self.buffer.get(self.from..self.to).unwrap_or_default();
            let kept = rest.iter().take(HEAD_KEPT - head.len()).take_while(|byte| **byte != b'\n');
            head.extend(kept);
            if let Some(end) = memchr(b'\n', rest) {
                self.from += end + 1;
                return Ok(length + end);
            }
            length += rest.len();
            (self.from, self.to) = (0, 0);
            self.fill()?;
        }
    }

    /// Moves what is there to the front, and grows when it is full.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
    }

    fn fill(&mut self) -> Result<()> {
        let count = self.stdout.read(self.buffer.get_mut(self.to..).unwrap_or_default())?;
        ensure!(count > 0, "the process closed its stdout");
        self.to += count;
        Ok(())
    }
}
