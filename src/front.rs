//! The process that a client starts: it owns stdin and stdout and outlives every hub.

pub mod ledger;
