//! Every statement that writes, one const each.

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// A session that is there already stays: it is told again to a file that was opened anew.
pub(super) const SESSION_OPENED: &str = "
INSERT INTO mcp_sessions (id, transport, client_name, client_version, protocol_version, pid,
                          bridge_version, created_at, last_active, tool_calls)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 0)
ON CONFLICT (id) DO NOTHING";

pub(super) const SESSION_RENEWED: &str = "
UPDATE mcp_sessions
SET client_name = coalesce(?2, client_name), client_version = coalesce(?3, client_version),
    protocol_version = coalesce(?4, protocol_version), last_active = max(last_active, ?5)
WHERE id = ?1";

pub(super) const SESSION_CLOSED: &str = "
UPDATE mcp_sessions SET closed_at = ?2, close_reason = ?3 WHERE id = ?1 AND closed_at IS NULL";

pub(super) const SESSION_ACTIVE: &str = "
UPDATE mcp_sessions SET tool_calls = tool_calls + ?2, last_active = max(last_active, ?3) WHERE id = ?1";

/// Comes too late for a call that ended in an earlier transaction; then nothing is left to say.
pub(super) const CALL_BEGUN: &str = "
INSERT INTO tool_calls (id, session_id, request_id, server, tool, started_at, request_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO NOTHING";

/// Changes no row when the call has ended already, or when the id is another session's.
pub(super) const CALL_FINISHED: &str = "
INSERT INTO tool_calls (id, session_id, request_id, server, tool, started_at, request_bytes,
                        duration_us, outcome, error_kind, response_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (id) DO UPDATE
SET duration_us = excluded.duration_us, outcome = excluded.outcome, error_kind = excluded.error_kind,
    response_bytes = excluded.response_bytes
WHERE outcome IS NULL AND session_id = excluded.session_id";

pub(super) const CALL_ENDED: &str = "
SELECT server, tool, started_at, duration_us, outcome, request_bytes, response_bytes FROM tool_calls
WHERE id = ?1 AND session_id = ?2 AND outcome IS NOT NULL";

pub(super) const CALL_REPLACED: &str = "
UPDATE tool_calls SET server = ?2, tool = ?3, duration_us = ?4, outcome = ?5, error_kind = ?6, response_bytes = ?7
WHERE id = ?1";

pub(super) const CALL_OWNER: &str = "SELECT session_id FROM tool_calls WHERE id = ?1";

pub(super) const TOTALS_ADD: &str = "
INSERT INTO call_totals (hour, server, tool, last_used, calls, errors, cancelled, duration_us,
                         request_bytes, response_bytes,
                         upto_100us, upto_200us, upto_500us, upto_1ms, upto_2ms, upto_5ms, upto_10ms,
                         upto_20ms, upto_50ms, upto_100ms, upto_200ms, upto_500ms, upto_1s, upto_2s,
                         upto_5s, upto_10s, upto_30s, upto_60s, over_60s)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
        ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)
ON CONFLICT (hour, server, tool) DO UPDATE
SET last_used = max(last_used, ?4), calls = calls + ?5, errors = errors + ?6,
    cancelled = cancelled + ?7, duration_us = duration_us + ?8, request_bytes = request_bytes + ?9,
    response_bytes = response_bytes + ?10,
    upto_100us = upto_100us + ?11, upto_200us = upto_200us + ?12, upto_500us = upto_500us + ?13,
    upto_1ms = upto_1ms + ?14, upto_2ms = upto_2ms + ?15, upto_5ms = upto_5ms + ?16,
    upto_10ms = upto_10ms + ?17, upto_20ms = upto_20ms + ?18, upto_50ms = upto_50ms + ?19,
    upto_100ms = upto_100ms + ?20, upto_200ms = upto_200ms + ?21, upto_500ms = upto_500ms + ?22,
    upto_1s = upto_1s + ?23, upto_2s = upto_2s + ?24, upto_5s = upto_5s + ?25,
    upto_10s = upto_10s + ?26, upto_30s = upto_30s + ?27, upto_60s = upto_60s + ?28,
    over_60s = over_60s + ?29";

/// Adds calls that all fall into one column of the histogram to a row that is there: a third of the
/// work of [`TOTALS_ADD`], which is what a call's answer waits for.
macro_rules! totals_in {
    ($column:literal) => {
        concat!(
            "UPDATE call_totals SET last_used = max(last_used, ?4), calls = calls + ?5, errors = errors + ?6,
             cancelled = cancelled + ?7, duration_us = duration_us + ?8,
             request_bytes = request_bytes + ?9, response_bytes = response_bytes + ?10, ",
            $column,
            " = ",
            $column,
            " + ?11 WHERE hour = ?1 AND server = ?2 AND tool = ?3"
        )
    };
}

/// One statement for each column of the histogram, in the columns' order.
pub(super) const TOTALS_IN: [&str; 19] = [
    totals_in!("upto_100us"),
    totals_in!("upto_200us"),
    totals_in!("upto_500us"),
    totals_in!("upto_1ms"),
    totals_in!("upto_2ms"),
    totals_in!("upto_5ms"),
    totals_in!("upto_10ms"),
    totals_in!("upto_20ms"),
    totals_in!("upto_50ms"),
    totals_in!("upto_100ms"),
    totals_in!("upto_200ms"),
    totals_in!("upto_500ms"),
    totals_in!("upto_1s"),
    totals_in!("upto_2s"),
    totals_in!("upto_5s"),
    totals_in!("upto_10s"),
    totals_in!("upto_30s"),
    totals_in!("upto_60s"),
    totals_in!("over_60s"),
];

pub(super) const SERVER_EVENT: &str = "
INSERT INTO server_events (at, server, event, reason, pid, exit_code, signal, elapsed_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// An empty list of tools never replaces a good one, a list that is not known replaces none, and a try
/// without an answer (it has no era) changes nothing.
pub(super) const CATALOG_SAVED: &str = "
INSERT INTO catalog (key, server, tools, listed_at, prompts, resources, templates, era, protocol_version,
                     capabilities, server_info, instructions, binary_time, legacy_only)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (key) DO UPDATE
SET server = excluded.server, listed_at = excluded.listed_at,
    tools = CASE excluded.tools WHEN '[]' THEN tools ELSE excluded.tools END,
    prompts = coalesce(excluded.prompts, prompts), resources = coalesce(excluded.resources, resources),
    templates = coalesce(excluded.templates, templates), era = excluded.era,
    protocol_version = excluded.protocol_version, capabilities = excluded.capabilities,
    server_info = excluded.server_info, instructions = excluded.instructions,
    binary_time = excluded.binary_time, legacy_only = excluded.legacy_only
WHERE excluded.era IS NOT NULL";

/// Whoever saw a tool first says what it was.
pub(super) const TOOL_PINNED: &str = "
INSERT INTO tool_pins (server, tool, hash, definition, first_seen)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (server, tool) DO NOTHING";

pub(super) const TOOL_APPROVED: &str = "
INSERT INTO tool_pins (server, tool, hash, definition, first_seen, approved_at, let_go_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?5, iif(?6, ?5, NULL))
ON CONFLICT (server, tool) DO UPDATE
SET hash = excluded.hash, definition = excluded.definition, approved_at = excluded.approved_at,
    let_go_at = excluded.let_go_at";

/// Copies what it can, and waits for nobody.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

pub(super) const OPEN_SESSIONS: &str =
    "SELECT id, client_name FROM mcp_sessions WHERE closed_at IS NULL ORDER BY id";

/// Nobody knows when a dead session ended; it lived when it was last active, which is also when the
/// newest of its open calls began. Before [`CALLS_UNKNOWN`].
pub(super) const SESSION_DEAD: &str = "
UPDATE mcp_sessions
SET closed_at = max(last_active, coalesce((SELECT max(started_at) FROM tool_calls
                                           WHERE session_id = ?1 AND outcome IS NULL), last_active)),
    close_reason = ?2
WHERE id = ?1";

pub(super) const CALLS_UNKNOWN: &str = "
UPDATE tool_calls SET outcome = ?2, error_kind = ?3
WHERE session_id = ?1 AND outcome IS NULL
RETURNING server, tool, started_at, request_bytes";

pub(super) const SESSIONS_WITH_OPEN_CALLS: &str = "
SELECT DISTINCT session_id FROM tool_calls WHERE session_id BETWEEN ?1 AND ?2 AND outcome IS NULL";

/// Removes one small step of old calls. A call that runs stays.
pub(super) const CALLS_OLD: &str = "
DELETE FROM tool_calls WHERE id IN
    (SELECT id FROM tool_calls WHERE id < ?1 AND outcome IS NOT NULL ORDER BY id LIMIT ?2)";

pub(super) const EVENTS_OLD: &str = "
DELETE FROM server_events WHERE id IN
    (SELECT id FROM server_events WHERE id <= (SELECT min(id) + ?2 FROM server_events) AND at < ?1)";
