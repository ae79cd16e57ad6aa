"""The Inspector's command line, a process for each request: inspector.py MODE ROOM [--direct]"""

import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checks
from checks import check, until
from features import OURS

mode, room, *rest = sys.argv[1:]
is_direct = "--direct" in rest
checks.name = f"inspector/{mode}" + ("/direct" if is_direct else "")
modules = Path(os.environ["NODE_HOME"]) / "node_modules"
INSPECTOR = [os.environ["NODE"], modules / "@modelcontextprotocol/inspector/clients/launcher/build/index.js", "--cli"]
PATIENCE_S = 60


def command(server):
    """What the Inspector starts: the bridge, or the server itself under its own names."""
    if not is_direct:
        return [os.environ["BRIDGE"], *checks.serve(f"{room}/config.toml", f"{room}/data")]
    with open(f"{room}/config.toml", "rb") as file:
        one = tomllib.load(file)["servers"][server]
    return [one["command"], *one["args"]]


def ask(server, method, *options):
    """The result of one request, or what went wrong."""
    # Its own options come after those of the server, which takes whatever it does not know: hence a file.
    program, *args = command(server)
    file = Path(room) / f"inspector-{server}.json"
    file.write_text(json.dumps({"mcpServers": {"it": {"command": program, "args": args}}}))
    line = [*INSPECTOR, "--config", file, "--server", "it", "--protocol-era", mode, "--quiet", "--method", method, *options]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, env=os.environ | {"HOME": room})
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"failed": done.stderr or done.stdout}


def name(server, own):
    return own if is_direct else f"{server}__{own}"


def lists(server):
    """Each request for a list, with the look at its answer. Behind a bridge they have what all servers have."""
    yield ("tools/list",), lambda r: name(server, "ask") in {tool["name"] for tool in r["tools"]}
    yield ("resources/list",), lambda r: f"{server}://page/3" in {one["uri"] for one in r["resources"]}
    yield ("prompts/list",), lambda r: name(server, "greet") in {prompt["name"] for prompt in r["prompts"]}


def uses(server):
    """Each request for one thing, with the look at its answer."""
    yield ("tools/call", "--tool-name", name(server, "count"), "--tool-args-json", '{"steps": 3, "step_ms": 1}'), (
        lambda r: r["content"][0]["text"] == "counted to 3"
    )
    yield ("resources/read", "--uri", f"{server}://letter/Ada"), lambda r: r["contents"][0]["text"] == "Dear Ada"
    yield ("prompts/get", "--prompt-name", name(server, "greet"), "--prompt-args", "name=Ada"), (
        lambda r: r["messages"][0]["content"]["text"] == "Greet Ada"
    )


def one(server, request, look):
    result = ask(server, *request)
    try:
        held = look(result)
    except (KeyError, IndexError, TypeError):
        held = False
    return f"{server}: {request[0]}", held, json.dumps(result)[:500]


def main():
    servers = [server for server in OURS if not is_direct or server == ("legacy" if mode == "legacy" else "modern")]
    (first, look), *more = lists(servers[-1])
    # The first list may come before a slow server is there; what comes after it finds the lists in the bridge's store.
    until(lambda: one(servers[-1], first, look)[1], PATIENCE_S)
    requests = [(servers[-1], first, look), *((servers[-1], *each) for each in more)]
    requests += [(server, *each) for server in servers for each in uses(server)]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda each: one(*each), requests)
    for promise, held, detail in results:
        check(promise, held, detail)


try:
    main()
except Exception as error:
    check("the Inspector goes to its end", False, repr(error))
checks.end_hub(f"{room}/data")
checks.done()
