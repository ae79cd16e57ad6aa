//! The fake server's stdout: whole lines, under one lock.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines wait here until somebody flushes: answers that are ready together cost one write.
pub struct Out {
    pipe: Mutex<Pipe>,
}

struct Pipe {
    /// None after `close`.
    file: Option<File>,
    pending: Vec<u8>,
}

/// A write this long goes out at once.
const FULL: usize = 64 * 1024;

impl Out {
    /// Takes a duplicate of the process's stdout.
    ///
    /// # Errors
    /// When the process has no stdout.
    pub fn stdout() -> io::Result<Self> {
        let file = crate::os::stdout()?;
        Ok(Self { pipe: Mutex::new(Pipe { file: Some(file), pending: Vec::with_capacity(2 * FULL) }) })
    }

    /// Queues one line, given in pieces without its line end.
    pub fn line<'a>(&self, pieces: impl IntoIterator<Item = &'a &'a str>) {
        let mut pipe = self.lock();
        for piece in pieces {
            pipe.pending.extend_from_slice(piece.as_bytes());
        }
        pipe.pending.push(b'\n');
        if pipe.pending.len() >= FULL {
            pipe.flush();
        }
    }

    /// Writes one line with `filling` times the letter x in its middle, without ever holding it whole.
    pub fn long_line(&self, head: &[&str], filling: usize, tail: &str) {
        static LETTERS: [u8; FULL] = [b'x'; FULL];
        let mut pipe = self.lock();
        for piece in head {
            pipe.pending.extend_from_slice(piece.as_bytes());
        }
        pipe.flush();
        let mut left = filling;
        while left > 0 {
            let part = LETTERS.get(..left).unwrap_or(&LETTERS);
            pipe.write(part);
            left -= part.len();
        }
        pipe.pending.extend_from_slice(tail.as_bytes());
        pipe.pending.push(b'\n');
        pipe.flush();
    }

    /// Writes what is queued. A reader that is gone is no fault: the end of input will come.
    pub fn flush(&self) {
        self.lock().flush();
    }

    /// Writes what is queued, then closes the pipe; later lines are dropped.
    pub fn close(&self) {
        let mut pipe = self.lock();
        pipe.flush();
        pipe.file = None;
        crate::os::close_stdout();
    }

    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.write(&pending);
        self.pending = pending;
        self.pending.clear();
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            let _gone = file.write_all(bytes);
        }
    }
}
