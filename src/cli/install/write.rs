//! Does what was planned: a copy beside each file, a line in the record, and then the file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::install::plan::{Change, Outlook, Plan};
use crate::cli::install::record::{Copy, Edit, Record, print};
use crate::cli::words;
use crate::files;
use crate::paths::Paths;

/// Writes the bridge's configuration, and then the clients' files: until a server is there it stays where it was.
/// Gives the names of the clients whose files were written; one that fails does not keep the others from it.
///
/// # Errors
/// When the record or the bridge's configuration cannot be written.
pub fn write(
    plan: Plan,
    paths: &Paths,
    out: &mut dyn Write,
) -> anyhow::Result<(Vec<&'static str>, Vec<String>)> {
    let mut record = Record::read(paths)?;
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    if let Some(own) = plan.own {
        let copy = apply(&own, &mut record, paths)?;
        told(&own, copy, out)?;
    }
    for part in plan.parts {
        let Outlook::Change(change) = part.outlook else { continue };
        match apply(&change, &mut record, paths) {
            Ok(copy) => {
                told(&change, copy, out)?;
                written.push(part.client.title());
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    Ok((written, failed))
}

fn told(change: &Change, copy: Option<PathBuf>, out: &mut dyn Write) -> anyhow::Result<()> {
    let copy = copy.map(|copy| format!("\n  as it was: {}", copy.display())).unwrap_or_default();
    words::say(out, &format!("wrote {}{copy}", change.found.path.display()))
}

/// Changes one file. What it was before is noted first: whatever happens then can be taken back.
fn apply(change: &Change, record: &mut Record, paths: &Paths) -> anyhow::Result<Option<PathBuf>> {
    let Change { found, bytes, what, .. } = change;
    let file = &found.path;
    anyhow::ensure!(
        files::is_still(found),
        "{} was changed at this moment and stays as it is: run this again",
        file.display()
    );
    let (earlier, after) = (record.clone(), print(bytes));
    let mut copy = None;
    if record.is_ours(file, found.bytes.as_deref()) {
        record.go_on(file, after, what.clone());
    } else {
        let before = found.bytes.as_deref().map(|bytes| keep(found, bytes)).transpose()?;
        copy = before.as_ref().map(|before| before.path.clone());
        let edit =
            Edit { file: file.clone(), before, after: vec![after], folders: vec![], what: what.clone() };
        record.edits.push(edit);
    }
    let done = record.write(paths).and_then(|()| {
        files::replace(found, bytes).with_context(|| format!("{} cannot be written", file.display()))
    });
    match done {
        Ok(folders) => {
            if let Some(edit) = record.edits.last_mut().filter(|_| !folders.is_empty()) {
                edit.folders = folders;
                record.write(paths)?;
            }
            Ok(copy)
        }
        Err(error) => {
            if let Some(copy) = copy {
                let _ = std::fs::remove_file(copy);
            }
            *record = earlier;
            record.write(paths)?;
            Err(error)
        }
    }
}

fn keep(found: &files::Found, bytes: &[u8]) -> anyhow::Result<Copy> {
    let path = files::keep_copy(found)
        .with_context(|| format!("{} stays as it is: no copy can be kept beside it", found.path.display()))?;
    Ok(Copy { path, print: print(bytes) })
}
