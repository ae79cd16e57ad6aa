"""The Python SDK 2.x behind the interface that the scenario uses.

`auto` sends server/discover and takes what it finds; `legacy` sends initialize; a version pins the modern era without asking.
"""

from contextlib import asynccontextmanager

from mcp import Client, StdioServerParameters
from mcp_types import Implementation

from answer import Answer

versions = {"legacy": "2025-11-25", "auto": "2026-07-28", "2026-07-28": "2026-07-28"}


class Connection:
    def __init__(self, client):
        self.client, self.version = client, client.protocol_version

    async def tools(self):
        names, cursor = [], None
        while True:
            page = await self.client.list_tools(cursor=cursor, cache_mode="refresh")
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                return names

    async def call(self, name, arguments, progress=None):
        result = await self.client.call_tool(name, arguments, progress_callback=progress)
        return Answer(result.content[0].text, bool(result.is_error))

    async def cancel(self, task, _request_id):
        # The SDK sends notifications/cancelled for a task that is cancelled.
        task.cancel()

    def next_request_id(self):
        return None


@asynccontextmanager
async def connect(command, args, env, mode, client_name):
    parameters = StdioServerParameters(command=command, args=args, env=env)
    info = Implementation(name=client_name, version="1")
    async with Client(parameters, mode=mode, client_info=info) as client:
        yield Connection(client)
