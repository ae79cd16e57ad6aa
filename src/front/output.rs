//! The client's end that the front writes to.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};

use crate::pipes::CHUNK_BYTES;

/// What goes to the client: small lines that came together are written at once.
pub type ToClient = BufWriter<Out>;

/// The client's end, which may be one that does not block.
#[derive(Debug)]
pub struct Out(File);

/// The way to the client.
#[must_use]
pub fn to_client(stdout: File) -> ToClient {
    BufWriter::with_capacity(CHUNK_BYTES, Out(stdout))
}

impl AsFd for Out {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => until(&self.0, PollFlags::OUT)?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until a descriptor is ready for that.
///
/// # Errors
/// Any fault of the descriptor.
pub fn until(end: &impl AsFd, flags: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(end, flags)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
