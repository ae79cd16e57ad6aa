"""One session whose hub is killed twenty times, between calls and inside them: hubs.py CLIENT MODE ROOM

The client must not notice: no error but the unknown outcome of a call that was inside a server, no second session.
"""

import asyncio
import importlib
import os
import signal
import sqlite3
import sys
from pathlib import Path

import checks
from checks import check, descendants, exists, until
from ears import PATIENCE_S, Ears

client, mode, room = sys.argv[1:]
sdk = importlib.import_module(f"client_{client}")
checks.name = f"{client}/{mode}"
client_name = f"e2e-{client}-{mode}"
bridge, config, data = os.environ["BRIDGE"], Path(room, "hubs.toml"), Path(room, "hubs")
# A server that starts at once: each hub starts its own.
config.write_text(f'[servers.sample]\ncommand = "{bridge}"\nargs = ["__sample"]\n')

BETWEEN, INSIDE, AMONG = 10, 5, 5
calls = 0


def kill():
    """Kills the hub that is there, as soon as one is. What is asked from here on is with the next one only."""
    found = []
    until(lambda: found.append(checks.hub(data)) or found[-1], PATIENCE_S)
    os.kill(found[-1], signal.SIGKILL)
    until(lambda: not exists(found[-1]), 2)


def look(query):
    connection = sqlite3.connect(f"file:{data}/bridge.db?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def called(link, tool, arguments):
    global calls
    calls += 1
    return await asyncio.wait_for(link.call(f"sample__{tool}", arguments), PATIENCE_S)


async def echoes(link, text):
    """Whether the answer is right, or says that the call was lost, and what it is."""
    answer = await called(link, "echo", {"text": text})
    lost = answer.is_error and "not known" in answer.text
    return (not answer.is_error and text in answer.text), lost, answer.text


async def between(link):
    answers = []
    for turn in range(BETWEEN):
        kill()
        answers.append(await echoes(link, f"between {turn}"))
    check(f"{BETWEEN} kills of the hub between calls are not noticed", all(held for held, _, _ in answers), f"{answers}")


async def inside(link):
    answers = []
    for turn in range(INSIDE):
        # Its server is there, so that the next call goes to it at once.
        await echoes(link, f"before {turn}")
        task = asyncio.create_task(called(link, "slow", {"seconds": 4}))
        while not look("SELECT 1 FROM tool_calls WHERE outcome IS NULL"):
            await asyncio.sleep(0.005)
        kill()
        answers.append(await task)
    texts = [answer.text for answer in answers]
    # One that was not sent yet is sent again.
    lost, done = sum("not known" in text for text in texts), texts.count("awake again")
    check(f"{INSIDE} calls whose hub is killed have an unknown outcome", lost > 0 and lost + done == INSIDE, f"{texts}")


async def among(link):
    answers = []
    for turn in range(AMONG):
        tasks = [asyncio.create_task(echoes(link, f"among {turn} {n}")) for n in range(16)]
        await asyncio.sleep(0.002 * turn)
        kill()
        answers += await asyncio.gather(*tasks)
    wrong = [text for held, lost, text in answers if not (held or lost)]
    check(f"{AMONG} kills among calls leave each with its own answer", not wrong, f"{wrong}")


async def main():
    async with sdk.connect(bridge, checks.serve(config, data), {}, mode, client_name, Ears()) as link:
        fronts = {pid for pid, args in descendants().items() if " serve " in f"{args} "}
        if link.listens:
            await link.listen([])
        tools = await link.tools()
        await between(link)
        await inside(link)
        await among(link)
        check("the tools are the same afterwards", await link.tools() == tools)
        if link.listens:
            await link.unlisten()
        same = {pid for pid, args in descendants().items() if " serve " in f"{args} "} == fronts
        check("the client's own process is the same", len(fronts) == 1 and same, f"{fronts}")
    until(lambda: look("SELECT 1 FROM mcp_sessions WHERE closed_at IS NOT NULL"), PATIENCE_S)
    sessions = look("SELECT client_name, tool_calls, close_reason FROM mcp_sessions")
    check("it was one session", sessions == [(client_name, calls, "end_of_input")], f"{sessions}, not {calls} calls")
    rows = look("SELECT count(*), count(outcome) FROM tool_calls")
    check("the record has each call", rows == [(calls, calls)], f"{rows}, not {calls}")


try:
    asyncio.run(asyncio.wait_for(main(), 60))
except BaseException as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    check("a session outlives its hubs", False, repr(error))
check("the last hub ends", checks.end_hub(data))
checks.done()
