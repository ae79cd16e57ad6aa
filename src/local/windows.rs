//! Named pipes. Untested: no machine of ours runs Windows.
//!
//! A pipe's usual rights let its owner, administrators and the system write to it, and others only read:
//! nobody else can open both directions. The file in the hall only says that the pipe is there.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};

/// The pipe has no instance.
const FILE_NOT_FOUND: i32 = 2;

/// All instances are taken for the moment.
const PIPE_BUSY: i32 = 231;

/// One conversation.
#[derive(Debug)]
pub enum Stream {
    /// Its listening end.
    Server(NamedPipeServer),
    /// The end of the one who came.
    Client(NamedPipeClient),
}

/// Listens behind a door, which goes with it.
#[derive(Debug)]
pub struct Listener {
    name: String,
    path: PathBuf,
    next: Mutex<Option<NamedPipeServer>>,
}

impl Listener {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let name = pipe(path);
        // Refused where another process has made a pipe of this name.
        let next =
            ServerOptions::new().first_pipe_instance(true).reject_remote_clients(true).create(&name)?;
        std::fs::write(path, "")?;
        Ok(Self { name, path: path.to_owned(), next: Mutex::new(Some(next)) })
    }

    /// Waits for the next one who comes through the door. May be dropped at any time.
    ///
    /// # Errors
    /// When the system has no room for one more, which may pass.
    pub async fn accept(&self) -> io::Result<Stream> {
        let more = || ServerOptions::new().reject_remote_clients(true).create(&self.name);
        let next = self.lock().take();
        let mut waiting = Waiting { listener: self, next: Some(next.map_or_else(more, Ok)?) };
        if let Some(next) = &waiting.next {
            next.connect().await?;
        }
        let came = waiting.next.take();
        // There is always one to connect to.
        *self.lock() = Some(more()?);
        came.map(Stream::Server).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<NamedPipeServer>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the instance back when nobody came before the wait was dropped.
struct Waiting<'a> {
    listener: &'a Listener,
    next: Option<NamedPipeServer>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(next) = self.next.take() {
            *self.listener.lock() = Some(next);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "door not removed");
        }
    }
}

pub(super) async fn enter(path: &Path) -> io::Result<Stream> {
    let name = pipe(path);
    loop {
        match ClientOptions::new().open(&name) {
            Ok(client) => return Ok(Stream::Client(client)),
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(error) if error.raw_os_error() == Some(FILE_NOT_FOUND) => {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The pipe that stands for a place in the file system.
fn pipe(path: &Path) -> String {
    format!(r"\\.\pipe\bridge-{}", super::hash(path))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Server(pipe) => Pin::new(pipe).poll_read(context, into),
            Self::Client(pipe) => Pin::new(pipe).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Server(pipe) => Pin::new(pipe).poll_write(context, from),
            Self::Client(pipe) => Pin::new(pipe).poll_write(context, from),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Server(pipe) => Pin::new(pipe).poll_flush(context),
            Self::Client(pipe) => Pin::new(pipe).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Server(pipe) => Pin::new(pipe).poll_shutdown(context),
            Self::Client(pipe) => Pin::new(pipe).poll_shutdown(context),
        }
    }
}
