//! The bridge's own configuration, as verbs change it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::edit::Draft;
use crate::control;
use crate::files::{self, Found};
use crate::local::Hall;
use crate::paths::{NoHome, Paths};

/// The configuration that is meant: the one that was named or is there, else where it would be.
///
/// # Errors
/// When the platform names no home folder.
pub fn place(paths: &Paths) -> Result<PathBuf, NoHome> {
    paths.config_file.clone().or_else(|| paths.config_default.clone()).ok_or(NoHome)
}

/// The configuration, opened to be changed.
pub struct Own {
    /// The file, as it was named.
    pub file: PathBuf,
    /// What will stand in it.
    pub draft: Draft,
    found: Found,
}

impl Own {
    /// Opens it; one that is missing is empty.
    ///
    /// # Errors
    /// When it may not be changed, or cannot be understood as a whole.
    pub fn open(paths: &Paths) -> anyhow::Result<Self> {
        let file = place(paths)?;
        let of_file = |why: String| anyhow::anyhow!("{} {why}", file.display());
        let found = files::find(&file).map_err(|bad| of_file(bad.to_string()))?;
        let draft = Draft::open(&file, found.bytes.as_deref()).map_err(of_file)?;
        Ok(Self { draft, found, file })
    }

    /// What is said where no server has a name.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        let meant = match (self.draft.meant(name), self.draft.names()) {
            (Some(meant), _) => format!("did you mean {meant}?"),
            (None, names) if names.is_empty() => "it has no servers".to_owned(),
            (None, names) => format!("there are {}", names.join(", ")),
        };
        format!("{} has no server {name:?}: {meant}", self.file.display())
    }

    /// Puts it into the place of what was found.
    ///
    /// # Errors
    /// When somebody else changed it meanwhile, or the system refuses; what was there is there still.
    pub fn write(self) -> anyhow::Result<()> {
        replace(&self.found, &self.draft, &self.file)
    }
}

/// Puts a draft into the place of what was found.
///
/// # Errors
/// As [`Own::write`].
pub fn replace(found: &Found, draft: &Draft, file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        files::is_still(found),
        "{} was changed at this moment and stays as it is: run this again",
        file.display()
    );
    let written = files::replace(found, draft.text().as_bytes());
    written.map(drop).with_context(|| format!("{} cannot be written", file.display()))
}

/// What is said to somebody whose bridge runs, if one does: nothing has to be done.
#[must_use]
pub fn heard(data_dir: &Path) -> Option<&'static str> {
    let doors = Hall::of(data_dir).doors().unwrap_or_default();
    let runs = doors.iter().any(|door| control::pid_behind(door).is_some());
    runs.then_some("The bridge that runs hears of it by itself.")
}

/// A file that others may read, and that holds what servers are given.
#[must_use]
pub fn warning(file: &Path) -> Option<String> {
    let warning = "warning: others may read this file, which holds what servers are given:";
    files::is_open(file).then(|| format!("{warning}\n  {}", file.display()))
}
