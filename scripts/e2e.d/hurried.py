"""A client under the name of one that cuts long calls and drops a connection on large answers: hurried.py CLIENT MODE ROOM

The SDKs insist on structured content where a tool has an output schema, as `count` has, and those in TypeScript read at most
10 MiB at once.
"""

import asyncio
import importlib
import os
import re
import sys
from pathlib import Path

import checks
from checks import check
from ears import PATIENCE_S, Ears

client, mode, room = sys.argv[1:]
sdk = importlib.import_module(f"client_{client}")
checks.name = f"{client}/{mode}"
config = Path(room, "hurried.toml")
config.write_text(Path(room, "config.toml").read_text() + "\n[settings]\nhandoff_after_s = 1\n")


async def called(link, name, arguments):
    return await asyncio.wait_for(link.call(name, arguments), PATIENCE_S)


async def long_call(link, name, arguments, wanted):
    word = await called(link, name, arguments)
    call = re.search(r'"call":"(\d+)"', word.text)
    if not check(f"{name} is handed off", call and "still runs" in word.text, word.text):
        return
    answer = word
    while "still runs" in answer.text:
        answer = await called(link, "bridge_result", {"call": call[1]})
    check(f"{name} has its result afterwards", not answer.is_error and wanted in answer.text, answer.text)


async def large_answers(link):
    answer = await called(link, "legacy__large", {"mebibytes": 10})
    check("an answer that is too large is an error", answer.is_error and "Ask for less" in answer.text, answer.text[:99])
    answer = await called(link, "legacy__large", {"mebibytes": 9})
    check("the largest that can be read is read", len(answer.text) == 9 << 20, answer.text[:99])


async def main():
    # In one process: the other sessions have a hub.
    serve = checks.serve(config, f"{room}/hurried", "--in-process")
    async with sdk.connect(os.environ["BRIDGE"], serve, {}, mode, "claude-ai", Ears()) as link:
        # From here on the SDK knows which tools have an output schema.
        await link.tools()
        await asyncio.gather(
            long_call(link, "legacy__count", {"steps": 3, "step_ms": 600}, "counted to 3"),
            long_call(link, "everything__trigger-long-running-operation", {"duration": 2, "steps": 2}, "completed"),
        )
        await large_answers(link)


try:
    asyncio.run(asyncio.wait_for(main(), 100))
except BaseException as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    check("a hurried client goes to its end", False, repr(error))
checks.done()
