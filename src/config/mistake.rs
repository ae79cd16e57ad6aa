//! What is wrong in a configuration, where, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong in a configuration, or worth a note.
///
/// It is shown as `config.toml:7:1: servers.time.comand: unknown key, did you mean "command"?`. No
/// part of it holds a value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, absolute.
    pub file: PathBuf,
    /// Where in the file; `None` when the whole file is meant.
    pub place: Option<Place>,
    /// The keys that lead there, with dots (`servers.time.comand`); empty for the whole file.
    pub path: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// A place in a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl Mistake {
    /// A mistake about a whole file.
    pub(super) fn of_file(file: &Path, what: String) -> Self {
        Self { file: file.to_owned(), place: None, path: String::new(), what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.what)
    }
}

/// Collects what is wrong with one text.
pub(super) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    mistakes: Vec<Mistake>,
    notes: Vec<Mistake>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, mistakes: Vec::new(), notes: Vec::new() }
    }

    /// Notes a mistake at a byte offset of the text.
    pub(super) fn mistake(&mut self, at: usize, path: &str, what: impl Into<String>) {
        let mistake = self.at(at, path, what.into());
        self.mistakes.push(mistake);
    }

    /// Notes something that is right and may surprise.
    pub(super) fn note(&mut self, at: usize, path: &str, what: impl Into<String>) {
        let note = self.at(at, path, what.into());
        self.notes.push(note);
    }

    /// How many mistakes there are so far.
    pub(super) fn count(&self) -> usize {
        self.mistakes.len()
    }

    /// All mistakes and all notes, each in the text's order.
    pub(super) fn done(mut self) -> (Vec<Mistake>, Vec<Mistake>) {
        self.mistakes.sort_by_key(|mistake| mistake.place);
        self.notes.sort_by_key(|note| note.place);
        (self.mistakes, self.notes)
    }

    fn at(&self, at: usize, path: &str, what: String) -> Mistake {
        let place = Some(place(self.text, at));
        Mistake { file: self.file.to_owned(), place, path: path.to_owned(), what }
    }
}

fn place(text: &str, at: usize) -> Place {
    // A parser may point into a character.
    let before = (0..=at.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    Place { line: before.matches('\n').count() + 1, column }
}

/// The words for a key that nobody knows.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    suggestion(key, known).map_or_else(
        || format!("unknown key, known are {}", known.join(", ")),
        |known| format!("unknown key, did you mean \"{known}\"?"),
    )
}

/// The known word that is close enough to be meant.
#[must_use]
pub fn suggestion<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    const CLOSE: f64 = 0.8;
    let word = word.to_lowercase();
    let closeness = |known: &str| strsim::jaro_winkler(&word, &known.to_lowercase());
    known
        .iter()
        .map(|known| (closeness(known), *known))
        .filter(|(close, _)| *close >= CLOSE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
