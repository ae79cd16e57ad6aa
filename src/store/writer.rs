//! The one writing connection of a bridge: a batch of rows becomes one transaction.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::store::migrate::{self, OpenError};
use crate::store::rows::Job;
use crate::store::stamp::Stamps;
use crate::store::tally::Tally;
use crate::store::{Durability, place, sql};

mod replace;
mod write;

/// The write-ahead log is folded back into the database when it has this size.
const LOG_BYTES: u32 = 4 << 20;
/// A look at its size costs a system call, and the file keeps its size when it begins anew: one in so
/// many commits, which write about as much, looks.
const COMMITS_PER_LOOK: u32 = 256;

/// A short wait for another process that writes, and a long one.
const LITTLE: Duration = Duration::from_millis(250);
const FULL: Duration = Duration::from_secs(5);

/// How long a transaction waits for another process that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all: on somebody's call.
    None,
    /// [`LITTLE`]: trouble goes on already.
    Little,
    /// [`FULL`].
    Full,
}

/// The connection and what it remembers between transactions.
#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    identity: Option<(u64, u64)>,
    stamps: Stamps,
    tally: Tally,
    commits: u32,
}

impl Writer {
    /// Opens the database; see [`migrate::open`].
    pub fn open(data_dir: &Path, durability: Durability, suspect: bool) -> Result<Self, OpenError> {
        let conn = migrate::open(data_dir, suspect)?;
        let path = place::database(data_dir);
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        conn.pragma_update(None, "synchronous", synchronous)
            .and_then(|()| conn.pragma_update(None, "wal_autocheckpoint", 0))
            // A log that had to grow is cut when it begins anew.
            .and_then(|()| conn.pragma_update(None, "journal_size_limit", LOG_BYTES))
            .map_err(|source| OpenError::Sqlite { path: path.clone(), source })?;
        conn.set_prepared_statement_cache_capacity(64);
        let identity = place::identity(&path);
        Ok(Self {
            conn,
            path,
            identity,
            stamps: Stamps::default(),
            tally: Tally::default(),
            commits: COMMITS_PER_LOOK,
        })
    }

    /// Writes the rows in one transaction, all or none.
    pub fn commit(&mut self, jobs: &[Job], patience: Patience) -> rusqlite::Result<()> {
        if jobs.is_empty() { Ok(()) } else { self.transaction(patience, |writer| writer.write(jobs)) }
    }

    /// Runs something in one immediate transaction.
    pub fn transaction<T>(
        &mut self,
        patience: Patience,
        body: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.wait_like(patience)?;
        self.step(sql::BEGIN)?;
        self.tally.clear();
        let done = body(self).and_then(|value| {
            self.tally.write(&self.conn, &mut self.stamps)?;
            self.step(sql::COMMIT)?;
            Ok(value)
        });
        if done.is_err() && !self.conn.is_autocommit() {
            // Where the rollback fails too, the next BEGIN does, and the connection is reopened.
            let _ = self.step(sql::ROLLBACK);
        }
        self.commits += 1;
        done
    }

    /// Whether it is time for a checkpoint. Resets the count.
    pub fn wants_checkpoint(&mut self) -> bool {
        if self.commits < COMMITS_PER_LOOK {
            return false;
        }
        self.commits = 0;
        self.log_bytes() >= u64::from(LOG_BYTES)
    }

    /// The size of the write-ahead log.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(self.path.with_extension("db-wal")).map_or(0, |meta| meta.len())
    }

    /// Ends the connection; the last one of all bridges folds the log away.
    pub fn close(self) -> rusqlite::Result<()> {
        self.conn.close().map_err(|(_, error)| error)
    }

    /// Whether the file at the path is no longer the one that is open here.
    pub fn was_moved(&self) -> bool {
        place::identity(&self.path) != self.identity
    }

    pub fn conn(&self) -> &Connection {
        &self.conn
    }

    /// The connection with the two things that a transaction adds to: for recovery.
    pub fn parts(&mut self) -> (&Connection, &mut Tally, &mut Stamps) {
        (&self.conn, &mut self.tally, &mut self.stamps)
    }

    fn wait_like(&self, patience: Patience) -> rusqlite::Result<()> {
        match patience {
            Patience::None => self.conn.busy_timeout(Duration::ZERO),
            Patience::Little => self.conn.busy_handler(Some(|tries| wait_a_step(tries, LITTLE))),
            Patience::Full => self.conn.busy_handler(Some(|tries| wait_a_step(tries, FULL))),
        }
    }

    fn step(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// Whether another process held the write lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

thread_local! {
    /// Since when this thread waits for another process that writes.
    static SINCE: Cell<Instant> = Cell::new(Instant::now());
}

/// SQLite's own handler sleeps up to 100 ms at a time; transactions here take less than one. By the clock,
/// since a busy machine sleeps for longer than it is told.
fn wait_a_step(tries: i32, patience: Duration) -> bool {
    if tries == 0 {
        SINCE.set(Instant::now());
    }
    let step = if tries < 20 { Duration::from_micros(200) } else { Duration::from_millis(1) };
    thread::sleep(step);
    SINCE.get().elapsed() < patience
}
