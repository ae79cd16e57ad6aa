//! Unix sockets (0600) whose two ends belong to one user.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// One conversation.
pub use tokio::net::UnixStream as Stream;

/// Listens behind a door, which goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Which file the door is: another one may take its place.
    file: (u64, u64),
}

impl Listener {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "this door stands already"));
        }
        Self::take_over(path)
    }

    pub(super) fn take_over(path: &Path) -> io::Result<Self> {
        // Made beside its place: whoever sees the door finds somebody behind it.
        let beside = path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let socket = UnixListener::bind(&beside)?;
        let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| identity(&beside))
            .and_then(|file| std::fs::rename(&beside, path).map(|()| file));
        match placed {
            Ok(file) => Ok(Self { socket, path: path.to_owned(), file }),
            Err(error) => {
                let _ = std::fs::remove_file(&beside);
                Err(error)
            }
        }
    }

    /// Whether the door is there, and nobody has taken it over.
    #[must_use]
    pub fn stands(&self) -> bool {
        identity(&self.path).is_ok_and(|file| file == self.file)
    }

    /// Waits for the next one who comes through the door; strangers are turned away. May be dropped at any
    /// time.
    ///
    /// # Errors
    /// When the system has no room for one more, which may pass.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            match stream.peer_cred().and_then(|peer| admit(peer.uid())) {
                Ok(()) => return Ok(stream),
                Err(error) => tracing::warn!(%error, "somebody else was turned away"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file != self.file) {
            // Somebody has taken it over.
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "door not removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|found| (found.dev(), found.ino()))
}

pub(super) async fn enter(path: &Path) -> io::Result<Stream> {
    if !path.symlink_metadata()?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no socket"));
    }
    let stream = Stream::connect(path).await?;
    admit(stream.peer_cred()?.uid())?;
    Ok(stream)
}

pub(super) fn enter_blocking(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let found = path.symlink_metadata()?;
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no socket"));
    }
    // Its folder is this user's alone, so that nobody else listens behind a socket of this user's.
    admit(found.uid())?;
    std::os::unix::net::UnixStream::connect(path)
}

/// Whether the other end, which belongs to this user, is ours.
pub(super) fn admit(uid: u32) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let stranger = || format!("the other end belongs to user {uid}");
    if uid == own { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, stranger())) }
}
