//! What the writing thread does off everybody's path: checkpoints, and removal of old rows.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::ids::CallId;
use crate::store::writer::{Patience, Writer};
use crate::store::{place, sql, stamp};

/// Rows that one step of the retention removes: a millisecond or two.
pub(super) const STEP_ROWS: i64 = 500;
const DAY_MS: i64 = 86_400_000;

/// A second connection that folds the write-ahead log back into the database, so that the writing
/// one never has to.
#[derive(Debug)]
pub(super) struct Checkpointer(Connection);

impl Checkpointer {
    pub fn open(data_dir: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(place::database(data_dir), flags)?;
        conn.busy_timeout(Duration::ZERO)?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self(conn))
    }

    /// Copies what was in the log when it began, and holds up nobody. Says whether that was everything.
    pub fn copy(&self) -> rusqlite::Result<bool> {
        self.0.query_row(sql::CHECKPOINT, [], |row| {
            let (busy, pages, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(busy == 0 && pages == copied)
        })
    }
}

/// Copies the rest of the log while nobody may write, and makes it begin anew. That waits for the disk:
/// better here than in the first call that comes after. A page is written that changes nothing.
pub(super) fn begin_log_anew(writer: &mut Writer, checkpointer: &Checkpointer) -> rusqlite::Result<()> {
    if !writer.transaction(Patience::Little, |_| checkpointer.copy())? {
        // Somebody reads an old state at length; the next checkpoint gets further.
        return Ok(());
    }
    writer.transaction(Patience::Little, |writer| {
        let conn = writer.conn();
        let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        conn.pragma_update(None, "user_version", version)
    })
}

/// Removes at most [`STEP_ROWS`] calls, and as many events, that are older than `days`. Says whether
/// there may be more.
pub(super) fn remove_old(writer: &mut Writer, days: u32, now_ms: i64) -> rusqlite::Result<bool> {
    let before_ms = now_ms - i64::from(days) * DAY_MS;
    writer.transaction(Patience::Little, |writer| {
        let calls = (CallId::first_at(before_ms).number(), STEP_ROWS);
        let calls = writer.conn().prepare_cached(sql::CALLS_OLD)?.execute(calls)?;
        let events = (stamp::text(before_ms), STEP_ROWS);
        let events = writer.conn().prepare_cached(sql::EVENTS_OLD)?.execute(events)?;
        Ok(calls + events > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;
    use crate::store::rows::{CatalogRow, Job};

    #[test]
    fn after_a_whole_checkpoint_the_log_begins_anew_and_does_not_grow() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Durability::Process, false).unwrap();
        let write = |writer: &mut Writer| {
            let tools = "x".repeat(1 << 20);
            let (key, server) = (String::from("k"), String::from("s"));
            let row = CatalogRow { key, server, tools, ..CatalogRow::default() };
            writer.commit(&[Job::Catalog(row)], Patience::Full).unwrap();
            writer.log_bytes()
        };
        let before = write(&mut writer);
        let checkpointer = Checkpointer::open(dir.path()).unwrap();
        begin_log_anew(&mut writer, &checkpointer).unwrap();
        assert_eq!(write(&mut writer), before);
    }
}
