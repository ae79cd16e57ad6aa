//! Opens the database: makes it, brings it to today's schema, moves a broken one aside.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

use crate::store::{place, stamp};

/// The schema's history. A shipped step is never edited; a new one becomes a file in `schema/`.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../schema.sql")),
    M::up(include_str!("../../schema/2.sql")),
    M::up(include_str!("../../schema/3.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// Half of SQLite's own choice: measured, a commit is a tenth quicker and a checkpoint half as long.
const PAGE_BYTES: u32 = 2048;

/// How often, and how long in all (2 s), one bridge waits for another that opens the same file.
const GATE_TRIES: u32 = 200;
const GATE_STEP: Duration = Duration::from_millis(10);

/// Why the record cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file cannot be made or written.
    #[error("the record at {path} cannot be written: {source}")]
    Place {
        /// The database's path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody can say whether there is a file.
    #[error("there is no way to a record at {path}: {source}")]
    Unreachable {
        /// The database's path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A later version of the program wrote the file.
    #[error(
        "the record at {path} has schema {found}, this version of bridge knows {known}: use the newer one"
    )]
    Newer {
        /// The database's path.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// The last schema of this program.
        known: i64,
    },
    /// SQLite cannot work with the file.
    #[error("the record at {path} cannot be opened: {source}")]
    Sqlite {
        /// The database's path.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A step to today's schema failed.
    #[error("the record at {path} cannot be brought to today's schema: {source}")]
    Migration {
        /// The database's path.
        path: PathBuf,
        /// What failed.
        source: rusqlite_migration::Error,
    },
}

/// Opens the database for writing. A file that is no database, or a damaged one, is moved aside as
/// `bridge.db.corrupt-<time>` and a new one made. `suspect`: a write said that the file is damaged,
/// so look through all of it.
///
/// # Errors
/// When it cannot be made, read or brought to today's schema.
pub fn open(data_dir: &Path, suspect: bool) -> Result<Connection, OpenError> {
    let path = place::database(data_dir);
    let place = |source| OpenError::Place { path: path.clone(), source };
    place::make_folder(data_dir).map_err(place)?;
    // One bridge at a time makes, migrates or moves the file.
    let _gate = gate(data_dir);
    place::make_database(data_dir).map_err(place)?;
    match open_here(&path, suspect) {
        Err(OpenError::Sqlite { source, .. }) if is_damage(&source) => {
            move_aside(data_dir, &source).map_err(place)?;
            place::make_database(data_dir).map_err(place)?;
            open_here(&path, false)
        }
        opened => opened,
    }
}

/// Refuses a file of a later program.
///
/// # Errors
/// When it is one, or its version cannot be read.
pub fn refuse_newer(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.into(), source };
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
    let known = known();
    if found > known { Err(OpenError::Newer { path: path.into(), found, known }) } else { Ok(()) }
}

/// The schema of this program.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Whether the error says that the file itself is bad.
#[must_use]
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn open_here(path: &Path, suspect: bool) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.into(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    conn.busy_timeout(Duration::from_secs(5)).map_err(sqlite)?;
    refuse_newer(&conn, path)?;
    if suspect {
        check_whole(&conn).map_err(sqlite)?;
    }
    // A commit writes whole pages, three of them for one call. Only a new file takes the size.
    conn.pragma_update(None, "page_size", PAGE_BYTES).map_err(sqlite)?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
    conn.set_transaction_behavior(TransactionBehavior::Immediate);
    MIGRATIONS.to_latest(&mut conn).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } if is_damage(&err) => sqlite(err),
        source => OpenError::Migration { path: path.into(), source },
    })?;
    Ok(conn)
}

/// Reads every page. Takes seconds on a big file, which only one under suspicion is worth.
fn check_whole(conn: &Connection) -> rusqlite::Result<()> {
    let verdict: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(damage, Some(verdict)))
}

fn move_aside(data_dir: &Path, why: &rusqlite::Error) -> io::Result<()> {
    let time: String = stamp::text(stamp::now_ms()).chars().filter(|&c| c != ':').collect();
    for (path, tail) in place::files(data_dir).iter().zip(["", "-wal", "-shm"]) {
        let aside = data_dir.join(format!("bridge.db.corrupt-{time}{tail}"));
        match fs::rename(path, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    tracing::error!(error = %why, data_dir = %data_dir.display(), time, "corrupt record moved aside");
    Ok(())
}

/// Holds other bridges back. Without it (no locks on this file system, or a bridge that was stopped
/// while it held it) two first starts may meet; the loser's error is then retried like any other.
fn gate(data_dir: &Path) -> Option<File> {
    let folder = place::locks(data_dir);
    place::make_folder(&folder).ok()?;
    let mut options = OpenOptions::new();
    let file = place::private(options.create(true).append(true)).open(folder.join("open.gate")).ok()?;
    for _ in 0..GATE_TRIES {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(GATE_STEP),
            _ => return Some(file),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema_of(conn: &Connection) -> Vec<(String, String)> {
        let mut statement =
            conn.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn the_steps_that_people_read_make_what_a_new_file_and_a_migrated_one_hold() {
        let today = Connection::open_in_memory().unwrap();
        today.execute_batch(include_str!("../../schema.sql")).unwrap();
        today.execute_batch(include_str!("../../schema/2.sql")).unwrap();
        today.execute_batch(include_str!("../../schema/3.sql")).unwrap();
        let new = tempfile::tempdir().unwrap();
        assert_eq!(schema_of(&open(new.path(), false).unwrap()), schema_of(&today));
        for version in [1, 2] {
            let old = tempfile::tempdir().unwrap();
            let mut file = Connection::open(place::database(old.path())).unwrap();
            MIGRATIONS.to_version(&mut file, version).unwrap();
            assert_eq!(schema_of(&open(old.path(), false).unwrap()), schema_of(&today));
        }
        MIGRATIONS.validate().unwrap();
    }

    #[test]
    fn the_first_steps_stay_as_they_were_shipped() {
        use sha2::{Digest as _, Sha256};
        for (step, shipped) in [
            (
                include_str!("../../schema.sql"),
                "519f84095d7e7b86549ce2377756bb438f7cf8f7c6c2a39f5ae8f80aa32a1ea0",
            ),
            (
                include_str!("../../schema/2.sql"),
                "a87dc6098c337bb7689eb633bf40de72560a615a2493eb6bd1010f8d6b7745e2",
            ),
        ] {
            let hash = Sha256::digest(step);
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, shipped);
        }
    }

    #[test]
    fn a_file_newer_than_the_program_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), false).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open(dir.path(), false).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 99, known: 3, .. }), "{error}");
        assert!(place::database(dir.path()).exists());
    }

    #[test]
    fn a_file_that_is_no_database_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(place::database(dir.path()), "x".repeat(10_000)).unwrap();
        open(dir.path(), false).unwrap();
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("bridge.db.corrupt-2")));
    }

    #[test]
    fn a_damaged_file_under_suspicion_is_moved_aside_and_a_sound_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), false).unwrap());
        drop(open(dir.path(), true).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the database and the locks");
        let mut bytes = fs::read(place::database(dir.path())).unwrap();
        bytes.iter_mut().skip(2048).for_each(|byte| *byte = 0xAA);
        fs::write(place::database(dir.path()), bytes).unwrap();
        open(dir.path(), true).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_refused_and_files_are_private() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let conn = open(&folder, false).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for path in place::files(&folder) {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        drop(conn);
        fs::rename(place::database(&folder), dir.path().join("elsewhere.db")).unwrap();
        symlink(dir.path().join("elsewhere.db"), place::database(&folder)).unwrap();
        let error = open(&folder, false).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
    }
}
