//! What the rest of the bridge tells the store: plain facts, one struct for each kind of row.

use std::sync::Arc;

use crate::era::Era;
use crate::outcome::Outcome;
use crate::store::ids::{CallId, SessionId};
use crate::tools::pin::Pin;

/// A client attached. Its [`crate::store::lock::SessionLock`] has to exist already.
#[derive(Debug, Clone)]
pub struct SessionOpened {
    /// The new session.
    pub id: SessionId,
    /// How the client reached us: `stdio`.
    pub transport: &'static str,
    /// What the client says about itself, as far as it did.
    pub client: ClientInfo,
    /// The process that serves it.
    pub pid: u32,
    /// When it attached, Unix milliseconds.
    pub created_at_ms: i64,
}

/// What a client says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The MCP revision it speaks with us.
    pub protocol_version: Option<String>,
}

/// A server started, became ready, ended, was parked, …
#[derive(Debug, Clone, Default)]
pub struct ServerEvent {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The configured server.
    pub server: Arc<str>,
    /// What happened: `start`, `ready`, `exit`, `restart`, `parked`.
    pub event: &'static str,
    /// Why, in a word or a sentence.
    pub reason: Option<String>,
    /// The server's process.
    pub pid: Option<u32>,
    /// The code it left with.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// How long that took.
    pub elapsed_ms: Option<u64>,
}

/// What a server offered when it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogRow {
    /// Hash of (command, args, names of its environment, cwd).
    pub key: String,
    /// Its configured name.
    pub server: String,
    /// Its tools, a raw JSON array.
    pub tools: String,
    /// Its prompts, likewise; `None` as long as they are not known.
    pub prompts: Option<String>,
    /// Its resources, likewise.
    pub resources: Option<String>,
    /// Its resource templates, likewise.
    pub templates: Option<String>,
    /// What it said of itself; `None` for a try without an answer.
    pub greeting: Option<GreetingRow>,
    /// When its program was changed last, Unix milliseconds; `None` if it was not found.
    pub binary_time_ms: Option<i64>,
    /// When it was asked, Unix milliseconds.
    pub listed_at_ms: i64,
}

/// What a server said of itself when it was greeted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreetingRow {
    /// By which rules it was spoken to.
    pub era: Era,
    /// Whether it was asked for the modern rules and does not know them.
    pub legacy_only: bool,
    /// The revision.
    pub protocol_version: String,
    /// What it can do, a raw JSON object.
    pub capabilities: String,
    /// Who it is, a raw JSON object.
    pub server_info: Option<String>,
    /// What it tells a client's model about itself.
    pub instructions: Option<String>,
}

/// A tool as its user knows it.
#[derive(Debug, Clone)]
pub struct PinRow {
    /// The configured server.
    pub server: Arc<str>,
    /// The tool as that server calls it.
    pub tool: Arc<str>,
    /// What it is.
    pub pin: Pin,
    /// When it was seen, or approved, Unix milliseconds.
    pub at_ms: i64,
}

/// A tools/call came in.
#[derive(Debug, Clone)]
pub struct CallBegun {
    /// Its id in the record.
    pub call: CallId,
    /// Who asked.
    pub session: SessionId,
    /// The JSON-RPC id as the client wrote it; the record keeps at most 1 KiB of it.
    pub request_id: String,
    /// The configured server; none for the bridge's own tools.
    pub server: Option<Arc<str>>,
    /// The tool as its server calls it.
    pub tool: Arc<str>,
    /// When the request came in, Unix milliseconds.
    pub started_at_ms: i64,
    /// Size of the request's line.
    pub request_bytes: u64,
}

/// A tools/call ended. Carries everything, so that a quick call needs no row while it runs.
#[derive(Debug, Clone)]
pub struct CallFinished {
    /// The call.
    pub begun: CallBegun,
    /// From request to answer, microseconds.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The classified cause of a failure ([`crate::outcome::Cause::word`]).
    pub error_kind: Option<&'static str>,
    /// Size of the answer's line.
    pub response_bytes: u64,
}

/// One thing to write. A transaction writes many.
#[derive(Debug)]
pub(super) enum Job {
    Opened(SessionOpened),
    Renewed {
        id: SessionId,
        client: ClientInfo,
        at_ms: i64,
    },
    Closed {
        id: SessionId,
        reason: String,
        at_ms: i64,
    },
    /// The hub of this front died.
    Lost(SessionId),
    Event(ServerEvent),
    Catalog(CatalogRow),
    /// Seen for the first time.
    Pinned(Vec<PinRow>),
    /// By the user.
    Approved(Vec<PinRow>),
    Begun(CallBegun),
    Finished(CallFinished),
    #[cfg(test)]
    Panic,
}

/// What a recovery closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The dead sessions, with what their clients call themselves.
    pub sessions: Vec<(SessionId, Option<String>)>,
    /// How many calls ran in them; they are `outcome_unknown` now.
    pub calls: u64,
}
