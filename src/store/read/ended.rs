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
        self.ended_to(which, i64::MAX, rows_max)
    }

    /// The call with this id, if it has ended and is one of them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ended_call(&self, which: &Ended<'_>, id: CallId) -> rusqlite::Result<Option<CallRow>> {
        Ok(self.ended_to(&Ended { from: id, ..*which }, id.number(), 1)?.pop())
    }

    fn ended_to(&self, which: &Ended<'_>, to: i64, rows_max: u32) -> rusqlite::Result<Vec<CallRow>> {
        let Ended { from, failed, server, session } = which;
        self.all(sql::ENDED, &[&from.number(), failed, server, session, &rows_max, &to], |row| {
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

    /// The calls that run now, and those that ran when a bridge died.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_ids(&self) -> rusqlite::Result<Vec<CallId>> {
        let ids: Vec<i64> = self.all(sql::OPEN, &[], |row| row.get(0))?;
        Ok(ids.into_iter().filter_map(|id| CallId::given(id.unsigned_abs())).collect())
    }

    /// The names of all servers to which anything ever happened, sorted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn server_names(&self) -> rusqlite::Result<Vec<String>> {
        self.all(sql::SERVER_NAMES, &[], |row| row.get(0))
    }
}
