//! The client's lines, read by a thread that blocks and can be called off.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::PipeFlags;

use crate::frames::Ends;
use crate::front::{Front, signals};
use crate::lines::{Cutter, Line, Rest};
use crate::pipes::CHUNK_BYTES;
use crate::shutdown::StopReason;

/// Who reads is called off within this, or reads on.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// The client's end that is read, and half a line of it.
#[derive(Debug)]
pub struct Input {
    stdin: File,
    cutter: Cutter,
}

impl Input {
    /// Reads lines of at most `line_bytes_max` bytes, the first of which begins with the rest.
    #[must_use]
    pub fn new(stdin: File, line_bytes_max: usize, rest: Rest) -> Self {
        Self { stdin, cutter: Cutter::with_rest(line_bytes_max, rest) }
    }

    /// Both again.
    #[must_use]
    pub fn into_parts(self) -> (File, Rest) {
        (self.stdin, self.cutter.into_rest())
    }
}

/// The thread that reads.
#[derive(Debug)]
pub struct Reading {
    /// A byte in this pipe calls it off. Whoever takes the byte out decides whether it was.
    calls: OwnedFd,
    called: Arc<OwnedFd>,
    stopped: Receiver<Input>,
}

impl Reading {
    /// Has the front hear the client's lines to the end of its input, and then says why it ended.
    ///
    /// # Errors
    /// When the system has no room for a pipe or a thread.
    pub fn begin(
        front: Arc<Front>,
        mut input: Input,
        ended: impl FnOnce(StopReason) + Send + 'static,
    ) -> io::Result<Self> {
        let (called, calls) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&called, true)?;
        let called = Arc::new(called);
        let (stops, stopped) = sync_channel(1);
        let read = {
            let called = Arc::clone(&called);
            move || match read_in(&front, &mut input, &called) {
                Ok(Until::Called) => stop(&stops, input),
                Ok(Until::End) => ended(StopReason::EndOfInput),
                Err(error) => {
                    tracing::error!(%error, "stdin cannot be read");
                    ended(StopReason::InputFault);
                }
            }
        };
        signals::quiet(|| thread::Builder::new().name("bridge-read".into()).spawn(read))?;
        Ok(Self { calls, called, stopped })
    }

    /// Calls it off: everything that was read has been heard then, but half a line. `None` when the client has
    /// gone, or when it cannot be called off at the moment and reads on.
    ///
    /// # Errors
    /// Any fault of the pipe.
    pub fn stop(&self, front: &Front) -> io::Result<Option<Input>> {
        front.hurry();
        rustix::io::write(&self.calls, b"!")?;
        let stopped = match self.stopped.recv_timeout(STOP_WITHIN) {
            Err(RecvTimeoutError::Timeout) if was_called(&self.called)? => None,
            Err(RecvTimeoutError::Timeout) => self.stopped.recv().ok(),
            stopped => stopped.ok(),
        };
        front.take_time();
        Ok(stopped)
    }
}

/// Whoever called is there still, and takes it.
fn stop(stops: &SyncSender<Input>, input: Input) {
    let _ = stops.send(input);
}

/// Takes the byte that calls.
fn was_called(called: &OwnedFd) -> io::Result<bool> {
    match rustix::io::read(called, &mut [0]) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

enum Until {
    End,
    Called,
}

fn read_in(front: &Front, input: &mut Input, called: &OwnedFd) -> io::Result<Until> {
    let Input { stdin, cutter } = input;
    loop {
        if is_called(stdin, called)? {
            return Ok(Until::Called);
        }
        let room = cutter.room();
        room.reserve(CHUNK_BYTES.max(room.len()));
        match rustix::io::read(&*stdin, rustix::buffer::spare_capacity(room)) {
            Ok(0) => return Ok(Until::End),
            // Somebody else who holds the same pipe may want it not to block.
            Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let mut lines = Vec::new();
        while let Some(line) = cutter.next_line() {
            match line {
                Line::Whole(line) => lines.push(line),
                Line::TooLong { head, tail, bytes } => {
                    front.hear(&std::mem::take(&mut lines));
                    front.hear_too_long(&Ends { bytes: bytes as u64, head: &head, tail: &tail });
                }
            }
        }
        front.hear(&lines);
    }
}

/// Waits for the client, or to be called off.
fn is_called(stdin: &impl AsFd, called: &OwnedFd) -> io::Result<bool> {
    let mut ends = [PollFd::new(called, PollFlags::IN), PollFd::new(stdin, PollFlags::IN)];
    match poll(&mut ends, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [call, _] = ends;
    Ok(!call.revents().is_empty() && was_called(called)?)
}

#[cfg(test)]
mod tests;
