"""All servers without a bridge between, under the names they would have behind it: shows that a client is used rightly."""

import asyncio
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager


class Direct:
    def __init__(self, links):
        self.links = links
        self.calling = {}
        # A server decides its own era, so what was asked for cannot be looked at here.
        self.version = None
        self.listens = all(link.listens for link in links.values())

    def modern_with(self, server):
        return self.links[server].modern

    def named(self, name):
        server, own = name.split("__", 1)
        return self.links[server], own

    def owner(self, uri):
        """Who has a URI: ours are named in its scheme, and server-everything says `demo`."""
        return self.links.get(uri.split(":", 1)[0], self.links["everything"])

    async def merged(self, verb, capable=("everything", "modern", "legacy")):
        return [(server, one) for server in capable for one in await getattr(self.links[server], verb)()]

    async def tools(self):
        return [f"{server}__{tool}" for server, tool in await self.merged("tools", self.links)]

    async def prompts(self):
        return [f"{server}__{prompt}" for server, prompt in await self.merged("prompts")]

    async def resources(self):
        return [uri for _, uri in await self.merged("resources")]

    async def templates(self):
        return [template for _, template in await self.merged("templates")]

    async def call(self, name, arguments, progress=None):
        link, tool = self.named(name)
        self.calling[asyncio.current_task()] = link
        return await link.call(tool, arguments, progress)

    async def cancel(self, task):
        await self.calling[task].cancel(task)

    async def read(self, uri):
        return await self.owner(uri).read(uri)

    async def prompt(self, name, arguments):
        link, prompt = self.named(name)
        return await link.prompt(prompt, arguments)

    async def complete_prompt(self, name, argument, value, context=None):
        link, prompt = self.named(name)
        return await link.complete_prompt(prompt, argument, value, context)

    async def complete_template(self, template, argument, value):
        return await self.owner(template).complete_template(template, argument, value)

    async def level(self, level):
        for server in ("everything", "modern", "legacy"):
            await self.links[server].level(level)

    async def listen(self, uris):
        for server in ("everything", "modern", "legacy"):
            await self.links[server].listen([uri for uri in uris if self.owner(uri) is self.links[server]])

    async def unlisten(self):
        for server in ("everything", "modern", "legacy"):
            await self.links[server].unlisten()

    async def roots_changed(self):
        for link in self.links.values():
            await link.roots_changed()


@asynccontextmanager
async def connect(sdk, config, mode, client_name, ears):
    with open(config, "rb") as file:
        servers = tomllib.load(file)["servers"]
    async with AsyncExitStack() as stack:
        links = {}
        for name, server in servers.items():
            one = sdk.connect(server["command"], server["args"], {}, mode, client_name, ears.of(name))
            links[name] = await stack.enter_async_context(one)
        yield Direct(links)
