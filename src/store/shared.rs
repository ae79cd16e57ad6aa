//! What the callers and the writing thread have in common: the queue, the writer, the trouble.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use tokio::sync::oneshot;

use crate::store::ids::SessionId;
use crate::store::migrate::{self, OpenError};
use crate::store::queue::{Hurry, Queue};
use crate::store::rows::{Job, SessionOpened};
use crate::store::trouble::TroubleBook;
use crate::store::writer::{self, Patience, Writer};
use crate::store::{Durability, Options};

/// More rows than this are the thread's work: a caller's own thread has other things to do.
const INLINE_ROWS_MAX: usize = 256;

/// Lock order: the writer, then the queue; both are held for moments only, but for the writer while
/// the writing thread has it, and callers never wait for that.
#[derive(Debug)]
pub(super) struct Shared {
    pub data_dir: PathBuf,
    pub options: Options,
    pub queue: Queue,
    pub trouble: TroubleBook,
    writer: Mutex<Option<Writer>>,
    /// The sessions that this process serves, to be told again to a file that is opened anew.
    live: Mutex<BTreeMap<SessionId, SessionOpened>>,
    down: AtomicBool,
    suspect: AtomicBool,
}

impl Shared {
    pub fn new(data_dir: PathBuf, options: Options) -> Self {
        Self {
            data_dir,
            queue: Queue::new(options.queue_rows_max),
            options,
            trouble: TroubleBook::default(),
            writer: Mutex::new(None),
            live: Mutex::default(),
            down: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
        }
    }

    /// Writes rows on the caller's thread when that needs no waiting: two hand-overs between threads
    /// cost as much as the commit. Else queues them. The receiver, if any, hears when they are
    /// written or lost.
    pub fn submit(&self, rows: Vec<Job>) -> Option<oneshot::Receiver<()>> {
        let slot = if self.options.durability == Durability::Power { None } else { self.writer_now() };
        match slot {
            Some(mut slot) if slot.is_some() && rows.len() <= INLINE_ROWS_MAX => {
                self.write_inline(&mut slot, rows)
            }
            _ => self.enqueue(rows, Hurry::Now),
        }
    }

    /// Queues rows for the thread. Those that do not fit, or have no record to go to, are counted.
    pub fn enqueue(&self, rows: Vec<Job>, hurry: Hurry) -> Option<oneshot::Receiver<()>> {
        if self.is_down() {
            self.trouble.add_lost(rows.len());
            return None;
        }
        self.queue.push(rows, hurry).unwrap_or_else(|lost| {
            if lost > 0 {
                self.trouble.note(&"the queue of the record is full or closed", lost);
            }
            None
        })
    }

    fn write_inline(&self, slot: &mut Option<Writer>, rows: Vec<Job>) -> Option<oneshot::Receiver<()>> {
        let mut batch = self.queue.take();
        let too_many = batch.jobs.len() > INLINE_ROWS_MAX;
        batch.jobs.extend(rows);
        let written = if too_many {
            Err(WriteFault::TooMany)
        } else {
            self.try_write(slot, &batch.jobs, Patience::None)
        };
        match written {
            Err(fault) if fault.is_for_the_thread() => {
                let receiver = batch.ticket();
                self.queue.put_back(batch);
                Some(receiver)
            }
            Err(fault) => {
                self.give_up(slot, batch.jobs.len(), &fault);
                None
            }
            // The tickets of the batch go with it.
            Ok(()) => None,
        }
    }

    /// The writer, waited for. Poisoned or not: after a panic it is replaced before it is used.
    pub fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer, if nobody has it.
    fn writer_now(&self) -> Option<MutexGuard<'_, Option<Writer>>> {
        match self.writer.try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Writes rows, or counts them as lost.
    pub fn write(&self, slot: &mut Option<Writer>, rows: &[Job], patience: Patience) {
        if let Err(fault) = self.try_write(slot, rows, patience) {
            self.give_up(slot, rows.len(), &fault);
        }
    }

    /// Writes rows. A panic is a fault like any other.
    fn try_write(
        &self,
        slot: &mut Option<Writer>,
        rows: &[Job],
        patience: Patience,
    ) -> Result<(), WriteFault> {
        let Some(writer) = slot.as_mut() else { return Err(WriteFault::Down) };
        match catch_unwind(AssertUnwindSafe(|| writer.commit(rows, patience))) {
            Ok(Ok(())) => {
                self.trouble.note_well();
                if writer.wants_checkpoint() {
                    self.queue.ask_checkpoint();
                }
                Ok(())
            }
            Ok(Err(error)) => Err(WriteFault::Sqlite(error)),
            Err(panic) => Err(WriteFault::Panic(panic_text(&*panic))),
        }
    }

    /// Counts rows as lost. What the connection cannot get over makes the thread open it anew.
    fn give_up(&self, slot: &mut Option<Writer>, rows: usize, fault: &WriteFault) {
        match fault {
            WriteFault::Down | WriteFault::TooMany => self.trouble.add_lost(rows),
            WriteFault::Sqlite(error) => {
                self.trouble.note(error, rows);
                if migrate::is_damage(error) {
                    self.suspect.store(true, Ordering::Relaxed);
                    *slot = None;
                }
            }
            WriteFault::Panic(_) => {
                self.trouble.note(fault, rows);
                *slot = None;
            }
        }
    }

    /// Opens the record, and tells it the sessions that live here. `None`: the record is down.
    pub fn reopen(&self) -> Option<Writer> {
        let opened = catch_unwind(AssertUnwindSafe(|| self.open_writer()))
            .unwrap_or_else(|panic| Err(OpenFault::Panic(panic_text(&*panic))));
        self.down.store(opened.is_err(), Ordering::Relaxed);
        opened.map_err(|fault| self.trouble.note(&fault, 0)).ok()
    }

    fn open_writer(&self) -> Result<Writer, OpenFault> {
        let suspect = self.suspect.swap(false, Ordering::Relaxed);
        let mut writer = Writer::open(&self.data_dir, self.options.durability, suspect)?;
        let live: Vec<_> = self.live().values().cloned().map(Job::Opened).collect();
        if !live.is_empty() {
            writer.commit(&live, Patience::Little)?;
        }
        Ok(writer)
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub fn is_ours(&self, id: SessionId) -> bool {
        self.live().contains_key(&id)
    }

    pub fn live(&self) -> MutexGuard<'_, BTreeMap<SessionId, SessionOpened>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
enum WriteFault {
    #[error("the record is not open")]
    Down,
    #[error("too many rows for a caller's thread")]
    TooMany,
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    #[error("a panic in the store: {0}")]
    Panic(String),
}

impl WriteFault {
    /// Whether the thread can still write what the caller's thread could not.
    fn is_for_the_thread(&self) -> bool {
        match self {
            Self::TooMany => true,
            Self::Sqlite(error) => writer::is_busy(error),
            Self::Down | Self::Panic(_) => false,
        }
    }
}

/// Why the record was not opened.
#[derive(Debug, thiserror::Error)]
enum OpenFault {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("a panic in the store: {0}")]
    Panic(String),
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".into())
}
