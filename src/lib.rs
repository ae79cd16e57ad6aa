//! `bridge`: one MCP server in front of all the others.
//!
//! The modules in the order in which a newcomer reads them; a module imports only from lower
//! floors (`tests/it/house.rs` holds the table).

// The way of one call, from the client's line to its server and back.
pub mod downstream;
#[cfg(unix)]
pub mod front;
pub mod router;
pub mod serve;
pub mod session;
pub mod wire;

// What a call may meet on its way.
pub mod builtin;
pub mod catalog;
pub mod guard;
pub mod policy;

// What is kept of it.
pub mod figures;
pub mod recovery;
pub mod roster;
pub mod store;

// Doors to one outside thing each.
pub mod clients;
pub mod config;
pub mod control;
pub mod credentials;
pub mod environment;
pub mod files;
pub mod frames;
pub mod lines;
pub mod local;
pub mod logging;
pub mod pages;
pub mod paths;
pub mod pipes;
pub mod pulse;
pub mod queue;
pub mod shutdown;
pub mod tap;
pub mod watch;

// Words.
pub mod era;
pub mod list;
pub mod names;
pub mod outcome;
pub mod tools;
pub mod version;

// What people use.
pub mod cli;
