//! The record against what the clients were answered.

use std::collections::HashMap;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};

use crate::book::{Ended, Said};
use crate::room::Room;

/// A record that is only read.
pub struct Record(Connection);

/// A session's calls by their request's id: how each ended; None for one that is open.
type Rows = HashMap<String, Vec<Option<String>>>;

impl Record {
    /// Opens it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(room: &Room) -> Result<Self> {
        let path = room.database();
        let database = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self(database))
    }

    /// How often a server was started again, over all clients.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn events(&self, event: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM server_events WHERE event = ?1";
        Ok(self.0.query_row(sql, [event], |row| row.get(0))?)
    }

    /// Where the rows of the session that this bridge served differ from its client's answers. A bridge that was
    /// killed may have rows of calls whose answers it could not write any more, and none that is still open.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn differences(&self, bridge: u32, ended: &[Ended], was_killed: bool) -> Result<Vec<String>> {
        let mut rows = self.rows(bridge)?;
        let mut differences = Vec::new();
        for ended in ended {
            let word = match &ended.said {
                Said::Right => "ok",
                Said::Failed { kind, .. } => kind,
                Said::Wrong(_) => continue,
            };
            let found = rows.remove(&ended.id.to_string()).unwrap_or_default();
            if !matches!(found.as_slice(), [Some(outcome)] if outcome == word) {
                differences.push(format!("request {}: answered as {word}, recorded as {found:?}", ended.id));
            }
        }
        let is_fault = |outcomes: &Vec<Option<String>>| !was_killed || outcomes.contains(&None);
        let left = rows.iter().filter(|(_, outcomes)| is_fault(outcomes));
        differences
            .extend(left.map(|(id, outcomes)| format!("request {id}: no answer, recorded as {outcomes:?}")));
        Ok(differences)
    }

    fn rows(&self, bridge: u32) -> Result<Rows> {
        let sql = "SELECT c.request_id, c.outcome FROM tool_calls AS c JOIN mcp_sessions AS s ON s.id = c.session_id \
                   WHERE s.pid = ?1";
        let mut statement = self.0.prepare(sql)?;
        let mut rows = Rows::new();
        for row in statement.query_map([bridge], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (id, outcome) = row?;
            rows.entry(id).or_default().push(outcome);
        }
        Ok(rows)
    }
}
