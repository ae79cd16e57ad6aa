//! Ends that never block, on Unix: pipes of our own, pipes opened anew, and sockets.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bytes::Bytes;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::{CHUNK_BYTES, consume};

/// Pieces in one system call: far below every platform's `IOV_MAX`.
const PIECES_MAX: usize = 64;

/// How much a pipe may hold, in bytes: a large line then passes in few turns.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1024 * 1024;

/// One descriptor, known to the runtime's reactor.
#[derive(Debug)]
pub struct Ready {
    fd: AsyncFd<OwnedFd>,
    kind: Kind,
    /// A second number of a socket that is written. It has room anew each time the other side has read, and a
    /// reactor that knew it for one would wake us in vain after each answer: it is told when there is none.
    second: Option<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `O_NONBLOCK` is set, on an open file that is ours alone.
    NonBlocking,
    /// Each call says `MSG_DONTWAIT`.
    Socket,
}

/// Moves the protocol's descriptors out of everybody's way: stdin and stdout get new numbers, 0 reads
/// nothing, and 1 is a second stderr.
pub fn take_descriptors() -> io::Result<(OwnedFd, OwnedFd)> {
    let stdin = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let stdout = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    if rustix::stdio::dup2_stdout(rustix::stdio::stderr()).is_err() {
        // Somebody started us with stderr closed.
        rustix::stdio::dup2_stdout(&null)?;
    }
    Ok((stdin, stdout))
}

impl Ready {
    /// The client's end that we read, when it can be read without blocking anybody else.
    pub fn reader(fd: &OwnedFd) -> Option<Self> {
        Self::shared(fd, OFlags::RDONLY, Interest::READABLE)
    }

    /// The client's end that we write.
    pub fn writer(fd: &OwnedFd) -> Option<Self> {
        if file_type(fd)? == FileType::Socket {
            let second = Some(fd.try_clone().ok()?);
            return Self::shared(fd, OFlags::WRONLY, ERRORS).map(|ready| Self { second, ..ready });
        }
        Self::shared(fd, OFlags::WRONLY, Interest::WRITABLE.add(ERRORS)).map(Self::widened)
    }

    /// A pipe whose other end a server holds: the open file is ours alone.
    pub fn own_pipe(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let fd = register(fd, Interest::READABLE.add(Interest::WRITABLE))?;
        Ok(Self { fd, kind: Kind::NonBlocking, second: None })
    }

    /// The same, holding more: for a pipe that large lines come out of. A pipe to a server stays narrow, so
    /// that what a dead server has not read was mostly not written either, and can be sent again.
    pub fn widened(self) -> Self {
        widen(self.fd.get_ref());
        self
    }

    fn shared(fd: &OwnedFd, access: OFlags, interest: Interest) -> Option<Self> {
        let (fd, kind) = match file_type(fd)? {
            FileType::Socket => (fd.try_clone().ok()?, Kind::Socket),
            FileType::Fifo => (reopen(fd, access)?, Kind::NonBlocking),
            _ => return None,
        };
        let fd = register(fd, interest).ok()?;
        Some(Self { fd, kind, second: None })
    }

    pub async fn read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        // A long line doubles its room, so that it is copied once on average.
        into.reserve(CHUNK_BYTES.max(into.len()));
        loop {
            let mut guard = self.fd.readable().await?;
            let room = into.capacity() - into.len();
            match self.read_now(into) {
                Ok(count) => {
                    // A short read emptied the pipe; the next bytes will wake us again.
                    if count < room {
                        guard.clear_ready();
                    }
                    return Ok(count);
                }
                Err(error) => wait_or_fail(&mut guard, error)?,
            }
        }
    }

    fn read_now(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        let buffer = rustix::buffer::spare_capacity(into);
        match self.kind {
            Kind::NonBlocking => Ok(rustix::io::read(self.fd.get_ref(), buffer)?),
            Kind::Socket => Ok(rustix::net::recv(self.fd.get_ref(), buffer, RecvFlags::DONTWAIT)?.0),
        }
    }

    pub async fn write_some(&self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        if pieces.is_empty() {
            return Ok(());
        }
        if let Some(second) = &self.second {
            return self.write_first(second, pieces).await;
        }
        loop {
            let mut guard = self.fd.writable().await?;
            match self.write_now(pieces) {
                Ok(count) => {
                    consume(pieces, count);
                    return Ok(());
                }
                Err(error) => wait_or_fail(&mut guard, error)?,
            }
        }
    }

    /// The same, where the reactor is asked only when there is no room.
    async fn write_first(&self, second: &OwnedFd, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        // The others on this thread have their turn, which the reactor would have seen to.
        tokio::task::consume_budget().await;
        loop {
            match self.write_now(pieces) {
                Ok(count) => {
                    consume(pieces, count);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    register(second.as_fd(), Interest::WRITABLE)?.writable().await?.retain_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_now(&self, pieces: &VecDeque<Bytes>) -> io::Result<usize> {
        let slices: Vec<IoSlice<'_>> =
            pieces.iter().take(PIECES_MAX).map(|piece| IoSlice::new(piece)).collect();
        match self.kind {
            Kind::NonBlocking => Ok(rustix::io::writev(self.fd.get_ref(), &slices)?),
            Kind::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(rustix::net::sendmsg(
                    self.fd.get_ref(),
                    &slices,
                    &mut SendAncillaryBuffer::default(),
                    flags,
                )?)
            }
        }
    }

    pub async fn hung_up(&self) {
        loop {
            let Ok(mut guard) = self.fd.ready(ERRORS).await else { return };
            let ready = guard.ready();
            if ready.is_write_closed() || ready.is_read_closed() || is_error(ready) {
                return;
            }
            guard.clear_ready();
        }
    }
}

#[expect(unsafe_code, reason = "the reactor needs the promise that the descriptor stays the same")]
fn register<T: AsRawFd + AsFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: an `OwnedFd` or a `BorrowedFd`, and nothing else comes here, is open as long as it lives, always
    // names the same open file, and is moved into the `AsyncFd`, which hands out only references to it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// A pipe whose reader went away shows an error on the writer's side; only Linux tells that apart.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ERRORS: Interest = Interest::ERROR;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ERRORS: Interest = Interest::WRITABLE;

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_error(ready: tokio::io::Ready) -> bool {
    ready.is_error()
}
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_error(_: tokio::io::Ready) -> bool {
    false
}

fn file_type(fd: &OwnedFd) -> Option<FileType> {
    Some(FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode))
}

fn wait_or_fail(guard: &mut AsyncFdReadyGuard<'_, OwnedFd>, error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            guard.clear_ready();
            Ok(())
        }
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// Lets a pipe hold more, where the system allows it; an unprivileged user's share is limited.
#[cfg(target_os = "linux")]
fn widen(fd: &OwnedFd) {
    // A narrow pipe is only slower.
    let _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE_BYTES);
}
#[cfg(not(target_os = "linux"))]
fn widen(_: &OwnedFd) {}

/// Opens the same pipe a second time, as an open file of our own.
#[cfg(target_os = "linux")]
fn reopen(fd: &OwnedFd, access: OFlags) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    rustix::fs::open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Elsewhere a second open of `/dev/fd/N` shares its flags with the first: the thread has to do.
#[cfg(not(target_os = "linux"))]
fn reopen(_: &OwnedFd, _: OFlags) -> Option<OwnedFd> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn pair() -> (Ready, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Ready::writer(&ours.into()).unwrap(), theirs)
    }

    #[tokio::test]
    async fn a_socket_without_room_is_waited_for() {
        let (sink, mut theirs) = pair();
        let reader = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all)
        });
        let line = Bytes::from((0..=250).cycle().take(4 << 20).collect::<Vec<u8>>());
        let mut pieces = VecDeque::from([line.slice(..1000), line.slice(1000..)]);
        while !pieces.is_empty() {
            sink.write_some(&mut pieces).await.unwrap();
        }
        drop(sink);
        assert!(reader.await.unwrap().unwrap() == line);
    }

    #[test]
    fn nobody_is_woken_when_the_other_side_has_read() {
        const ANSWERS: usize = 200;
        let parked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&parked);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().on_thread_park(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        runtime.build().unwrap().block_on(async {
            let (sink, mut theirs) = pair();
            let (tell, mut told) = tokio::sync::mpsc::channel(1);
            let reader = std::thread::spawn(move || {
                while theirs.read_exact(&mut [0]).is_ok() && tell.blocking_send(()).is_ok() {}
            });
            for _ in 0..ANSWERS {
                sink.write_some(&mut VecDeque::from([Bytes::from_static(b"x")])).await.unwrap();
                told.recv().await.unwrap();
            }
            drop(sink);
            reader.join().unwrap();
        });
        // Each answer is waited for once; the rest is for the runtime's own.
        assert!(parked.load(Ordering::Relaxed) <= ANSWERS + 20, "{parked:?}");
    }
}
