//! What the record answers: one struct for each kind of question.

use crate::store::ids::SessionId;
use crate::store::totals::Totals;

/// The sums of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolTotals {
    /// The configured server; none for the bridge's own tools.
    pub server: Option<String>,
    /// The tool as its server calls it.
    pub tool: String,
    /// Its calls, added up.
    pub totals: Totals,
}

/// The sums of one server or one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTotals {
    /// The configured server, or what the client calls itself; none for the bridge's own tools, and for a client
    /// without a name.
    pub name: Option<String>,
    /// Its calls, added up.
    pub totals: Totals,
}

/// The sums of one hour or day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeTotals {
    /// When it began, Unix milliseconds.
    pub at_ms: i64,
    /// The calls that started in it, added up.
    pub totals: Totals,
}

/// How often one tool was called, step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trend {
    /// The configured server; none for the bridge's own tools.
    pub server: Option<String>,
    /// The tool as its server calls it.
    pub tool: String,
    /// Calls that ended, by the step in which they started; the oldest first.
    pub calls: Vec<u64>,
}

/// A call that counts as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// When it started, Unix milliseconds.
    pub at_ms: i64,
    /// What its client calls itself.
    pub client: Option<String>,
    /// The configured server; none for the bridge's own tools.
    pub server: Option<String>,
    /// The tool as its server calls it.
    pub tool: String,
    /// How it ended ([`crate::outcome::Outcome::word`]).
    pub outcome: String,
    /// The classified cause ([`crate::outcome::Cause::word`]).
    pub error_kind: Option<String>,
    /// How long it took, microseconds, if anybody knows.
    pub duration_us: Option<u64>,
}

/// The sums of all sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionTotals {
    /// How many there are.
    pub total: u64,
    /// The ids of those that nobody closed; whether they live is [`crate::store::lock::is_alive`]'s to say.
    pub open: Vec<SessionId>,
    /// Mean life of those that ended, seconds; none when none has.
    pub mean_duration_s: Option<f64>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// How the client reached us.
    pub transport: String,
    /// What the client calls itself.
    pub client_name: Option<String>,
    /// The client's version.
    pub client_version: Option<String>,
    /// The MCP revision that was spoken.
    pub protocol_version: Option<String>,
    /// The process of its bridge.
    pub pid: Option<u32>,
    /// The version of its bridge.
    pub bridge_version: String,
    /// When it attached, RFC 3339.
    pub created_at: String,
    /// End of its newest call, RFC 3339.
    pub last_active: String,
    /// Calls of it that have ended.
    pub tool_calls: u64,
    /// When it ended, RFC 3339; none while it lives.
    pub closed_at: Option<String>,
    /// Why it ended.
    pub close_reason: Option<String>,
}

/// One call that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    /// Its id.
    pub id: i64,
    /// Who asked.
    pub session: String,
    /// The configured server; none for the bridge's own tools.
    pub server: Option<String>,
    /// The tool as its server calls it.
    pub tool: String,
    /// When it started, Unix milliseconds.
    pub started_at_ms: i64,
    /// How long it took, microseconds, if anybody knows.
    pub duration_us: Option<u64>,
    /// How it ended ([`crate::outcome::Outcome::word`]).
    pub outcome: String,
    /// The classified cause ([`crate::outcome::Cause::word`]).
    pub error_kind: Option<String>,
}

/// One thing that happened to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its id: they count up.
    pub id: i64,
    /// When, RFC 3339.
    pub at: String,
    /// The configured server.
    pub server: String,
    /// What happened.
    pub event: String,
    /// Why.
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

/// A process of a server that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRow {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The configured server.
    pub server: String,
    /// The process.
    pub pid: u32,
}
