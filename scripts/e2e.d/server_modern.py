"""Everything in MCP once, with the Python SDK 2.x: server_modern.py [--modern-only]

It speaks both eras, whichever its first request is in; with --modern-only it refuses `initialize`. The legacy twin is
server_legacy.py: the same names with another scheme in the URIs.
"""

import sys
from typing import Annotated

import anyio
import mcp_types as types
from mcp.server.mcpserver import Context, Elicit, ElicitationResult, ListRoots, MCPServer, Resolve, Sample
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import TextResource
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

SCHEME = "modern"
PAGE = 4
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
NAMES = ["Ada", "Alan", "Grace"]

counter = 0
cancelled = 0
legacy_level = "debug"
subscribed: set[str] = set()
server = MCPServer("modern", version="1")


class Name(BaseModel):
    name: str


def is_modern(ctx):
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


# Questions to the client.


async def question(message: str) -> Elicit[Name]:
    return Elicit(message, Name)


async def sampled(prompt: str) -> Sample:
    return Sample([types.SamplingMessage(role="user", content=types.TextContent(text=prompt))], max_tokens=10)


async def roots() -> ListRoots:
    return ListRoots()


async def first() -> Elicit[Name]:
    return Elicit("Who orders?", Name)


async def second(who: Annotated[Name, Resolve(first)]) -> Sample:
    content = types.TextContent(text=f"A drink for {who.name}")
    return Sample([types.SamplingMessage(role="user", content=content)], max_tokens=10)


def outcome(result):
    return f"{result.action} {result.data.name}" if result.action == "accept" else result.action


@server.tool()
async def ask(message: str, answer: Annotated[ElicitationResult[Name], Resolve(question)]) -> str:
    return outcome(answer)


@server.tool()
async def sample(prompt: str, result: Annotated[types.CreateMessageResult, Resolve(sampled)]) -> str:
    return result.content.text


@server.tool()
async def list_roots(found: Annotated[types.ListRootsResult, Resolve(roots)]) -> str:
    return " ".join(str(root.uri) for root in found.roots)


@server.tool()
async def order(
    who: Annotated[Name, Resolve(first)],
    what: Annotated[types.CreateMessageResult, Resolve(second)],
    where: Annotated[types.ListRootsResult, Resolve(roots)],
) -> str:
    return f"{who.name}: {what.content.text}, {len(where.roots)} roots"


async def asked(ctx: Context, params) -> str | types.InputRequiredResult:
    """What the client did with a question, or the result that carries the question to it."""
    request = types.ElicitRequest(params=params)
    if is_modern(ctx):
        if not ctx.input_responses:
            return types.InputRequiredResult(input_requests={"q": request}, request_state="asked once")
        if ctx.request_state != "asked once":
            raise MCPError(types.INVALID_PARAMS, f"the state came back as {ctx.request_state!r}")
        answer = ctx.input_responses["q"]
    elif isinstance(params, types.ElicitRequestURLParams):
        answer = await ctx.session.elicit_url(params.message, params.url, "e-1", related_request_id=ctx.request_id)
    else:
        answer = await ctx.session.elicit_form(params.message, params.requested_schema, related_request_id=ctx.request_id)
    return f"{answer.action} {answer.content['name']}" if answer.content else answer.action


def form(message):
    return types.ElicitRequestFormParams(message=message, requested_schema=Name.model_json_schema())


@server.tool(structured_output=False)
async def visit(ctx: Context) -> str | types.InputRequiredResult:
    return await asked(ctx, types.ElicitRequestURLParams(message="Please look", url="https://example.com/e2e"))


@server.prompt()
async def signed(ctx: Context) -> str | types.InputRequiredResult:
    return await asked(ctx, form("Who signs?"))


@server.resource(f"{SCHEME}://signed/{{title}}")
async def signed_resource(title: str, ctx: Context) -> str | types.InputRequiredResult:
    answer = await asked(ctx, form(f"Who signs {title}?"))
    return answer if isinstance(answer, types.InputRequiredResult) else f"{title}: {answer}"


# Work that takes time.


@server.tool()
async def count(steps: int, step_ms: int, ctx: Context) -> str:
    global cancelled
    try:
        for at in range(1, steps + 1):
            await ctx.report_progress(at, steps, f"step {at}")
            await anyio.sleep(step_ms / 1000)
    except anyio.get_cancelled_exc_class():
        cancelled += 1
        raise
    return f"counted to {steps}"


@server.tool()
async def cancelled_counts() -> str:
    return str(cancelled)


@server.tool()
async def log(ctx: Context) -> str:
    for level in ["debug", "info", "warning", "error"]:
        if is_modern(ctx) or LEVELS.index(level) >= LEVELS.index(legacy_level):
            await ctx.log(level, {"said": level}, logger_name="desk" if level != "error" else None)
    return "logged"


# Lists and what changes in them.


@server.tool()
async def touch(ctx: Context) -> str:
    """Changes the counter and tells those who asked."""
    global counter
    counter += 1
    uri = f"{SCHEME}://counter"
    if is_modern(ctx):
        await ctx.notify_resource_updated(uri)
    elif uri in subscribed:
        await ctx.session.send_resource_updated(uri)
    return str(counter)


@server.tool()
async def grow(name: str, ctx: Context) -> str:
    """Adds a tool, a prompt and a resource, and says so."""

    async def grown() -> str:
        return f"{name} grew"

    server.add_tool(grown, name=f"grown_{name}")
    server.add_prompt(Prompt.from_function(grown, name=f"grown_{name}"))
    server.add_resource(TextResource(uri=f"{SCHEME}://grown/{name}", name=name, text=f"{name} grew"))
    if is_modern(ctx):
        await ctx.notify_tools_changed()
        await ctx.notify_prompts_changed()
        await ctx.notify_resources_changed()
    else:
        await ctx.session.send_tool_list_changed()
        await ctx.session.send_prompt_list_changed()
        await ctx.session.send_resource_list_changed()
    return "grown"


@server.tool(structured_output=False)
async def where() -> list[types.ContentBlock]:
    link = types.ResourceLink(type="resource_link", uri=f"{SCHEME}://back-room", name="the back room")
    return [types.TextContent(text="not in any list"), link]


@server.resource(f"{SCHEME}://counter")
async def counter_resource() -> str:
    return f"count {counter}"


@server.resource(f"{SCHEME}://back-room")
async def back_room() -> str:
    return "the back room"


@server.resource(f"{SCHEME}://letter/{{name}}")
async def letter(name: str) -> str:
    return f"Dear {name}"


for number in range(PAGE):
    server.add_resource(TextResource(uri=f"{SCHEME}://page/{number}", name=f"page {number}", text=f"page {number}"))


@server.prompt()
async def greet(name: str) -> str:
    return f"Greet {name}"


def add_prompts():
    for number in range(PAGE):

        async def plain() -> str:
            return "plain"

        server.add_prompt(Prompt.from_function(plain, name=f"plain_{number}"))


add_prompts()


@server.completion()
async def complete(ref, argument, _context):
    if argument.name != "name":
        return None
    # The reference tells which of both it was: a bridge must not mix them up.
    mark = "" if isinstance(ref, types.PromptReference) else "Dr. "
    return types.Completion(values=[mark + name for name in NAMES if name.startswith(argument.value)], has_more=False)


# What the SDK's decorators do not offer: pages, an unlisted resource, subscriptions and levels of the legacy era.

low = server._lowlevel_server


def in_pages(method, field):
    entry = low.get_request_handler(method)

    async def handler(ctx, params):
        result = await entry.handler(ctx, params)
        everything = [item for item in getattr(result, field) if not str(getattr(item, "uri", "")).endswith("back-room")]
        start = int(params.cursor) if params and params.cursor else 0
        more = str(start + PAGE) if len(everything) > start + PAGE else None
        return result.model_copy(update={field: everything[start : start + PAGE], "next_cursor": more})

    low.add_request_handler(method, entry.params_type, handler)


in_pages("tools/list", "tools")
in_pages("prompts/list", "prompts")
in_pages("resources/list", "resources")


async def subscribe(_ctx, params):
    subscribed.add(str(params.uri))
    return types.EmptyResult()


async def unsubscribe(_ctx, params):
    subscribed.discard(str(params.uri))
    return types.EmptyResult()


async def set_level(_ctx, params):
    global legacy_level
    legacy_level = params.level
    return types.EmptyResult()


low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, subscribe)
low.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe)
low.add_request_handler("logging/setLevel", types.SetLevelRequestParams, set_level)


async def without_initialize(read, write, onward):
    """Refuses `initialize` before the SDK sees it: as a first request it would bind the SDK to the legacy era."""
    async with onward:
        async for item in read:
            message = getattr(item, "message", None)
            if getattr(message, "method", None) == "initialize":
                data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": message.params["protocolVersion"]}
                error = types.ErrorData(code=types.UNSUPPORTED_PROTOCOL_VERSION, message="modern only", data=data)
                await write.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=message.id, error=error)))
            else:
                await onward.send(item)


async def main():
    options = low.create_initialization_options(NotificationOptions(True, True, True))
    async with stdio_server() as (read, write), anyio.create_task_group() as tasks:
        if "--modern-only" in sys.argv:
            onward, filtered = anyio.create_memory_object_stream(0)
            tasks.start_soon(without_initialize, read, write, onward)
            read = filtered
        await low.run(read, write, options)
        tasks.cancel_scope.cancel()


anyio.run(main)
