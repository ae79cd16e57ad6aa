//! The promises of the bridge, kept by the real binary in front of scripted servers.
//!
//! Each test stands in a [`support::Room`] of its own: own home, own data folder, no environment.
//! Nothing sleeps to let something happen: tests wait for a line, a row or a process's end, under a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a panic is a test's report, and its name is its documentation"
)]

mod burst;
mod bytes;
mod configuration;
mod descriptors;
mod hostile;
mod house;
mod ids;
mod order;
mod protocol;
mod purity;
mod stop;
#[allow(dead_code, reason = "each feature uses its part of the room")]
mod support;
