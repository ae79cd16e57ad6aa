"""A pass-through that loses one thing: lossy.py LOSS COMMAND…

The test in front of it has to find out. LOSSES are what careless proxies do to JSON and to MCP.
"""

import json
import subprocess
import sys
import threading

from wire import Message

LOSSES = {
    "nothing": lambda message: None,
    "the order of members": lambda message: reorder(message),
    "1.0 for 1": lambda message: walk(message, lambda v: int(v) if isinstance(v, float) and v.is_integer() else v),
    "large integers": lambda message: walk(message, lambda v: float(v) if isinstance(v, int) and abs(v) > 2**53 else v),
    "_meta": lambda message: drop(message, "_meta"),
    "unknown members": lambda message: drop(message, "xNew"),
    "nulls": lambda message: drop_nulls(message),
    "titles by inventing them": lambda message: invent(message, "tools", "title"),
    "_meta by inventing it": lambda message: message.get("result", {}).setdefault("_meta", {}) if "result" in message else None,
    "the data of errors": lambda message: message.get("error", {}).pop("data", None),
    "errors in results": lambda message: as_result(message),
    "URIs": lambda message: walk(message, lambda v: "bridge://" + v if isinstance(v, str) and v.startswith("odd://") else v),
    "progress": lambda message: silence(message, "notifications/progress"),
    "updates": lambda message: silence(message, "notifications/resources/updated"),
    "tokens' types": lambda message: tokens(message),
    "questions": lambda message: silence(message, "sampling/createMessage"),
    "pages after the first": lambda message: message.get("result", {}).pop("nextCursor", None),
    "escapes": lambda message: "written anew",
}


def walk(value, change):
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        value[key] = walk(inner, change) if isinstance(inner, (dict, list)) else change(inner)
    return value


def reorder(message):
    for key in ("result", "error", "params"):
        if key in message:
            message[key] = json.loads(json.dumps(message[key], sort_keys=True))
    return message


def drop(value, name):
    if isinstance(value, dict):
        value.pop(name, None)
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            drop(inner, name)
    return value


def drop_nulls(value):
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if inner is None and isinstance(value, dict):
            del value[key]
        elif isinstance(inner, (dict, list)):
            drop_nulls(inner)
    return value


def invent(message, rows, name):
    for row in message.get("result", {}).get(rows, []):
        row.setdefault(name, row["name"])
    return message


def as_result(message):
    if "error" in message:
        error = message.pop("error")
        message["result"] = {"content": [{"type": "text", "text": error["message"]}], "isError": True}
    return message


def tokens(message):
    if message.get("method") == "notifications/progress":
        message["params"]["progressToken"] = str(message["params"]["progressToken"])
    return message


def silence(message, method):
    if message.get("method") == method:
        message.clear()
    return message


def changed(line, lose):
    """The line, written anew if it lost something; its id stays as it is, or every loss would be found by that."""
    message = json.loads(line)
    if lose(message) == "written anew" or message != json.loads(line) or json.dumps(message) != json.dumps(json.loads(line)):
        body = {key: value for key, value in message.items() if key != "id"}
        id = Message(line).id
        head = f'{{"id":{id},' if id else "{"
        return head + json.dumps(body, ensure_ascii=False, separators=(",", ":"))[1:] + "\n" if body else ""
    return line


def main():
    loss, *command = sys.argv[1:]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def down():
        for line in sys.stdin.buffer:
            child.stdin.write(line)
            child.stdin.flush()
        child.stdin.close()

    threading.Thread(target=down, daemon=True).start()
    for line in child.stdout:
        sys.stdout.buffer.write(changed(line.decode(), LOSSES[loss]).encode())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
