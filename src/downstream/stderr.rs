//! A server's stderr: always drained, its tail kept for errors, all of it in a capped file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a line begins with that stood on stdout.
const GARBAGE: &[u8] = b"[stdout] ";

/// Lines that are kept (faults.md, "Child").
const LINES_MAX: usize = 200;

/// A kept line has at most this many characters.
const LINE_CHARS_MAX: usize = 400;

/// So much of a line is enough for its characters, whatever they are, in bytes.
const LINE_BYTES_MAX: usize = LINE_CHARS_MAX * 4;

/// The last lines of a server's stderr. They are kept as they came and cleaned when somebody reads
/// them: a flood is a matter of copying.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Vec<u8>>,
    /// The first line on its stdout that was no message, as it stands among the others.
    first_garbage: Option<Vec<u8>>,
}

impl Tail {
    /// Keeps the head of one line.
    pub fn push(&self, line: &[u8]) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            self.lock().push(line);
        }
    }

    /// The same with a line on its stdout that was no message.
    pub fn push_garbage(&self, line: &[u8]) {
        let line = [GARBAGE, line].concat();
        let line = line.trim_ascii();
        let mut kept = self.lock();
        kept.push(line);
        kept.first_garbage.get_or_insert_with(|| head(line).to_vec());
    }

    /// The kept lines, oldest first, shortened and without control characters.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let kept = self.lock();
        kept.lines.iter().map(|line| shown(line)).filter(|line| !line.is_empty()).collect()
    }

    /// The first line on its stdout that was no message, as [`Tail::lines`] has it.
    #[must_use]
    pub fn first_garbage(&self) -> Option<String> {
        self.lock().first_garbage.as_deref().map(shown)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, line: &[u8]) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(head(line).to_vec());
    }
}

fn head(line: &[u8]) -> &[u8] {
    line.get(..LINE_BYTES_MAX).unwrap_or(line)
}

/// A line as it can be shown in a terminal, in a row and to a model: no control characters, and not too long.
#[must_use]
pub fn shown(line: &[u8]) -> String {
    clean(&String::from_utf8_lossy(line))
}

/// Reads to the end, whatever happens to the log file: a server must never wait for its stderr.
pub async fn drain(mut stderr: impl AsyncRead + Unpin, tail: Tail, mut log: CappedLog) {
    let mut buffer = vec![0; 8 * 1024];
    let mut line = Vec::new();
    loop {
        let count = match stderr.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let mut rest = buffer.get(..count).unwrap_or_default();
        log.write(rest);
        while let Some((part, after)) = memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end))
        {
            keep(&mut line, part);
            tail.push(&line);
            line.clear();
            rest = after.get(1..).unwrap_or_default();
        }
        keep(&mut line, rest);
    }
    tail.push(&line);
}

/// Adds to a line, as far as it will be shown.
fn keep(line: &mut Vec<u8>, part: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    line.extend_from_slice(part.get(..room).unwrap_or(part));
}

/// A log file that is moved aside to `<name>.old` when it is full, so that two of them are the most.
#[derive(Debug)]
pub struct CappedLog {
    path: PathBuf,
    bytes_max: u64,
    file: Option<(File, u64)>,
}

impl CappedLog {
    /// A log at `path`; nothing is opened before the first write.
    #[must_use]
    pub fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max, file: None }
    }

    /// Appends, as far as the disk allows.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.append(bytes).is_err() {
            // The next write tries to open it again; the tail in memory has the lines that matter.
            self.file = None;
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut file, mut written) = match self.file.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        if written + bytes.len() as u64 > self.bytes_max && written > 0 {
            drop(file);
            std::fs::rename(&self.path, self.path.with_extension("log.old"))?;
            (file, written) = open(&self.path)?;
        }
        file.write_all(bytes)?;
        self.file = Some((file, written + bytes.len() as u64));
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // The folder is this user's alone; a link in it is nobody's friend.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path)?;
    let written = file.metadata()?.len();
    Ok((file, written))
}

fn clean(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            skip_escape(&mut chars);
        } else if c == '\t' {
            out.push(' ');
        } else if !c.is_control() {
            out.push(c);
        }
    }
    let trimmed = out.trim();
    match trimmed.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", trimmed.get(..end).unwrap_or(trimmed)),
        None => trimmed.to_owned(),
    }
}

/// Skips a terminal's escape sequence: `ESC [ … letter`, or one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if chars.next_if_eq(&'[').is_none() {
        chars.next();
        return;
    }
    for c in chars.by_ref() {
        if c.is_ascii_alphabetic() || c == '~' {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_line_is_clean_and_short() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\talert\u{7}"), "red alert");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), LINE_CHARS_MAX + 1);
        assert_eq!(clean(" \r"), "");
    }

    #[tokio::test]
    async fn only_the_last_lines_are_kept_and_the_file_is_capped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.log");
        let input: Vec<u8> = (0..1000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let tail = Tail::default();
        for chunk in input.chunks(100) {
            drain(chunk, tail.clone(), CappedLog::new(path.clone(), 1000)).await;
        }
        assert_eq!(tail.lines().len(), LINES_MAX);
        assert_eq!(tail.lines().last().map(String::as_str), Some("line 999"));
        assert!(std::fs::metadata(&path).unwrap().len() <= 1000);
        assert!(std::fs::metadata(path.with_extension("log.old")).unwrap().len() <= 1000);
    }
}
