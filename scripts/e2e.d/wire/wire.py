"""A client that speaks raw JSON-RPC lines with a child, and JSON as it was written.

No SDK: what it sends is the text that was asked for, and what it keeps of an answer is the text that came.
"""

import json
import queue
import subprocess
import threading
import time

_skip = json.decoder.WHITESPACE.match
_value = json.JSONDecoder().raw_decode
PATIENCE_S = 20


def spans(raw):
    """Where the members of an object are, in their order: [(key, start of the key, start and end of its value)]."""
    found, at = [], _skip(raw, 1).end()
    while raw[at] != "}":
        begin, (key, at) = at, _value(raw, at)
        start = _skip(raw, raw.index(":", at) + 1).end()
        at = _value(raw, start)[1]
        found.append((key, begin, start, at))
        at = _skip(raw, at).end()
        at = _skip(raw, at + (raw[at] == ",")).end()
    return found


def members(raw):
    """The members of an object in their order: [(key, its value's text)]."""
    return [(key, raw[start:end]) for key, _, start, end in spans(raw)]


def elements(raw):
    """The texts of an array's elements."""
    found, at = [], _skip(raw, 1).end()
    while raw[at] != "]":
        start, at = at, _value(raw, at)[1]
        found.append(raw[start:at])
        at = _skip(raw, at).end()
        at = _skip(raw, at + (raw[at] == ",")).end()
    return found


def without(raw, *keys):
    """An object without some of its members; the rest of the text stays as it is."""
    for key in keys:
        for at, (name, begin, _, end) in enumerate(spans(raw)):
            if name == key and at:
                raw = raw[: raw.rindex(",", 0, begin)] + raw[end:]
            elif name == key:
                rest = raw[end:].lstrip()
                raw = raw[:begin] + (rest[1:] if rest.startswith(",") else rest)
            if name == key:
                break
    return raw


def replaced(raw, key, change):
    """An object with one member's text changed, if it has it."""
    for name, _, start, end in spans(raw):
        if name == key:
            return raw[:start] + change(raw[start:end]) + raw[end:]
    return raw


class Message:
    """One line that came: its members as text, and what is asked of them most."""

    def __init__(self, line):
        self.line = line
        self.parts = dict(members(line))
        self.method = json.loads(self.parts["method"]) if "method" in self.parts else None
        self.params = self.parts.get("params")
        self.id = self.parts.get("id")

    def get(self, key):
        """A member of the parameters, as a value."""
        return (json.loads(self.params) if self.params else {}).get(key)


class Gone(Exception):
    """The child closed its output, or did not say what was waited for."""


class Wire:
    """A child process. What it says besides answers is kept in `heard`, what it asks is answered by `answers[method]`."""

    def __init__(self, command, env, answers=None, stderr=subprocess.DEVNULL):
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env
        )
        self.lines = queue.SimpleQueue()
        self.answers = answers or {}
        self.heard = []
        self.responses = {}
        self.last_id = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            if line.strip():
                self.lines.put(line.decode().rstrip("\n"))
        self.lines.put(None)

    def send(self, line):
        try:
            self.child.stdin.write((line + "\n").encode())
            self.child.stdin.flush()
        except OSError as error:
            raise Gone(str(error)) from error

    def _take(self, seconds):
        """Takes one line in. False when none came in time."""
        try:
            line = self.lines.get(timeout=max(0, seconds))
        except queue.Empty:
            return False
        if line is None:
            self.lines.put(None)
            raise Gone("end of output")
        message = Message(line)
        if message.method is None:
            self.responses[message.id] = message
        else:
            self.heard.append(message)
            if message.id is not None:
                self._reply(message)
        return True

    def _reply(self, message):
        answer = self.answers.get(message.method)
        answer = answer(message) if callable(answer) else answer
        if answer is None:
            answer = '"error":{"code":-32601,"message":"Method not found"}'
        self.send('{"jsonrpc":"2.0","id":%s,%s}' % (message.id, answer))

    def until(self, condition, seconds):
        """Reads on until the condition holds; returns whether it did."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or not self._take(end - time.monotonic()) and time.monotonic() > end:
                return condition()
        return True

    def start(self, method, params, id=None):
        """Sends a request; returns its id as text."""
        if id is None:
            self.last_id += 1
            id = str(self.last_id)
        tail = "" if params is None else f',"params":{params}'
        self.send(f'{{"jsonrpc":"2.0","id":{id},"method":"{method}"{tail}}}')
        return id

    def answer(self, id):
        """Waits for the answer to one request."""
        if not self.until(lambda: id in self.responses, PATIENCE_S):
            raise Gone(f"no answer to {id} in {PATIENCE_S} s")
        return self.responses.pop(id)

    def ask(self, method, params=None, id=None):
        return self.answer(self.start(method, params, id))

    def tell(self, method, params=None):
        tail = "" if params is None else f',"params":{params}'
        self.send(f'{{"jsonrpc":"2.0","method":"{method}"{tail}}}')

    def close(self):
        """End of input, then the wait for its end; a child that stays is killed."""
        try:
            self.child.stdin.close()
        except OSError:
            pass
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
