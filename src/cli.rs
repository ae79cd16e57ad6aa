//! Verbs for people.

pub mod sessions;
pub mod stats;

mod words;
