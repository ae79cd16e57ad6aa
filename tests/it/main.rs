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
mod eras;
mod fakes;
#[cfg(unix)]
mod front;
mod fronts;
mod hostile;
mod house;
mod ids;
mod order;
mod orphans;
mod own_tools;
mod protocol;
mod purity;
mod small;
mod stop;
#[allow(dead_code, reason = "each feature uses its part of the room")]
mod support;

#[test]
fn a_scripted_server_is_called_through_the_bridge() {
    let room = support::Room::new().server("s", &["on tools/call: echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", serde_json::json!({ "a": 1 }));
    assert_eq!(answer["result"]["structuredContent"], serde_json::json!({ "a": 1 }));
}

mod accounting;
#[cfg(unix)]
mod adds;
mod changed_tools;
mod clients;
mod comes_back;
mod control;
mod dashboard;
mod deadline;
// It looks at clients' files, which stand elsewhere on other systems.
#[cfg(target_os = "linux")]
mod doctor;
mod explains;
mod export;
mod four_lists;
mod guarded;
mod handoff;
mod held;
mod imports;
// Elsewhere clients keep their files in other folders: clients/place.rs has tests for all of them.
#[cfg(target_os = "linux")]
mod install;
mod legacy_asks;
mod legacy_bytes;
mod legacy_cancels;
mod legacy_face;
mod legacy_prompts;
mod legacy_resources;
mod legacy_said;
mod legacy_tasks;
mod life;
mod noise;
mod pool;
mod record_trouble;
mod reexec;
mod reload;
mod said;
mod secrets;
mod server_dies;
mod server_starts;
mod shown_tools;
mod status_verb;
mod stored_lists;
mod too_large;
#[cfg(target_os = "linux")]
mod top;
#[cfg(unix)]
mod upgrade;
mod verbs;
mod watching;
