"""One line per check, and what the checks need to see of the system."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

name = "e2e"
failed = 0


def check(promise, holds, detail=""):
    """Prints `ok …` or `FAIL …`. Returns whether it held."""
    global failed
    failed += not holds
    line = f"{'ok  ' if holds else 'FAIL'} {name}: {promise}"
    print(line if holds or not detail else f"{line} ({detail})", flush=True)
    return holds


def done():
    """Ends the driver: the exit code says whether every check held."""
    sys.exit(1 if failed else 0)


def processes():
    """pid -> (parent's pid, command line), zombies left out."""
    out = subprocess.run(["ps", "-axo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 3) for line in out.splitlines())
    return {int(r[0]): (int(r[1]), r[3]) for r in rows if len(r) == 4 and not r[2].startswith("Z")}


def exists(pid):
    """Whether a process is there, if only as a zombie whose other threads may still hold a pipe."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descendants(of=None):
    """The processes below one (this one by default): pid -> command line."""
    table = processes()
    below, level = {}, [of or os.getpid()]
    while level:
        parent = level.pop()
        for pid, (up, args) in table.items():
            if up == parent and not args.startswith("ps "):
                below[pid] = args
                level.append(pid)
    return below


def serve(config, data, *options):
    """What a client starts a bridge with: a front, whose hub is one for each data folder."""
    return ["serve", *options, "--config", str(config), "--data-dir", str(data)]


def hub(data):
    """The hub of a data folder: its process, if it runs."""
    try:
        pid = int(Path(data, "run/hub.lock").read_text())
    except (OSError, ValueError):
        return None
    return pid if pid in processes() else None


def family(data):
    """Everything that works for a bridge with this data folder: pid -> command line."""
    pid = hub(data)
    return descendants() | ({pid: "hub"} | descendants(pid) if pid else {})


def end_hub(data):
    """Ends the hub of a data folder, if there is one; returns whether it ended within 5 s."""
    pid = hub(data)
    if pid:
        os.kill(pid, signal.SIGTERM)
    return not pid or until(lambda: pid not in processes(), 5)


def until(condition, seconds):
    """Asks again and again; returns whether it came true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
