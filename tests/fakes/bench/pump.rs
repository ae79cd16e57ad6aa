//! The byte pump: the least that can stand between a client and a server.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

/// Copies both directions with two threads and buffers of 64 KiB, until either side ends.
///
/// # Errors
/// When the command does not start.
pub fn run(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command after `pump --`")?;
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let up = child.stdin.take().context("the child has no stdin")?;
    let down = child.stdout.take().context("the child has no stdout")?;
    let downward = thread::spawn(move || copy(io::stdin().lock(), up));
    let upward = thread::spawn(move || copy(down, raw_stdout()?));
    let _gone = upward.join();
    let _stdin_may_still_be_open = downward.is_finished();
    child.wait()?;
    Ok(())
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

/// Stdout without Rust's line buffer.
fn raw_stdout() -> io::Result<std::fs::File> {
    #[cfg(unix)]
    let own = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let own = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(own.into())
}
