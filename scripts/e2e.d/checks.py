"""One line per check, and what the checks need to see of the system."""

import os
import subprocess
import sys
import time

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


def until(condition, seconds):
    """Asks again and again; returns whether it came true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
