"""One client through one session: scenario.py CLIENT MODE ROOM [--direct]

CLIENT is the end of a client_*.py, MODE one of its eras, ROOM a folder with config.toml. The bridge is $BRIDGE. What was
called goes to ROOM/calls.json, for the look at the record afterwards.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter

import checks
import direct
import features
from checks import check, end_hub, exists, family, until
from ears import PATIENCE_S, Ears

client, mode, room, *rest = sys.argv[1:]
sdk = importlib.import_module(f"client_{client}")
is_direct = "--direct" in rest
checks.name = f"{client}/{mode}" + ("/direct" if is_direct else "")
client_name = f"e2e-{client}-{mode}"
config = f"{room}/config.toml"
data = f"{room}/data"
calls = Counter()

LONG = "everything__trigger-long-running-operation"
# How their processes are told.
SERVERS = ["mcp_server_time", "server-everything", "server_modern.py", "server_legacy.py"]


def connect(ears):
    if is_direct:
        return direct.connect(sdk, config, mode, client_name, ears)
    return sdk.connect(os.environ["BRIDGE"], checks.serve(config, data), {}, mode, client_name, ears)


class Talk:
    """A connection, what is heard on it, and the count of what was called."""

    def __init__(self, link, ears):
        self.link, self.ears = link, ears
        self.is_direct, self.asked_for_logs = is_direct, False

    def is_modern(self, server):
        """Whether the client's side of the way to a server is modern: without a bridge, the server has a say."""
        return self.link.modern_with(server) if is_direct else self.link.modern

    async def call(self, name, arguments=None, progress=None):
        answer = await asyncio.wait_for(self.link.call(name, arguments or {}, progress), PATIENCE_S)
        calls[f"{name} {'tool_error' if answer.is_error else 'ok'}"] += 1
        return answer

    async def text(self, name, arguments=None):
        return (await self.call(name, arguments)).text

    async def taken_back(self, name, arguments):
        """Calls, waits for the first progress, cancels; returns whether the call ended by that."""
        running = asyncio.Event()

        async def progress(_at, _total, _message):
            running.set()

        task = asyncio.create_task(self.link.call(name, arguments, progress))
        begun = asyncio.create_task(running.wait())
        await asyncio.wait([begun, task], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if task.done():
            return False
        await self.link.cancel(task)
        await asyncio.wait([task], timeout=PATIENCE_S)
        calls[f"{name} cancelled"] += 1
        return task.cancelled()


async def calls_tools(talk):
    answer = await talk.call("time__get_current_time", {"timezone": "Europe/Paris"})
    check("the time server answers", not answer.is_error and "Europe/Paris" in answer.text, answer.text)
    text = await talk.text("everything__echo", {"message": "grüße \\ \"今日\" \u2028"})
    check("an echo keeps its text", text == "Echo: grüße \\ \"今日\" \u2028", text)
    names = [f"number {n}" for n in range(20)]
    answers = await asyncio.gather(*(talk.text("everything__echo", {"message": name}) for name in names))
    check("20 calls at once get their own answers", answers == [f"Echo: {n}" for n in names])


async def fails_well(talk):
    answer = await talk.call("time__get_current_time", {"timezone": "No/Where"})
    check("a failing tool says so in its result", answer.is_error and "No/Where" in answer.text, answer.text)
    answer = await talk.call("everything__echo", {})
    check("wrong arguments are answered by the server", answer.is_error and "-32602" in answer.text, answer.text)


async def comes_back(talk):
    victims = [pid for pid, args in family(data).items() if "mcp_server_time" in args]
    if not check("the time server's process can be seen", len(victims) == 1, f"{victims}"):
        return
    os.kill(victims[0], signal.SIGKILL)
    # Reaped, and not only a zombie whose other threads still hold the pipe: a call that got into it before would
    # have an unknown outcome.
    until(lambda: not exists(victims[0]), 5)
    try:
        answer = await talk.call("time__get_current_time", {"timezone": "UTC"})
        held, detail = not answer.is_error, answer.text
    except Exception as error:
        held, detail = False, repr(error)
    check("the first call after kill -9 of the server succeeds", held, detail)
    text = await talk.text("everything__echo", {"message": "still here"})
    check("the other server did not notice", text == "Echo: still here", text)


async def cancels(talk):
    check("a running call can be cancelled", await talk.taken_back(LONG, {"duration": 60, "steps": 600}))
    start = time.monotonic()
    text = await talk.text("everything__echo", {"message": "after"})
    took = time.monotonic() - start
    check("the next call is answered at once", text == "Echo: after" and took < 1, f"{took:.2f} s")


def plan(link):
    """What is tried, in this order."""
    yield (features.lists,)
    yield (calls_tools,)
    yield (fails_well,)
    yield (features.everything_asks,)
    yield (features.roots_change,)
    yield (features.completes_in_context,)
    for server in features.OURS:
        yield features.asks, server
        yield features.makes_progress, server
        yield features.cancels, server
        yield features.reads, server
        yield features.completes, server
        yield features.logs, server, sdk
    if link.listens:
        yield features.tells_changes, features.OURS
    if not is_direct:
        yield (comes_back,)
    yield (cancels,)


async def attempt(feature, talk, *arguments):
    """What goes wrong in one does not keep the others from being tried."""
    try:
        await feature(talk, *arguments)
    except Exception as error:
        what = " ".join([feature.__name__.replace("_", " "), *(word for word in arguments if isinstance(word, str))])
        check(f"{what}: comes to its end", False, repr(error))


async def session():
    ears = Ears()
    async with connect(ears) as link:
        talk = Talk(link, ears)
        if link.version:
            check(f"speaks {sdk.versions[mode]}", link.version == sdk.versions[mode], link.version)
        for feature, *arguments in plan(link):
            await attempt(feature, talk, *arguments)
        there = family(data)
        closing = time.monotonic()
    took = time.monotonic() - closing
    if not is_direct:
        # The SDKs wait 2 s for a server to end by itself before they kill it.
        check("the bridge ends by itself when its input ends", took < 1.5, f"{took:.2f} s")
        # Servers outlive a client: the next one finds them.
        check("the hub ends when it is told to", end_hub(data))
    gone = until(lambda: not there.keys() & checks.processes().keys(), 5)
    check("no process is left behind", gone, f"{there}")


async def lists_again():
    """A second start knows the lists without starting anything."""
    async with connect(Ears()) as link:
        names = set(await link.tools())
        servers = [args for args in family(data).values() if any(mark in args for mark in SERVERS)]
    check("a second start lists the tools without starting a server", features.TOOLS <= names and not servers, f"{servers}")
    end_hub(data)


async def main():
    await session()
    if not is_direct:
        await lists_again()


try:
    asyncio.run(asyncio.wait_for(main(), 150))
except BaseException as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    # SDK 1.x falls over progress that comes while it closes; a bridge does not let a cancelled call's progress through.
    if not (is_direct and type(error).__name__ == "BrokenResourceError"):
        check("the session goes to its end", False, repr(error))
with open(f"{room}/calls.json", "w") as file:
    json.dump({"calls": calls, "client": client_name, "version": sdk.versions[mode]}, file)
checks.done()
