//! Every statement that reads for people, one const each.

/// A file whose first migration is still to come holds nothing.
pub(super) const IS_MADE: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'mcp_sessions'";

/// Everything that follows sees what the first of it saw.
pub(super) const BEGIN: &str = "BEGIN";

/// The sums of `call_totals` by some of its columns. The whole hours of the span come first among the parameters,
/// then the server and the tool, if one is meant.
macro_rules! sums_by {
    ($key:literal) => {
        concat!(
            "SELECT ",
            $key,
            ", max(last_used), sum(calls), sum(errors), sum(cancelled), sum(duration_us), sum(request_bytes),
       sum(response_bytes),
       sum(upto_100us), sum(upto_200us), sum(upto_500us), sum(upto_1ms), sum(upto_2ms), sum(upto_5ms),
       sum(upto_10ms), sum(upto_20ms), sum(upto_50ms), sum(upto_100ms), sum(upto_200ms), sum(upto_500ms),
       sum(upto_1s), sum(upto_2s), sum(upto_5s), sum(upto_10s), sum(upto_30s), sum(upto_60s), sum(over_60s)
FROM call_totals
WHERE hour >= ?1 AND hour < ?2 AND (?3 IS NULL OR server = ?3) AND (?4 IS NULL OR tool = ?4)
GROUP BY ",
            $key
        )
    };
}

pub(super) const BY_TOOL: &str = sums_by!("server, tool");
pub(super) const BY_SERVER: &str = sums_by!("server");
pub(super) const BY_HOUR: &str = sums_by!("hour");

/// Steps of `?6` seconds, counted from `?5`.
pub(super) const TRENDS: &str = "
SELECT server, tool, (unixepoch(hour) - ?5) / ?6 AS step, sum(calls)
FROM call_totals
WHERE hour >= ?1 AND hour < ?2 AND (?3 IS NULL OR server = ?3) AND (?4 IS NULL OR tool = ?4)
GROUP BY server, tool, step";

/// The id bounds make it quick, the times make it exact.
pub(super) const CALLS: &str = "
SELECT coalesce(server, ''), tool, started_at, duration_us, outcome, request_bytes, coalesce(response_bytes, 0),
       session_id
FROM tool_calls
WHERE id >= ?1 AND id < ?2 AND started_at >= ?3 AND started_at < ?4 AND outcome IS NOT NULL
      AND (?5 IS NULL OR coalesce(server, '') = ?5) AND (?6 IS NULL OR tool = ?6)";

/// A word of a later program counts as an error, as it does where outcomes are read.
pub(super) const FAILURES: &str = "
SELECT c.started_at, s.client_name, c.server, c.tool, c.outcome, c.error_kind, c.duration_us
FROM tool_calls AS c LEFT JOIN mcp_sessions AS s ON s.id = c.session_id
WHERE c.id >= ?1 AND c.id < ?2 AND c.started_at >= ?3 AND c.started_at < ?4
      AND c.outcome NOT IN ('ok', 'cancelled')
      AND (?5 IS NULL OR coalesce(c.server, '') = ?5) AND (?6 IS NULL OR c.tool = ?6)
ORDER BY c.id DESC
LIMIT ?7";

pub(super) const CLIENT_NAME: &str = "SELECT client_name FROM mcp_sessions WHERE id = ?1";

/// One look at the beginning of each.
pub(super) const OLDEST: &str = "
SELECT (SELECT hour FROM call_totals ORDER BY hour LIMIT 1),
       (SELECT started_at FROM tool_calls ORDER BY id LIMIT 1)";

/// The partial index holds just these.
pub(super) const OPEN_CALLS: &str = "SELECT count(*) FROM tool_calls WHERE outcome IS NULL";

pub(super) const SESSION_TOTALS: &str = "
SELECT count(*), avg(unixepoch(closed_at, 'subsec') - unixepoch(created_at, 'subsec'))
FROM mcp_sessions
WHERE last_active >= ?1 OR closed_at IS NULL";

pub(super) const SESSIONS_OPEN: &str = "SELECT id FROM mcp_sessions WHERE closed_at IS NULL ORDER BY id";

pub(super) const SESSIONS: &str = "
SELECT id, transport, client_name, client_version, protocol_version, pid, bridge_version, created_at,
       last_active, tool_calls, closed_at, close_reason
FROM mcp_sessions
ORDER BY id DESC
LIMIT ?1";

pub(super) const EVENTS: &str = "
SELECT at, server, event, reason, pid, exit_code, signal, elapsed_ms, id
FROM server_events
WHERE (?1 IS NULL OR server = ?1) AND id > ?2
ORDER BY id DESC
LIMIT ?3";

/// The id says when a call began: it is found by that alone.
pub(super) const ENDED: &str = "
SELECT id, session_id, server, tool, started_at, duration_us, outcome, error_kind
FROM tool_calls
WHERE id BETWEEN ?1 AND ?6 AND outcome IS NOT NULL AND (NOT ?2 OR outcome NOT IN ('ok', 'cancelled'))
      AND (?3 IS NULL OR coalesce(server, '') = ?3) AND (?4 IS NULL OR substr(session_id, 1, length(?4)) = ?4)
ORDER BY id DESC
LIMIT ?5";

/// The partial index holds just these.
pub(super) const OPEN: &str = "SELECT id FROM tool_calls WHERE outcome IS NULL";

pub(super) const SERVER_NAMES: &str = "SELECT DISTINCT server FROM server_events ORDER BY server";

/// A file that the writer has not brought to today's schema yet pins nothing.
pub(super) const HAS_PINS: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'tool_pins'";

pub(super) const PINS: &str =
    "SELECT tool, hash, definition, let_go_at IS NOT NULL FROM tool_pins WHERE server = ?1";

pub(super) const LIVES: &str = "
SELECT at, server, event, pid
FROM server_events
WHERE pid IS NOT NULL AND event IN ('start', 'restart', 'exit')
ORDER BY id DESC
LIMIT ?1";

pub(super) const CATALOG: &str = "
SELECT key, server, tools, listed_at, prompts, resources, templates, era, protocol_version, capabilities,
       server_info, instructions, binary_time, legacy_only
FROM catalog WHERE key = ?1";

/// The same of a file that the writer has not brought to today's schema yet.
pub(super) const CATALOG_BEFORE_2: &str = "
SELECT key, server, tools, listed_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM catalog WHERE key = ?1";

/// The rows of a table with its selection, and their number.
macro_rules! export {
    ($columns:literal, $selection:literal, $order:literal) => {
        (
            concat!("SELECT ", $columns, " ", $selection, " ORDER BY ", $order),
            concat!("SELECT count(*) ", $selection),
        )
    };
}

/// An id is text: it has more digits than many a reader of JSON keeps.
const CALL_ROWS: (&str, &str) = export!(
    "CAST(c.id AS TEXT) AS id, c.session_id AS session,
       (SELECT s.client_name FROM mcp_sessions AS s WHERE s.id = c.session_id) AS client,
       c.request_id AS requestId, c.server, c.tool, c.started_at AS startedAt, c.duration_us AS durationUs,
       c.outcome, c.error_kind AS errorKind, c.request_bytes AS requestBytes, c.response_bytes AS responseBytes",
    "FROM tool_calls AS c
WHERE c.id >= ?4 AND c.id < ?5 AND c.started_at >= ?1 AND c.started_at < ?2
      AND (?3 IS NULL OR coalesce(c.server, '') = ?3)",
    "c.id"
);

/// Those that were here in the span.
const SESSION_ROWS: (&str, &str) = export!(
    "id, transport, client_name AS clientName, client_version AS clientVersion, protocol_version AS protocolVersion,
       pid, bridge_version AS bridgeVersion, created_at AS createdAt, last_active AS lastActive,
       tool_calls AS toolCalls, closed_at AS closedAt, close_reason AS closeReason",
    "FROM mcp_sessions WHERE coalesce(closed_at, ?2) >= ?1 AND created_at < ?2",
    "id"
);

const EVENT_ROWS: (&str, &str) = export!(
    "at, server, event, reason, pid, exit_code AS exitCode, signal, elapsed_ms AS elapsedMs",
    "FROM server_events WHERE at >= ?1 AND at < ?2 AND (?3 IS NULL OR server = ?3)",
    "server_events.id"
);

pub(super) const EXPORT_CALLS: &str = CALL_ROWS.0;
pub(super) const COUNT_CALLS: &str = CALL_ROWS.1;
pub(super) const EXPORT_SESSIONS: &str = SESSION_ROWS.0;
pub(super) const COUNT_SESSIONS: &str = SESSION_ROWS.1;
pub(super) const EXPORT_EVENTS: &str = EVENT_ROWS.0;
pub(super) const COUNT_EVENTS: &str = EVENT_ROWS.1;
