//! How the record is: looked at without changing anything, not even beside it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::{migrate, place};

/// What was seen of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    /// The database.
    pub path: PathBuf,
    /// Its size, bytes.
    pub bytes: u64,
    /// The size of what is written and not yet a part of it (`bridge.db-wal`), bytes.
    pub wal_bytes: u64,
    /// Its schema, if that could be read.
    pub schema: Option<i64>,
    /// The schema of this program.
    pub known: i64,
    /// Whether it is sound.
    pub verdict: Verdict,
}

/// Whether the record is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none yet.
    Missing,
    /// All of it was read.
    Sound,
    /// What was read within the time is sound.
    Unfinished,
    /// It is no database, or a damaged one.
    Damaged(String),
    /// It cannot be read.
    Unreadable(String),
}

/// Looks at the record of a data folder, and for so long through its pages.
#[must_use]
pub fn look(data_dir: &Path, patience: Duration) -> Checkup {
    look_while(data_dir, patience, || {})
}

/// The same, while something happens to the record.
fn look_while(data_dir: &Path, patience: Duration, meanwhile: impl FnOnce()) -> Checkup {
    let path = place::database(data_dir);
    let [_, wal, _] = place::files(data_dir);
    let size = |path: &Path| std::fs::metadata(path).map(|found| found.len());
    let mut checkup = Checkup {
        bytes: size(&path).unwrap_or_default(),
        wal_bytes: size(&wal).unwrap_or_default(),
        schema: None,
        known: migrate::known(),
        verdict: Verdict::Missing,
        path,
    };
    let mut seen = || judge(&mut checkup, data_dir, patience).unwrap_or_else(|error| judged(&error));
    let before = state(data_dir);
    let verdict = match std::fs::metadata(place::database(data_dir)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Verdict::Missing,
        Err(error) => Verdict::Unreadable(error.to_string()),
        Ok(_) => seen(),
    };
    meanwhile();
    checkup.verdict = match verdict {
        // A bridge that started meanwhile has written pages of it between those that were read.
        Verdict::Damaged(_) if !before.0 && state(data_dir) != before => seen(),
        verdict => verdict,
    };
    checkup
}

/// Whether somebody has the record open, its size in bytes, and when it was written last.
fn state(data_dir: &Path) -> (bool, Option<(u64, Option<SystemTime>)>) {
    let [path, wal, _] = place::files(data_dir);
    let found = std::fs::metadata(path).ok();
    (wal.exists(), found.map(|found| (found.len(), found.modified().ok())))
}

fn judge(checkup: &mut Checkup, data_dir: &Path, patience: Duration) -> rusqlite::Result<Verdict> {
    let conn = connect(data_dir)?;
    checkup.schema = Some(conn.pragma_query_value(None, "user_version", |row| row.get(0))?);
    let handle = conn.get_interrupt_handle();
    let (done, waits) = sync_channel::<()>(1);
    std::thread::spawn(move || {
        if waits.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            handle.interrupt();
        }
    });
    let verdict: rusqlite::Result<String> = conn.pragma_query_value(None, "quick_check", |row| row.get(0));
    drop(done);
    Ok(match verdict?.as_str() {
        "ok" => Verdict::Sound,
        damage => Verdict::Damaged(damage.to_owned()),
    })
}

fn judged(error: &rusqlite::Error) -> Verdict {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Verdict::Unfinished,
        _ if migrate::is_damage(error) => Verdict::Damaged(error.to_string()),
        _ => Verdict::Unreadable(error.to_string()),
    }
}

/// A connection that leaves no file behind. Where nobody has the record open it is read as one that nobody
/// changes, else SQLite would put its own two files beside it.
pub(super) fn connect(data_dir: &Path) -> rusqlite::Result<Connection> {
    let [path, wal, _] = place::files(data_dir);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match path.to_str().filter(|_| !wal.exists()) {
        Some(path) => Connection::open_with_flags(untouched(path), flags | OpenFlags::SQLITE_OPEN_URI),
        None => Connection::open_with_flags(&path, flags),
    }?;
    conn.busy_timeout(Duration::from_millis(500))?;
    Ok(conn)
}

/// The address of a file that nobody changes.
fn untouched(path: &str) -> String {
    let path = if cfg!(windows) { format!("/{}", path.replace('\\', "/")) } else { path.to_owned() };
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A data folder with a record that nobody has open, in an odd place.
    fn made() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("50% odd? #1");
        drop(migrate::open(&folder, false).unwrap());
        (dir, folder)
    }

    #[test]
    fn a_sound_record_is_looked_at_without_a_trace() {
        let (_dir, folder) = made();
        let before = names(&folder);
        let seen = look(&folder, LONG);
        assert_eq!((seen.verdict, seen.schema), (Verdict::Sound, Some(seen.known)));
        assert!(seen.bytes > 0);
        assert_eq!(names(&folder), before);
    }

    #[test]
    fn a_record_that_is_open_is_looked_at_with_what_is_not_yet_a_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let conn = migrate::open(dir.path(), false).unwrap();
        conn.execute_batch("CREATE TABLE more (x)").unwrap();
        let seen = look(dir.path(), LONG);
        assert_eq!(seen.verdict, Verdict::Sound);
        assert!(seen.wal_bytes > 0);
    }

    #[test]
    fn nothing_garbage_and_damage_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path(), LONG).verdict, Verdict::Missing);
        assert_eq!(names(dir.path()), Vec::<String>::new());
        std::fs::write(place::database(dir.path()), "x".repeat(10_000)).unwrap();
        assert!(matches!(look(dir.path(), LONG).verdict, Verdict::Damaged(_)));
        let (_dir, folder) = made();
        let mut bytes = std::fs::read(place::database(&folder)).unwrap();
        bytes.iter_mut().skip(4096).for_each(|byte| *byte = 0xAA);
        std::fs::write(place::database(&folder), bytes).unwrap();
        let seen = look(&folder, LONG);
        assert!(matches!(seen.verdict, Verdict::Damaged(_)), "{seen:?}");
        assert_eq!(seen.schema, Some(seen.known));
    }

    #[test]
    fn what_was_written_while_it_was_read_is_looked_at_once_more() {
        let (_dir, folder) = made();
        let file = place::database(&folder);
        let sound = std::fs::read(&file).unwrap();
        let mixed: Vec<u8> =
            sound.iter().enumerate().map(|(at, byte)| if at < 4096 { *byte } else { 0xAA }).collect();
        let mut open = None;
        for opens in [false, true] {
            std::fs::write(&file, &mixed).unwrap();
            let seen = look_while(&folder, LONG, || {
                std::fs::write(&file, &sound).unwrap();
                let later = SystemTime::now() + Duration::from_secs(60);
                std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
                open = opens.then(|| migrate::open(&folder, false).unwrap());
            });
            assert_eq!(seen.verdict, Verdict::Sound);
        }
        drop(open);
        std::fs::write(&file, &mixed).unwrap();
        assert!(matches!(look(&folder, LONG).verdict, Verdict::Damaged(_)));
    }

    #[test]
    fn a_big_record_is_looked_at_no_longer_than_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let conn = migrate::open(dir.path(), false).unwrap();
        conn.execute_batch(
            "CREATE TABLE big AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000)
             SELECT x, hex(randomblob(20)) AS y FROM n; CREATE INDEX by_y ON big (y);",
        )
        .unwrap();
        // An interrupt that comes before there is something to interrupt is none.
        let mut looks = std::iter::repeat_with(|| look(dir.path(), Duration::ZERO).verdict).take(50);
        assert!(looks.any(|verdict| verdict == Verdict::Unfinished));
    }

    #[test]
    fn a_newer_schema_is_told() {
        let (_dir, folder) = made();
        let conn = Connection::open(place::database(&folder)).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        drop(conn);
        assert_eq!(look(&folder, LONG).schema, Some(99));
    }
}
