//! What `bridge install` changed, so that it can be taken back: `install.json` in the data folder.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clients::Client;
use crate::files;
use crate::paths::Paths;

/// Everything that was changed and not taken back, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// One for each file, and one more each time somebody else had changed it in between.
    pub edits: Vec<Edit>,
}

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The file itself, behind all links.
    pub file: PathBuf,
    /// What was in it: the copy beside it, and its fingerprint. `None` where there was no file.
    pub before: Option<Copy>,
    /// The fingerprints of all that the bridge wrote there, the newest last.
    pub after: Vec<String>,
    /// The folders that were made for it, the outermost first.
    pub folders: Vec<PathBuf>,
    /// What was changed in it.
    pub what: What,
}

/// A copy of a file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Where it stands.
    pub path: PathBuf,
    /// Its fingerprint.
    pub print: String,
}

/// What was changed in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A client's file.
    Client {
        /// The client's word.
        client: String,
        /// The name of the bridge's entry.
        entry: String,
        /// The fingerprint of that entry.
        print: Option<String>,
        /// The servers that were moved out of it.
        moved: BTreeSet<String>,
    },
    /// The bridge's own configuration, to which these sections were added. They may hold secrets: the record is
    /// its owner's alone.
    Own {
        /// The texts, as they stand in the file.
        sections: Vec<String>,
    },
}

impl What {
    /// The client whose file it is.
    pub fn client(&self) -> Option<Client> {
        match self {
            Self::Client { client, .. } => Client::ALL.into_iter().find(|known| known.word() == client),
            Self::Own { .. } => None,
        }
    }

    /// Both changes to one file, as one.
    fn and(&mut self, more: Self) {
        match (self, more) {
            (
                Self::Client { entry, print, moved, .. },
                Self::Client { entry: new_entry, print: new_print, moved: more, .. },
            ) => {
                (*entry, *print) = (new_entry, new_print);
                moved.extend(more);
            }
            (Self::Own { sections }, Self::Own { sections: more }) => sections.extend(more),
            (what, more) => *what = more,
        }
    }
}

/// Names a text by its content.
pub fn print(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// Reads the record of a data folder; without one nothing was changed.
    ///
    /// # Errors
    /// When it cannot be read: what it says is needed to take anything back.
    pub fn read(paths: &Paths) -> anyhow::Result<Self> {
        let file = file(&paths.data_dir);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} does not say any more what was changed; the copies beside the clients' files \
                 (*.before-bridge) still hold what was there",
                file.display()
            )
        })
    }

    /// Writes it down, as its owner's alone; when there is nothing any more the file goes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, paths: &Paths) -> anyhow::Result<()> {
        let file = file(&paths.data_dir);
        if self.edits.is_empty() {
            let gone = fs::remove_file(&file).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            });
            return gone.with_context(|| format!("cannot remove {}", file.display()));
        }
        let text = serde_json::to_string_pretty(self).context("a file's name is no Unicode text")?;
        let found = files::find(&file).with_context(|| format!("{}", file.display()))?;
        files::replace(&found, text.as_bytes())
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(())
    }

    /// Whether the last change to this file left it as it is now.
    pub fn is_ours(&self, file: &Path, bytes: Option<&[u8]>) -> bool {
        let last = self.edits.iter().rfind(|edit| edit.file == file);
        last.is_some_and(|edit| bytes.is_some_and(|bytes| edit.after.last() == Some(&print(bytes))))
    }

    /// Notes a change to a file that was changed before and is as that left it.
    pub fn go_on(&mut self, file: &Path, after: String, what: What) {
        if let Some(edit) = self.edits.iter_mut().rfind(|edit| edit.file == file) {
            edit.after.push(after);
            edit.what.and(what);
        }
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("install.json")
}

/// Waits until nobody else installs, and keeps everybody else from it as long as it is held.
///
/// # Errors
/// When the data folder cannot be used.
pub fn lock(paths: &Paths) -> anyhow::Result<File> {
    paths.create()?;
    let file = paths.data_dir.join("install.lock");
    let open = OpenOptions::new().create(true).write(true).truncate(false).open(&file);
    let lock = open.and_then(|open| open.lock().map(|()| open));
    lock.with_context(|| format!("cannot lock {}", file.display()))
}
