"""The Python SDK 2.x behind the interface that the scenario uses.

`auto` sends server/discover and takes what it finds; `legacy` sends initialize; a version pins the modern era without asking.
"""

import asyncio
import warnings
from contextlib import asynccontextmanager

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from answer import LOG_LEVEL, answer, pages

# What a legacy server knows has to be asked for in its words.
warnings.simplefilter("ignore", MCPDeprecationWarning)

versions = {"legacy": "2025-11-25", "auto": "2026-07-28", "2026-07-28": "2026-07-28"}
CHANGES = {
    types.ToolListChangedNotification: "tools",
    types.PromptListChangedNotification: "prompts",
    types.ResourceListChangedNotification: "resources",
}


class Connection:
    """Over `mcp.Client`, which drives the rounds of a modern question by itself."""

    listens = True

    def __init__(self, client):
        self.client, self.version = client, client.protocol_version
        self.modern = self.version in MODERN_PROTOCOL_VERSIONS
        self.meta = None
        self.uris = []
        self.ending = self.listening = None

    async def all(self, method, items):
        return await pages(lambda cursor: method(cursor=cursor, cache_mode="refresh"), items, "next_cursor")

    async def tools(self):
        return [tool.name for tool in await self.all(self.client.list_tools, "tools")]

    async def prompts(self):
        return [prompt.name for prompt in await self.all(self.client.list_prompts, "prompts")]

    async def resources(self):
        return [str(one.uri) for one in await self.all(self.client.list_resources, "resources")]

    async def templates(self):
        found = await self.all(self.client.list_resource_templates, "resource_templates")
        return [template.uri_template for template in found]

    async def call(self, name, arguments, progress=None):
        result = await self.client.call_tool(name, arguments, progress_callback=progress, meta=self.meta)
        return answer(result.content, result.is_error)

    async def cancel(self, task):
        # The SDK sends notifications/cancelled for a task that is cancelled.
        task.cancel()

    async def read(self, uri):
        return (await self.client.read_resource(uri, cache_mode="refresh")).contents[0].text

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages[0].content.text

    async def complete_prompt(self, name, argument, value, context=None):
        ref = types.PromptReference(name=name)
        return (await self.client.complete(ref, {"name": argument, "value": value}, context)).completion.values

    async def complete_template(self, template, argument, value):
        ref = types.ResourceTemplateReference(uri=template)
        return (await self.client.complete(ref, {"name": argument, "value": value})).completion.values

    async def level(self, level):
        if self.modern:
            self.meta = {LOG_LEVEL: level}
        else:
            await self.client.set_logging_level(level)

    async def listen(self, uris):
        self.uris = uris
        if self.modern:
            self.ending, open_now = asyncio.Event(), asyncio.Event()
            self.listening = asyncio.create_task(self.keep_listening(uris, open_now))
            opening = asyncio.create_task(open_now.wait())
            await asyncio.wait([opening, self.listening], return_when=asyncio.FIRST_COMPLETED)
            opening.cancel()
            if self.listening.done():
                self.listening.result()
        else:
            for uri in uris:
                await self.client.subscribe_resource(uri)

    async def keep_listening(self, uris, open_now):
        """A stream has to be entered and left by one task. Its events reach the message handler too."""
        async with self.client.listen(
            tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True, resource_subscriptions=uris
        ):
            open_now.set()
            await self.ending.wait()

    async def unlisten(self):
        if self.modern:
            self.ending.set()
            await self.listening
        else:
            for uri in self.uris:
                await self.client.unsubscribe_resource(uri)

    async def roots_changed(self):
        if not self.modern:
            await self.client.send_roots_list_changed()


def answers(ears):
    """The callbacks of `Client` that answer and hear."""

    async def elicit(_context, params):
        if params.mode == "url":
            return types.ElicitResult(action=ears.url(params.url))
        action, content = ears.form(params.message)
        return types.ElicitResult(action=action, content=content)

    async def sample(_context, params):
        first = params.messages[0].content
        text = ears.sampling((first[0] if isinstance(first, list) else first).text)
        return types.CreateMessageResult(role="assistant", model="e2e", content=types.TextContent(text=text))

    async def roots(_context):
        return types.ListRootsResult(roots=[types.Root(uri=uri) for uri in ears.list_roots()])

    async def log(params):
        ears.log(params.level, params.logger, params.data)

    async def notice(message):
        if type(message) in CHANGES:
            ears.changed(CHANGES[type(message)])
        elif isinstance(message, types.ResourceUpdatedNotification):
            ears.updated(message.params.uri)

    return {
        "elicitation_callback": elicit,
        "sampling_callback": sample,
        "list_roots_callback": roots,
        "logging_callback": log,
        "message_handler": notice,
    }


@asynccontextmanager
async def connect(command, args, env, mode, client_name, ears):
    parameters = StdioServerParameters(command=command, args=args, env=env)
    info = types.Implementation(name=client_name, version="1")
    async with Client(parameters, mode=mode, client_info=info, **answers(ears)) as client:
        yield Connection(client)
