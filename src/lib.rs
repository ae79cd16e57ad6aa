//! `bridge`: one MCP server in front of all the others.
//!
//! The modules in the order in which a newcomer reads them; a module imports only from lower
//! floors (`tests/it/house.rs` holds the table).

pub mod names;
pub mod outcome;
pub mod policy;

pub mod credentials;
pub mod logging;
pub mod paths;

pub mod config;
pub mod recovery;
pub mod store;

pub mod cli;
