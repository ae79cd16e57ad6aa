//! Lines out of a byte source: whole ones as shared bytes, too long ones as what can be said of them.

mod spare;

use std::io;

use bytes::Bytes;

use crate::lines::spare::{KEPT_FOR, Spare};
use crate::pipes::{CHUNK_BYTES, Source};

/// How much of the head and of the tail of a too long line is kept, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
const TAIL_BYTES: usize = 256;

/// A buffer that grew beyond this for one long line is given back, in bytes.
const KEPT_BYTES_MAX: usize = 4 * CHUNK_BYTES;

/// So many lines, and the others on this thread have their turn: whoever writes without end must not keep them waiting.
const TURN: usize = 128;

/// A read takes so much of the turn as this many lines: it may bring little but a part of a long one.
const READ_IS_LINES: usize = 4;

/// One line of input, without its end.
#[derive(Debug)]
pub enum Line {
    /// A line within the limit; blank ones are left out.
    Whole(Bytes),
    /// A line over the limit, of which only the ends were kept.
    TooLong {
        /// Its first bytes.
        head: Vec<u8>,
        /// Its last bytes.
        tail: Vec<u8>,
        /// How many bytes it had.
        bytes: usize,
    },
}

/// Cuts a source into lines. Half a line before the end of input is nothing.
#[derive(Debug)]
pub struct Lines {
    source: Source,
    cutter: Cutter,
    /// Lines that may still be taken before the others have their turn.
    left: usize,
}

impl Lines {
    /// Reads lines of at most `line_bytes_max` bytes.
    #[must_use]
    pub fn new(source: Source, line_bytes_max: usize) -> Self {
        Self { source, cutter: Cutter::new(line_bytes_max), left: TURN }
    }

    /// Waits for more bytes, or for the next turn when this one was used up; false at the end of input.
    ///
    /// # Errors
    /// Any fault of the source.
    pub async fn fill(&mut self) -> io::Result<bool> {
        if self.left == 0 {
            self.left = TURN;
            tokio::task::yield_now().await;
            return Ok(true);
        }
        self.left = self.left.saturating_sub(READ_IS_LINES);
        self.cutter.compact();
        if self.cutter.spare.is_wanted() {
            let read = self.source.read(&mut self.cutter.buffer);
            if let Ok(count) = tokio::time::timeout(KEPT_FOR, read).await {
                return Ok(count? > 0);
            }
            self.cutter.spare.give_back();
        }
        Ok(self.source.read(&mut self.cutter.buffer).await? > 0)
    }

    /// The next line that is already there, as long as the turn lasts.
    pub fn next_line(&mut self) -> Option<Line> {
        let left = self.left.checked_sub(1)?;
        let line = self.cutter.next_line()?;
        self.left = left;
        Some(line)
    }
}

/// The same for one who reads himself.
#[derive(Debug)]
pub struct Cutter {
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    /// Up to where the buffer was searched for a line end.
    searched: usize,
    line_bytes_max: usize,
    too_long: Option<Excess>,
    spare: Spare,
}

/// What was read of a line that has not ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Its bytes, or the newest of them.
    pub half: Vec<u8>,
    /// What is kept of those before, when it is over the limit.
    pub too_long: Option<Excess>,
}

/// The ends of a line that is over the limit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Excess {
    /// Its first bytes.
    pub head: Vec<u8>,
    /// Its last bytes so far.
    pub tail: Vec<u8>,
    /// How many bytes it has so far.
    pub bytes: usize,
}

impl Cutter {
    /// Cuts lines of at most `line_bytes_max` bytes.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        let spare = Spare::default();
        Self { buffer: Vec::new(), start: 0, searched: 0, line_bytes_max, too_long: None, spare }
    }

    /// Goes on where another one stopped.
    #[must_use]
    pub fn with_rest(line_bytes_max: usize, rest: Rest) -> Self {
        Self { buffer: rest.half, too_long: rest.too_long, ..Self::new(line_bytes_max) }
    }

    /// What is left when every line that was there was taken.
    #[must_use]
    pub fn into_rest(mut self) -> Rest {
        self.compact();
        Rest { half: self.buffer, too_long: self.too_long }
    }

    /// Where the next bytes are to be added.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.compact();
        &mut self.buffer
    }

    /// The next line that is already there.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let rest = self.buffer.get(self.searched..)?;
            let Some(offset) = memchr::memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                self.give_up_long_line();
                return None;
            };
            let end = self.searched + offset;
            let line = self.cut(end);
            self.searched = self.start;
            if line.is_some() {
                return line;
            }
        }
    }

    /// Takes the line that ends at `end`; `None` for a blank one.
    fn cut(&mut self, end: usize) -> Option<Line> {
        let range = self.start..end;
        self.start = end + 1;
        if let Some(mut excess) = self.too_long.take() {
            excess.add(self.buffer.get(range)?);
            return Some(excess.into_line());
        }
        if range.len() > self.line_bytes_max {
            let mut excess = Excess::default();
            excess.add(self.buffer.get(range)?);
            return Some(excess.into_line());
        }
        let whole = range.start == 0 && self.start == self.buffer.len() && self.buffer.len() > CHUNK_BYTES;
        let line = if whole {
            // A large line that fills the buffer leaves with it.
            self.start = 0;
            self.spare.lend(std::mem::take(&mut self.buffer)).slice(range)
        } else {
            Bytes::copy_from_slice(self.buffer.get(range)?)
        };
        let line = trim(&line);
        (!line.is_empty()).then_some(Line::Whole(line))
    }

    /// Keeps only the ends of a line that is over the limit and goes on.
    fn give_up_long_line(&mut self) {
        let waiting = self.buffer.len() - self.start;
        if self.too_long.is_none() && waiting <= self.line_bytes_max {
            return;
        }
        let excess = self.too_long.get_or_insert_default();
        excess.add(self.buffer.get(self.start..).unwrap_or_default());
        self.buffer.clear();
        self.start = 0;
        self.searched = 0;
    }

    /// Moves half a line to the buffer's front and gives a large empty buffer back.
    fn compact(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > KEPT_BYTES_MAX {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
        }
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.len() >= CHUNK_BYTES / 2 {
            self.move_to_spare();
        }
    }

    /// A line that grows long goes on in the spare buffer, if there is a larger one.
    fn move_to_spare(&mut self) {
        if let Some(mut spare) = self.spare.take().filter(|spare| spare.capacity() > self.buffer.capacity()) {
            spare.extend_from_slice(&self.buffer);
            self.buffer = spare;
        }
    }
}

impl Excess {
    fn add(&mut self, bytes: &[u8]) {
        let for_head = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(bytes.get(..for_head).unwrap_or_default());
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
        let beyond = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..beyond);
        self.bytes += bytes.len();
    }

    fn into_line(self) -> Line {
        Line::TooLong { head: self.head, tail: self.tail, bytes: self.bytes }
    }
}

/// The line without white space around it, which JSON allows and a CRLF leaves.
fn trim(line: &Bytes) -> Bytes {
    let trimmed = line.trim_ascii();
    if trimmed.len() == line.len() { line.clone() } else { line.slice_ref(trimmed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in chunks and shows each line, or the size of a too long one.
    fn lines(input: &[u8], chunk: usize, line_bytes_max: usize) -> Vec<String> {
        let mut cutter = Cutter::new(line_bytes_max);
        let mut seen = Vec::new();
        for part in input.chunks(chunk) {
            cutter.compact();
            cutter.buffer.extend_from_slice(part);
            while let Some(line) = cutter.next_line() {
                seen.push(match line {
                    Line::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    Line::TooLong { bytes, head, tail } => {
                        format!("{bytes} {} {}", head.len(), String::from_utf8_lossy(&tail))
                    }
                });
            }
        }
        seen
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive() {
        let input = b"{\"a\":1}\r\n\n  \n{\"b\":2}\n0123456789abc\n{\"c\":3}\nhalf";
        let expected = ["{\"a\":1}", "{\"b\":2}", "13 13 0123456789abc", "{\"c\":3}"];
        for chunk in 1..=input.len() {
            assert_eq!(lines(input, chunk, 10), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn one_goes_on_where_another_stopped() {
        let input = b"first\n0123456789abc\n{\"c\":3}\n";
        for at in 0..=input.len() {
            let (before, after) = input.split_at(at);
            let mut cutter = Cutter::new(10);
            cutter.room().extend_from_slice(before);
            let mut seen: Vec<Line> = std::iter::from_fn(|| cutter.next_line()).collect();
            let mut cutter = Cutter::with_rest(10, cutter.into_rest());
            cutter.room().extend_from_slice(after);
            seen.extend(std::iter::from_fn(|| cutter.next_line()));
            let [Line::Whole(_), Line::TooLong { tail, bytes: 13, .. }, Line::Whole(last)] = &seen[..] else {
                panic!("{at}: {seen:?}")
            };
            assert_eq!((&tail[..], &last[..]), (&b"0123456789abc"[..], &b"{\"c\":3}"[..]), "stopped at {at}");
        }
    }

    #[test]
    fn a_large_line_passes_whole() {
        let mut input = vec![b'x'; 3 * CHUNK_BYTES];
        input.extend_from_slice(b"\nshort\n");
        let seen = lines(&input, CHUNK_BYTES, 1 << 24);
        assert_eq!(seen.iter().map(String::len).collect::<Vec<_>>(), [3 * CHUNK_BYTES, 5]);
    }
}
