"""The Python SDK 1.x behind the interface that the scenario uses."""

import asyncio
from contextlib import asynccontextmanager

import mcp.types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from pydantic import AnyUrl

from answer import answer, pages

versions = {"legacy": "2025-11-25"}
CHANGES = {
    types.ToolListChangedNotification: "tools",
    types.PromptListChangedNotification: "prompts",
    types.ResourceListChangedNotification: "resources",
}


class Connection:
    listens = True

    def __init__(self, session, version):
        self.session, self.version = session, version
        self.modern = False
        self.ids, self.uris = {}, []

    async def tools(self):
        return [tool.name for tool in await pages(self.session.list_tools, "tools", "nextCursor")]

    async def prompts(self):
        return [prompt.name for prompt in await pages(self.session.list_prompts, "prompts", "nextCursor")]

    async def resources(self):
        return [str(one.uri) for one in await pages(self.session.list_resources, "resources", "nextCursor")]

    async def templates(self):
        found = await pages(self.session.list_resource_templates, "resourceTemplates", "nextCursor")
        return [template.uriTemplate for template in found]

    async def call(self, name, arguments, progress=None):
        self.ids[asyncio.current_task()] = self.session._request_id
        result = await self.session.call_tool(name, arguments, progress_callback=progress)
        return answer(result.content, result.isError)

    async def cancel(self, task):
        # This SDK does not tell the server on its own.
        params = types.CancelledNotificationParams(requestId=self.ids[task], reason="no longer needed")
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
        task.cancel()

    async def read(self, uri):
        return (await self.session.read_resource(AnyUrl(uri))).contents[0].text

    async def prompt(self, name, arguments):
        return (await self.session.get_prompt(name, arguments)).messages[0].content.text

    async def complete_prompt(self, name, argument, value, context=None):
        ref = types.PromptReference(type="ref/prompt", name=name)
        return (await self.session.complete(ref, {"name": argument, "value": value}, context)).completion.values

    async def complete_template(self, template, argument, value):
        ref = types.ResourceTemplateReference(type="ref/resource", uri=template)
        return (await self.session.complete(ref, {"name": argument, "value": value})).completion.values

    async def level(self, level):
        await self.session.set_logging_level(level)

    async def listen(self, uris):
        self.uris = uris
        for uri in uris:
            await self.session.subscribe_resource(AnyUrl(uri))

    async def unlisten(self):
        for uri in self.uris:
            await self.session.unsubscribe_resource(AnyUrl(uri))

    async def roots_changed(self):
        await self.session.send_roots_list_changed()


@asynccontextmanager
async def connect(command, args, env, mode, client_name, ears):
    assert mode == "legacy", mode

    async def elicit(_context, params):
        if params.mode == "url":
            return types.ElicitResult(action=ears.url(params.url))
        action, content = ears.form(params.message)
        return types.ElicitResult(action=action, content=content)

    async def sample(_context, params):
        text = ears.sampling(params.messages[0].content.text)
        content = types.TextContent(type="text", text=text)
        return types.CreateMessageResult(role="assistant", model="e2e", content=content)

    async def roots(_context):
        return types.ListRootsResult(roots=[types.Root(uri=uri) for uri in ears.list_roots()])

    async def log(params):
        ears.log(params.level, params.logger, params.data)

    async def notice(message):
        message = getattr(message, "root", None)
        if type(message) in CHANGES:
            ears.changed(CHANGES[type(message)])
        elif isinstance(message, types.ResourceUpdatedNotification):
            ears.updated(message.params.uri)

    parameters = StdioServerParameters(command=command, args=args, env=env)
    async with stdio_client(parameters) as (read, write):
        info = types.Implementation(name=client_name, version="1")
        async with ClientSession(
            read,
            write,
            client_info=info,
            elicitation_callback=elicit,
            sampling_callback=sample,
            list_roots_callback=roots,
            logging_callback=log,
            message_handler=notice,
        ) as session:
            result = await session.initialize()
            yield Connection(session, result.protocolVersion)
