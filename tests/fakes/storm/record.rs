//! The record after a storm: it says what the client was told, and the totals say the same.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;

use crate::book::Told;

/// So many differences are shown.
const SHOWN: usize = 5;

/// What the record says otherwise than the clients were told.
///
/// # Errors
/// When the record cannot be read.
pub fn faults(room: &Path, calls: &BTreeMap<u64, Option<Told>>) -> Result<Vec<String>> {
    let file = Connection::open_with_flags(room.join("data/bridge.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut rows: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut statement = file.prepare("SELECT request_id, coalesce(outcome, 'open') FROM tool_calls")?;
    let read = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    for row in read {
        let (id, outcome) = row?;
        rows.entry(id.parse()?).or_default().push(outcome);
    }
    let mut faults = Vec::new();
    for (id, told) in calls {
        let recorded = rows.remove(id).unwrap_or_default();
        if recorded.iter().ne(told) {
            faults.push(format!("request {id} was told {told:?} and is recorded as {recorded:?}"));
        }
    }
    faults.extend(rows.keys().map(|id| format!("request {id} is recorded and was never sent")));
    faults.truncate(SHOWN);
    for (what, sql) in SUMS {
        let (rows, totals): (i64, i64) = file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if rows != totals {
            faults.push(format!("{what}: the rows say {rows}, the totals {totals}"));
        }
    }
    faults.extend(done_twice(room)?);
    Ok(faults)
}

const SUMS: [(&str, &str); 4] = [
    ("calls", "SELECT (SELECT count(*) FROM tool_calls), (SELECT sum(calls) FROM call_totals)"),
    (
        "errors",
        "SELECT (SELECT count(*) FROM tool_calls WHERE outcome <> 'ok'), (SELECT sum(errors) FROM call_totals)",
    ),
    (
        "bytes",
        "SELECT (SELECT sum(coalesce(response_bytes, 0)) FROM tool_calls), (SELECT sum(response_bytes) FROM call_totals)",
    ),
    (
        "calls of sessions",
        "SELECT (SELECT count(*) FROM tool_calls), (SELECT sum(tool_calls) FROM mcp_sessions)",
    ),
];

/// Calls that servers have received more than once.
fn done_twice(room: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Line {
        method: Option<String>,
        params: Option<Params>,
    }
    #[derive(Deserialize)]
    struct Params {
        arguments: Option<Arguments>,
    }
    #[derive(Deserialize)]
    struct Arguments {
        n: u64,
    }
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for line in String::from_utf8_lossy(&std::fs::read(room.join("received"))?).lines() {
        // A server that is killed leaves half a line.
        let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
        let arguments = line.params.and_then(|params| params.arguments);
        if let (Some("tools/call"), Some(Arguments { n })) = (line.method.as_deref(), arguments) {
            *counts.entry(n).or_default() += 1;
        }
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    Ok(twice.take(SHOWN).map(|(n, count)| format!("call {n} reached servers {count} times")).collect())
}
