"""A TypeScript SDK, driven in a process of its own, behind the interface that the scenario uses.

client_ts.mjs has the SDK. Both sides write JSON lines: {id, do, with} asks it for something and {id, value | error} is the
answer; {event} is something heard; {ask, with} is a question of a server, which {answer, value} answers.
"""

import asyncio
import itertools
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path

from answer import Answer

versions = {"legacy": "2025-11-25", "auto": "2026-07-28"}
LINE_BYTES_MAX = 16 * 1024 * 1024


class Refused(Exception):
    """The SDK's error."""


class Driver:
    def __init__(self, process, ears):
        self.process, self.ears = process, ears
        self.ids = itertools.count(1)
        self.waiting, self.progress = {}, {}
        self.reading = asyncio.create_task(self.read())

    def write(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def ask(self, verb, **arguments):
        number = next(self.ids)
        future = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        self.write({"id": number, "do": verb, "with": arguments})
        return number, future

    async def read(self):
        try:
            async for line in self.process.stdout:
                await self.take(json.loads(line))
        finally:
            for future in self.waiting.values():
                if not future.done():
                    future.set_exception(Refused("the driver is gone"))

    async def take(self, message):
        if "ask" in message:
            value = getattr(self.ears, message["kind"])(*message["with"])
            self.write({"answer": message["ask"], "value": value})
        elif "event" in message:
            getattr(self.ears, message["event"])(*message["with"])
        elif "progress" in message:
            await self.progress[message["progress"]](*message["with"])
        else:
            self.settle(message)

    def settle(self, message):
        future = self.waiting.pop(message["id"])
        if future.done():
            return
        if "error" in message:
            future.set_exception(Refused(message["error"]))
        else:
            future.set_result(message.get("value"))

    async def do(self, verb, **arguments):
        return await self.ask(verb, **arguments)[1]


class Connection:
    listens = True

    def __init__(self, driver, version, modern):
        self.driver, self.version, self.modern = driver, version, modern
        self.running = {}

    def __getattr__(self, verb):
        """Most verbs of the interface are those of the driver."""

        async def do(*arguments):
            return await self.driver.do(verb, args=arguments)

        return do

    async def call(self, name, arguments, progress=None):
        number, future = self.driver.ask("call", args=[name, arguments, bool(progress)])
        if progress:
            self.driver.progress[number] = progress
        self.running[asyncio.current_task()] = number
        return Answer(**await asyncio.shield(future))

    async def cancel(self, task):
        """The SDK's way: the signal of the call is aborted, and the call fails with that."""
        await self.driver.do("abort", args=[self.running[task]])
        task.cancel()


@asynccontextmanager
async def connect(sdk, command, args, env, mode, client_name, ears):
    script = Path(__file__).with_name("client_ts.mjs")
    process = await asyncio.create_subprocess_exec(
        os.environ["NODE"],
        script,
        sdk,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    driver = Driver(process, ears)
    try:
        here = await driver.do("connect", command=command, args=args, env=env, mode=mode, name=client_name)
        yield Connection(driver, here["version"], here["modern"])
        await driver.do("close", args=[])
    finally:
        process.stdin.close()
        await process.wait()
        await driver.reading
