//! What stands beside the doors for everybody to read: whether a hub may be started, and which program.
//!
//! Each note is a small file that is put in its place as a whole. One that cannot be read is none.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::local::Hall;

/// The notes of one hall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes(PathBuf);

/// The program that hubs are started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where it lies.
    pub path: PathBuf,
    /// The version that it had when it last served.
    pub version: String,
}

/// A program that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// Where it lies.
    pub path: PathBuf,
    /// Why it was given up.
    pub because: String,
    /// When, in UTC (RFC 3339).
    pub at: String,
}

impl Hall {
    /// What stands in this hall.
    #[must_use]
    pub fn notes(&self) -> Notes {
        Notes(self.0.clone())
    }
}

impl Notes {
    /// Whether no hub is to be started.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold_file().symlink_metadata().is_ok()
    }

    /// From now on no hub is to be started.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn hold(&self) -> io::Result<()> {
        self.write(&self.hold_file(), b"")
    }

    /// Hubs may be started again; whether they might not.
    ///
    /// # Errors
    /// When the hold stays.
    pub fn lift(&self) -> io::Result<bool> {
        removed(&self.hold_file())
    }

    /// The program that hubs are started from, if its file is there.
    #[must_use]
    pub fn program(&self) -> Option<Program> {
        read::<Program>(&self.program_file()).filter(|program| program.path.is_file())
    }

    /// This program serves: hubs are started from it, and nothing is rolled back any more.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn serves(&self, program: &Program) -> io::Result<()> {
        self.write(&self.program_file(), &serde_json::to_vec(program)?)?;
        removed(&self.rolled_back_file()).map(drop)
    }

    /// The program that was given up last, unless another one has taken its place since.
    #[must_use]
    pub fn rolled_back(&self) -> Option<RolledBack> {
        read(&self.rolled_back_file())
    }

    /// This program is given up: no hub is started from it on account of a note.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn roll_back(&self, given_up: &RolledBack) -> io::Result<()> {
        if read::<Program>(&self.program_file()).is_some_and(|program| program.path == given_up.path) {
            removed(&self.program_file())?;
        }
        self.write(&self.rolled_back_file(), &serde_json::to_vec(given_up)?)
    }

    fn hold_file(&self) -> PathBuf {
        self.0.join("hub.hold")
    }

    fn program_file(&self) -> PathBuf {
        self.0.join("hub.program")
    }

    fn rolled_back_file(&self) -> PathBuf {
        self.0.join("hub.rolled-back")
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        write(&self.0, path, bytes)
    }
}

/// Writes a file of this folder as a whole: private (0600), as every file that this makes.
pub(super) fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(io::Error::from)
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Whether there was something to remove.
pub(super) fn removed(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> (tempfile::TempDir, Notes) {
        let room = tempfile::tempdir().unwrap();
        let notes = Notes(room.path().to_owned());
        (room, notes)
    }

    #[test]
    fn a_hold_lasts_until_it_is_lifted() {
        let (_room, notes) = notes();
        assert!(!notes.is_held() && !notes.lift().unwrap());
        notes.hold().unwrap();
        notes.hold().unwrap();
        assert!(notes.is_held() && notes.lift().unwrap() && !notes.is_held());
    }

    #[test]
    fn a_program_is_named_until_it_is_given_up_or_gone() {
        let (room, notes) = notes();
        let path = room.path().join("bridge");
        std::fs::write(&path, "").unwrap();
        let program = Program { path: path.clone(), version: "0.2.0".into() };
        let given_up =
            |path: &Path| RolledBack { path: path.into(), because: "it hangs".into(), at: "now".into() };
        notes.serves(&program).unwrap();
        assert_eq!(notes.program(), Some(program.clone()));
        notes.roll_back(&given_up(Path::new("/elsewhere"))).unwrap();
        assert_eq!(notes.program(), Some(program.clone()), "that was another one");
        notes.roll_back(&given_up(&path)).unwrap();
        assert_eq!((notes.program(), notes.rolled_back()), (None, Some(given_up(&path))));
        notes.serves(&program).unwrap();
        assert_eq!(notes.rolled_back(), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(notes.program(), None);
        std::fs::write(room.path().join("hub.program"), "garbage").unwrap();
        assert_eq!(notes.program(), None);
    }
}
