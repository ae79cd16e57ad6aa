"""The server that the conformance suite expects, on stdio, with the Python SDK 2.x. It speaks both eras.

server.py serves its own pipes. server.py SOCKET serves the pipes of each handover.py: the SDK takes a second to import, and the
suite wants a new server for each scenario.

The suite names the tools, prompts and resources and says what they do; see its `list` and the descriptions in its scenarios.
"""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import socket
import sys

import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
SECRET = b"a test's secret"
bus = InMemorySubscriptionBus()
# What a trigger adds to the lists, or takes out again.
extra = {"tools": False, "prompts": False}


def text(value):
    return {"type": "text", "text": value}


def result(*content):
    return {"content": list(content)}


def embedded(uri, mime, body):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": body}}


def form(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def sampling(prompt, most=100):
    return {"method": "sampling/createMessage", "params": {"messages": [{"role": "user", "content": text(prompt)}], "maxTokens": most}}


ROOTS = {"method": "roots/list", "params": {}}
OK = {"type": "boolean"}
STRING = {"type": "string"}


# Tools that answer at once.

IMAGE = {"type": "image", "data": PNG, "mimeType": "image/png"}
PLAIN = {
    "test_simple_text": result(text("This is a simple text response for testing.")),
    "test_image_content": result(IMAGE),
    "test_audio_content": result({"type": "audio", "data": WAV, "mimeType": "audio/wav"}),
    "test_embedded_resource": result(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")),
    "test_multiple_content_types": result(
        text("Multiple content types test:"),
        IMAGE,
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ),
    "test_error_handling": result(text("This tool intentionally returns an error for testing")) | {"isError": True},
    "json_schema_2020_12_tool": result(text("ok")),
}


# Tools that take part in a session.


async def logs(ctx, _params):
    for data in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", data, related_request_id=ctx.request_id)
        await asyncio.sleep(0.05)
    return result(text("logged"))


async def makes_progress(ctx, _params):
    for at in (0, 50, 100):
        await ctx.session.report_progress(at, 100, f"Completed step {at} of 100")
        await asyncio.sleep(0.05)
    return result(text("done"))


async def samples(ctx, params):
    prompt = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=params.arguments["prompt"]))
    said = await ctx.session.create_message([prompt], max_tokens=100, related_request_id=ctx.request_id)
    return result(text(f"LLM response: {said.content.text}"))


async def elicits(ctx, message, schema):
    said = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return result(text(f"Elicitation completed: action={said.action}, content={json.dumps(said.content)}"))


async def asks_user(ctx, params):
    fields = {"username": STRING | {"description": "User's response"}, "email": STRING | {"description": "User's email address"}}
    return await elicits(ctx, params.arguments["message"], form("", **fields)["params"]["requestedSchema"])


async def asks_with_defaults(ctx, _params):
    fields = {
        "name": STRING | {"default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": STRING | {"enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": OK | {"default": True},
    }
    return await elicits(ctx, "Please review", {"type": "object", "properties": fields})


async def asks_with_enums(ctx, _params):
    plain, titled = ["option1", "option2", "option3"], [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    fields = {
        "untitledSingle": STRING | {"enum": plain},
        "titledSingle": STRING | {"oneOf": titled},
        "legacyEnum": STRING | {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": STRING | {"enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await elicits(ctx, "Please choose", {"type": "object", "properties": fields})


async def changes_tools(ctx, _params):
    extra["tools"] = not extra["tools"]
    await bus.publish(ToolsListChanged())
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        await ctx.session.send_tool_list_changed()
    return result(text("changed"))


async def changes_prompts(ctx, _params):
    extra["prompts"] = not extra["prompts"]
    await bus.publish(PromptsListChanged())
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        await ctx.session.send_prompt_list_changed()
    return result(text("changed"))


async def needs_sampling(ctx, _params):
    if ctx.session.client_capabilities is None or ctx.session.client_capabilities.sampling is None:
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "Sampling is needed", {"requiredCapabilities": {"sampling": {}}})
    return result(text("sampling is there"))


# Tools that ask by their result (2026-07-28).


def sealed(state):
    return state + "." + hmac.new(SECRET, state.encode(), hashlib.sha256).hexdigest()


def unsealed(token):
    state = token.rpartition(".")[0]
    if not hmac.compare_digest(token, sealed(state)):
        raise MCPError(types.INVALID_PARAMS, "The request state is not this server's")
    return state


def asking(requests, state=None):
    return {"resultType": "input_required", "inputRequests": requests} | ({"requestState": sealed(state)} if state else {})


def said(params):
    """The client's answers as plain values."""
    answers = params.model_dump(mode="json", by_alias=True, exclude_none=True).get("inputResponses") or {}
    return {key: value for key, value in answers.items() if isinstance(value, dict)}


NAME = form("What is your name?", name=STRING)


async def asks_name(_ctx, params):
    answer = said(params).get("user_name", {})
    if "name" not in (answer.get("content") or {}):
        return asking({"user_name": NAME})
    return result(text(f"Hello, {answer['content']['name']}!"))


def by_result(requests, state=None):
    """A tool that asks all of `requests`, and is content when all are answered."""

    async def tool(_ctx, params):
        answers = said(params)
        if not requests.keys() <= answers.keys():
            return asking(requests, state)
        if state:
            unsealed(params.request_state or "")
        return result(text(f"state-ok {json.dumps(answers)}"))

    return tool


async def asks_twice(_ctx, params):
    step = unsealed(params.request_state) if params.request_state else ""
    if step == "two" and "step2" in said(params):
        return result(text("Both are known"))
    if step == "one" and "step1" in said(params):
        return asking({"step2": form("Step 2: What is your favorite color?", color=STRING)}, "two")
    return asking({"step1": form("Step 1: What is your name?", name=STRING)}, "one")


async def asks_what_it_may(ctx, params):
    able = ctx.session.client_capabilities
    requests = {"greeting": sampling("Hello")} if able.sampling is not None else {}
    if able.elicitation is not None:
        requests["user_name"] = NAME
    return result(text("done")) if said(params) else asking(requests)


CONFIRM = {"confirm": form("Please confirm", ok=OK)}
ALL = {"user_name": NAME, "greeting": sampling("Generate a greeting", 50), "client_roots": ROOTS}
TOOLS = {
    "test_tool_with_logging": logs,
    "test_logging_tool": logs,
    "test_tool_with_progress": makes_progress,
    "test_sampling": samples,
    "test_elicitation": asks_user,
    "test_elicitation_sep1034_defaults": asks_with_defaults,
    "test_elicitation_sep1330_enums": asks_with_enums,
    "test_trigger_tool_change": changes_tools,
    "test_trigger_prompt_change": changes_prompts,
    "test_missing_capability": needs_sampling,
    "test_streaming_elicitation": asks_name,
    "test_input_required_result_elicitation": asks_name,
    "test_input_required_result_sampling": by_result({"capital_question": sampling("What is the capital of France?")}),
    "test_input_required_result_list_roots": by_result({"client_roots": ROOTS}),
    "test_input_required_result_request_state": by_result(CONFIRM, "confirm"),
    "test_input_required_result_tampered_state": by_result(CONFIRM, "tampered"),
    "test_input_required_result_multiple_inputs": by_result(ALL, "all"),
    "test_input_required_result_multi_round": asks_twice,
    "test_input_required_result_capabilities": asks_what_it_may,
}
SCHEMAS = {
    "test_sampling": {"type": "object", "properties": {"prompt": STRING}, "required": ["prompt"]},
    "test_elicitation": {"type": "object", "properties": {"message": STRING}, "required": ["message"]},
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": STRING, "city": STRING}}},
        "properties": {
            "name": STRING,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": STRING | {"enum": ["phone", "email"]},
            "phone": STRING,
            "email": STRING,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}


async def list_tools(_ctx, _params):
    names = [*PLAIN, *TOOLS] + (["test_extra"] if extra["tools"] else [])
    rows = [{"name": n, "description": f"{n} for the suite", "inputSchema": SCHEMAS.get(n, {"type": "object"})} for n in names]
    return {"tools": rows}


async def call_tool(ctx, params):
    if params.name in PLAIN:
        return PLAIN[params.name]
    if params.name in TOOLS:
        return await TOOLS[params.name](ctx, params)
    raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")


# Resources and prompts.

RESOURCES = {
    "test://static-text": ("text/plain", {"text": "This is the content of the static text resource."}),
    "test://static-binary": ("image/png", {"blob": PNG}),
    "test://watched-resource": ("text/plain", {"text": "Watched resource content"}),
}
PROMPTS = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


async def list_resources(_ctx, _params):
    rows = [
        {"uri": uri, "name": uri.removeprefix("test://"), "description": "For the suite", "mimeType": mime}
        for uri, (mime, _) in RESOURCES.items()
    ]
    return {"resources": rows}


async def list_templates(_ctx, _params):
    row = {"uriTemplate": "test://template/{id}/data", "name": "template", "description": "For the suite", "mimeType": "application/json"}
    return {"resourceTemplates": [row]}


async def read_resource(_ctx, params):
    uri = str(params.uri)
    if uri in RESOURCES:
        mime, body = RESOURCES[uri]
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        id = uri.split("/")[3]
        mime, body = "application/json", {"text": json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})}
    else:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, "mimeType": mime} | body]}


async def list_prompts(_ctx, _params):
    names = PROMPTS | ({"test_extra": []} if extra["prompts"] else {})
    rows = [
        {"name": name, "description": f"{name} for the suite", "arguments": [{"name": a, "required": True} for a in arguments]}
        for name, arguments in names.items()
    ]
    return {"prompts": rows}


async def get_prompt(_ctx, params):
    arguments = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            content = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            content = [text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            content = [
                embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing."),
                text("Please process the embedded resource above."),
            ]
        case "test_prompt_with_image":
            content = [IMAGE, text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            answer = said(params).get("user_context", {})
            if "context" not in (answer.get("content") or {}):
                return asking({"user_context": form("What context should the prompt use?", context=STRING)})
            content = [text(f"Context: {answer['content']['context']}")]
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return {"messages": [{"role": "user", "content": one} for one in content]}


async def complete(_ctx, params):
    values = [v for v in ("paris", "park", "party") if v.startswith(params.argument.value)]
    return {"completion": {"values": values, "total": len(values), "hasMore": False}}


async def nothing(_ctx, _params):
    return {}


def giving(kind, handler):
    """The handler's plain result as the SDK's own, which adds what the client's era asks for."""

    async def given(ctx, params):
        plain = await handler(ctx, params)
        return (types.InputRequiredResult if "inputRequests" in plain else kind).model_validate(plain)

    return given


async def main():
    server = Server(
        "suite",
        version="1.0",
        on_list_tools=giving(types.ListToolsResult, list_tools),
        on_call_tool=giving(types.CallToolResult, call_tool),
        on_list_resources=giving(types.ListResourcesResult, list_resources),
        on_list_resource_templates=giving(types.ListResourceTemplatesResult, list_templates),
        on_read_resource=giving(types.ReadResourceResult, read_resource),
        on_subscribe_resource=giving(types.EmptyResult, nothing),
        on_unsubscribe_resource=giving(types.EmptyResult, nothing),
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=giving(types.ListPromptsResult, list_prompts),
        on_get_prompt=giving(types.GetPromptResult, get_prompt),
        on_completion=giving(types.CompleteResult, complete),
        on_set_logging_level=giving(types.EmptyResult, nothing),
    )
    changed = NotificationOptions(prompts_changed=True, tools_changed=True)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(changed))


def serve_pipes_of_others(path):
    """Forks a server for each pair of pipes that is handed over. The link is held till it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        print("ready", flush=True)
        while True:
            link, _ = listener.accept()
            pipes = socket.recv_fds(link, 1, 3)[1]
            if os.fork() == 0:
                for number, pipe in enumerate(pipes):
                    os.dup2(pipe, number)
                    os.close(pipe)
                asyncio.run(main())
                os._exit(0)
            for pipe in pipes:
                os.close(pipe)
            link.close()


if sys.argv[1:]:
    serve_pipes_of_others(sys.argv[1])
else:
    asyncio.run(main())
