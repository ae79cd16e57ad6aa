"""What is asked of each server. A script is the same for the server itself and for the bridge in front of it."""

import base64
import json
import re
from pathlib import Path

SAMPLED = '"result":{"role":"assistant","content":{"type":"text","text":"caf\\u00e9 \\/"},"model":"m","stopReason":"endTurn","_meta":{"z":1.0,"a":1e2}}'
REFUSED = '"error":{"code":-1,"message":"User rejected","data":{"b":1.0,"a":[]}}'
LONG = "trigger-long-running-operation"


# What differs from one run to the next is replaced, and nothing else.


def clock(raw):
    raw = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", "DATE", raw)
    return re.sub(r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day", "DAY", raw)


def created_at(raw):
    """server-everything writes the time of day into its resources, also inside a blob."""

    def blob(match):
        text = base64.b64decode(match[1]).decode("latin-1")
        return '"blob":"%s"' % text.split(" created at ")[0] if " created at " in text else match[0]

    return re.sub(r'"blob":"([^"]*)"', blob, re.sub(r"created at [^\"\\]*", "created at TIME", raw))


def uuids(raw):
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", raw)


def hashes(raw):
    return clock(re.sub(r"\b[0-9a-f]{40}\b", "HASH", raw))


def any_level(raw):
    """server-everything's simulated log picks one of eight messages by chance."""
    return re.sub(r'"level":"[a-z]+"(.*?)"data":"[^"]*"', r'"level":"ANY"\1"data":"ANY"', raw)


def sorted_text(raw):
    """The environment is a list without order."""
    before, lines, after = re.match(r"(.*?\{)(\\n.*)(\\n\}.*)", raw).groups()
    return before + ",".join(sorted(line.strip(",") for line in lines.split("\\n"))) + after


def file_times(raw):
    return re.sub(r"(created|modified|accessed): [^\\]*", r"\1: TIME", raw)


# What every server is asked.


def common(s):
    """Requests that any server has an answer to, be it an error."""
    if not s.modern:
        s.ask("ping", "ping")
        s.ask("ping with _meta", "ping", {"_meta": {"k": 1}})
        s.ask("log level", "logging/setLevel", {"level": "debug"}, allow="log level")
        s.ask("log level that does not exist", "logging/setLevel", {"level": "loud"}, allow="own error")
    s.ask("unknown method", "no/such", {"a": 1}, allow="unknown method")
    s.ask("unknown tool", "tools/call", {"name": "no-such-tool", "arguments": {}}, allow="unknown name")
    s.ask("unknown prompt", "prompts/get", {"name": "no-such-prompt"}, allow="unknown name")
    s.ask("no tool named", "tools/call", {"arguments": {}}, allow="own error")
    s.ask("no prompt named", "prompts/get", {}, allow="own error")
    s.ask("no resource named", "resources/read", {}, allow="own error")
    s.ask("unknown resource", "resources/read", {"uri": "nosuch://here/x%20y"}, allow="unknown resource")
    s.ask("completion without a reference", "completion/complete", {"argument": {"name": "a", "value": ""}}, allow="own error")
    missing = {"ref": {"type": "ref/prompt", "name": "no-such-prompt"}, "argument": {"name": "a", "value": ""}}
    s.ask("completion for an unknown prompt", "completion/complete", missing, allow="unknown name")
    for method in ("tools/list", "resources/list"):
        s.ask(f"{method} from nowhere", method, {"cursor": "no such cursor"}, allow="cursor")
    for id in ('"a b"', "-7", "9007199254740991", '""'):
        s.ask(f"id {id}", "tools/list", None, id=id, allow="only the id")


def lists(s, label=""):
    for method, key in (("tools/list", "tools"), ("prompts/list", "prompts"), ("resources/list", "resources")):
        s.listed(key + label, method)
    s.listed("templates" + label, "resources/templates/list")


def reads(s, like=None):
    for row in s.rows("resources"):
        s.ask(f"read {row['uri']}", "resources/read", {"uri": row["uri"]}, like=like)


def complete(s, label, ref, name, value, **more):
    s.ask(label, "completion/complete", {"ref": ref, "argument": {"name": name, "value": value}} | more)


# The servers.


def everything(s):
    lists(s)
    if not s.modern:
        # It asks for the roots 350 ms after the handshake; what it then logs is no part of a step.
        s.hears(lambda m: m.method == "roots/list")
        s.hears(lambda m: "Roots updated" in (m.params or ""))
        s.forget()
    common(s)
    everything_tools(s)
    reads(s)
    for uri in ("demo://resource/dynamic/text/7", "demo://resource/dynamic/blob/8"):
        s.ask(f"read {uri}", "resources/read", {"uri": uri}, like=created_at)
    for uri in ("demo://resource/dynamic/text/x", "demo://resource/dynamic/text/0"):
        s.ask(f"read {uri}", "resources/read", {"uri": uri})
    everything_prompts(s)
    everything_questions(s)
    if not s.modern:
        everything_session(s)


def everything_tools(s):
    s.call("echo", "echo", {"message": "grüße \\ \"今日\" \u2028 \U0001f600"})
    s.ask("echo with escapes", "tools/call", '{"name":"echo","arguments":{"message":"\\u00e9 \\ud83d\\ude00 \\/ \\u2028"},"x":1.0}')
    s.call("echo with _meta", "echo", {"message": "m"}, meta={"example/k": {"b": 1.0}, "traceparent": "00-0-0-01"})
    s.call("echo with wrong arguments", "echo", {"message": 1})
    s.ask("echo without arguments", "tools/call", {"name": "echo"})
    for kind in ("error", "success", "debug"):
        s.call(f"annotated {kind}", "get-annotated-message", {"messageType": kind, "includeImage": kind == "debug"})
    s.call("annotated wrongly", "get-annotated-message", {"messageType": "no"})
    s.call("environment", "get-env", like=sorted_text)
    s.call("links", "get-resource-links", {"count": 4})
    s.call("links by default", "get-resource-links")
    s.call("too many links", "get-resource-links", {"count": 11})
    s.call("text reference", "get-resource-reference", {"resourceType": "Text", "resourceId": 3}, like=created_at)
    s.call("blob reference", "get-resource-reference", {"resourceType": "Blob", "resourceId": 4}, like=created_at)
    s.call("wrong reference", "get-resource-reference", {"resourceType": "Text", "resourceId": -1})
    s.call("structured", "get-structured-content", {"location": "Chicago"})
    s.call("sum", "get-sum", {"a": 1.0, "b": 2.5})
    s.ask("sum as written", "tools/call", '{"name":"get-sum","arguments":{"b":1e2,"a":-0.0}}')
    s.call("image", "get-tiny-image")
    data = "data:text/plain;base64," + base64.b64encode(b"hello" * 20).decode()
    s.call("gzip", "gzip-file-as-resource", {"name": "a b.gz", "data": data, "outputType": "resource"})
    s.call("gzip as a link", "gzip-file-as-resource", {"name": "c.gz", "data": data, "outputType": "resourceLink"})
    s.ask("what the link names", "resources/read", {"uri": "demo://resource/session/c.gz"})
    s.listed("resources after that", "resources/list")
    s.call("gzip of nothing", "gzip-file-as-resource", {"name": "x", "data": "data:,", "outputType": "none"})
    s.call("a long tool without a token", LONG, {"duration": 0.1, "steps": 2})
    for token in ("tök \"1\"", 0, 7, "0"):
        label = f"progress for {token!r}"
        s.call(label, LONG, {"duration": 0.2, "steps": 4}, meta={"progressToken": token})
    s.call("a task tool without a task", "simulate-research-query", {"topic": "x"})


def everything_prompts(s):
    get = {"simple": {}, "args": {"city": "Zürich"}, "completable": {"department": "Sales", "name": "Eve"}}
    for name, arguments in get.items():
        s.ask(f"prompt {name}", "prompts/get", {"name": f"{name}-prompt", "arguments": arguments})
    s.ask("prompt without arguments", "prompts/get", {"name": "simple-prompt"})
    s.ask("prompt that lacks one", "prompts/get", {"name": "args-prompt", "arguments": {}})
    embedded = {"name": "resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "2"}}
    s.ask("prompt with a resource", "prompts/get", embedded, like=created_at)
    s.ask("prompt with a wrong resource", "prompts/get", {"name": "resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "x"}})
    team = {"type": "ref/prompt", "name": "completable-prompt"}
    complete(s, "completion", team, "department", "S")
    complete(s, "completion in context", team, "name", "", context={"arguments": {"department": "Marketing"}})
    complete(s, "completion of an unknown argument", team, "nobody", "x")
    dynamic = {"type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}"}
    complete(s, "completion of a template", dynamic, "resourceId", "12")
    complete(s, "completion of a template to nothing", dynamic, "resourceId", "x")


def everything_questions(s):
    """What it asks the client."""
    s.call("sampling", "trigger-sampling-request", {"prompt": "é", "maxTokens": 5})
    for action in ("accept", "decline", "cancel"):
        content = ',"content":{"name":"Zoë","integer":3,"number":1.5}' if action == "accept" else ""
        s.wire.answers["elicitation/create"] = f'"result":{{"action":"{action}"{content}}}'
        s.call(f"elicitation {action}", "trigger-elicitation-request")
        url = {"url": "https://example.com/a?b=c", "elicitationId": "e 1"}
        s.call(f"elicitation by URL {action}", "trigger-url-elicitation", url)
    s.call("roots", "get-roots-list")


def everything_session(s):
    """What needs a session: log messages, subscriptions, refusals, other roots, cancellation."""
    s.call("simulated logging", "toggle-simulated-logging", like=any_level, wait=[("notifications/message", 1)])
    s.call("no more logging", "toggle-simulated-logging")
    one, two = "demo://resource/dynamic/text/1", "demo://resource/static/document/features.md"
    s.ask("subscribe", "resources/subscribe", {"uri": one})
    s.ask("subscribe to another", "resources/subscribe", {"uri": two})
    s.call("updates", "toggle-subscriber-updates", wait=[("notifications/resources/updated", 2)])
    s.call("no more updates", "toggle-subscriber-updates")
    s.ask("unsubscribe", "resources/unsubscribe", {"uri": one})
    s.call("updates of one", "toggle-subscriber-updates", wait=[("notifications/resources/updated", 1)])
    s.call("no updates at all", "toggle-subscriber-updates")
    s.ask("log level warning", "logging/setLevel", {"level": "warning"}, allow="log level")
    s.ask("subscribe unheard", "resources/subscribe", {"uri": one})
    s.ask("log level info", "logging/setLevel", {"level": "info"}, allow="log level")
    s.wire.answers["sampling/createMessage"] = REFUSED
    s.call("sampling refused", "trigger-sampling-request", {"prompt": "p"})
    error = {"url": "https://example.com/", "elicitationId": "e 2", "errorPath": True}
    s.call("elicitation by error", "trigger-url-elicitation", error, like=uuids)
    s.wire.answers["roots/list"] = '"result":{"roots":[{"uri":"file:///srv/n%20w","name":"new"}]}'
    s.wire.tell("notifications/roots/list_changed")
    s.ask("new roots", "ping", wait=[("roots/list", 1), ("notifications/message", 1)])
    s.call("roots then", "get-roots-list")
    cancel(s)


def cancel(s):
    """A cancelled call has no answer and no more progress; the session goes on."""
    token = '"_meta":{"progressToken":"c"}'
    sent = s.wire.start("tools/call", f'{{"name":"{s.shown(LONG)}","arguments":{{"duration":1,"steps":10}},{token}}}')
    s.hears(lambda m: m.get("progressToken") == "c")
    s.wire.tell("notifications/cancelled", f'{{"requestId":{sent},"reason":"no longer needed"}}')
    s.wire.until(lambda: False, 1.2)
    s.ask("after a cancelled call", "ping")
    s.steps["after a cancelled call"].heard = []
    s.steps["after a cancelled call"].raw += " answered" if sent in s.wire.responses else " no answer"


def filesystem(root):
    file = f"{root}/é x.txt"

    def script(s):
        lists(s)
        common(s)
        s.call("allowed", "list_allowed_directories")
        s.call("write", "write_file", {"path": file, "content": "one\ntwo\u2028 \"three\"\n"})
        for tool in ("read_file", "read_text_file"):
            s.call(tool, tool, {"path": file})
        s.call("head", "read_text_file", {"path": file, "head": 1})
        s.call("head and tail", "read_text_file", {"path": file, "head": 1, "tail": 1})
        s.call("media", "read_media_file", {"path": f"{root}/dot.png"})
        s.call("several", "read_multiple_files", {"paths": [file, f"{root}/none"]})
        edits = [{"oldText": "two", "newText": "2"}]
        s.call("edit for show", "edit_file", {"path": file, "edits": edits, "dryRun": True})
        s.call("edit", "edit_file", {"path": file, "edits": edits})
        s.call("edit in vain", "edit_file", {"path": file, "edits": edits})
        s.call("mkdir", "create_directory", {"path": f"{root}/d/e"})
        s.call("move", "move_file", {"source": file, "destination": f"{root}/d/y.txt"})
        s.call("ls", "list_directory", {"path": root})
        s.call("ls with sizes", "list_directory_with_sizes", {"path": root, "sortBy": "size"})
        s.call("tree", "directory_tree", {"path": root})
        s.call("search", "search_files", {"path": root, "pattern": "**/*.txt"})
        s.call("info", "get_file_info", {"path": f"{root}/dot.png"}, like=file_times)
        s.call("outside", "read_text_file", {"path": "/etc/passwd"})
        s.call("missing", "read_text_file", {"path": f"{root}/none"})
        s.call("wrong arguments", "read_text_file", {"path": 1})

    return script


def memory(s):
    graph = "memory://knowledge-graph"
    lists(s)
    common(s)
    if not s.modern:
        s.ask("subscribe", "resources/subscribe", {"uri": s.rows("resources")[0]["uri"] if s.rows("resources") else graph})
    updated = [] if s.modern else [("notifications/resources/updated", 1)]
    people = [{"name": n, "entityType": "person", "observations": [f"{n} ✓"]} for n in ("Ada", "Zoë")]
    s.call("entities", "create_entities", {"entities": people}, wait=updated)
    relation = [{"from": "Ada", "to": "Zoë", "relationType": "knows"}]
    s.call("relations", "create_relations", {"relations": relation}, wait=updated)
    s.call("observations", "add_observations", {"observations": [{"entityName": "Ada", "contents": ["é"]}]}, wait=updated)
    s.call("observations of nobody", "add_observations", {"observations": [{"entityName": "No", "contents": ["é"]}]})
    s.call("search", "search_nodes", {"query": "zo"})
    s.call("open", "open_nodes", {"names": ["Ada"]})
    reads(s)
    if not s.modern:
        s.ask("unsubscribe", "resources/unsubscribe", {"uri": s.rows("resources")[0]["uri"] if s.rows("resources") else graph})
    deletions = [{"entityName": "Ada", "observations": ["é"]}]
    s.call("no observations", "delete_observations", {"deletions": deletions})
    s.call("no relations", "delete_relations", {"relations": relation})
    s.call("no entities", "delete_entities", {"entityNames": ["Zoë"]})
    s.call("graph", "read_graph")
    s.call("wrong arguments", "create_entities", {"entities": "x"})


def time(s):
    lists(s)
    common(s)
    s.call("now", "get_current_time", {"timezone": "Europe/Paris"}, like=clock)
    s.call("no zone", "get_current_time", {"timezone": "No/Where"})
    s.call("empty zone", "get_current_time", {"timezone": ""})
    s.call("no arguments", "get_current_time", {})
    convert = {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Kathmandu"}
    s.call("convert", "convert_time", convert, like=clock)
    s.call("convert what is no time", "convert_time", convert | {"time": "25:00"})
    s.call("more than asked for", "convert_time", convert | {"x": 1.0}, like=clock)


def git(root):
    def script(s):
        def do(label, tool, like=None, **arguments):
            s.call(label, f"git_{tool}", {"repo_path": root} | arguments, like=like)

        lists(s)
        common(s)
        do("status", "status")
        do("unstaged", "diff_unstaged")
        do("log", "log", max_count=3)
        do("show", "show", revision="HEAD")
        do("show what is not", "show", revision="no-such")
        do("add", "add", files=["a.txt"])
        do("staged", "diff_staged", context_lines=0)
        do("reset", "reset")
        do("add again", "add", files=["a.txt"])
        do("commit", "commit", like=hashes, message="Zweiter\n\nmit \"é\"")
        do("log then", "log", like=hashes)
        do("branch", "create_branch", branch_name="side")
        do("checkout", "checkout", branch_name="side")
        do("branches", "branch", branch_type="local")
        do("branches of no kind", "branch", branch_type="x")
        do("diff", "diff", target="HEAD~1")
        s.call("elsewhere", "git_status", {"repo_path": str(Path(root).parent)})
        s.call("wrong arguments", "git_log", {"repo_path": root, "max_count": "x"})
        s.call("no arguments", "git_log")

    return script


def odd(s):
    lists(s)
    common(s)
    for tool in ("raw", "fail", "says-error", "with.dot"):
        s.call(tool, tool)
    s.ask("params as written", "tools/call", '{ "x":1.0,"arguments":{"b":1E2,"a":[-0.0,"\\u00e9\\/"],"":null} , "name":"mirror","z":{} }')
    s.ask("_meta as written", "tools/call", '{"_meta":{"b":1.0,"a":"\\u00e9","progressToken":"p"},"name":"mirror"}')
    s.ask("big numbers", "tools/call", '{"name":"mirror","arguments":{"n":12345678901234567890123,"x":0.1e-7}}')
    for token in ('"\\u00e9"', "0", "-1", '"0"', "9007199254740993"):
        s.ask(f"progress for {token}", "tools/call", f'{{"name":"progress","_meta":{{"progressToken":{token}}}}}')
    for id in ("12345678901234567890123", '"\\u00e9\\/\\n"', "0"):
        s.ask(f"id {id}", "tools/call", '{"name":"mirror"}', id=id)
    s.ask("no progress without a token", "tools/call", '{"name":"progress"}')
    reads(s)
    for uri in ("odd://t/1", "odd://t/%C3%A9?x=1&y=%20", "urn:example:t:a/b/c"):
        s.ask(f"read {uri}", "resources/read", {"uri": uri})
    s.ask("prompt", "prompts/get", '{"name":"p","arguments":{"a":"\\u00e9","b":"\\/"},"x":1.0}')
    s.ask("prompt with a dot", "prompts/get", '{"name":"q.r"}')
    complete(s, "completion", {"type": "ref/prompt", "name": "p"}, "a", "é", context={"arguments": {"b": ""}})
    complete(s, "completion of a template", {"type": "ref/resource", "uri": "odd://t/{a}{?q*}"}, "a", "\u2028")
    s.call("question", "ask")
    if not s.modern:
        odd_session(s)
    elif not s.translated:
        odd_modern(s)


def odd_session(s):
    s.ask("log level debug", "logging/setLevel", {"level": "debug"}, allow="log level")
    s.call("logs", "log", wait=[("notifications/message", 2)])
    s.ask("log level error", "logging/setLevel", {"level": "error"}, allow="log level")
    s.call("logs of errors", "log", wait=[("notifications/message", 1)])
    for uri in (row["uri"] for row in s.rows("resources")):
        s.ask(f"subscribe {uri}", "resources/subscribe", {"uri": uri})
    s.call("updates", "update", wait=[("notifications/resources/updated", 3)])
    s.wire.answers["sampling/createMessage"] = REFUSED
    s.call("question refused", "ask")


def odd_modern(s):
    s.ask("no log without a level", "tools/call", {"name": "log"})
    level = {"io.modelcontextprotocol/logLevel": "debug"}
    s.call("logs", "log", meta=level, wait=[("notifications/message", 2)])
    level = {"io.modelcontextprotocol/logLevel": "error"}
    s.call("logs of errors", "log", meta=level, wait=[("notifications/message", 1)])
    state = json.dumps("é opaque /")
    said = f'{{"k 1":{SAMPLED.removeprefix(chr(34) + "result" + chr(34) + ":")}}}'
    s.ask("question answered", "tools/call", f'{{"name":"ask","inputResponses":{said},"requestState":{state}}}')
