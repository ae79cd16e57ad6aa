-- bridge.db: the record that `bridge` keeps of its clients, their tool calls, and its servers.
--
-- To look at it:        sqlite3 -readonly bridge.db
-- Good first questions: SELECT * FROM active_sessions;
--                       SELECT * FROM recent_calls;
--                       SELECT * FROM tool_summary;
--
-- Every time is UTC text as in 2026-11-21T03:40:00.123Z, so that comparing text compares time.
-- No argument, result, header or secret is ever written here: only names, sizes, times and outcomes.

-- One row for every client that attached. A client that only asks what we are (`server/discover`)
-- has none.
CREATE TABLE mcp_sessions (
    id               TEXT    PRIMARY KEY, -- 16 hex digits; they sort by time of creation
    transport        TEXT    NOT NULL,    -- how the client reached us: stdio
    client_name      TEXT,                -- what the client calls itself; null until it says so
    client_version   TEXT,                -- and its version
    protocol_version TEXT,                -- the MCP revision it speaks with us: 2025-06-18
    pid              INTEGER,             -- the process of the bridge that serves it
    bridge_version   TEXT    NOT NULL,    -- the version of that bridge
    created_at       TEXT    NOT NULL,    -- when it attached
    last_active      TEXT    NOT NULL,    -- end of its newest tool call, or its newest handshake
    tool_calls       INTEGER NOT NULL,    -- calls of it that have ended, however they ended
    closed_at        TEXT,                -- when it ended; null while it lives; if it crashed: last_active
    close_reason     TEXT                 -- why it ended: end_of_input, sigterm, …; crashed if nobody closed it
) STRICT, WITHOUT ROWID;

-- One row for every tools/call. Rows older than `retention_days` are removed; call_totals stays.
CREATE TABLE tool_calls (
    id             INTEGER PRIMARY KEY, -- sorts by time: (id >> 22) is milliseconds since 2020-01-01
    session_id     TEXT    NOT NULL,    -- who asked: mcp_sessions.id
    request_id     TEXT    NOT NULL,    -- the request's JSON-RPC id, as the client wrote it: 7 or "a"
    server         TEXT,                -- the configured server; null for the bridge's own tools
    tool           TEXT    NOT NULL,    -- the tool's name as that server calls it
    started_at     TEXT    NOT NULL,    -- when the request came in
    duration_us    INTEGER,             -- from request to answer; null while it runs, and if nobody knows
    outcome        TEXT,                -- null while it runs; then ok, tool_error (the result says isError),
                                        -- rpc_error (a JSON-RPC error), panic (in the bridge), timeout,
                                        -- cancelled (by the client), unavailable (never sent), outcome_unknown
                                        -- (sent, and never answered), too_large, rejected (by the bridge)
    error_kind     TEXT,                -- the classified cause: crashed, hung, not_found, bridge_crashed, …
    request_bytes  INTEGER NOT NULL,    -- size of the request's line
    response_bytes INTEGER              -- size of the answer's line; null as long as there is none
) STRICT;

-- The calls that run, or ran when a bridge died: what recovery looks for.
CREATE INDEX open_calls ON tool_calls (session_id) WHERE outcome IS NULL;

-- The same calls, added up: one row for every hour, server and tool. Kept forever.
CREATE TABLE call_totals (
    hour           TEXT    NOT NULL, -- the hour's beginning; a call belongs to the hour in which it started
    server         TEXT    NOT NULL, -- the configured server; '' for the bridge's own tools
    tool           TEXT    NOT NULL, -- the tool's name as that server calls it
    calls          INTEGER NOT NULL, -- calls that have ended
    errors         INTEGER NOT NULL, -- of these: every outcome but ok and cancelled
    cancelled      INTEGER NOT NULL, -- of these: taken back by the client
    duration_us    INTEGER NOT NULL, -- sum of their durations
    last_used      TEXT    NOT NULL, -- start of the newest of them
    request_bytes  INTEGER NOT NULL, -- sum of their requests' sizes
    response_bytes INTEGER NOT NULL, -- sum of their answers' sizes
    -- How long they took. Each call counts in one column: the first whose limit it does not pass.
    upto_100us     INTEGER NOT NULL,
    upto_200us     INTEGER NOT NULL,
    upto_500us     INTEGER NOT NULL,
    upto_1ms       INTEGER NOT NULL,
    upto_2ms       INTEGER NOT NULL,
    upto_5ms       INTEGER NOT NULL,
    upto_10ms      INTEGER NOT NULL,
    upto_20ms      INTEGER NOT NULL,
    upto_50ms      INTEGER NOT NULL,
    upto_100ms     INTEGER NOT NULL,
    upto_200ms     INTEGER NOT NULL,
    upto_500ms     INTEGER NOT NULL,
    upto_1s        INTEGER NOT NULL,
    upto_2s        INTEGER NOT NULL,
    upto_5s        INTEGER NOT NULL,
    upto_10s       INTEGER NOT NULL,
    upto_30s       INTEGER NOT NULL,
    upto_60s       INTEGER NOT NULL,
    over_60s       INTEGER NOT NULL,
    PRIMARY KEY (hour, server, tool)
) STRICT, WITHOUT ROWID;

-- What happened to the servers behind the bridge. Removed after `retention_days`, like calls.
CREATE TABLE server_events (
    id         INTEGER PRIMARY KEY, -- counts up
    at         TEXT    NOT NULL,    -- when it happened
    server     TEXT    NOT NULL,    -- the configured server
    event      TEXT    NOT NULL,    -- start, ready, exit, restart, parked, …
    reason     TEXT,                -- why, in a word or a sentence
    pid        INTEGER,             -- the server's process
    exit_code  INTEGER,             -- exit: its code, if it left by itself
    signal     INTEGER,             -- exit: the signal that ended it, if one did
    elapsed_ms INTEGER              -- how long that took: a start until ready, a life until exit
) STRICT;

-- What each server offered when it was last asked, so that the next start can list tools at once.
CREATE TABLE catalog (
    key        TEXT PRIMARY KEY, -- hash of command, arguments, names of its environment, and folder
    server     TEXT NOT NULL,    -- the configured name at that time
    tools      TEXT NOT NULL,    -- its tools, a JSON array
    listed_at  TEXT NOT NULL     -- when it was asked
) STRICT, WITHOUT ROWID;

-- The clients that are attached now (and those of a bridge that died, until the next one starts).
CREATE VIEW active_sessions AS
SELECT id, client_name, client_version, protocol_version, pid, created_at, last_active, tool_calls
FROM mcp_sessions
WHERE closed_at IS NULL
ORDER BY id;

-- The last 100 calls, newest first.
CREATE VIEW recent_calls AS
SELECT c.started_at, s.client_name AS client, c.server, c.tool, coalesce(c.outcome, 'running') AS outcome,
       c.error_kind, round(c.duration_us / 1000.0, 1) AS duration_ms, c.request_bytes, c.response_bytes
FROM tool_calls AS c LEFT JOIN mcp_sessions AS s ON s.id = c.session_id
ORDER BY c.id DESC
LIMIT 100;

-- Every tool that was ever used, the busiest first.
CREATE VIEW tool_summary AS
SELECT server, tool, sum(calls) AS calls, sum(errors) AS errors, sum(cancelled) AS cancelled,
       round(100.0 * sum(errors) / sum(calls), 2) AS error_percent,
       round(sum(duration_us) / 1000.0 / sum(calls), 1) AS mean_ms, max(last_used) AS last_used
FROM call_totals
GROUP BY server, tool
ORDER BY sum(calls) DESC;
