"""The legacy twin of server_modern.py, with the Python SDK 1.x."""

import anyio
import mcp.types as types
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts import Prompt
from mcp.server.fastmcp.resources import TextResource
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from pydantic import BaseModel

SCHEME = "legacy"
PAGE = 4
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
NAMES = ["Ada", "Alan", "Grace"]

counter = 0
cancelled = 0
lowest_level = "debug"
subscribed: set[str] = set()
server = FastMCP("legacy")
low = server._mcp_server


class Name(BaseModel):
    name: str


# Questions to the client.


async def asked(ctx, message):
    answer = await ctx.elicit(message, Name)
    return f"{answer.action} {answer.data.name}" if answer.action == "accept" else answer.action


async def said(ctx, prompt):
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    result = await ctx.session.create_message([message], max_tokens=10, related_request_id=ctx.request_id)
    return result.content.text


@server.tool()
async def ask(message: str, ctx: Context) -> str:
    return await asked(ctx, message)


@server.tool()
async def sample(prompt: str, ctx: Context) -> str:
    return await said(ctx, prompt)


@server.tool()
async def list_roots(ctx: Context) -> str:
    return " ".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


@server.tool()
async def order(ctx: Context) -> str:
    who = (await ctx.elicit("Who orders?", Name)).data.name
    what = await said(ctx, f"A drink for {who}")
    where = await ctx.session.list_roots()
    return f"{who}: {what}, {len(where.roots)} roots"


@server.tool()
async def visit(ctx: Context) -> str:
    return (await ctx.elicit_url("Please look", "https://example.com/e2e", "e-1")).action


@server.prompt()
async def signed(ctx: Context) -> str:
    return await asked(ctx, "Who signs?")


@server.resource(f"{SCHEME}://signed/{{title}}")
async def signed_resource(title: str, ctx: Context) -> str:
    return f"{title}: {await asked(ctx, f'Who signs {title}?')}"


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


@server.tool(structured_output=False)
async def large(mebibytes: int) -> str:
    return "x" * (mebibytes << 20)


@server.tool()
async def cancelled_counts() -> str:
    return str(cancelled)


@server.tool()
async def log(ctx: Context) -> str:
    for level in ["debug", "info", "warning", "error"]:
        if LEVELS.index(level) >= LEVELS.index(lowest_level):
            logger = "desk" if level != "error" else None
            await ctx.session.send_log_message(level, {"said": level}, logger, related_request_id=ctx.request_id)
    return "logged"


# Lists and what changes in them.


@server.tool()
async def touch(ctx: Context) -> str:
    """Changes the counter and tells those who asked."""
    global counter
    counter += 1
    uri = f"{SCHEME}://counter"
    if uri in subscribed:
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
    await ctx.session.send_tool_list_changed()
    await ctx.session.send_prompt_list_changed()
    await ctx.session.send_resource_list_changed()
    return "grown"


@server.tool(structured_output=False)
async def where() -> list[types.ContentBlock]:
    link = types.ResourceLink(type="resource_link", uri=f"{SCHEME}://back-room", name="the back room")
    return [types.TextContent(type="text", text="not in any list"), link]


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
    return types.Completion(values=[mark + name for name in NAMES if name.startswith(argument.value)], hasMore=False)


# What the SDK's decorators do not offer: pages, an unlisted resource, subscriptions and levels.


def in_pages(request_type, field):
    inner = low.request_handlers[request_type]

    async def handler(request):
        result = (await inner(request)).root
        if request is None:  # The SDK looks up a tool's schema.
            return types.ServerResult(result)
        everything = [item for item in getattr(result, field) if not str(getattr(item, "uri", "")).endswith("back-room")]
        start = int(request.params.cursor) if request.params and request.params.cursor else 0
        more = str(start + PAGE) if len(everything) > start + PAGE else None
        page = result.model_copy(update={field: everything[start : start + PAGE], "nextCursor": more})
        return types.ServerResult(page)

    low.request_handlers[request_type] = handler


in_pages(types.ListToolsRequest, "tools")
in_pages(types.ListPromptsRequest, "prompts")
in_pages(types.ListResourcesRequest, "resources")


@low.subscribe_resource()
async def subscribe(uri):
    subscribed.add(str(uri))


@low.unsubscribe_resource()
async def unsubscribe(uri):
    subscribed.discard(str(uri))


@low.set_logging_level()
async def set_level(level):
    global lowest_level
    lowest_level = level


async def main():
    options = low.create_initialization_options(NotificationOptions(True, True, True))
    # The SDK cannot say it by itself: it writes `subscribe: false` also where there is a handler.
    options.capabilities.resources.subscribe = True
    async with stdio_server() as (read, write):
        await low.run(read, write, options)


anyio.run(main)
