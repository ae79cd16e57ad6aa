//! Calls that have ended, by their ids: for whoever follows the record while it grows.

use crate::store::ids::CallId;
use crate::store::read::answers::CallRow;
use crate::store::read::{Reader, sql};
use crate::store::stamp;

/// Which calls that have ended are meant.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Those with this id or a later one.
    pub from: CallId,
    /// Only those that failed; a call that its client took back did not.
    pub failed: bool,
    /// Only those of this server; an empty name stands for the bridge's own tools.
    pub server: Option<&'a str>,
    /// Only those of sessions whose ids begin like this.
    pub session: Option<&'a str>,
}

impl Reader {
    /// The newest of them, so many at most, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ended(&self, which: &Ended<'_>, rows_max: u32) -> rusqlite::Result<Vec<CallRow>> {
        let Ended { from, failed, server, session } = which;
        self.all(sql::ENDED, &[&from.number(), failed, server, session, &rows_max], |row| {
            Ok(CallRow {
                id: row.get(0)?,
                session: row.get(1)?,
                server: row.get(2)?,
                tool: row.get(3)?,
                started_at_ms: row.get(4).map(|text: String| stamp::parse(&text).unwrap_or(0))?,
                duration_us: row.get::<_, Option<i64>>(5)?.map(i64::unsigned_abs),
                outcome: row.get(6)?,
                error_kind: row.get(7)?,
            })
        })
    }

    /// When the oldest of the calls began that run now, Unix milliseconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn oldest_open(&self) -> rusqlite::Result<Option<i64>> {
        let id: Option<i64> = self.0.query_row(sql::OLDEST_OPEN, [], |row| row.get(0))?;
        Ok(id.and_then(|id| CallId::parse(&id.to_string())).map(CallId::started_at_ms))
    }

    /// The names of all servers to which anything ever happened, sorted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn server_names(&self) -> rusqlite::Result<Vec<String>> {
        self.all(sql::SERVER_NAMES, &[], |row| row.get(0))
    }
}
