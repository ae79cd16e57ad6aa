//! What a transaction adds to sessions and totals: gathered in memory, written once per key.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, Statement};

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
        for (key, totals) in std::mem::take(&mut self.totals) {
            if !self.add_in_one(conn, stamps, &key, &totals)? {
                let mut statement = conn.prepare_cached(sql::TOTALS_ADD)?;
                let next = self.bind(&mut statement, stamps, &key, &totals)?;
                for (place, number) in (next..).zip(totals.histogram.columns()) {
                    statement.raw_bind_parameter(place, int(*number))?;
                }
                statement.raw_execute()?;
            }
        }
        Ok(())
    }

    /// Adds totals whose durations fall into one column, if their row is there.
    fn add_in_one(
        &mut self,
        conn: &Connection,
        stamps: &mut Stamps,
        key: &Key,
        totals: &Totals,
    ) -> rusqlite::Result<bool> {
        let mut used = totals.histogram.columns().iter().zip(sql::TOTALS_IN).filter(|(count, _)| **count > 0);
        let (Some((count, sql)), None) = (used.next(), used.next()) else { return Ok(false) };
        let mut statement = conn.prepare_cached(sql)?;
        let next = self.bind(&mut statement, stamps, key, totals)?;
        statement.raw_bind_parameter(next, int(*count))?;
        Ok(statement.raw_execute()? > 0)
    }

    /// Binds what both statements begin with; gives the next parameter's place.
    fn bind(
        &mut self,
        statement: &mut Statement<'_>,
        stamps: &mut Stamps,
        (hour, server, tool): &Key,
        totals: &Totals,
    ) -> rusqlite::Result<usize> {
        statement.raw_bind_parameter(1, self.hour.text(hour * HOUR_MS))?;
        statement.raw_bind_parameter(2, &**server)?;
        statement.raw_bind_parameter(3, &**tool)?;
        statement.raw_bind_parameter(4, stamps.text(totals.last_used_ms))?;
        let sums = [totals.calls, totals.errors, totals.cancelled, totals.duration_us];
        let bytes = [totals.request_bytes, totals.response_bytes];
        let mut next = 5;
        for number in sums.iter().chain(&bytes) {
            statement.raw_bind_parameter(next, int(*number))?;
            next += 1;
        }
        Ok(next)
    }
}

/// A count as SQLite holds it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
