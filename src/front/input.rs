//! The client's lines, read by a thread that blocks.

use std::fs::File;
use std::io;

use rustix::event::PollFlags;

use crate::frames::Ends;
use crate::front::Front;
use crate::front::output::until;
use crate::lines::{Cutter, Line};
use crate::pipes::CHUNK_BYTES;

/// Has the front hear the client's lines to the end of its input.
///
/// # Errors
/// Any fault of the descriptor.
pub fn read_in(front: &Front, stdin: &mut File, line_bytes_max: usize) -> io::Result<()> {
    let mut cutter = Cutter::new(line_bytes_max);
    loop {
        let room = cutter.room();
        room.reserve(CHUNK_BYTES.max(room.len()));
        match rustix::io::read(&*stdin, rustix::buffer::spare_capacity(room)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Somebody else who holds the same pipe wants it so.
            Err(rustix::io::Errno::AGAIN) => until(stdin, PollFlags::IN)?,
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
