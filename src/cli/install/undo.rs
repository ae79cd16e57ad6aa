//! `bridge install --undo`: every file as it was before.
//!
//! A file that is still as the bridge left it comes back byte for byte. In one that somebody changed since, only
//! what the bridge did is taken back, if it is all still there; else it stays, and `--force` is offered.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::install::record::{Copy, Edit, Record, What, print};
use crate::cli::words;
use crate::clients::Client;
use crate::clients::book::Book;
use crate::files::{self, Found};
use crate::paths::Paths;

/// What becomes of one file.
#[derive(PartialEq, Eq)]
pub struct Back {
    /// Whose file it is.
    title: String,
    file: PathBuf,
    found: Option<Found>,
    /// What will be there.
    target: Option<Vec<u8>>,
    words: Vec<String>,
    /// The places in the record of what is taken back, the newest first.
    done: Vec<usize>,
    /// The copies that are not needed any more.
    spent: Vec<PathBuf>,
    /// Whether a copy is kept of what is there now.
    saves: bool,
    /// Why something stays, in words that go on after "it".
    fault: Option<String>,
}

/// Finds out what would be taken back for these clients, for all of them when none is named.
pub fn plan(record: &Record, wanted: &[Client], force: bool) -> Vec<Back> {
    let is_wanted =
        |edit: &Edit| wanted.is_empty() || edit.what.client().is_some_and(|client| wanted.contains(&client));
    let (own, clients): (Vec<&Edit>, Vec<&Edit>) =
        record.edits.iter().rev().partition(|edit| matches!(edit.what, What::Own { .. }));
    let mut backs = Vec::new();
    for edit in clients.into_iter().filter(|edit| is_wanted(edit)) {
        add(&mut backs, record, edit, force);
    }
    let done: BTreeSet<usize> = backs.iter().flat_map(|back| back.done.iter().copied()).collect();
    let has_moved = |what: &What| matches!(what, What::Client { moved, .. } if !moved.is_empty());
    let needed =
        record.edits.iter().enumerate().any(|(at, edit)| has_moved(&edit.what) && !done.contains(&at));
    for edit in own {
        if needed {
            let why = "has servers that were moved out of a client's file which stays as it is".to_owned();
            let fault = wanted.is_empty().then_some(why);
            if fault.is_some() && backs.iter().all(|back: &Back| back.file != edit.file) {
                backs.push(Back { fault, ..Back::of(edit) });
            }
        } else {
            add(&mut backs, record, edit, force);
        }
    }
    backs
}

/// Adds the file of an edit, with all that was done to it, unless it is among them.
fn add(backs: &mut Vec<Back>, record: &Record, edit: &Edit, force: bool) {
    if backs.iter().all(|back| back.file != edit.file) {
        backs.push(back(record, edit, force));
    }
}

fn back(record: &Record, newest: &Edit, force: bool) -> Back {
    let mut back = Back::of(newest);
    let found = match files::find(&newest.file) {
        Ok(found) => found,
        Err(bad) => return Back { fault: Some(bad.to_string()), ..back },
    };
    back.target.clone_from(&found.bytes);
    for (at, edit) in record.edits.iter().enumerate().rev().filter(|(_, edit)| edit.file == newest.file) {
        if let Err(why) = back.step(edit, force) {
            back.fault = Some(why);
            break;
        }
        back.done.push(at);
    }
    back.found = Some(found);
    back
}

impl Back {
    fn of(edit: &Edit) -> Self {
        let title = match (&edit.what, edit.what.client()) {
            (_, Some(client)) => client.title().to_owned(),
            (What::Client { client, .. }, None) => client.clone(),
            (What::Own { .. }, None) => "The bridge's configuration".to_owned(),
        };
        Self {
            title,
            file: edit.file.clone(),
            found: None,
            target: None,
            words: Vec::new(),
            done: Vec::new(),
            spent: Vec::new(),
            saves: false,
            fault: None,
        }
    }

    /// Takes back one edit.
    fn step(&mut self, edit: &Edit, force: bool) -> Result<(), String> {
        let now = self.target.as_deref().map(print);
        let copy = edit.before.as_ref();
        if now.as_ref() == copy.map(|copy| &copy.print) {
            self.words.push("is as it was before".to_owned());
            self.spent.extend(copy.map(|copy| copy.path.clone()));
            return Ok(());
        }
        let before = copy.map(read).transpose()?;
        let is_ours = now.as_ref().is_some_and(|now| edit.after.contains(now));
        if is_ours || force {
            self.saves |= !is_ours && now.is_some();
            self.words.push(
                if before.is_some() { "comes back as it was" } else { "goes: it was not there before" }
                    .into(),
            );
            self.target = before;
            self.spent.extend(copy.map(|copy| copy.path.clone()));
            return Ok(());
        }
        let now = self.target.as_deref().ok_or("is gone: --force brings it back as it was")?;
        self.target = match &edit.what {
            What::Client { .. } => Some(without_entry(edit, now, before.as_deref())?),
            What::Own { sections } => without_sections(sections, now, before.is_none())?,
        };
        self.words.push("was changed since: only what the bridge did is taken back".to_owned());
        self.words.extend(copy.map(|copy| format!("its copy stays: {}", copy.path.display())));
        Ok(())
    }

    fn show(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        words::say(out, &format!("{}: {}", self.title, self.file.display()))?;
        let fault = self.fault.as_ref().map(|why| format!("stays as it is: it {why}"));
        let save = self.saves.then(|| "was changed since: a copy of what is there now is kept".to_owned());
        for line in self.words.iter().chain(&save).chain(&fault) {
            let line = words::wrapped(line, words::screen_columns().saturating_sub(2)).replace('\n', "\n  ");
            words::say(out, &format!("  {line}"))?;
        }
        Ok(())
    }

    fn apply(&self, record: &Record) -> anyhow::Result<Option<PathBuf>> {
        let Some(found) = &self.found else { return Ok(None) };
        let file = self.file.display();
        anyhow::ensure!(
            files::is_still(found),
            "{file} was changed at this moment and stays as it is: run this again"
        );
        let saved = if self.saves { Some(files::keep_copy(found)) } else { None };
        let saved = saved.transpose().with_context(|| format!("no copy of {file} can be kept"))?;
        match &self.target {
            target if *target == found.bytes => {}
            Some(bytes) => {
                drop(files::replace(found, bytes).with_context(|| format!("{file} cannot be written"))?)
            }
            None => fs::remove_file(&found.path).with_context(|| format!("{file} cannot be removed"))?,
        }
        for edit in self.done.iter().filter_map(|at| record.edits.get(*at)) {
            // One that holds something by now stays.
            edit.folders.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
        }
        Ok(saved)
    }
}

/// Shows what would be taken back.
///
/// # Errors
/// When nobody reads.
pub fn show(backs: &[Back], out: &mut dyn Write) -> anyhow::Result<()> {
    backs.iter().try_for_each(|back| back.show(out))
}

/// Whether anything would be taken back.
pub fn changes(backs: &[Back]) -> usize {
    backs.iter().filter(|back| !back.done.is_empty()).count()
}

/// Whose files stay as they are.
pub fn faults(backs: &[Back]) -> Vec<&str> {
    backs.iter().filter(|back| back.fault.is_some()).map(|back| back.title.as_str()).collect()
}

/// Takes it back, file by file, and forgets what was done to each. Gives what failed.
///
/// # Errors
/// When the record cannot be written.
pub fn apply(
    backs: &[Back],
    mut record: Record,
    paths: &Paths,
    out: &mut dyn Write,
) -> anyhow::Result<Vec<String>> {
    let all = record.clone();
    let mut failed = Vec::new();
    let mut done = BTreeSet::new();
    for back in backs.iter().filter(|back| !back.done.is_empty()) {
        match back.apply(&all) {
            Ok(saved) => {
                done.extend(back.done.iter().copied());
                let left = all.edits.iter().enumerate().filter(|(at, _)| !done.contains(at));
                record.edits = left.map(|(_, edit)| edit.clone()).collect();
                record.write(paths)?;
                // Only now: until then they were needed.
                back.spent.iter().for_each(|copy| drop(fs::remove_file(copy)));
                let saved = saved.map(|copy| format!("\n  as it was until now: {}", copy.display()));
                words::say(out, &format!("undone: {}{}", back.file.display(), saved.unwrap_or_default()))?;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    Ok(failed)
}

/// What a copy holds, if it is still what was put there.
fn read(copy: &Copy) -> Result<Vec<u8>, String> {
    let path = copy.path.display();
    let bytes = fs::read(&copy.path)
        .map_err(|error| format!("cannot come back: its copy {path} cannot be read ({error})"))?;
    if print(&bytes) != copy.print {
        return Err(format!("cannot come back: its copy {path} was changed"));
    }
    Ok(bytes)
}

/// A client's file with the bridge's entry and what was moved as they were, and all else as it is now.
fn without_entry(edit: &Edit, now: &[u8], before: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let What::Client { client: word, entry, print, moved } = &edit.what else { return Ok(now.to_owned()) };
    let client =
        edit.what.client().ok_or_else(|| format!("belongs to {word}, which this bridge does not know"))?;
    let (now, before) = (Book::open(client, Some(now))?, Book::open(client, before)?);
    let found = now.print(entry);
    if found.is_some() && found != *print {
        return Err(format!(
            "was changed since, its entry {entry} too: --force brings all of it back as it was"
        ));
    }
    // What somebody put there again is newer.
    let again = moved.iter().filter(|name| now.print(name).is_none());
    let names: Vec<String> = std::iter::once(entry).chain(again).cloned().collect();
    now.give_back(&before, &names);
    Ok(now.bytes())
}

/// The bridge's configuration without what was added; `None` when nothing is left and nothing was there before.
fn without_sections(sections: &[String], now: &[u8], was_missing: bool) -> Result<Option<Vec<u8>>, String> {
    let mut text = String::from_utf8(now.to_owned()).map_err(|_| "is no UTF-8 text any more".to_owned())?;
    for section in sections.iter().rev() {
        let Some((before, after)) = text.split_once(section.as_str()) else {
            let head = section.lines().next().unwrap_or_default();
            return Err(format!("was changed since, {head} too: --force brings all of it back as it was"));
        };
        // The empty line before it came with it.
        let before = ["\r\n\r\n", "\n\n"]
            .iter()
            .find_map(|end| {
                before
                    .strip_suffix(end)
                    .map(|rest| format!("{rest}{}", end.get(..end.len() / 2).unwrap_or_default()))
            })
            .unwrap_or_else(|| before.to_owned());
        text = format!("{before}{after}");
    }
    Ok((!was_missing || !text.trim().is_empty()).then(|| text.into_bytes()))
}

/// Whether two plans are the same to whoever agreed to the first.
pub fn is_same(one: &[Back], other: &[Back]) -> bool {
    let said = |backs: &[Back]| -> Vec<(PathBuf, Vec<String>, Vec<usize>, bool)> {
        let said =
            backs.iter().map(|back| (back.file.clone(), back.words.clone(), back.done.clone(), back.saves));
        said.collect()
    };
    said(one) == said(other)
}

/// What is said where nothing was ever changed, or everything is as it was again.
pub fn nothing(data_dir: &Path, wanted: &[Client]) -> String {
    let what = if wanted.is_empty() { "no change" } else { "no change for these" };
    format!("Nothing to undo: {what} is recorded in {}.", data_dir.display())
}
