//! The data folder and the record in it.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::cli::doctor::disk;
use crate::cli::doctor::finding::Finding;
use crate::local::Hall;
use crate::store::checkup::{Checkup, Verdict};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Less than this is free: the record may stop, …
const FREE_LITTLE: u64 = 500 * MIB;
/// … and now it soon does.
const FREE_NONE: u64 = 50 * MIB;

/// SQLite writes its log back into the record at about 4 MiB, if no reader keeps it from that.
const WAL_LONG: u64 = 64 * MIB;

/// A record of more than this is slow to look through.
const RECORD_BIG: u64 = 4 * GIB;

/// What stands at a folder's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing; whether it can be made.
    Missing(bool),
    /// A symbolic link.
    Link,
    /// Something else than a folder.
    Other,
    /// A folder.
    Folder {
        /// Whether it is this user's own.
        is_ours: bool,
        /// Whether others may look into it.
        is_open: bool,
        /// Whether this user may write into it.
        is_writable: bool,
    },
    /// Nobody can say.
    Unreachable,
}

/// What is to be said of a data folder; its record was looked at already.
pub fn look(folder: &Path, checkup: &Checkup) -> Vec<Finding> {
    let place = place(folder);
    let mut findings = vec![of_folder(folder, place)];
    if matches!(place, Place::Missing(_) | Place::Folder { .. }) {
        // A folder that is not there yet will stand on its parents' disk.
        let on_disk = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
        findings.extend(disk::free_bytes(on_disk).map(|free| of_disk(free, on_disk)));
        findings.extend(disk::network(on_disk).map(|name| of_network(name, folder)));
    }
    if matches!(place, Place::Folder { .. }) {
        findings.extend(of_record(checkup));
        findings.extend(of_locks(folder));
        findings.extend(of_aside(folder));
        let hall = Hall::of(folder);
        findings.extend(of_hall(hall.path(), self::place(hall.path())));
        findings.extend(of_file(&checkup.path));
    }
    findings
}

fn place(folder: &Path) -> Place {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = folder.ancestors().skip(1).find(|folder| folder.exists());
            Place::Missing(parent.is_some_and(is_writable))
        }
        Err(_) => Place::Unreachable,
        Ok(found) if found.is_symlink() => Place::Link,
        Ok(found) if !found.is_dir() => Place::Other,
        Ok(found) => {
            let (is_ours, is_open) = owned(&found);
            Place::Folder { is_ours, is_open, is_writable: is_writable(folder) }
        }
    }
}

/// Whether something is this user's, and not everybody's; whether others may look into it.
#[cfg(unix)]
fn owned(found: &std::fs::Metadata) -> (bool, bool) {
    use std::os::unix::fs::MetadataExt;
    const STICKY: u32 = 0o1000;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & STICKY == 0;
    (is_ours, found.mode() & 0o077 != 0)
}

/// Elsewhere a user's own folders are private by what they inherit.
#[cfg(not(unix))]
fn owned(_found: &std::fs::Metadata) -> (bool, bool) {
    (true, false)
}

/// By its mode, which holds for an administrator too: it says what was meant.
#[cfg(unix)]
fn is_writable(folder: &Path) -> bool {
    use rustix::fs::Access;
    let is_meant = folder.metadata().is_ok_and(|found| !found.permissions().readonly());
    is_meant && rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Elsewhere the attribute says nothing of what is in a folder.
#[cfg(not(unix))]
fn is_writable(_folder: &Path) -> bool {
    true
}

fn of_folder(folder: &Path, place: Place) -> Finding {
    let name = folder.display().to_string();
    let another = "name another folder with --data-dir or BRIDGE_DATA_DIR";
    let error = |check, message: &str, advice: &str| Finding::error(check, name.as_str(), message, advice);
    match place {
        Place::Missing(true) => {
            Finding::well("data.folder", name, "is not there yet; the first start makes it")
        }
        Place::Missing(false) => error("data.folder", "is not there, and cannot be made", another),
        Place::Link => {
            error("data.folder", "is a symbolic link", "name the folder that it points to (--data-dir)")
        }
        Place::Other => error("data.folder", "is not a folder", another),
        Place::Unreachable => error("data.folder", "cannot be reached", another),
        Place::Folder { is_ours: false, .. } => error("data.owner", "is not this user's own folder", another),
        Place::Folder { is_writable: false, .. } => {
            let advice = format!("chmod u+rwx {name}; {another} where the whole disk is read-only");
            error("data.writable", "cannot be written, so that nothing is recorded", &advice)
        }
        Place::Folder { is_open: true, .. } => {
            let advice = format!("chmod 700 {name} (the next start does it, too)");
            Finding::warning("data.mode", name, "others may look into it", advice)
        }
        Place::Folder { .. } => Finding::well("data.folder", name, "is there, and this user's alone"),
    }
}

/// The folder of the sockets; one that is not there will be made.
fn of_hall(hall: &Path, place: Place) -> Option<Finding> {
    let name = hall.display().to_string();
    let advice = format!("remove it: rm -r {name}");
    match place {
        Place::Missing(_) => None,
        Place::Folder { is_ours: true, is_open: false, is_writable: true } => None,
        Place::Folder { is_ours: true, is_writable: true, .. } => {
            let advice = format!("chmod 700 {name}");
            Some(Finding::warning(
                "data.sockets",
                name,
                "others may look into the folder of the sockets",
                advice,
            ))
        }
        _ => {
            let message = "no private folder for sockets can stand here, so that each client is served alone";
            Some(Finding::error("data.sockets", name, message, advice))
        }
    }
}

fn of_file(database: &Path) -> Option<Finding> {
    let file = database.symlink_metadata().ok()?;
    let name = database.display().to_string();
    if file.is_symlink() {
        let advice = "put the file itself in its place; bridges refuse a link";
        return Some(Finding::error("data.record", name, "is a symbolic link", advice));
    }
    let (_, is_open) = owned(&file);
    let advice = format!("chmod 600 {name} (the next start does it, too)");
    is_open.then(|| Finding::warning("data.mode", name, "others may read the record", advice))
}

fn of_disk(free: u64, folder: &Path) -> Finding {
    let name = folder.display().to_string();
    let message = format!("{} are free on its disk", size(free));
    let advice = "make room: without it nothing is recorded, and servers may fail";
    let finding = match free {
        ..FREE_NONE => Finding::error("data.disk", name, format!("only {message}"), advice),
        FREE_NONE..FREE_LITTLE => Finding::warning("data.disk", name, format!("only {message}"), advice),
        _ => Finding::well("data.disk", name, message),
    };
    finding.with("freeBytes", free)
}

fn of_network(kind: &str, folder: &Path) -> Finding {
    let message = format!("stands on a file system of another machine ({kind}), where locks may not hold");
    let advice = "name a folder of this machine with --data-dir or BRIDGE_DATA_DIR";
    Finding::warning("data.network", folder.display().to_string(), message, advice)
}

fn of_record(checkup: &Checkup) -> Vec<Finding> {
    let name = checkup.path.display().to_string();
    let verdict = match &checkup.verdict {
        Verdict::Missing => {
            Finding::well("data.record", name.as_str(), "is not there yet; the first session makes it")
        }
        Verdict::Sound => {
            Finding::well("data.record", name.as_str(), format!("{}, whole", size(checkup.bytes)))
        }
        Verdict::Unfinished => {
            let message = format!("{}; what could be read of it in this time is sound", size(checkup.bytes));
            Finding::well("data.record", name.as_str(), message)
        }
        Verdict::Damaged(what) => {
            let advice = "bridge stop, then move it away; the next start makes a new one";
            Finding::error("data.record", name.as_str(), format!("is damaged: {}", first_line(what)), advice)
        }
        Verdict::Unreadable(what) => {
            let advice = "see to it that this user may read and write it";
            Finding::error("data.record", name.as_str(), format!("cannot be read: {what}"), advice)
        }
    };
    let is_read = checkup.schema.is_some();
    let verdict = verdict.with("bytes", checkup.bytes).with("walBytes", checkup.wal_bytes);
    let verdict = verdict.with("schema", checkup.schema).with("schemaKnown", checkup.known);
    let mut findings = vec![verdict];
    findings.extend(
        checkup.schema.filter(|_| is_read).and_then(|schema| of_schema(&name, schema, checkup.known)),
    );
    if checkup.wal_bytes > WAL_LONG {
        let message =
            format!("{} beside it are not yet a part of it: a reader holds them up", size(checkup.wal_bytes));
        let advice =
            "end what reads the record (sqlite3, a backup), or let it be written back by bridge stop";
        findings.push(Finding::warning("data.wal", name.as_str(), message, advice));
    }
    if checkup.bytes > RECORD_BIG {
        let advice = "lower retention_days in [settings]";
        findings.push(Finding::note(
            "data.size",
            name,
            format!("has grown to {}", size(checkup.bytes)),
            advice,
        ));
    }
    findings
}

fn of_schema(name: &str, schema: i64, known: i64) -> Option<Finding> {
    if schema > known {
        let message =
            format!("has schema {schema}, this program knows {known}: a newer bridge has written it");
        return Some(Finding::error(
            "data.schema",
            name,
            message,
            "use the newer program (bridge upgrade PATH)",
        ));
    }
    let message = format!("has schema {schema}, this program has {known}");
    let advice = "nothing: the next bridge that is started from this program brings it up";
    (schema < known && schema > 0).then(|| Finding::note("data.schema", name, message, advice))
}

/// Whether files can be locked here: bridges tell by it who lives.
fn of_locks(folder: &Path) -> Option<Finding> {
    let gate = File::open(folder.join("locks").join("open.gate")).ok()?;
    let Err(TryLockError::Error(error)) = gate.try_lock_shared() else { return None };
    let message = format!("files cannot be locked here ({error}), so that nobody can tell who lives");
    let advice = "name a folder on a disk of this machine with --data-dir or BRIDGE_DATA_DIR";
    Some(Finding::error("data.locks", folder.display().to_string(), message, advice))
}

/// Damaged records that were moved aside.
fn of_aside(folder: &Path) -> Option<Finding> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("bridge.db.corrupt-"))
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    let last = names.last()?.clone();
    let message = match names.len() {
        1 => format!("a damaged record was moved aside: {last}"),
        many => format!("{many} damaged records were moved aside, the last as {last}"),
    };
    let advice = "look after the disk; remove what nobody needs";
    Some(Finding::note("data.aside", folder.display().to_string(), message, advice).with("files", names))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    let (unit, word) = match bytes {
        ..MIB => return format!("{} KiB", bytes.div_ceil(1 << 10)),
        MIB..GIB => (MIB, "MiB"),
        _ => (GIB, "GiB"),
    };
    format!("{}.{} {word}", bytes / unit, bytes % unit * 10 / unit)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
