//! What the record has lost: counted, said once, never a failed call.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::stamp;

/// The gap in the record, as `bridge_status` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Rows that could not be written since this bridge started.
    pub lost_rows: u64,
    /// The newest reason.
    pub last_error: Option<String>,
    /// When the trouble that goes on now began, Unix milliseconds; none while the record works.
    pub since_ms: Option<i64>,
}

/// Keeps count of the trouble.
#[derive(Debug, Default)]
pub(super) struct TroubleBook {
    ongoing: AtomicBool,
    trouble: Mutex<Trouble>,
}

impl TroubleBook {
    /// Notes a failure and the rows it cost. Only the first in a row is logged.
    pub fn note(&self, error: &dyn Display, lost_rows: usize) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.lost_rows += lost_rows as u64;
        trouble.last_error = Some(error.to_string());
        if !self.ongoing.swap(true, Ordering::Relaxed) {
            trouble.since_ms = Some(stamp::now_ms());
            tracing::error!(%error, lost_rows, "record has a gap");
        }
    }

    /// Counts rows that were lost to trouble that is known already.
    pub fn add_lost(&self, rows: usize) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).lost_rows += rows as u64;
    }

    /// Notes that the record works.
    pub fn note_well(&self) {
        if self.ongoing.load(Ordering::Relaxed) && self.ongoing.swap(false, Ordering::Relaxed) {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.since_ms = None;
            tracing::warn!(lost_rows = trouble.lost_rows, "record goes on");
        }
    }

    pub fn is_ongoing(&self) -> bool {
        self.ongoing.load(Ordering::Relaxed)
    }

    pub fn read(&self) -> Trouble {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
