"""A week of made-up calls in a record that the bridge has made: what people do at work, and one server that is not well."""

import math
import random
import sqlite3
import time

HOUR_MS = 3_600_000
LIMITS_US = [100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000] + [
    int(s * 1e6) for s in (1, 2, 5, 10, 30, 60)
]
# 16 columns of the histogram after these of call_totals.
SUMS = "hour, server, tool, calls, errors, cancelled, duration_us, last_used, request_bytes, response_bytes"
SESSION = "000001f000000000"
# Nobody may take this for markup.
HOSTILE = "</script><img src=x onerror=alert(1)>"
# Server: tools, calls in a busy hour, median in ms, spread, share that fails.
SERVERS = {
    "filesystem": (["read_file", "list_directory"], 60, 3, 0.9, 0.002),
    "github": (["search_code", "get_issue"], 14, 380, 0.8, 0.04),
    "sample": (["echo", "slow"], 25, 1.2, 0.6, 0.0),
    HOSTILE: (["<b>bold</b>", "&amp;"], 6, 45, 1.1, 0.15),
    "": (["bridge_status"], 2, 0.3, 0.4, 0.0),
}


def text(ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}Z"


def calls(now_ms, days, dice):
    """(start in ms, server, tool, duration in us, outcome), in the order of time."""
    first = now_ms // HOUR_MS * HOUR_MS - days * 24 * HOUR_MS
    for hour in range(days * 24):
        begins = first + hour * HOUR_MS
        local = time.localtime(begins / 1000)
        daily = max(0.0, math.sin((local.tm_hour - 7) / 12 * math.pi)) if 7 <= local.tm_hour <= 19 else 0.02
        weekly = 0.15 if local.tm_wday >= 5 else 1.0
        for server, (tools, busy, median, spread, failing) in SERVERS.items():
            # GitHub had an hour of trouble in the middle of the week.
            is_bad = server == "github" and days * 24 - 62 < hour < days * 24 - 55
            for _ in range(int(busy * daily * weekly * dice.uniform(0.5, 1.4) + dice.random())):
                took = int(median * 1000 * math.exp(dice.gauss(0, spread)) * (12 if is_bad else 1))
                fate = dice.random()
                outcome = "ok"
                if fate < (0.5 if is_bad else failing):
                    outcome = dice.choice(["tool_error", "timeout", "unavailable"])
                elif fate > 0.992:
                    outcome = "cancelled"
                yield begins + dice.randrange(HOUR_MS), server, dice.choice(tools), took, outcome


def fill(database, days=7, seed=7):
    """Puts them into the record; gives how many there are of each outcome, the bridge's own left out."""
    dice, now_ms = random.Random(seed), int(time.time() * 1000)
    counts, sums = {}, {}
    connection = sqlite3.connect(database, timeout=10)
    with connection:
        for number, (at, server, tool, took, outcome) in enumerate(sorted(calls(now_ms, days, dice))):
            row = ((at - 1577836800000) << 22 | number & 1023, SESSION, str(number), server or None, tool, text(at), took, outcome)
            connection.execute("INSERT INTO tool_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, 120, 800)", row)
            hour = sums.setdefault((text(at // HOUR_MS * HOUR_MS), server, tool), [0, 0, 0, 0, "", 0, 0] + [0] * 19)
            more = [1, outcome not in ("ok", "cancelled"), outcome == "cancelled", took]
            hour[:4] = [a + b for a, b in zip(hour, more)]
            hour[4:7] = [max(hour[4], text(at)), hour[5] + 120, hour[6] + 800]
            hour[7 + sum(limit < took for limit in LIMITS_US)] += 1
            if server:
                counts[outcome] = counts.get(outcome, 0) + 1
        places = ", ".join("?" * 29)
        connection.executemany(f"INSERT INTO call_totals VALUES ({places})", [(*key, *row) for key, row in sums.items()])
        life = (SESSION, text(now_ms - days * 86_400_000), text(now_ms - HOUR_MS), text(now_ms - HOUR_MS))
        connection.execute(
            "INSERT INTO mcp_sessions VALUES (?, 'stdio', 'made-up', '1', '2025-06-18', 1, '0', ?, ?, 9, ?, 'end_of_input')", life
        )
    connection.close()
    return counts
