//! How a front comes in: it says who it is, and hands over the end of a pipe.

use std::io::{self, IoSliceMut, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::Interest;

use crate::frames::{Cutter, HEAD_BYTES, Hello, Kind, Welcome, head};
use crate::local::Stream;

/// A hello is never longer, in bytes: Linux gives a process at most 6 MiB of arguments and variables.
const HELLO_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A front that said who it is.
pub struct Admitted {
    /// Who it is.
    pub hello: Hello,
    /// Where it is told which requests are about to be written to a server; never blocks.
    pub dispatched: PipeWriter,
}

/// Hears who comes.
///
/// # Errors
/// When it says something else, or nothing.
pub async fn admit(stream: &Stream) -> io::Result<Admitted> {
    let (mut cutter, mut dispatched) = (Cutter::default(), None);
    let hello = loop {
        if let Some(framed) = cutter.next_frame().map_err(io::Error::other)? {
            break framed;
        }
        let missing = cutter.missing();
        if cutter.room().len() + missing > HELLO_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (bytes, end) =
            stream.async_io(Interest::READABLE, || receive(stream, missing.max(HEAD_BYTES))).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        cutter.room().extend_from_slice(&bytes);
        dispatched = dispatched.or(end);
    };
    let dispatched = dispatched.filter(|_| hello.kind == Kind::Hello);
    let dispatched = dispatched.ok_or(io::ErrorKind::InvalidData)?;
    rustix::io::ioctl_fionbio(&dispatched, true)?;
    Ok(Admitted { hello: serde_json::from_slice(&hello.body)?, dispatched: dispatched.into() })
}

/// Says who we are.
///
/// # Errors
/// Any fault of the socket.
pub async fn welcome(stream: &Stream, welcome: &Welcome) -> io::Result<()> {
    let body = serde_json::to_vec(welcome)?;
    let bytes = [&head(Kind::Welcome, 0, body.len())[..], &body].concat();
    let mut from = 0;
    while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
        from += stream.async_io(Interest::WRITABLE, || stream.try_write(rest)).await?;
    }
    Ok(())
}

fn receive(stream: &Stream, bytes_max: usize) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; bytes_max];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    let end = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut ends) => ends.next(),
        _ => None,
    });
    bytes.truncate(received.bytes);
    Ok((bytes, end))
}
