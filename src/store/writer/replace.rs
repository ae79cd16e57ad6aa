//! A call that ended twice: its first answer died with a hub on the way to its client, and what the client is
//! told in the end counts.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use crate::outcome::Outcome;
use crate::store::rows::CallFinished;
use crate::store::sql;
use crate::store::stamp::{self, HOUR_MS};
use crate::store::tally::int;
use crate::store::totals::{Ended, Totals};
use crate::store::writer::Writer;

/// How a call ended first.
struct First {
    server: Option<Arc<str>>,
    tool: Arc<str>,
    ended: Ended,
}

impl Writer {
    /// Replaces the end of a call, and takes the first one out of the totals; false when the call has not
    /// ended in this session, or ended just so.
    pub(super) fn replace(&mut self, call: &CallFinished) -> rusqlite::Result<bool> {
        let Some(first) = self.first(call)? else { return Ok(false) };
        let is_same = first.ended.outcome == call.outcome
            && first.ended.duration_us == Some(call.duration_us)
            && first.ended.response_bytes == call.response_bytes;
        if is_same {
            return Ok(false);
        }
        // The first end may be of this very transaction, and is then in no row of the totals yet.
        self.tally.write(&self.conn, &mut self.stamps)?;
        self.take_back(call, &first)?;
        self.conn.prepare_cached(sql::CALL_REPLACED)?.execute(params![
            call.begun.call.number(),
            call.begun.server.as_deref(),
            &*call.begun.tool,
            int(call.duration_us),
            call.outcome.word(),
            call.error_kind,
            (call.response_bytes > 0).then(|| int(call.response_bytes)),
        ])?;
        Ok(true)
    }

    fn first(&self, call: &CallFinished) -> rusqlite::Result<Option<First>> {
        let mut statement = self.conn.prepare_cached(sql::CALL_ENDED)?;
        let key = (call.begun.call.number(), call.begun.session.to_string());
        let first = statement.query_row(key, |row| {
            let count = |place| row.get::<_, Option<i64>>(place).map(|count| count.map(i64::unsigned_abs));
            let (started_at, outcome): (String, String) = (row.get(2)?, row.get(4)?);
            let ended = Ended {
                started_at_ms: stamp::parse(&started_at).unwrap_or(call.begun.started_at_ms),
                duration_us: count(3)?,
                outcome: Outcome::parse(&outcome).unwrap_or(Outcome::OutcomeUnknown),
                request_bytes: count(5)?.unwrap_or(0),
                response_bytes: count(6)?.unwrap_or(0),
            };
            Ok(First { server: row.get(0)?, tool: row.get(1)?, ended })
        });
        first.optional()
    }

    /// The totals without the first end. Its row of them is there: it was written with the call's.
    fn take_back(&mut self, call: &CallFinished, first: &First) -> rusqlite::Result<()> {
        let mut totals = Totals::default();
        totals.add(first.ended);
        let mut columns = totals.histogram.columns().iter().zip(sql::TOTALS_IN);
        // Without a duration no column counted it, and nothing is taken from the first one.
        let (count, statement) = columns.find(|(count, _)| **count > 0).unwrap_or((&0, sql::TOTALS_IN[0]));
        let started_at_ms = first.ended.started_at_ms;
        let less = |number: u64| -int(number);
        self.conn.prepare_cached(statement)?.execute(params![
            stamp::text(started_at_ms.div_euclid(HOUR_MS) * HOUR_MS),
            first.server.as_deref().unwrap_or_default(),
            &*first.tool,
            stamp::text(started_at_ms),
            less(totals.calls),
            less(totals.errors),
            less(totals.cancelled),
            less(totals.duration_us),
            less(totals.request_bytes),
            less(totals.response_bytes),
            less(*count),
        ])?;
        let session = call.begun.session.to_string();
        self.conn.prepare_cached(sql::SESSION_ACTIVE)?.execute((session, -1, stamp::text(started_at_ms)))?;
        Ok(())
    }
}
