//! Rows as they stand, one after the other: whatever their number, only one is in memory.

use std::ops::ControlFlow;

use rusqlite::ToSql;
use rusqlite::types::ValueRef;

use crate::store::read::series::{Which, bounds};
use crate::store::read::{Reader, sql};

/// A table whose rows can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Every tools/call, by the time at which it started
    Calls,
    /// Every client that attached, by the time in which it was here
    Sessions,
    /// What happened to servers, by the time at which it did
    Events,
}

/// What stands in one column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A number.
    Number(i64),
    /// Text.
    Text(&'a str),
}

impl Table {
    /// What so many of its rows are called.
    #[must_use]
    pub const fn rows(self, count: u64) -> &'static str {
        match (self, count) {
            (Self::Calls, 1) => "call",
            (Self::Calls, _) => "calls",
            (Self::Sessions, 1) => "session",
            (Self::Sessions, _) => "sessions",
            (Self::Events, 1) => "event",
            (Self::Events, _) => "events",
        }
    }

    const fn sql(self) -> (&'static str, &'static str) {
        match self {
            Self::Calls => (sql::EXPORT_CALLS, sql::COUNT_CALLS),
            Self::Sessions => (sql::EXPORT_SESSIONS, sql::COUNT_SESSIONS),
            Self::Events => (sql::EXPORT_EVENTS, sql::COUNT_EVENTS),
        }
    }
}

impl Reader {
    /// How many rows of a table are meant. Sessions know no server, so that of `which` is not asked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count_rows(&self, table: Table, which: &Which) -> rusqlite::Result<u64> {
        with_params(table, which, |params| {
            self.0.query_row(table.sql().1, params, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        })
    }

    /// The names of a table's columns.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn columns(&self, table: Table) -> rusqlite::Result<Vec<String>> {
        Ok(self.0.prepare(table.sql().0)?.column_names().into_iter().map(str::to_owned).collect())
    }

    /// Hands out the rows that are meant, the oldest first, until it is told to break off.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn each_row(
        &self,
        table: Table,
        which: &Which,
        mut each: impl FnMut(&[Cell<'_>]) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare(table.sql().0)?;
        let columns = statement.column_count();
        with_params(table, which, |params| {
            let mut rows = statement.query(params)?;
            while let Some(row) = rows.next()? {
                let cell = |place| {
                    Ok(match row.get_ref(place)? {
                        ValueRef::Integer(number) => Cell::Number(number),
                        ValueRef::Text(_) => Cell::Text(row.get_ref(place)?.as_str()?),
                        // No column holds anything else.
                        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Cell::Null,
                    })
                };
                let cells: Vec<_> = (0..columns).map(cell).collect::<rusqlite::Result<_>>()?;
                if each(&cells).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// Runs with what the statements of a table ask for: the span as times, a server; for calls their ids too.
fn with_params<T>(table: Table, which: &Which, run: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
    let (ids, times) = bounds(which.span());
    match table {
        Table::Calls => run(&[&times.0, &times.1, &which.server, &ids.0, &ids.1]),
        Table::Events => run(&[&times.0, &times.1, &which.server]),
        Table::Sessions => run(&[&times.0, &times.1]),
    }
}
