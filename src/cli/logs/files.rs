//! The files in `logs/`: their ends, and what is added to them, also when they are moved aside or cut.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::cli::logs::entry::{Entry, Wanted, server_of};
use crate::cli::words;
use crate::downstream::stderr::shown;
use crate::names::ServerName;
use crate::paths::{HUB_LOG_STEM as HUB, Paths, log_stem};
use crate::store::stamp;

/// No more than the end of a file is looked at, in bytes.
const END_BYTES: u64 = 4 * 1024 * 1024;

/// So much is read of what was added to a file, before others have their turn, in bytes.
const TURN_BYTES: usize = 1024 * 1024;

/// So much of a line is kept until its end comes, in bytes.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// The hub's log has a line for each event that the record has too.
const IN_THE_RECORD: &str = " server event ";

/// A line with its time, and whether that is only when its file was written last.
struct Dated {
    at_ms: i64,
    about: bool,
    text: String,
}

/// The files that somebody wants to see.
pub struct Files {
    folder: PathBuf,
    wanted: Wanted,
    /// Whether the hub's log is one of them.
    hub: bool,
    all: Vec<Followed>,
}

/// One file, and how far it was read.
struct Followed {
    path: PathBuf,
    source: String,
    is_hub: bool,
    file: Option<File>,
    at: u64,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Files {
    /// Nothing is read yet.
    pub fn new(paths: &Paths, wanted: &Wanted) -> Self {
        Self { folder: paths.logs_dir.clone(), wanted: wanted.clone(), hub: true, all: Vec::new() }
    }

    /// Only what servers wrote.
    pub fn of_servers(paths: &Paths, wanted: &Wanted) -> Self {
        Self { hub: false, ..Self::new(paths, wanted) }
    }

    /// The newest lines, so many of each file at most; one without an end is left for later when they are followed.
    pub fn last(&mut self, lines: usize, follow: bool) -> Vec<Entry> {
        self.find();
        let mut entries = Vec::new();
        let mut all = std::mem::take(&mut self.all);
        for followed in &mut all {
            let end = followed.end(follow);
            let mut found = self.of(followed, end);
            if found.len() < lines {
                let older = ["log.old", "log.1"].map(|end| followed.path.with_extension(end));
                let older = older.iter().filter_map(|path| read_end(path).ok());
                let older = older.flat_map(|(bytes, written_ms)| dated(&bytes, written_ms));
                found.splice(..0, self.of(followed, older.collect()));
            }
            found.drain(..found.len().saturating_sub(lines));
            self.leave_room(&mut found, lines);
            entries.extend(found);
        }
        self.all = all;
        entries
    }

    /// Beside other sources, lines whose time nobody knows are a quarter at most: all of them stand at one time.
    fn leave_room(&self, found: &mut Vec<Entry>, lines: usize) {
        let most = if self.wanted.server.is_some() { lines } else { lines.div_ceil(4) };
        let mut too_many = found.iter().filter(|entry| entry.about).count().saturating_sub(most);
        found.retain(|entry| {
            let is_left_out = entry.about && too_many > 0;
            too_many -= usize::from(is_left_out);
            !is_left_out
        });
    }

    /// What was added since.
    pub fn more(&mut self) -> Vec<Entry> {
        self.find();
        let mut entries = Vec::new();
        let mut all = std::mem::take(&mut self.all);
        for followed in &mut all {
            let now_ms = words::now_ms();
            // A file that cannot be read now is tried again.
            let added = followed.added().unwrap_or_default();
            let dated = added.into_iter().map(|line| {
                let (at_ms, text) = own_time(&line).unwrap_or((now_ms, line));
                Dated { at_ms, about: false, text }
            });
            entries.extend(self.of(followed, dated.collect()));
        }
        self.all = all;
        entries
    }

    /// Takes up files that were not there before.
    fn find(&mut self) {
        let found = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> =
            found.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
        paths.sort();
        for path in paths {
            let is_new = !self.all.iter().any(|known| known.path == path);
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_new) else {
                continue;
            };
            let is_hub = stem == HUB;
            let source = if is_hub { HUB.to_owned() } else { server_of(stem, &self.wanted.known) };
            let is_wanted = if is_hub { self.hub } else { self.is_wanted(stem) };
            if is_wanted {
                self.all.push(Followed { path, source, is_hub, file: None, at: 0, line: Vec::new() });
            }
        }
    }

    /// What a server writes is no session's.
    fn is_wanted(&self, stem: &str) -> bool {
        let is_its = |server: &String| ServerName::parse(server).is_ok_and(|name| log_stem(&name) == stem);
        self.wanted.session.is_none() && self.wanted.server.as_ref().is_none_or(is_its)
    }

    /// What is wanted of a file's lines; the hub's log is looked through line by line.
    fn of(&self, followed: &Followed, lines: Vec<Dated>) -> Vec<Entry> {
        let entry =
            |Dated { at_ms, about, text }| Entry { at_ms, about, source: followed.source.clone(), text };
        let is_told = |entry: &Entry| {
            !followed.is_hub
                || !entry.text.contains(IN_THE_RECORD)
                    && self.wanted.server.as_ref().is_none_or(|server| is_of_server(&entry.text, server))
                    && self.wanted.session.as_ref().is_none_or(|session| is_of_session(&entry.text, session))
        };
        lines.into_iter().filter(|line| !line.text.is_empty()).map(entry).filter(is_told).collect()
    }
}

impl Followed {
    /// The lines at its end, with their times; from here on what is added is told.
    fn end(&mut self, follow: bool) -> Vec<Dated> {
        let Ok((mut bytes, written_ms)) = read_end(&self.path) else { return Vec::new() };
        let Ok(file) = File::open(&self.path) else { return Vec::new() };
        self.at = file.metadata().map_or(0, |meta| meta.len());
        self.file = Some(file);
        if follow {
            let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
            self.keep(&bytes.split_off(whole));
        }
        dated(&bytes, written_ms)
    }

    /// The whole lines that were added, of as many bytes as one turn has.
    fn added(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut left = TURN_BYTES;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => File::open(&self.path)?,
            };
            file.seek(SeekFrom::Start(self.at))?;
            let count = file.read(&mut buffer)?;
            self.at += count as u64;
            left = left.saturating_sub(count.max(1));
            self.cut(buffer.get(..count).unwrap_or_default(), &mut lines);
            let is_over = count == 0;
            let is_same = !is_over || self.is_same(&file)?;
            if is_same {
                self.file = Some(file);
            } else {
                self.at = 0;
                self.line.clear();
            }
            if is_over && is_same {
                break;
            }
        }
        Ok(lines)
    }

    /// Whether the file in its place is the one that was read, and was not cut.
    fn is_same(&self, file: &File) -> io::Result<bool> {
        let there = match self.path.metadata() {
            Ok(there) => there,
            // Moved aside, and nothing is in its place yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        };
        Ok(there.len() >= self.at && identity(&there) == identity(&file.metadata()?))
    }

    fn cut(&mut self, mut bytes: &[u8], lines: &mut Vec<String>) {
        while let Some((line, rest)) =
            memchr::memchr(b'\n', bytes).and_then(|end| bytes.split_at_checked(end))
        {
            self.keep(line);
            lines.push(shown(&self.line));
            self.line.clear();
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
    }
}

/// The end of a file, from the beginning of a line on, and when it was written last (Unix milliseconds).
fn read_end(path: &Path) -> io::Result<(Vec<u8>, i64)> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let from = meta.len().saturating_sub(END_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(END_BYTES).read_to_end(&mut bytes)?;
    if from > 0 {
        let begun = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
        bytes.drain(..begun);
    }
    let written = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok((bytes, i64::try_from(written.as_millis()).unwrap_or_default()))
}

/// Lines with their times: their own, else that of the line before, else that of the last writing.
fn dated(bytes: &[u8], written_ms: i64) -> Vec<Dated> {
    let (mut before_ms, mut about) = (written_ms, true);
    let mut dated = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = shown(line.get(..LINE_BYTES_MAX).unwrap_or(line));
        let own = own_time(&line);
        about &= own.is_none();
        let (at_ms, text) = own.unwrap_or((before_ms, line));
        before_ms = at_ms;
        dated.push(Dated { at_ms, about, text });
    }
    dated
}

/// The time that a line begins with, and the rest of it.
fn own_time(line: &str) -> Option<(i64, String)> {
    let (time, rest) = line.split_once(char::is_whitespace)?;
    Some((stamp::parse(time.trim_matches(['[', ']']))?, rest.trim_start().to_owned()))
}

/// Whether a line of the log is about this server.
fn is_of_server(line: &str, server: &str) -> bool {
    let plain =
        line.split(&format!(" server={server}")).skip(1).any(|rest| rest.is_empty() || rest.starts_with(' '));
    plain || line.contains(&format!(" server=\"{server}\""))
}

/// Whether a line of the log is about a session whose id begins like this.
fn is_of_session(line: &str, id: &str) -> bool {
    line.contains(&format!(" session={id}")) || line.contains(&format!(" session=\"{id}"))
}

/// What tells a file from another one in its place.
#[cfg(unix)]
fn identity(meta: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

/// Elsewhere only a file that has become shorter is another one; untested.
#[cfg(not(unix))]
fn identity(_meta: &Metadata) -> (u64, u64) {
    (0, 0)
}
