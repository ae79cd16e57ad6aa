//! Which servers a person has stopped: a small note for each, in the folder `stopped/` of the data folder.
//!
//! Hubs come and go, and the machine may start anew: a note stays until a person starts the server again, or takes
//! it out of the configuration. It is not in the hall, which may be a folder under `/tmp`. Two configurations may have
//! a server of the same name, and each has a note of its own.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::local::hash;
use crate::local::notes::{read, removed, write};
use crate::names::ServerName;
use crate::paths::{self, Paths};

/// The notes of one configuration in a data folder.
#[derive(Debug, Clone)]
pub struct Stopped {
    folder: PathBuf,
    config: Option<PathBuf>,
}

/// That a person stopped a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The server's name.
    pub server: String,
    /// When, in UTC (RFC 3339).
    pub at: String,
    /// The configuration that has the server, which alone heeds this; `None` is all of them. When the server is
    /// there no more, nor is this note.
    pub config: Option<PathBuf>,
}

impl Stopped {
    /// Those of these paths. Touches nothing.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let config = paths.config_file.clone().or_else(|| paths.config_default.clone());
        Self { folder: paths.data_dir.join("stopped"), config }
    }

    /// The note of one server; one that cannot be read is none.
    #[must_use]
    pub fn note(&self, server: &ServerName) -> Option<Note> {
        self.files(server).iter().find_map(|file| self.heeded(file))
    }

    /// Those that name this configuration, sorted by name.
    #[must_use]
    pub fn own(&self) -> Vec<Note> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| read::<Note>(&entry.path()));
        let mut own: Vec<Note> = all.filter(|note| note.config == self.config).collect();
        own.sort_by(|one, other| one.server.cmp(&other.server));
        own
    }

    /// From now on, which is written as in [`Note::at`], the server is not to be started.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn put(&self, server: &ServerName, at: String) -> io::Result<()> {
        let note = Note { server: server.to_string(), at, config: self.config.clone() };
        let [file, _] = self.files(server);
        paths::private_folder(&self.folder).map_err(io::Error::other)?;
        write(&self.folder, &file, &serde_json::to_vec(&note)?)
    }

    /// The server may be started again; whether it might not.
    ///
    /// # Errors
    /// When a note stays.
    pub fn lift(&self, server: &ServerName) -> io::Result<bool> {
        let mut was_stopped = false;
        for file in self.files(server).iter().filter(|file| self.heeded(file).is_some()) {
            was_stopped |= removed(file)?;
        }
        Ok(was_stopped)
    }

    /// A note that this configuration heeds.
    fn heeded(&self, file: &Path) -> Option<Note> {
        read::<Note>(file).filter(|note| note.config.is_none() || note.config == self.config)
    }

    /// Where the note of a server stands for this configuration, and for any. Names that differ only in characters
    /// that no file name should hold share one file; a configuration allows only one of them.
    fn files(&self, server: &ServerName) -> [PathBuf; 2] {
        let of_any = self.folder.join(format!("{}.json", server.slug()));
        let of_this = |config: &PathBuf| self.folder.join(format!("{}-{}.json", server.slug(), hash(config)));
        [self.config.as_ref().map_or_else(|| of_any.clone(), of_this), of_any]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ServerName {
        ServerName::parse(name).unwrap()
    }

    fn of(room: &tempfile::TempDir, config: Option<&str>) -> Stopped {
        Stopped { folder: room.path().join("stopped"), config: config.map(PathBuf::from) }
    }

    #[test]
    fn a_server_is_stopped_until_it_is_started() {
        let room = tempfile::tempdir().unwrap();
        for stopped in [of(&room, None), of(&room, Some("/a.toml"))] {
            let note = |server: &str| Note {
                server: server.into(),
                at: "now".into(),
                config: stopped.config.clone(),
            };
            assert!(stopped.own().is_empty() && !stopped.lift(&name("a.b")).unwrap());
            for server in ["b", "a.b", "a.b"] {
                stopped.put(&name(server), "now".into()).unwrap();
            }
            assert_eq!((stopped.note(&name("a.b")), stopped.note(&name("c"))), (Some(note("a.b")), None));
            assert_eq!(stopped.own(), [note("a.b"), note("b")]);
            assert!(stopped.lift(&name("a.b")).unwrap() && stopped.note(&name("a.b")).is_none());
            let [file, _] = stopped.files(&name("b"));
            std::fs::write(file, "garbage").unwrap();
            assert!(stopped.own().is_empty());
        }
    }

    #[test]
    fn a_server_of_the_same_name_in_another_configuration_is_another_one() {
        let room = tempfile::tempdir().unwrap();
        let [one, other] = ["/a.toml", "/b.toml"].map(|config| of(&room, Some(config)));
        let are_stopped = || [&one, &other].map(|stopped| stopped.note(&name("s")).is_some());
        one.put(&name("s"), "now".into()).unwrap();
        assert_eq!(are_stopped(), [true, false]);
        other.put(&name("s"), "now".into()).unwrap();
        assert!(one.lift(&name("s")).unwrap() && !one.lift(&name("s")).unwrap());
        assert_eq!((are_stopped(), one.own().len(), other.own().len()), ([false, true], 0, 1));
        // One that names no configuration is for all.
        std::fs::write(room.path().join("stopped/s.json"), r#"{"server":"s","at":"now"}"#).unwrap();
        assert_eq!(are_stopped(), [true, true]);
        assert!(other.lift(&name("s")).unwrap());
        assert_eq!(are_stopped(), [false, false]);
    }
}
