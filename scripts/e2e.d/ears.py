"""What a client hears, and what it answers when a server asks: the same for every client."""

import asyncio

# No wait of this scenario takes longer, also on a slow machine.
PATIENCE_S = 30


class Ears:
    """Events in their order: ("log", level, logger, data), ("changed", kind), ("updated", uri) and ("asked", kind, text)."""

    def __init__(self, server=None, shared=None):
        self.server = server
        self.events = [] if shared is None else shared.events
        self.shared = shared
        self._roots = ["file:///e2e/one"]

    def of(self, server):
        """The ears of a connection to one server, where no bridge is between: what it says is heard under its name."""
        return Ears(server, self)

    @property
    def roots(self):
        return self.shared.roots if self.shared else self._roots

    @roots.setter
    def roots(self, uris):
        self._roots = uris

    def log(self, level, logger, data):
        if self.server:
            logger = f"{self.server}/{logger}" if logger else self.server
        self.events.append(("log", level, logger, data))

    def changed(self, kind):
        self.events.append(("changed", kind))

    def updated(self, uri):
        self.events.append(("updated", str(uri)))

    def form(self, message):
        """The answer to a form: (action, content)."""
        self.events.append(("asked", "form", message))
        if message in ("decline", "cancel"):
            return message, None
        return "accept", {"name": "Ada"}

    def url(self, url):
        self.events.append(("asked", "url", str(url)))
        return "accept"

    def sampling(self, prompt):
        self.events.append(("asked", "sampling", prompt))
        return f"{prompt}, said the model"

    def list_roots(self):
        self.events.append(("asked", "roots", ""))
        return self.roots

    def of_kind(self, *start):
        return [event for event in self.events if event[: len(start)] == start]

    async def hear(self, *start, times=1):
        """Waits until as many events begin so; returns whether they came."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while len(self.of_kind(*start)) < times:
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(0.01)
        return True
