//! Closes what a dead bridge left open.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::outcome::{Cause, Outcome};
use crate::store::ids::SessionId;
use crate::store::rows::Recovered;
use crate::store::stamp;
use crate::store::tally::Tally;
use crate::store::totals::Ended;
use crate::store::writer::{Patience, Writer};
use crate::store::{lock, sql};

/// Why a session ended of which nobody knows more.
const CRASHED: &str = "crashed";

/// Closes every open session whose lock nobody holds, and its open calls, in one transaction. Two
/// bridges that do this at once are one after the other, and the second finds nothing.
pub(super) fn close_dead(
    writer: &mut Writer,
    data_dir: &Path,
    is_ours: &dyn Fn(SessionId) -> bool,
) -> rusqlite::Result<Recovered> {
    let (recovered, ended) = writer.transaction(Patience::Full, |writer| {
        let (conn, tally, _) = writer.parts();
        let (mut recovered, mut ended) = (Recovered::default(), Vec::new());
        for (id, client) in open_sessions(conn)? {
            if !is_ours(id) && !lock::is_alive(data_dir, id) {
                let reason = lock::reason(data_dir, id);
                let calls = close_calls(conn, tally, id, reason.as_deref().unwrap_or(CRASHED))?;
                ended.push(id);
                // Who went in good order is nobody's trouble, unless its calls are.
                if reason.is_none() || calls > 0 {
                    recovered.calls += calls;
                    recovered.sessions.push((id, client));
                }
            }
        }
        Ok((recovered, ended))
    })?;
    for id in ended {
        lock::remove_of(data_dir, id);
    }
    lock::remove_leftovers(data_dir);
    Ok(recovered)
}

fn open_sessions(conn: &Connection) -> rusqlite::Result<Vec<(SessionId, Option<String>)>> {
    let mut statement = conn.prepare_cached(sql::OPEN_SESSIONS)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter_map(|(id, client)| Some((SessionId::parse(&id)?, client))).collect())
}

/// Closes the open calls of a front that lives on: they ran in a hub that died. What is told of one of them later
/// replaces it.
pub(super) fn close_lost(conn: &Connection, tally: &mut Tally, front: SessionId) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql::SESSIONS_WITH_OPEN_CALLS)?;
    let range = (front.to_string(), front.nth(usize::MAX).to_string());
    let ids: Vec<String> = statement.query_map(range, |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids.iter().filter_map(|id| SessionId::parse(id)) {
        calls_unknown(conn, tally, id)?;
    }
    Ok(())
}

fn close_calls(conn: &Connection, tally: &mut Tally, id: SessionId, reason: &str) -> rusqlite::Result<u64> {
    conn.prepare_cached(sql::SESSION_DEAD)?.execute([&id.to_string(), reason])?;
    calls_unknown(conn, tally, id)
}

fn calls_unknown(conn: &Connection, tally: &mut Tally, id: SessionId) -> rusqlite::Result<u64> {
    let mut statement = conn.prepare_cached(sql::CALLS_UNKNOWN)?;
    let outcome = Outcome::OutcomeUnknown;
    let mut rows = statement.query((id.to_string(), outcome.word(), Cause::BridgeCrashed.word()))?;
    let mut calls = 0;
    while let Some(row) = rows.next()? {
        let (server, tool): (Option<Arc<str>>, Arc<str>) = (row.get(0)?, row.get(1)?);
        let started_at: String = row.get(2)?;
        let request_bytes: i64 = row.get(3)?;
        tally.add(
            id,
            server.as_ref(),
            &tool,
            Ended {
                started_at_ms: stamp::parse(&started_at).unwrap_or(0),
                duration_us: None,
                outcome,
                request_bytes: request_bytes.unsigned_abs(),
                response_bytes: 0,
            },
        );
        calls += 1;
    }
    Ok(calls)
}
