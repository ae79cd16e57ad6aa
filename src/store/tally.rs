//! What a transaction adds to sessions and totals: gathered in memory, written once per key.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use crate::store::ids::SessionId;
use crate::store::sql;
use crate::store::stamp::{HOUR_MS, Stamps};
use crate::store::totals::{Ended, Totals};

/// Everything that one transaction adds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    totals: BTreeMap<Key, Totals>,
    sessions: BTreeMap<SessionId, Active>,
    /// The id that was last asked for, as text: mostly one session writes.
    session: Option<(SessionId, String)>,
    hour: Stamps,
}

/// Hour since 1970, server (empty for the bridge's own tools), tool.
type Key = (i64, Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Active {
    calls: i64,
    last_ms: i64,
}

impl Tally {
    pub fn clear(&mut self) {
        self.totals.clear();
        self.sessions.clear();
    }

    /// Counts a call that ended.
    pub fn add(&mut self, session: SessionId, server: Option<&Arc<str>>, tool: &Arc<str>, call: Ended) {
        let active = self.sessions.entry(session).or_default();
        active.calls += 1;
        let ended_ms = call.started_at_ms + int(call.duration_us.unwrap_or(0)) / 1000;
        active.last_ms = active.last_ms.max(ended_ms);
        let server = server.map_or_else(|| Arc::from(""), Arc::clone);
        let key = (call.started_at_ms.div_euclid(HOUR_MS), server, Arc::clone(tool));
        self.totals.entry(key).or_default().add(call);
    }

    /// The session's id as its rows hold it.
    pub fn session_text(&mut self, id: SessionId) -> &str {
        let known = self.session.take().filter(|(known, _)| *known == id);
        let (_, text) = self.session.insert(known.unwrap_or_else(|| (id, id.to_string())));
        text
    }

    /// Adds everything to the rows.
    pub fn write(&mut self, conn: &Connection, stamps: &mut Stamps) -> rusqlite::Result<()> {
        for (id, active) in std::mem::take(&mut self.sessions) {
            let mut statement = conn.prepare_cached(sql::SESSION_ACTIVE)?;
            statement.execute((self.session_text(id), active.calls, stamps.text(active.last_ms)))?;
        }
        for ((hour, server, tool), totals) in std::mem::take(&mut self.totals) {
            let mut statement = conn.prepare_cached(sql::TOTALS_ADD)?;
            statement.raw_bind_parameter(1, self.hour.text(hour * HOUR_MS))?;
            statement.raw_bind_parameter(2, &*server)?;
            statement.raw_bind_parameter(3, &*tool)?;
            statement.raw_bind_parameter(4, stamps.text(totals.last_used_ms))?;
            let sums = [totals.calls, totals.errors, totals.cancelled, totals.duration_us];
            let bytes = [totals.request_bytes, totals.response_bytes];
            let numbers = sums.iter().chain(&bytes).chain(totals.histogram.columns());
            for (place, number) in (5..).zip(numbers) {
                statement.raw_bind_parameter(place, int(*number))?;
            }
            statement.raw_execute()?;
        }
        Ok(())
    }
}

/// A count as SQLite holds it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
