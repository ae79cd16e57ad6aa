//! Servers of other files on their way into the bridge's configuration, and what that changes in it, to be shown.

use std::io::Write;
use std::path::Path;

use similar::TextDiff;

use crate::cli::words;
use crate::clients::masked;
use crate::config::edit::entry::{Entry, section};
use crate::config::edit::{Added, Draft};
use crate::files::{self, Found};

/// The configuration that servers are added to.
#[derive(Clone)]
pub struct Mover {
    /// What is there.
    pub found: Found,
    /// What will be there.
    pub draft: Draft,
    /// What was added, without secrets.
    added: Vec<String>,
}

impl Mover {
    /// Begins with what stands in a configuration, which may be missing.
    ///
    /// # Errors
    /// When it cannot be read or replaced, or is none to add servers to; the words begin with the file.
    pub fn open(file: &Path) -> Result<Self, String> {
        let of_file = |why: String| format!("{} {why}", file.display());
        let found = files::find(file).map_err(|bad| of_file(bad.to_string()))?;
        let draft = Draft::open(file, found.bytes.as_deref()).map_err(of_file)?;
        Ok(Self { found, draft, added: Vec::new() })
    }

    /// Adds a server under its name, or one with a number if another has that.
    ///
    /// # Errors
    /// In words that go on after "it": why the bridge cannot have such a server.
    pub fn add(&mut self, name: &str, entry: &Entry) -> Result<Added, String> {
        let added = self.draft.add(name, entry)?;
        if let Added::As(name) = &added {
            self.added.push(section(name, &masked::entry(entry)));
        }
        Ok(added)
    }

    /// The text that was there, and the one that will be, as they may be shown: what was there is no part of it.
    #[must_use]
    pub fn shown(&self) -> [String; 2] {
        let mut before =
            String::from_utf8_lossy(self.found.bytes.as_deref().unwrap_or_default()).into_owned();
        if !before.is_empty() && !before.ends_with('\n') {
            before.push('\n');
        }
        let between = if before.is_empty() { "" } else { "\n" };
        let after = format!("{before}{between}{}", self.added.join("\n"));
        [before, after]
    }
}

/// Shows what becomes of a text, with so many lines around each change.
///
/// # Errors
/// When nobody reads.
pub fn show(
    file: &Path,
    [before, after]: &[String; 2],
    around: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let file = file.display().to_string();
    let diff = TextDiff::from_lines(before, after);
    let diff = diff.unified_diff().context_radius(around).header(&file, &file).to_string();
    words::say(out, &format!("\n{}", diff.trim_end()))
}
