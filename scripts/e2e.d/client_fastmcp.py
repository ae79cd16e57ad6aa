"""FastMCP's client behind the interface that the scenario uses. It has no way to listen in the modern era."""

from contextlib import asynccontextmanager

import mcp_types as types
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

import client_sdk2
from answer import LOG_LEVEL, answer

versions = client_sdk2.versions
# In the modern era it asks for all messages with every request.
ALWAYS_ASKS_FOR_LOGS = True


class Connection:
    def __init__(self, client):
        self.client, self.version = client, client.protocol_version
        self.modern = self.version in MODERN_PROTOCOL_VERSIONS
        self.listens = not self.modern
        self.meta = None
        self.uris = []

    async def tools(self):
        return [tool.name for tool in await self.client.list_tools()]

    async def prompts(self):
        return [prompt.name for prompt in await self.client.list_prompts()]

    async def resources(self):
        return [str(one.uri) for one in await self.client.list_resources()]

    async def templates(self):
        return [template.uri_template for template in await self.client.list_resource_templates()]

    async def call(self, name, arguments, progress=None):
        result = await self.client.call_tool(name, arguments, progress_handler=progress, raise_on_error=False, meta=self.meta)
        return answer(result.content, result.is_error)

    async def cancel(self, task):
        task.cancel()

    async def read(self, uri):
        return (await self.client.read_resource(uri))[0].text

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages[0].content.text

    async def complete_prompt(self, name, argument, value, context=None):
        ref = types.PromptReference(name=name)
        return (await self.client.complete(ref, {"name": argument, "value": value}, context)).values

    async def complete_template(self, template, argument, value):
        ref = types.ResourceTemplateReference(uri=template)
        return (await self.client.complete(ref, {"name": argument, "value": value})).values

    async def level(self, level):
        if self.modern:
            self.meta = {LOG_LEVEL: level}
        else:
            await self.client.set_logging_level(level)

    async def listen(self, uris):
        self.uris = uris
        for uri in uris:
            await self.client.session.subscribe_resource(uri)

    async def unlisten(self):
        for uri in self.uris:
            await self.client.session.unsubscribe_resource(uri)

    async def roots_changed(self):
        if not self.modern:
            await self.client.send_roots_list_changed()


@asynccontextmanager
async def connect(command, args, env, mode, client_name, ears):
    sdk = client_sdk2.answers(ears)

    async def elicit(_message, _answer_type, params, context):
        return await sdk["elicitation_callback"](context, params)

    async def sample(_messages, params, context):
        return await sdk["sampling_callback"](context, params)

    async def roots(_context):
        return ears.list_roots()

    client = Client(
        StdioTransport(command, args, env=env, keep_alive=False),
        mode=mode,
        client_info=types.Implementation(name=client_name, version="1"),
        elicitation_handler=elicit,
        sampling_handler=sample,
        roots=roots,
        log_handler=sdk["logging_callback"],
        message_handler=sdk["message_handler"],
        cache=False,
    )
    async with client:
        yield Connection(client)
