//! Private doors of one user on this machine: behind each of them one process of ours listens.
//!
//! The doors of a data folder stand in one hall: the folder `run/` in it, which is this user's alone
//! (0700), or, where that path is too long for a socket, a short private folder under `/tmp` that is named
//! by the path's hash. A door appears when somebody listens behind it already, so that one which refuses
//! is left over from a process that was killed: whoever finds it removes it. A door that stands is not
//! opened again, so whoever wants a door of a fixed name enters it first.

pub mod notes;
pub mod stopped;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

#[cfg(unix)]
pub use crate::local::unix::{Listener, Stream};
#[cfg(windows)]
pub use crate::local::windows::{Listener, Stream};
use crate::paths::{self, BadDataDir};

/// The longest name of a door, in bytes.
pub const NAME_BYTES_MAX: usize = 24;

/// The door of the hub of a data folder.
pub const HUB: &str = "hub";

/// What the file of a door ends in.
const END: &str = ".sock";

/// The longest path of a socket, in bytes: macOS has room for 104 with a NUL, Linux for 108.
const PATH_BYTES_MAX: usize = 103;

/// The folder in which all doors of one data folder stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hall(PathBuf);

/// A place where a process of this user may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its name in its hall.
    pub name: String,
    path: PathBuf,
}

impl Hall {
    /// The hall of a data folder. Touches nothing.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let usual = data_dir.join("run");
        let longest = usual.as_os_str().len() + 1 + NAME_BYTES_MAX + END.len();
        if cfg!(windows) || longest <= PATH_BYTES_MAX {
            return Self(usual);
        }
        // Not the variable TMPDIR: a desktop's programs and a shell may have two of them.
        Self(Path::new("/tmp").join(format!("bridge-{}", hash(data_dir))))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// When it is a symbolic link, another user's, or refused by the system.
    pub fn make(&self) -> Result<(), BadDataDir> {
        paths::private_folder(&self.0)
    }

    /// One door of this hall. Characters that are neither letters nor digits become dashes, and a long name
    /// is cut.
    #[must_use]
    pub fn door(&self, name: &str) -> Door {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = name.chars().map(plain).take(NAME_BYTES_MAX).collect();
        Door { path: self.0.join(format!("{name}{END}")), name }
    }

    /// Every door that stands here, sorted by name; nothing where there is no hall.
    ///
    /// # Errors
    /// When the folder is there and is another user's, a symbolic link, or cannot be read.
    pub fn doors(&self) -> Result<Vec<Door>, BadDataDir> {
        if matches!(self.0.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return Ok(Vec::new());
        }
        // A door in a folder of somebody else's is a trap.
        self.make()?;
        self.listed().map_err(|source| BadDataDir::Io { path: self.0.clone(), source })
    }

    /// The same for somebody who only looks: the folder stays as it is, and so do doors that nobody listens
    /// behind, which are left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    #[cfg(unix)]
    pub fn living_doors(&self) -> io::Result<Vec<Door>> {
        use std::os::unix::fs::MetadataExt;
        let own = rustix::process::geteuid().as_raw();
        match self.0.symlink_metadata() {
            Ok(found) if found.is_dir() && found.uid() == own => {}
            _ => return Ok(Vec::new()),
        }
        let refuses = |door: &Door| matches!(door.enter_blocking(), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
        Ok(self.listed()?.into_iter().filter(|door| !refuses(door)).collect())
    }

    /// The same for somebody who only looks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    #[cfg(not(unix))]
    pub fn living_doors(&self) -> io::Result<Vec<Door>> {
        if self.0.exists() { self.listed() } else { Ok(Vec::new()) }
    }

    fn listed(&self) -> io::Result<Vec<Door>> {
        let entries = std::fs::read_dir(&self.0)?;
        let name = |entry: std::fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(END)?.to_owned());
        let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
        names.sort();
        Ok(names.iter().map(|name| self.door(name)).collect())
    }
}

impl Door {
    /// Listens behind this door, which appears when everything is ready. To be called on a runtime.
    ///
    /// # Errors
    /// When somebody listens here already, or the system refuses.
    pub fn open(&self) -> io::Result<Listener> {
        Listener::open(&self.path)
    }

    /// Goes through the door; the caller holds the deadline. A door that nobody listens behind any more is
    /// removed.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when nobody listens here; else when it is no door of this user's, or the
    /// system refuses.
    pub async fn enter(&self) -> io::Result<Stream> {
        match self::enter(&self.path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = std::fs::remove_file(&self.path);
                Err(io::Error::new(io::ErrorKind::NotFound, "nobody listens there any more"))
            }
            entered => entered,
        }
    }
}

#[cfg(unix)]
use crate::local::unix::enter;
#[cfg(windows)]
use crate::local::windows::enter;

#[cfg(unix)]
impl Door {
    /// Goes through the door and waits for nothing: for those who have no runtime.
    ///
    /// # Errors
    /// As [`Door::enter`]; a door that nobody listens behind stays, and [`io::ErrorKind::ConnectionRefused`] says so.
    pub fn enter_blocking(&self) -> io::Result<std::os::unix::net::UnixStream> {
        unix::enter_blocking(&self.path)
    }

    /// Listens behind this door in place of whoever does so now; those who came to it before are theirs. To be
    /// called on a runtime.
    ///
    /// # Errors
    /// When the system refuses; the door is then as it was.
    pub fn take_over(&self) -> io::Result<Listener> {
        Listener::take_over(&self.path)
    }

    /// Whether a door stands here, with or without somebody behind it.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// The process that holds the lock: it has written its number there.
    #[must_use]
    pub fn keeper(&self) -> Option<u32> {
        let file = std::fs::File::open(self.lock_file()).ok()?;
        let is_held = matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock));
        is_held.then(|| io::read_to_string(file).ok()?.parse().ok()).flatten()
    }

    /// The file beside the door that its keeper holds locked.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.path.with_extension("lock")
    }
}

/// Sixteen hexadecimal digits that stand for a path.
fn hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
