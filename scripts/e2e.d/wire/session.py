"""A session of requests, the same for a server itself and for the bridge with that server behind it.

Each request is a step with a label; what came back is kept as text, with the bridge's names put back to the server's own.
"""

import json
import re
from dataclasses import dataclass, field

from wire import Gone, Wire, elements, members, replaced, without

MODERN = "2026-07-28"
ENVELOPE = "io.modelcontextprotocol/"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
NAMED = ("tools/call", "prompts/get")
# How long a list may take to be whole, and how long what comes beside an answer may be late.
PATIENCE = {"list": 5, "heard": 5}


@dataclass
class Step:
    """What a request brought: `kind` is result, error or nothing."""

    kind: str = "nothing"
    raw: str = ""
    heard: list = field(default_factory=list)
    allow: str = ""
    listed: bool = False


def write(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def own_rows(step):
    return [row for row in step.raw.split("\n") if step.listed and row.startswith("{")]


class Session:
    """`behind` is empty for a server itself, else the name that the bridge knows it by."""

    def __init__(self, command, env, behind="", version="2025-11-25", capabilities=None, answers=None, told=None, place=None):
        self.wire = Wire(command, env, answers, place and place.stderr)
        self.place = str(place.root) if place else "\0"
        self.behind, self.version, self.modern = behind, version, version == MODERN
        self.capabilities = write(capabilities or {})
        # What the server itself said, when this one is the bridge.
        self.told = told
        # The server itself was asked in an older revision.
        self.translated = bool(told) and told.modern != self.modern
        self.patience, self.late = PATIENCE["list"], PATIENCE["heard"]
        self.steps = {}
        self.seen = 0

    # What is sent.

    def shown(self, name):
        """The name under which the bridge shows a tool or a prompt."""
        return f"{self.behind}__{re.sub('[^A-Za-z0-9_-]', '_', name)}" if self.behind else name

    def params(self, method, params):
        raw = "{}" if params is None and self.modern else params if params is None else write(params)
        if raw and self.behind and method in NAMED:
            raw = replaced(raw, "name", self._rename)
        if raw and self.behind and method == "completion/complete":
            raw = replaced(raw, "ref", lambda ref: replaced(ref, "name", self._rename))
        return self._enveloped(raw) if self.modern else raw

    def _rename(self, raw):
        name = json.loads(raw)
        return json.dumps(self.shown(name)) if isinstance(name, str) else raw

    def _enveloped(self, raw):
        kept = dict(members(raw))
        meta = kept.get("_meta", "{}")
        more = (
            f'"{ENVELOPE}protocolVersion":"{self.version}","{ENVELOPE}clientInfo":{{"name":"wire","version":"1"}},'
            f'"{ENVELOPE}clientCapabilities":{self.capabilities}'
        )
        meta = meta.rstrip()[:-1] + ("," if members(meta) else "") + more + "}"
        if "_meta" in kept:
            return replaced(raw, "_meta", lambda _: meta)
        return raw.rstrip()[:-1] + ("," if kept else "") + f'"_meta":{meta}}}'

    # What came.

    def _heard(self):
        """What came besides answers since the last look, in the server's own words. A change of a list is asked for apart."""
        new, self.seen = self.wire.heard[self.seen :], len(self.wire.heard)
        new = [(m.method, (m.params or "").replace(self.place, "PLACE")) for m in new if not m.method.endswith("list_changed")]
        return [(method, self._own_words(method, raw)) for method, raw in new]

    def forget(self):
        """What came so far belongs to no step."""
        self.seen = len(self.wire.heard)

    def _own_words(self, method, raw):
        if not self.behind or method != "notifications/message":
            return raw
        logger = json.loads(dict(members(raw)).get("logger", '""'))
        if logger == self.behind:
            return without(raw, "logger")
        start = f"{self.behind}/"
        return replaced(raw, "logger", lambda tag: tag.replace(start, "", 1) if logger.startswith(start) else tag)

    def _put_back(self, message, like):
        step = Step()
        for kind in ("result", "error"):
            if kind in message.parts:
                raw = message.parts[kind].replace(self.place, "PLACE")
                step.kind, step.raw = kind, like(raw) if like else raw
        return step

    # What a script does.

    def open(self):
        """The handshake of the older revisions, or the modern one's question."""
        if self.modern:
            message = self.wire.ask("server/discover", self.params("server/discover", None))
        else:
            hello = f'{{"protocolVersion":"{self.version}","capabilities":{self.capabilities},"clientInfo":{{"name":"wire","version":"1"}}}}'
            message = self.wire.ask("initialize", hello)
            self.wire.tell("notifications/initialized")
        self.steps["handshake"] = self._put_back(message, None)
        self.steps["handshake"].allow = "handshake"

    def ask(self, label, method, params=None, allow="", like=None, wait=(), id=None):
        """One request and its answer. `wait` names what else has to come, also after the answer: (method, how often)."""
        start = self.seen
        message = self.wire.answer(self.wire.start(method, self.params(method, params), id))
        questions = []
        while self.translated and '"input_required"' == dict(members(message.parts.get("result", "{}"))).get("resultType"):
            more, asked = self._answered(message.parts["result"])
            questions += asked
            message = self.wire.ask(method, self.params(method, write(params)[:-1] + more + "}"))
        step = self._put_back(message, like)
        for wanted, count in wait:
            self.hears(lambda m: m.method == wanted, start, count)
        heard = [(m, raw.replace(self.place, "PLACE")) for m, raw in questions] + self._heard()
        step.heard = [(m, like(raw) if like else raw) for m, raw in heard]
        step.allow = allow
        assert label not in self.steps, label
        self.steps[label] = step
        return step

    def _answered(self, result):
        """What an older server asks a modern client by way of the bridge: the answers as members, and the questions."""
        parts, answers, asked = dict(members(result)), [], []
        for key, question in members(parts["inputRequests"]):
            question = dict(members(question))
            method = json.loads(question["method"])
            asked.append((method, question.get("params", "")))
            answers.append(f'"{key}":{self.wire.answers[method].removeprefix(chr(34) + "result" + chr(34) + ":")}')
        return f',"inputResponses":{{{",".join(answers)}}},"requestState":{parts["requestState"]}', asked

    def hears(self, kind, start=0, count=1):
        """Waits until so many messages of a kind came. Where one did not come at all, the next is waited for less."""
        if not self.wire.until(lambda: sum(map(kind, self.wire.heard[start:])) >= count, self.late):
            self.late = min(self.late, 0.5)

    def call(self, label, tool, arguments=None, meta=None, **more):
        params = {"name": tool, "arguments": arguments or {}} | ({"_meta": meta} if meta else {})
        return self.ask(label, "tools/call", params, **more)

    def listed(self, label, method, allow="empty"):
        """A whole list, page after page: its elements sorted, and whatever else the pages say. The bridge may need a moment."""
        wanted = self.told and self.told.steps.get(label)
        for _ in range(1 + self.patience * 10):
            step = self._whole(method)
            if not wanted or wanted.kind == "error" or own_rows(step) == own_rows(wanted):
                break
            self.wire.until(lambda: False, 0.1)
        else:
            # It will not come; the next list is waited for less.
            self.patience = min(self.patience, 1)
        self.forget()
        step.allow = allow
        self.steps[label] = step
        return self.rows(label)

    def _whole(self, method):
        rows, rest, cursor, key = [], set(), None, LISTS[method]
        while True:
            message = self.wire.ask(method, self.params(method, {"cursor": cursor} if cursor else None))
            if "result" not in message.parts:
                return self._put_back(message, None)
            parts = dict(members(message.parts["result"]))
            rows += [self._row(key, row) for row in elements(parts.pop(key))]
            cursor = json.loads(parts.pop("nextCursor", "null"))
            rest |= set(parts.items())
            if not cursor:
                rest = sorted(f"{name}: {value}" for name, value in rest)
                return Step("result", "\n".join(sorted(row for row in rows if row) + rest), listed=True)

    def _row(self, key, raw):
        """A row under its own name; nothing for one that the bridge adds."""
        if not self.behind or key not in ("tools", "prompts"):
            return raw
        name = json.loads(dict(members(raw))["name"])
        if name.startswith("bridge_"):
            return None
        own = {self.shown(n): n for n in self.own_names(key)}
        return replaced(raw, "name", lambda _: json.dumps(own.get(name, name)))

    def own_names(self, key):
        """What the server itself calls its tools or prompts, as far as it was asked."""
        for label, step in (self.told.steps if self.told else {}).items():
            if label.startswith(key) and step.listed:
                yield from (row["name"] for row in self.told.rows(label))

    def rows(self, label):
        """The rows of a list, as values; of the server's own list, so that the bridge is asked the same."""
        return [json.loads(row) for row in own_rows((self.told or self).steps[label])]

    def run(self, script):
        """Plays a script to its end or to where the server or the bridge went silent; then ends the child."""
        try:
            self.open()
            script(self)
        except (Gone, AssertionError, KeyError, ValueError) as error:
            self.steps["end of script"] = Step("nothing", f"stopped after {list(self.steps)[-1]!r}: {error!r}")
        else:
            self.steps["end of script"] = Step("nothing", "reached")
        finally:
            self.wire.close()
