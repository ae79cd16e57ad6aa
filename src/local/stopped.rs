//! Which servers a person has stopped: a small note for each, in the folder `stopped/` of the data folder.
//!
//! Hubs come and go, and the machine may start anew: a note stays until a person starts the server again, or takes
//! it out of the configuration. It is not in the hall, which may be a folder under `/tmp`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::local::notes::{read, removed, write};
use crate::names::ServerName;
use crate::paths;

/// The notes of one data folder.
#[derive(Debug, Clone)]
pub struct Stopped(PathBuf);

/// That a person stopped a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The server's name.
    pub server: String,
    /// When, in UTC (RFC 3339).
    pub at: String,
    /// The configuration that has the server, as far as whoever stopped it knew: when it is there no more, nor is
    /// this note.
    pub config: Option<PathBuf>,
}

impl Stopped {
    /// Those of a data folder. Touches nothing.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("stopped"))
    }

    /// The note of one server; one that cannot be read is none.
    #[must_use]
    pub fn note(&self, server: &ServerName) -> Option<Note> {
        read(&self.file(server))
    }

    /// All of them, sorted by name.
    #[must_use]
    pub fn all(&self) -> Vec<Note> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut all: Vec<Note> = entries.filter_map(|entry| read(&entry.path())).collect();
        all.sort_by(|one, other| one.server.cmp(&other.server));
        all
    }

    /// From now on the server is not to be started.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn put(&self, server: &ServerName, note: &Note) -> io::Result<()> {
        paths::private_folder(&self.0).map_err(io::Error::other)?;
        write(&self.0, &self.file(server), &serde_json::to_vec(note)?)
    }

    /// The server may be started again; whether it might not.
    ///
    /// # Errors
    /// When the note stays.
    pub fn lift(&self, server: &ServerName) -> io::Result<bool> {
        removed(&self.file(server))
    }

    /// Names that differ only in characters that no file name should hold share one file; a configuration allows
    /// only one of them.
    fn file(&self, server: &ServerName) -> PathBuf {
        self.0.join(format!("{}.json", server.slug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_stopped_until_it_is_started() {
        let room = tempfile::tempdir().unwrap();
        let stopped = Stopped::of(room.path());
        let name = |name: &str| ServerName::parse(name).unwrap();
        let note = |server: &str| Note { server: server.into(), at: "now".into(), config: None };
        assert!(stopped.all().is_empty() && !stopped.lift(&name("a.b")).unwrap());
        stopped.put(&name("b"), &note("b")).unwrap();
        stopped.put(&name("a.b"), &note("a.b")).unwrap();
        stopped.put(&name("a.b"), &note("a.b")).unwrap();
        assert_eq!((stopped.note(&name("a.b")), stopped.note(&name("c"))), (Some(note("a.b")), None));
        assert_eq!(stopped.all(), [note("a.b"), note("b")]);
        assert!(stopped.lift(&name("a.b")).unwrap() && stopped.note(&name("a.b")).is_none());
        std::fs::write(room.path().join("stopped/b.json"), "garbage").unwrap();
        assert!(stopped.all().is_empty());
    }
}
