//! Unix sockets (0600) whose two ends belong to one user.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// One conversation.
pub use tokio::net::UnixStream as Stream;

/// Listens behind a door, which goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "this door stands already"));
        }
        // Made beside its place: whoever sees the door finds somebody behind it.
        let beside = path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let socket = UnixListener::bind(&beside)?;
        let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = placed {
            let _ = std::fs::remove_file(&beside);
            return Err(error);
        }
        Ok(Self { socket, path: path.to_owned() })
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
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "door not removed");
        }
    }
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
    use std::os::unix::fs::MetadataExt;
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
