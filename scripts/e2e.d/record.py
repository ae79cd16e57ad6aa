"""What the bridge recorded of a session: record.py NAME ROOM

Compares ROOM/data/bridge.db and `bridge stats --json` with ROOM/calls.json.
"""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import checks
from checks import check

# A modern client sends a call once more with each answer, so that these have a row or more. What server-everything
# asks after its start is carried by the first call that comes: an echo.
ASKING = {"ask", "sample", "list_roots", "order", "visit", "echo"} | {
    "trigger-sampling-request",
    "trigger-elicitation-request",
    "get-roots-list",
}

checks.name, room = sys.argv[1], Path(sys.argv[2])
is_modern = checks.name.endswith("/auto")
told = json.loads((room / "calls.json").read_text())


def look(query, *values):
    # `with` of a sqlite3 connection does not close it.
    connection = sqlite3.connect(f"file:{room}/data/bridge.db?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def differences(found, wanted):
    for key in sorted(found.keys() | wanted.keys()):
        there, called = found.get(key, 0), wanted.get(key, 0)
        asks = is_modern and key.split(" ")[0].rpartition("__")[2] in ASKING
        if there < called or (there > called and not (asks and called)):
            yield f"{key}: {there}, not {called}"


try:
    rows = look("SELECT coalesce(server || '__', '') || tool || ' ' || coalesce(outcome, 'running'), count(*) FROM tool_calls GROUP BY 1")
    found, total = dict(rows), sum(count for _, count in rows)
    wrong = list(differences(found, told["calls"]))
    check(f"the record has a row for each of {sum(told['calls'].values())} calls", not wrong, "; ".join(wrong))
    sessions = look("SELECT protocol_version, tool_calls, closed_at, close_reason FROM mcp_sessions WHERE client_name = ?", told["client"])
    check("every session of this client is closed", bool(sessions) and all(row[2] and row[3] != "crashed" for row in sessions), f"{sessions}")
    check("the session's row knows version and calls", (told["version"], total) in [row[:2] for row in sessions], f"{sessions}")
    environment = os.environ | {"BRIDGE_DATA_DIR": str(room / "data"), "BRIDGE_CONFIG": str(room / "config.toml")}
    stats = subprocess.run([os.environ["BRIDGE"], "stats", "--json"], env=environment, capture_output=True, text=True, timeout=20)
    head = json.loads(stats.stdout)["mcpSessions"]
    counted = (head["total"], head["active"], head["totalToolCalls"])
    check("bridge stats counts the same", counted == (len(sessions), 0, total), f"{head}")
except Exception as error:
    check("the record can be read", False, repr(error))
checks.done()
