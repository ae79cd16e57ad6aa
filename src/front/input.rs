//! The client's lines, read by a thread that blocks.

use std::fs::File;
use std::io;

use bytes::Bytes;
use rustix::event::PollFlags;

use crate::front::Front;
use crate::front::output::until;
use crate::lines::{Cutter, Line};
use crate::pipes::CHUNK_BYTES;
use crate::wire::{id_in_head, id_in_tail, is_answer_in_head};

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
                    tracing::warn!(bytes, "client sent a line that is too long");
                    lines.extend(in_place_of(&head, &tail));
                }
            }
        }
        front.hear(&lines);
    }
}

/// What is heard in place of a line that is too long: something that its sender, or whoever waits for it, gets an
/// error for. Nothing, where its id cannot be found.
fn in_place_of(head: &[u8], tail: &[u8]) -> Option<Bytes> {
    let id = id_in_head(head);
    let line = if is_answer_in_head(head) {
        let id = id.or_else(|| id_in_tail(tail).map(|id| id.to_string()))?;
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"the line is too long"}}}}"#)
    } else {
        // No message, so that it is refused under its id.
        format!(r#"{{"jsonrpc":"2.0","id":{},"the line is too long":true}}"#, id?)
    };
    Some(line.into())
}
