"""A server whose JSON no library would write: what passes a proxy unchanged here passes it everywhere.

Numbers as 1.0, 1e2 and -0.0, integers beyond 64 bits, escapes, white space, members nobody knows, keys out of order, lists in
pages. `odd.py` speaks the older revisions, `odd.py modern` 2026-07-28. The tool `mirror` answers with the parameters as they
came, `ask` asks the client something and answers with what the client said, as it came.
"""

import json
import sys

from wire import Message, members

MODERN = sys.argv[1:] == ["modern"]
VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
PAGE = 2

RAW = (
    r'{ "xFirst":[true,false , null],"content":[{"type":"text","annotations":{"priority":1.0,"x-new":null,"audience":["user"]},'
    r'"text":"caf\u00e9 \ud83d\ude00 \/ é 今日 \u2028"},{"text":"","type":"text","_meta":{"k":1.50}}],'
    r'"structuredContent":{"z":1.0,"a":1e2,"m":-0.0,"big":12345678901234567890123,"tiny":1E-7,"":"","nested":{"b":[],"a":{}}},'
    r'"isError":false,"_meta":{"z.example/k":{"b":1,"a":[1.50]},"a":null},"xUnknown":{"y":0.10} }'
)
TOOLS = [
    '{"name":"raw","title":"Rå","description":"Odd JSON","inputSchema":{"type":"object","properties":{"n":{"maximum":1.0,'
    '"minimum":-0.0}},"$defs":{"z":{},"a":{}},"additionalProperties":false},"outputSchema":{"type":"object"},'
    '"annotations":{"readOnlyHint":true,"x":1.0},"_meta":{"b":1.0,"a":"\\u00e9"},"icons":[{"src":"data:,"}],"xNew":[ 1.0 ]}',
    '{"inputSchema":{"type":"object"},"description":"The name is last","name":"mirror"}',
    '{"name":"fail","inputSchema":{"type":"object"}}',
    '{"name":"says-error","inputSchema":{"type":"object"},"title":""}',
    '{"name":"progress","description":null,"inputSchema":{"type":"object"}}',
    '{"name":"log","inputSchema":{"type":"object"},"execution":{"taskSupport":"forbidden"}}',
    '{"name":"ask","inputSchema":{"type":"object"}}',
    '{"name":"update","inputSchema":{"type":"object"}}',
    '{"name":"with.dot","inputSchema":{"type":"object"}}',
]
RESOURCES = [
    '{"uri":"odd://A%20b/%C3%A9?q=1&r=a+b#frag","name":"n","title":"T","size":1.0,"_meta":{"k":1.0},"annotations":{"priority":0.50}}',
    '{"name":"urn","uri":"urn:example:a:B","mimeType":"text/plain;charset=utf-8"}',
    '{"uri":"file:///tmp/No%20Such/../x","name":"file","xNew":{"b":1,"a":2}}',
]
TEMPLATES = ['{"uriTemplate":"odd://t/{a}{?q*}","name":"t","_meta":{"k":1.0}}', '{"name":"u","uriTemplate":"urn:example:t:{+rest}"}']
PROMPTS = [
    '{"name":"p","title":"P","arguments":[{"name":"a","required":true,"xNew":1.0},{"name":"b","title":"B"}],"_meta":{"k":1.0}}',
    '{"description":"d","name":"q.r"}',
    '{"name":"s"}',
]
LISTS = {
    "tools/list": ("tools", TOOLS),
    "resources/list": ("resources", RESOURCES),
    "resources/templates/list": ("resourceTemplates", TEMPLATES),
    "prompts/list": ("prompts", PROMPTS),
}
CAPABILITIES = (
    '{"tools":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"prompts":{"listChanged":true},'
    '"logging":{},"completions":{}}'
)
SAMPLING = (
    '{"maxTokens":100,"messages":[{"role":"user","content":{"type":"text","text":"\\u00e9 \\/"}}],"temperature":1.0,'
    '"metadata":{"z":1.0,"a":1e2},"_meta":{"k":0.10},"xNew":null}'
)
state = {"level": 0, "asked": {}, "subscribed": set()}


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def notify(method, params):
    say(f'{{"method":"{method}","jsonrpc":"2.0","params":{params}}}')


def stamp(result, listed=False):
    """What every modern result carries, put at the end."""
    if not MODERN:
        return result
    more = ',"resultType":"complete"' + (',"ttlMs":1500,"cacheScope":"private"' if listed else "")
    return result.rstrip()[:-1].rstrip() + (more if len(members(result)) else more[1:]) + "}"


def text(value):
    return '{"content":[{"type":"text","text":%s}]}' % json.dumps(value, ensure_ascii=False)


def page(message, key, rows):
    start = int(message.get("cursor") or 0)
    if not 0 <= start < len(rows):
        return '"error":{"code":-32602,"message":"Invalid cursor","data":{"b":1.0,"a":null}}'
    rest = f',"nextCursor":"{start + PAGE}"' if start + PAGE < len(rows) else ""
    return '"result":' + stamp(f'{{"{key}":[{" , ".join(rows[start : start + PAGE])}]{rest}}}', listed=True)


def log(message):
    wanted = (message.get("_meta") or {}).get("io.modelcontextprotocol/logLevel")
    floor = (LEVELS.index(wanted) if wanted else 99) if MODERN else state["level"]
    for level, tail in (("debug", '"logger":"a/b","data":{"z":1.0,"a":[]}'), ("error", '"data":"\\u00e9","_meta":{"k":1.0}')):
        if LEVELS.index(level) >= floor:
            notify("notifications/message", f'{{"level":"{level}",{tail}}}')


def progress(message):
    token = dict(members(dict(members(message.params)).get("_meta", "{}"))).get("progressToken")
    if token is not None:
        for at in ("0.10", "1.0", "1e2"):
            notify("notifications/progress", f'{{"progress":{at},"progressToken":{token},"total":100.0,"message":"\\u00e9","x":null}}')


def call(message):
    name = message.get("name")
    if name == "raw":
        return '"result":' + stamp(RAW)
    if name == "mirror":
        return '"result":' + stamp(text(message.params))
    if name == "fail":
        return '"error":{"message":"caf\\u00e9 failed","code":-32123,"data":{"z":1.0,"a":[{"y":1e2}],"s":"\\/"},"xNew":1.0}'
    if name == "says-error":
        return '"result":' + stamp('{"isError":true,"content":[],"_meta":{"why":1.0}}')
    if name == "progress":
        progress(message)
        return '"result":' + stamp(text("done"))
    if name == "log":
        log(message)
        return '"result":' + stamp(text("logged"))
    if name == "update":
        for uri in sorted(state["subscribed"]):
            notify("notifications/resources/updated", f'{{"uri":{uri},"title":"\\u00e9","_meta":{{"k":1.0}}}}')
        return '"result":' + stamp(text("updated"))
    if name == "with.dot":
        return '"result":' + stamp(text("dot"))
    if name == "ask" and not MODERN:
        state["asked"]["1"] = message.id
        say(f'{{"id":1,"method":"sampling/createMessage","params":{SAMPLING},"jsonrpc":"2.0"}}')
        return None
    if name == "ask":
        said = dict(members(message.params))
        if "inputResponses" in said:
            return '"result":' + stamp(text(said["inputResponses"] + said.get("requestState", "")))
        asked = f'{{"k 1":{{"method":"sampling/createMessage","params":{SAMPLING}}}}}'
        return f'"result":{{"requestState":"\\u00e9 opaque \\/","resultType":"input_required","inputRequests":{asked},"xNew":1.0}}'
    return '"error":{"code":-32602,"message":"Unknown tool"}'


def read(message):
    uri = dict(members(message.params)).get("uri")
    known = [dict(members(row))["uri"] for row in RESOURCES]
    if uri not in known and not json.loads(uri).startswith(("odd://t/", "urn:example:t:")):
        return '"error":{"code":-32602,"message":"No such resource: \\u00e9","data":{"uri":%s,"x":1.0}}' % uri
    result = f'{{"contents":[{{"text":"\\u00e9","uri":{uri},"_meta":{{"k":1.0}},"xNew":1e2}}],"_meta":{{"k":-0.0}}}}'
    return '"result":' + stamp(result, listed=True)


def answer(message):
    """The answer's second half, or None when it comes later."""
    method = message.method
    if method == "initialize" and not MODERN:
        version = message.get("protocolVersion")
        version = version if version in VERSIONS else VERSIONS[-1]
        info = '{"name":"odd","version":"1.0","title":"Odd"}'
        return f'"result":{{"protocolVersion":"{version}","serverInfo":{info},"capabilities":{CAPABILITIES},"instructions":"Odd."}}'
    if method == "initialize":
        data = f'{{"supported":["2026-07-28"],"requested":{json.dumps(message.get("protocolVersion"))}}}'
        return f'"error":{{"code":-32022,"message":"Unsupported protocol version","data":{data}}}'
    if method == "server/discover" and MODERN:
        meta = '"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"odd","version":"1.0"}}'
        return '"result":' + stamp(f'{{"supportedVersions":["2026-07-28"],"capabilities":{CAPABILITIES},{meta}}}', listed=True)
    if method in LISTS:
        return page(message, *LISTS[method])
    if method == "tools/call":
        return call(message)
    if method == "resources/read":
        return read(message)
    if method == "prompts/get":
        if message.get("name") not in ("p", "q.r", "s"):
            return '"error":{"code":-32602,"message":"Unknown prompt"}'
        said = json.dumps(message.params, ensure_ascii=False)
        messages = f'[{{"role":"user","content":{{"type":"text","text":{said},"xNew":1.0}}}}]'
        return '"result":' + stamp(f'{{"messages":{messages},"description":"\\u00e9","_meta":{{"k":1.0}}}}')
    if method == "completion/complete":
        said = json.dumps(message.params, ensure_ascii=False)
        return '"result":' + stamp(f'{{"completion":{{"hasMore":false,"values":[{said}],"total":1.0}},"xNew":[1.0]}}')
    if method in ("resources/subscribe", "resources/unsubscribe") and not MODERN:
        change = state["subscribed"].add if method.endswith("/subscribe") else state["subscribed"].discard
        change(dict(members(message.params))["uri"])
        return '"result":{"xNew":1.0}'
    if method == "logging/setLevel" and not MODERN:
        state["level"] = LEVELS.index(message.get("level"))
        return '"result":{}'
    if method == "ping" and not MODERN:
        return '"result":{}'
    return '"error":{"code":-32601,"message":"Method not found"}'


def main():
    sys.stdin.reconfigure(encoding="utf-8", newline="\n")
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in sys.stdin:
        if not line.strip():
            continue
        message = Message(line.strip())
        if message.method is None:
            waiting = state["asked"].pop(message.id, None)
            if waiting:
                say(f'{{"jsonrpc":"2.0","id":{waiting},"result":{text(message.parts.get("result") or message.parts["error"])}}}')
        elif message.id is not None:
            try:
                said = answer(message)
            except (AttributeError, KeyError, TypeError, ValueError) as fault:
                said = '"error":{"code":-32602,"message":"Invalid params","data":{"why":%s}}' % json.dumps(repr(fault))
            if said is not None:
                say(f'{{"jsonrpc":"2.0","id":{message.id},{said}}}')


if __name__ == "__main__":
    main()
