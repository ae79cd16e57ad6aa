//! The settings that a server's next life takes as they are when it begins.

use std::time::Duration;

/// What may be another from one life of a server to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// How large the log file of its stderr may become, in bytes.
    pub log_bytes_max: u64,
    /// The longest line it may write, in bytes.
    pub line_bytes_max: usize,
    /// So many deadlines missed in a row, and it is replaced.
    pub hang_after: u32,
    /// So long without a call, and it is stopped.
    pub idle_stop: Option<Duration>,
}
