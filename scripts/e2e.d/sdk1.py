"""The Python SDK 1.x behind the interface that the scenario uses."""

from contextlib import asynccontextmanager

import mcp.types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from answer import Answer

versions = {"legacy": "2025-11-25"}


class Connection:
    def __init__(self, session, version):
        self.session, self.version = session, version

    async def tools(self):
        names, cursor = [], None
        while True:
            page = await self.session.list_tools(cursor)
            names += [tool.name for tool in page.tools]
            cursor = page.nextCursor
            if not cursor:
                return names

    async def call(self, name, arguments, progress=None):
        result = await self.session.call_tool(name, arguments, progress_callback=progress)
        return Answer(result.content[0].text, bool(result.isError))

    async def cancel(self, task, request_id):
        # This SDK does not tell the server on its own.
        params = types.CancelledNotificationParams(requestId=request_id, reason="no longer needed")
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
        task.cancel()

    def next_request_id(self):
        return self.session._request_id


@asynccontextmanager
async def connect(command, args, env, mode, client_name):
    assert mode == "legacy", mode
    parameters = StdioServerParameters(command=command, args=args, env=env)
    async with stdio_client(parameters) as (read, write):
        info = types.Implementation(name=client_name, version="1")
        async with ClientSession(read, write, client_info=info) as session:
            result = await session.initialize()
            yield Connection(session, result.protocolVersion)
