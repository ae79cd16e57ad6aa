//! Byte pipes of every kind behind two ends: the client's stdin and stdout, and those of a server.
//!
//! A pipe or a socket is read and written without blocking on the caller's runtime. `O_NONBLOCK`
//! belongs to the open file, which the client may share with others: a pipe is opened anew for us,
//! a socket is told `MSG_DONTWAIT` at each call. Files, terminals, and every pipe where neither can be
//! done go through a thread that blocks (house.md, "Where the microseconds go").

#[cfg(unix)]
mod inherited;
#[cfg(unix)]
mod ready;
mod threaded;

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter};

use bytes::Bytes;

/// How much is read at once, in bytes: the size of a pipe's buffer on Linux.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// The end that bytes come out of.
#[derive(Debug)]
pub struct Source(SourceKind);

#[derive(Debug)]
enum SourceKind {
    #[cfg(unix)]
    Ready(ready::Ready),
    Threaded(threaded::Reader),
}

/// The end that bytes go into.
#[derive(Debug)]
pub struct Sink(SinkKind);

#[derive(Debug)]
enum SinkKind {
    #[cfg(unix)]
    Ready(ready::Ready),
    Threaded(threaded::Writer),
}

/// What the client started us with.
#[derive(Debug)]
pub struct Stdio {
    /// The client's requests.
    pub source: Source,
    /// Our answers.
    pub sink: Sink,
}

/// Takes stdin and stdout for the protocol and for nothing else: from here on whatever is printed
/// to descriptor 1, by us or by a dependency, goes to stderr. Whatever else was inherited is kept from
/// our children.
///
/// Call it once, on the runtime that will read and write them.
///
/// # Errors
/// When the descriptors cannot be duplicated, which means that they are closed.
pub fn take_stdio() -> io::Result<Stdio> {
    #[cfg(unix)]
    {
        if let Err(error) = inherited::keep_from_children() {
            tracing::warn!(%error, "servers may inherit descriptors of the client");
        }
        let (stdin, stdout) = ready::take_descriptors()?;
        Ok(Stdio {
            source: match ready::Ready::reader(&stdin) {
                Some(ready) => Source(SourceKind::Ready(ready)),
                None => Source(SourceKind::Threaded(threaded::Reader::start(std::fs::File::from(stdin))?)),
            },
            sink: match ready::Ready::writer(&stdout) {
                Some(ready) => Sink(SinkKind::Ready(ready)),
                None => Sink(SinkKind::Threaded(threaded::Writer::start(std::fs::File::from(stdout))?)),
            },
        })
    }
    // Untested: written for Windows, where no machine of ours runs.
    #[cfg(not(unix))]
    {
        Ok(Stdio {
            source: Source(SourceKind::Threaded(threaded::Reader::start(io::stdin())?)),
            sink: Sink(SinkKind::Threaded(threaded::Writer::start(io::stdout())?)),
        })
    }
}

/// The same for one who blocks: stdin and stdout as files.
///
/// # Errors
/// When the descriptors cannot be duplicated, which means that they are closed.
#[cfg(unix)]
pub fn take_files() -> io::Result<(std::fs::File, std::fs::File)> {
    if let Err(error) = inherited::keep_from_children() {
        tracing::warn!(%error, "a hub may inherit descriptors of the client");
    }
    let (stdin, stdout) = ready::take_descriptors()?;
    Ok((stdin.into(), stdout.into()))
}

/// Both directions of a socket, without blocking.
///
/// # Errors
/// When it is none, or the system refuses.
#[cfg(unix)]
pub fn socket(socket: &std::os::fd::OwnedFd) -> io::Result<Stdio> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "is no socket");
    let source = Source(SourceKind::Ready(ready::Ready::reader(socket).ok_or_else(none)?));
    let sink = Sink(SinkKind::Ready(ready::Ready::writer(socket).ok_or_else(none)?));
    Ok(Stdio { source, sink })
}

/// Our end of a server's stdout.
///
/// # Errors
/// When the descriptor cannot be set up.
pub fn from_server(pipe: PipeReader) -> io::Result<Source> {
    #[cfg(unix)]
    return ready::Ready::own_pipe(pipe.into()).map(|ready| Source(SourceKind::Ready(ready.widened())));
    #[cfg(not(unix))]
    return threaded::Reader::start(pipe).map(|reader| Source(SourceKind::Threaded(reader)));
}

/// Our end of a server's stdin.
///
/// # Errors
/// When the descriptor cannot be set up.
pub fn to_server(pipe: PipeWriter) -> io::Result<Sink> {
    #[cfg(unix)]
    return ready::Ready::own_pipe(pipe.into()).map(|ready| Sink(SinkKind::Ready(ready)));
    #[cfg(not(unix))]
    return threaded::Writer::start(pipe).map(|writer| Sink(SinkKind::Threaded(writer)));
}

impl Source {
    /// Waits for bytes and adds them to `into`; 0 is the end of input.
    ///
    /// # Errors
    /// Any fault of the descriptor.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.0 {
            #[cfg(unix)]
            SourceKind::Ready(ready) => ready.read(into).await,
            SourceKind::Threaded(reader) => reader.read(into).await,
        }
    }
}

impl Sink {
    /// Writes some of the pieces, in order, and removes what was written from the queue's front.
    ///
    /// # Errors
    /// Any fault of the descriptor; `BrokenPipe` when the other side is gone.
    pub async fn write_some(&mut self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        match &mut self.0 {
            #[cfg(unix)]
            SinkKind::Ready(ready) => ready.write_some(pieces).await,
            SinkKind::Threaded(writer) => writer.write_all(pieces).await,
        }
    }

    /// Waits until the other side has closed its end. Waits for ever where that cannot be told.
    pub async fn closed(&self) {
        match &self.0 {
            #[cfg(unix)]
            SinkKind::Ready(ready) => ready.hung_up().await,
            SinkKind::Threaded(_) => std::future::pending().await,
        }
    }
}

/// Removes `count` bytes from the front of the pieces.
#[cfg(unix)]
fn consume(pieces: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = pieces.front_mut() {
        if front.len() > count {
            bytes::Buf::advance(front, count);
            return;
        }
        count -= front.len();
        pieces.pop_front();
    }
}
