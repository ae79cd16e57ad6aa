//! One job, one statement or two. Everything here runs inside a transaction.

use std::collections::HashSet;

use rusqlite::{OptionalExtension as _, params};

use crate::store::dead;
use crate::store::ids::{CallId, SessionId};
use crate::store::rows::{
    CallBegun, CallFinished, CatalogRow, ClientInfo, Job, PinRow, ServerEvent, SessionOpened,
};
use crate::store::sql;
use crate::store::stamp;
use crate::store::tally::int;
use crate::store::totals::Ended;
use crate::store::writer::Writer;
use crate::tools::pin::Pin;
use crate::version;

/// How often a colliding call id is drawn again. Two sessions meet once in a few million calls.
const REDRAWS: usize = 8;

impl Writer {
    /// Writes the rows, in their order.
    pub(super) fn write(&mut self, jobs: &[Job]) -> rusqlite::Result<()> {
        let ended = ended_in(jobs);
        for job in jobs {
            match job {
                Job::Begun(call) if ended.contains(&call.call) => {}
                Job::Begun(call) => self.begun(call)?,
                Job::Finished(call) => self.finished(call)?,
                Job::Opened(session) => self.opened(session)?,
                Job::Renewed { id, client, at_ms } => self.renewed(*id, client, *at_ms)?,
                Job::Closed { id, reason, at_ms } => self.closed(*id, reason, *at_ms)?,
                Job::Lost(front) => dead::close_lost(&self.conn, &mut self.tally, *front)?,
                Job::Event(event) => self.event(event)?,
                Job::Catalog(row) => self.catalog(row)?,
                Job::Pinned(rows) => rows.iter().try_for_each(|row| self.pinned(row))?,
                Job::Approved(rows) => rows.iter().try_for_each(|row| self.approved(row))?,
                #[cfg(test)]
                Job::Panic => panic!("a test asked for it"),
            }
        }
        Ok(())
    }

    fn begun(&mut self, call: &CallBegun) -> rusqlite::Result<()> {
        let started_at = self.stamps.text(call.started_at_ms);
        let mut statement = self.conn.prepare_cached(sql::CALL_BEGUN)?;
        let (session, server) = (self.tally.session_text(call.session), call.server.as_deref());
        let bytes = int(call.request_bytes);
        let id = call.call.number();
        statement.execute(params![id, session, call.request_id, server, &*call.tool, started_at, bytes])?;
        Ok(())
    }

    fn finished(&mut self, call: &CallFinished) -> rusqlite::Result<()> {
        let mut id = call.begun.call;
        for _ in 0..REDRAWS {
            if self.write_finished(id, call)? || self.replace(call)? {
                self.tally.add(
                    call.begun.session,
                    call.begun.server.as_ref(),
                    &call.begun.tool,
                    Ended {
                        started_at_ms: call.begun.started_at_ms,
                        duration_us: Some(call.duration_us),
                        outcome: call.outcome,
                        request_bytes: call.begun.request_bytes,
                        response_bytes: call.response_bytes,
                    },
                );
                return Ok(());
            }
            if self.belongs_to(id, call.begun.session)? {
                // Ended just so already: nothing is counted twice.
                return Ok(());
            }
            id = id.redrawn();
        }
        Ok(())
    }

    /// Whether the row was written, and not taken by an ended call or another session's.
    fn write_finished(&mut self, id: CallId, call: &CallFinished) -> rusqlite::Result<bool> {
        let CallFinished { begun, duration_us, outcome, error_kind, response_bytes } = call;
        let mut statement = self.conn.prepare_cached(sql::CALL_FINISHED)?;
        let changed = statement.execute(params![
            id.number(),
            self.tally.session_text(begun.session),
            begun.request_id,
            begun.server.as_deref(),
            &*begun.tool,
            self.stamps.text(begun.started_at_ms),
            int(begun.request_bytes),
            int(*duration_us),
            outcome.word(),
            error_kind,
            // No answer has no size.
            (*response_bytes > 0).then(|| int(*response_bytes)),
        ])?;
        Ok(changed > 0)
    }

    fn belongs_to(&self, id: CallId, session: SessionId) -> rusqlite::Result<bool> {
        let mut statement = self.conn.prepare_cached(sql::CALL_OWNER)?;
        let owner: Option<String> = statement.query_row([id.number()], |row| row.get(0)).optional()?;
        Ok(owner.is_some_and(|owner| owner == session.to_string()))
    }

    fn opened(&mut self, session: &SessionOpened) -> rusqlite::Result<()> {
        let created_at = self.stamps.text(session.created_at_ms);
        let ClientInfo { name, version, protocol_version } = &session.client;
        self.conn.prepare_cached(sql::SESSION_OPENED)?.execute(params![
            session.id.to_string(),
            session.transport,
            name,
            version,
            protocol_version,
            session.pid,
            version::own(),
            created_at,
        ])?;
        Ok(())
    }

    fn renewed(&mut self, id: SessionId, client: &ClientInfo, at_ms: i64) -> rusqlite::Result<()> {
        let ClientInfo { name, version, protocol_version } = client;
        let at = self.stamps.text(at_ms);
        let mut statement = self.conn.prepare_cached(sql::SESSION_RENEWED)?;
        statement.execute(params![id.to_string(), name, version, protocol_version, at])?;
        Ok(())
    }

    fn closed(&mut self, id: SessionId, reason: &str, at_ms: i64) -> rusqlite::Result<()> {
        let at = self.stamps.text(at_ms);
        self.conn.prepare_cached(sql::SESSION_CLOSED)?.execute(params![id.to_string(), at, reason])?;
        Ok(())
    }

    fn event(&mut self, event: &ServerEvent) -> rusqlite::Result<()> {
        let at = self.stamps.text(event.at_ms);
        self.conn.prepare_cached(sql::SERVER_EVENT)?.execute(params![
            at,
            &*event.server,
            event.event,
            event.reason,
            event.pid,
            event.exit_code,
            event.signal,
            event.elapsed_ms.map(int),
        ])?;
        Ok(())
    }

    fn catalog(&mut self, row: &CatalogRow) -> rusqlite::Result<()> {
        let at = self.stamps.text(row.listed_at_ms);
        let mut statement = self.conn.prepare_cached(sql::CATALOG_SAVED)?;
        let greeting = row.greeting.as_ref();
        statement.execute(params![
            row.key,
            row.server,
            row.tools,
            at,
            row.prompts,
            row.resources,
            row.templates,
            greeting.map(|greeting| greeting.era.word()),
            greeting.map(|greeting| &greeting.protocol_version),
            greeting.map(|greeting| &greeting.capabilities),
            greeting.and_then(|greeting| greeting.server_info.as_ref()),
            greeting.and_then(|greeting| greeting.instructions.as_ref()),
            row.binary_time_ms.map(stamp::text),
            greeting.filter(|greeting| greeting.legacy_only).map(|_| 1),
        ])?;
        Ok(())
    }

    fn pinned(&mut self, row: &PinRow) -> rusqlite::Result<()> {
        let at = self.stamps.text(row.at_ms);
        let mut statement = self.conn.prepare_cached(sql::TOOL_PINNED)?;
        statement.execute(params![row.server, row.tool, row.pin.hash, row.pin.definition, at])?;
        Ok(())
    }

    fn approved(&mut self, row: &PinRow) -> rusqlite::Result<()> {
        let at = self.stamps.text(row.at_ms);
        let mut statement = self.conn.prepare_cached(sql::TOOL_APPROVED)?;
        let Pin { hash, definition, let_go } = &row.pin;
        statement.execute(params![row.server, row.tool, hash, definition, at, let_go])?;
        Ok(())
    }
}

/// Calls whose end is in the batch: their beginning need not be written.
fn ended_in(jobs: &[Job]) -> HashSet<CallId> {
    if !jobs.iter().any(|job| matches!(job, Job::Begun(_))) {
        return HashSet::new();
    }
    let ended = jobs.iter().filter_map(|job| match job {
        Job::Finished(call) => Some(call.begun.call),
        _ => None,
    });
    ended.collect()
}
