//! The calls that end, one after another, while the record grows.

use std::collections::HashSet;

use crate::store::ids::CallId;
use crate::store::read::Reader;
use crate::store::read::answers::CallRow;
use crate::store::read::ended::Ended;

/// A call that began so long ago and has no open row has its whole row by now, milliseconds.
const LATE_MS: i64 = 5_000;

/// So many calls are told of one look; of more, the newest.
const ROWS_MAX: u32 = 50_000;

/// Where somebody stands who follows them.
#[derive(Debug)]
pub struct Following {
    /// Whatever began before had ended at the last look, Unix milliseconds.
    from_ms: i64,
    /// Of the others, those that are told already.
    told: HashSet<i64>,
}

impl Following {
    /// From a time on, Unix milliseconds; the first look finds what ended in the seconds before, too.
    #[must_use]
    pub fn from(now_ms: i64) -> Self {
        Self { from_ms: now_ms - LATE_MS, told: HashSet::new() }
    }

    /// The calls of this kind that ended since the last look, the oldest first.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn next(&mut self, reader: &Reader, which: Ended<'_>, now_ms: i64) -> rusqlite::Result<Vec<CallRow>> {
        // Before the calls: what begins between the two is found by the next look.
        let open = reader.oldest_open()?;
        let mut rows = reader.ended(&Ended { from: CallId::first_at(self.from_ms), ..which }, ROWS_MAX)?;
        self.from_ms = open.unwrap_or(now_ms).min(now_ms - LATE_MS);
        let from = CallId::first_at(self.from_ms).number();
        let later = rows.iter().map(|row| row.id).filter(|id| *id >= from).collect();
        let told = std::mem::replace(&mut self.told, later);
        rows.retain(|row| !told.contains(&row.id));
        rows.reverse();
        Ok(rows)
    }
}
