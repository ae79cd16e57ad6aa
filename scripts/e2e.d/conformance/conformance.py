"""The official conformance suite before the bare server and before the bridge: conformance.py ROOM [--direct]

Whatever the bare server passes the bridge has to pass too, check by check, in both eras. The suite speaks HTTP, so both stand
behind adapter.mjs. --direct runs the bare server only: is the test itself right? What is installed is in $E2E_HOME.
"""

import json
import os
import subprocess
import sys
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checks
from checks import check

HERE = Path(__file__).parent
REVISIONS = ("2025-11-25", "2026-07-28")
PATIENCE_S = 240
# So many scenarios are run again when they fail.
AGAIN = 5
# What the bare server may fail, and why: the suite asks an HTTP server for it, or for an extension.
BARE = {
    "sep-2575-http-server-method-not-found-404-initialize": "over stdio the SDK answers -32022 to initialize in a modern session",
}
SKIPPED = ("tasks-", "http-")


def suite(url, results, *which):
    """Runs scenarios; what they found is in `results`."""
    modules = Path(os.environ["E2E_HOME"]) / "conformance" / "node_modules"
    command = [modules / "node/bin/node", modules / "@modelcontextprotocol/conformance/dist/index.js", "server"]
    command += ["--url", url, *which, "-o", results]
    with open(f"{results}.log", "a") as log:
        # Its exit code tells of the required scenarios only; the checks are read one by one.
        subprocess.run([str(part) for part in command], stdout=log, stderr=log, timeout=PATIENCE_S, check=False)


def before(name, room, prefix, command):
    """Both revisions before one server; returns {(revision, scenario): {check: (status, message)}}."""
    found = {}
    for revision in REVISIONS:
        with open(room / f"{name}-{revision}.stderr", "w") as errors:
            words = ["node", str(HERE / "adapter.mjs"), *prefix, *command(revision)]
            adapter = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
            try:
                url = f"http://127.0.0.1:{int(adapter.stdout.readline())}/mcp"
                found[revision] = both_times(url, revision, room / f"{name}-{revision}")
            finally:
                adapter.stdin.close()
                try:
                    adapter.wait(10)
                except subprocess.TimeoutExpired:
                    adapter.kill()
    return {(revision, scenario): found[revision][scenario] for revision in REVISIONS for scenario in found[revision]}


def failed(found):
    """The checks of a scenario that failed and should not have."""
    return {id: said for id, (status, said) in found.items() if status in ("WARNING", "FAILURE") and id not in BARE}


def both_times(url, revision, results):
    """All of a revision's scenarios. The suite has half-second limits, so a few that failed on a busy machine are run again."""
    suite(url, results, "--requirements", revision)
    found = dict(read(results))
    again = [scenario for scenario in found if failed(found[scenario]) and not scenario.startswith(SKIPPED)]
    for scenario in again if len(again) <= AGAIN else ():
        one = Path(f"{results}-{scenario}")
        suite(url, one, "--scenario", scenario, "--spec-version", revision)
        found |= dict(read(one))
    return found


def read(results):
    """Every scenario's checks. A check that was made more than once has its worst status."""
    order = ["SUCCESS", "INFO", "SKIPPED", "WARNING", "FAILURE"]
    for folder in sorted(results.iterdir()) if results.is_dir() else ():
        # server-NAME-2026-11-21T12-56-57-166Z
        scenario = folder.name.removeprefix("server-").rsplit("-", 6)[0]
        found = defaultdict(lambda: ("SUCCESS", ""))
        for one in json.loads((folder / "checks.json").read_text()):
            status = (one["status"], one.get("errorMessage") or "")
            found[one["id"]] = max(found[one["id"]], status, key=lambda s: order.index(s[0]))
        yield scenario, found


def bare_is_right(bare):
    """Without this a fault in server.py would let the bridge pass by asking less of it."""
    for revision in REVISIONS:
        mine = {scenario: found for (r, scenario), found in bare.items() if r == revision and not scenario.startswith(SKIPPED)}
        wrong = {scenario: failed(found) for scenario, found in mine.items() if failed(found)}
        checks.name = f"conformance/direct/{revision}"
        many = sum(len(found) for found in mine.values())
        check(f"the bare server passes {many} checks of {len(mine)} scenarios", not wrong and len(mine) > 30, f"{wrong or mine.keys()}")


def bridge_is_as_right(bare, bridge):
    for (revision, scenario), found in bare.items():
        passed = [id for id, (status, _) in found.items() if status == "SUCCESS"]
        theirs = bridge.get((revision, scenario), {})
        checks.name = f"conformance/{revision}"
        wrong = {id: theirs.get(id, ("missing", "")) for id in passed if theirs.get(id, ("missing", ""))[0] != "SUCCESS"}
        if passed:
            said = "; ".join(f"{id} {status} {message}"[:400] for id, (status, message) in wrong.items())
            check(f"{scenario}: what the bare server passes, {len(passed)} checks", not wrong, said)


def main():
    room, *options = sys.argv[1:]
    room = Path(room)
    room.mkdir(parents=True)
    link = str(room / "link")
    words = [f"{os.environ['E2E_HOME']}/sdk2/python", str(HERE / "server.py"), link]
    with open(room / "server.stderr", "w") as errors, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors) as nursery:
        try:
            nursery.stdout.readline()
            run(room, [sys.executable, "-I", "-S", str(HERE / "handover.py"), link], "--direct" in options)
        finally:
            nursery.kill()


def run(room, server, direct):
    (room / "config.toml").write_text(f"[servers.suite]\ncommand = {json.dumps(server[0])}\nargs = {json.dumps(server[1:])}\n")
    with ThreadPoolExecutor(2) as pool:
        bare = pool.submit(before, "bare", room, [], lambda _revision: server)
        if direct:
            return bare_is_right(bare.result())
        # A hub for each: clients of one era do not share a process with the other's, whose lists may be others.
        data = {revision: room / f"data-{revision}" for revision in REVISIONS}

        def serve(revision):
            return [os.environ["BRIDGE"], *checks.serve(room / "config.toml", data[revision])]

        bridge = pool.submit(before, "bridge", room, ["--strip", "suite"], serve)
        bare_is_right(bare.result())
        bridge_is_as_right(bare.result(), bridge.result())
    for folder in data.values():
        checks.end_hub(folder)


try:
    main()
except Exception as error:
    traceback.print_exc()
    checks.name = "conformance"
    check("the suite goes to its end", False, repr(error))
checks.done()
