"""Both servers without a bridge between, under the names they would have behind it: shows that a client is used rightly."""

import tomllib
from contextlib import asynccontextmanager


class Both:
    def __init__(self, connections):
        self.connections = connections
        # A server decides its own era, so what was asked for cannot be looked at here.
        self.version = None

    def route(self, name):
        server, tool = name.split("__", 1)
        return self.connections[server], tool

    async def tools(self):
        return [f"{server}__{tool}" for server, link in self.connections.items() for tool in await link.tools()]

    async def call(self, name, arguments, progress=None):
        link, tool = self.route(name)
        return await link.call(tool, arguments, progress)

    async def cancel(self, task, request_id):
        await self.connections["everything"].cancel(task, request_id)

    def next_request_id(self):
        return self.connections["everything"].next_request_id()


@asynccontextmanager
async def connect(sdk, config, mode, client_name):
    with open(config, "rb") as file:
        servers = tomllib.load(file)["servers"]

    def one(name):
        return sdk.connect(servers[name]["command"], servers[name]["args"], {}, mode, client_name)

    async with one("time") as clock, one("everything") as everything:
        yield Both({"time": clock, "everything": everything})
