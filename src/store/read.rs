//! Questions to the record: named queries over a connection that cannot write.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, ToSql};

use crate::era::Era;
use crate::store::ids::SessionId;
use crate::store::migrate::{self, OpenError};
use crate::store::read::answers::{EventRow, SessionRow, SessionTotals, StartRow};
use crate::store::rows::{CatalogRow, GreetingRow};
use crate::store::{checkup, place, stamp};
use crate::tools::pin::{Pin, Pins};

pub mod answers;
pub mod ended;
pub mod export;
pub mod series;

mod sql;

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader(Connection);

impl Reader {
    /// Opens the record of a data folder; `None` where there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a later program.
    pub fn open(data_dir: &Path) -> Result<Option<Self>, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::through(data_dir, |path| {
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(Duration::from_secs(2))?;
            Ok(conn)
        })
    }

    /// The same, and leaves no trace: nothing is made beside the file.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a later program.
    pub fn open_without_trace(data_dir: &Path) -> Result<Option<Self>, OpenError> {
        Self::through(data_dir, |_| checkup::connect(data_dir))
    }

    fn through(
        data_dir: &Path,
        connect: impl FnOnce(&Path) -> rusqlite::Result<Connection>,
    ) -> Result<Option<Self>, OpenError> {
        let path = place::database(data_dir);
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            // A data folder that is a file, above all.
            Err(source) => return Err(OpenError::Unreachable { path, source }),
        }
        let sqlite = |source| OpenError::Sqlite { path: path.clone(), source };
        let conn = connect(&path).map_err(sqlite)?;
        migrate::refuse_newer(&conn, &path)?;
        let made = conn.query_row(sql::IS_MADE, [], |row| row.get(0)).map_err(sqlite)?;
        Ok(if made { Some(Self(conn)) } else { None })
    }

    /// Has everything that is read from now on be of this moment, as long as this connection is open. Bridges write
    /// meanwhile; their log cannot begin anew before it is closed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn at_one_moment(&self) -> rusqlite::Result<()> {
        self.0.execute_batch(sql::BEGIN)
    }

    /// How many calls run now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_calls(&self) -> rusqlite::Result<u64> {
        self.0.query_row(sql::OPEN_CALLS, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    }

    /// The sums of the sessions, of all time or of those that were active at `since_ms` (Unix) or later.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn session_totals(&self, since_ms: Option<i64>) -> rusqlite::Result<SessionTotals> {
        let since = since_ms.map_or_else(String::new, stamp::text);
        let (total, mean_duration_s): (i64, _) =
            self.0.query_row(sql::SESSION_TOTALS, [&since], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let open: Vec<String> = self.all(sql::SESSIONS_OPEN, &[], |row| row.get(0))?;
        let open = open.iter().filter_map(|id| SessionId::parse(id)).collect();
        Ok(SessionTotals { total: total.unsigned_abs(), open, mean_duration_s })
    }

    /// The newest sessions first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sessions(&self, rows_max: u32) -> rusqlite::Result<Vec<SessionRow>> {
        self.all(sql::SESSIONS, &[&rows_max], |row| {
            Ok(SessionRow {
                id: row.get(0)?,
                transport: row.get(1)?,
                client_name: row.get(2)?,
                client_version: row.get(3)?,
                protocol_version: row.get(4)?,
                pid: row.get(5)?,
                bridge_version: row.get(6)?,
                created_at: row.get(7)?,
                last_active: row.get(8)?,
                tool_calls: count(row, 9)?,
                closed_at: row.get(10)?,
                close_reason: row.get(11)?,
            })
        })
    }

    /// The newest events of all servers or one, of those after the event with this id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self, server: Option<&str>, after: i64, rows_max: u32) -> rusqlite::Result<Vec<EventRow>> {
        self.all(sql::EVENTS, &[&server, &after, &rows_max], |row| {
            Ok(EventRow {
                at: row.get(0)?,
                server: row.get(1)?,
                event: row.get(2)?,
                reason: row.get(3)?,
                pid: row.get(4)?,
                exit_code: row.get(5)?,
                signal: row.get(6)?,
                elapsed_ms: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
                id: row.get(8)?,
            })
        })
    }

    /// The processes of servers of which no end is recorded: they run, or their bridge died; the newest first.
    /// Looks at the newest events only, so many.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unended(&self, rows_max: u32) -> rusqlite::Result<Vec<StartRow>> {
        let rows: Vec<(String, String, String, u32)> = self
            .all(sql::LIVES, &[&rows_max], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let mut told = BTreeSet::new();
        let mut unended = Vec::new();
        for (at, server, event, pid) in rows {
            // What was told later of the same process comes first.
            if told.insert((server.clone(), pid)) && event != "exit" {
                unended.extend(stamp::parse(&at).map(|at_ms| StartRow { at_ms, server, pid }));
            }
        }
        Ok(unended)
    }

    /// What servers offered when they were last asked, for those keys that are known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn catalog(&self, keys: &[String]) -> rusqlite::Result<Vec<CatalogRow>> {
        // A program that begins reads while its writer still migrates.
        let mut statement = match self.0.prepare(sql::CATALOG) {
            Ok(statement) => statement,
            Err(error) => self.0.prepare(sql::CATALOG_BEFORE_2).map_err(|_| error)?,
        };
        let mut found = Vec::new();
        for key in keys {
            found.extend(statement.query_row([key], catalog_row).optional()?);
        }
        Ok(found)
    }

    /// What is pinned of these servers, by their names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pins(&self, servers: &[&str]) -> rusqlite::Result<HashMap<String, Pins>> {
        if !self.0.query_row(sql::HAS_PINS, [], |row| row.get(0))? {
            return Ok(HashMap::new());
        }
        let mut statement = self.0.prepare(sql::PINS)?;
        let mut all = HashMap::new();
        for server in servers {
            let pins = statement.query_map([server], |row| {
                let pin = Pin { hash: row.get(1)?, definition: row.get(2)?, let_go: row.get(3)? };
                Ok((row.get(0)?, pin))
            })?;
            all.insert((*server).to_owned(), pins.collect::<rusqlite::Result<Pins>>()?);
        }
        Ok(all)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.0.prepare(sql)?.query_map(params, read)?.collect()
    }
}

fn catalog_row(row: &Row<'_>) -> rusqlite::Result<CatalogRow> {
    let time =
        |place| row.get::<_, Option<String>>(place).map(|text| text.and_then(|text| stamp::parse(&text)));
    let era: Option<String> = row.get(7)?;
    let greeting = match era.and_then(|word| Era::parse(&word)) {
        Some(era) => Some(GreetingRow {
            era,
            legacy_only: row.get::<_, Option<bool>>(13)?.unwrap_or(false),
            protocol_version: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
            capabilities: row.get::<_, Option<String>>(9)?.unwrap_or_else(|| "{}".to_owned()),
            server_info: row.get(10)?,
            instructions: row.get(11)?,
        }),
        None => None,
    };
    Ok(CatalogRow {
        key: row.get(0)?,
        server: row.get(1)?,
        tools: row.get(2)?,
        listed_at_ms: time(3)?.unwrap_or(0),
        prompts: row.get(4)?,
        resources: row.get(5)?,
        templates: row.get(6)?,
        greeting,
        binary_time_ms: time(12)?,
    })
}

fn count(row: &Row<'_>, place: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(place).map(i64::unsigned_abs)
}
