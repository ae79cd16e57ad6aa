"""One client through one session: scenario.py SDK MODE ROOM [--direct]

SDK is sdk1 or sdk2, MODE one of its eras, ROOM a folder with config.toml. The bridge is $BRIDGE. What was called goes to
ROOM/calls.json, for the look at the record afterwards.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import time

import checks
import direct
from checks import check, descendants, until

sdk_name, mode, room, *rest = sys.argv[1:]
sdk = importlib.import_module(sdk_name)
is_direct = "--direct" in rest
checks.name = f"{sdk_name}/{mode}" + ("/direct" if is_direct else "")
client_name = f"e2e-{sdk_name}-{mode}"
config = f"{room}/config.toml"
calls = {"ok": 0, "tool_error": 0, "cancelled": 0}

LONG = "everything__trigger-long-running-operation"
WANTED = {"time__get_current_time", "time__convert_time", "everything__echo", LONG}
# No call of this scenario takes longer, also on a slow machine.
PATIENCE_S = 30


def connect():
    if is_direct:
        return direct.connect(sdk, config, mode, client_name)
    serve = ["serve", "--config", config, "--data-dir", f"{room}/data"]
    return sdk.connect(os.environ["BRIDGE"], serve, {}, mode, client_name)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def call(link, name, arguments, progress=None):
    answer = await asyncio.wait_for(link.call(name, arguments, progress), PATIENCE_S)
    calls["tool_error" if answer.is_error else "ok"] += 1
    return answer


async def lists(link):
    """The first list may come before a slow server is there; it is whole soon after."""
    end = time.monotonic() + PATIENCE_S
    names = set(await link.tools())
    while not WANTED <= names and time.monotonic() < end:
        await asyncio.sleep(0.1)
        names = set(await link.tools())
    check("the tools of both servers are listed under the servers' names", WANTED <= names, f"{sorted(names)}")


async def calls_tools(link):
    answer = await call(link, "time__get_current_time", {"timezone": "Europe/Paris"})
    check("the time server answers", not answer.is_error and "Europe/Paris" in answer.text, answer.text)
    answer = await call(link, "everything__echo", {"message": "grüße \\ \"今日\" \u2028"})
    check("an echo keeps its text", answer.text == "Echo: grüße \\ \"今日\" \u2028", answer.text)
    names = [f"number {n}" for n in range(20)]
    answers = await asyncio.gather(*(call(link, "everything__echo", {"message": name}) for name in names))
    check("20 calls at once get their own answers", [a.text for a in answers] == [f"Echo: {n}" for n in names])


async def makes_progress(link):
    seen = []

    async def progress(at, total, _message):
        seen.append((at, total))

    answer = await call(link, LONG, {"duration": 0.5, "steps": 10}, progress)
    check("a long call completes", "completed" in answer.text, answer.text)
    check("its progress came in order, before the answer", seen == [(n, 10) for n in range(1, 11)], f"{seen}")


async def fails_well(link):
    answer = await call(link, "time__get_current_time", {"timezone": "No/Where"})
    check("a failing tool says so in its result", answer.is_error and "No/Where" in answer.text, answer.text)
    answer = await call(link, "everything__echo", {})
    check("wrong arguments are answered by the server", answer.is_error and "-32602" in answer.text, answer.text)


async def comes_back(link):
    victims = [pid for pid, args in descendants().items() if "mcp_server_time" in args]
    if not check("the time server's process can be seen", len(victims) == 1, f"{victims}"):
        return
    os.kill(victims[0], signal.SIGKILL)
    # Reaped, and not only a zombie whose other threads still hold the pipe: a call that got into it before would
    # have an unknown outcome.
    until(lambda: not exists(victims[0]), 5)
    try:
        answer = await call(link, "time__get_current_time", {"timezone": "UTC"})
        held, detail = not answer.is_error, answer.text
    except Exception as error:
        held, detail = False, repr(error)
    check("the first call after kill -9 of the server succeeds", held, detail)
    answer = await call(link, "everything__echo", {"message": "still here"})
    check("the other server did not notice", answer.text == "Echo: still here", answer.text)


async def cancels(link):
    running = asyncio.Event()

    async def progress(_at, _total, _message):
        running.set()

    request_id = link.next_request_id()
    task = asyncio.create_task(link.call(LONG, {"duration": 60, "steps": 600}, progress))
    await asyncio.wait_for(running.wait(), PATIENCE_S)
    await link.cancel(task, request_id)
    await asyncio.wait([task], timeout=PATIENCE_S)
    calls["cancelled"] += 1
    check("a running call can be cancelled", task.cancelled(), "the call went on")
    start = time.monotonic()
    answer = await call(link, "everything__echo", {"message": "after"})
    took = time.monotonic() - start
    check("the next call is answered at once", answer.text == "Echo: after" and took < 1, f"{took:.2f} s")


async def session():
    async with connect() as link:
        if link.version:
            check(f"speaks {sdk.versions[mode]}", link.version == sdk.versions[mode], link.version)
        await lists(link)
        await calls_tools(link)
        await makes_progress(link)
        await fails_well(link)
        if not is_direct:
            await comes_back(link)
        await cancels(link)
        family = descendants()
        closing = time.monotonic()
    took = time.monotonic() - closing
    if not is_direct:
        # The SDKs wait 2 s for a server to end by itself before they kill it.
        check("the bridge ends by itself when its input ends", took < 1.5, f"{took:.2f} s")
    gone = until(lambda: not family.keys() & checks.processes().keys(), 5)
    check("no process is left behind", gone, f"{family}")


async def lists_again():
    """A second start knows the tools without starting anything."""
    async with connect() as link:
        names = set(await link.tools())
        servers = [args for args in descendants().values() if "mcp_server_time" in args or "server-everything" in args]
    check("a second start lists the tools without starting a server", WANTED <= names and not servers, f"{servers}")


async def main():
    await session()
    if not is_direct:
        await lists_again()


try:
    asyncio.run(asyncio.wait_for(main(), 100))
except BaseException as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    # SDK 1.x falls over progress that comes while it closes; a bridge does not let a cancelled call's progress through.
    if not (is_direct and type(error).__name__ == "BrokenResourceError"):
        check("the session goes to its end", False, repr(error))
with open(f"{room}/calls.json", "w") as file:
    json.dump({"calls": calls, "client": client_name, "version": sdk.versions[mode]}, file)
checks.done()
