"""Chromium without a window, driven through its DevTools pipe. Run alone, it says by its exit code whether there is one."""

import base64
import collections
import json
import os
import select
import shutil
import subprocess
import sys
import time

PATIENCE_S = 10
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The program, if it is here."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page after the other; all that it said is kept."""

    def __init__(self, program, home):
        theirs, self.to = os.pipe()
        self.come, ours = os.pipe()
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        # A frame of another origin is then looked at like the page itself.
        command += ["--disable-features=IsolateSandboxedIframes", "--disable-background-networking", "--force-color-profile=srgb"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={home}"]

        def take():
            # The pipe's ends are 3 and 4 to the browser; neither may be in the other's way.
            a, b = os.dup2(theirs, 63), os.dup2(ours, 64)
            os.dup2(a, 3), os.dup2(b, 4)

        around = {"env": os.environ | {"HOME": home}, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=take, **around)
        os.close(theirs), os.close(ours)
        self.rest, self.number, self.session, self.events = b"", 0, None, collections.deque()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def message(self, end):
        while b"\0" not in self.rest:
            if not select.select([self.come], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser says nothing")
            more = os.read(self.come, 1 << 20)
            if not more:
                raise EOFError("the browser has ended")
            self.rest += more
        line, self.rest = self.rest.split(b"\0", 1)
        return json.loads(line)

    def ask(self, method, **params):
        """The answer to a command; events that come before it are kept."""
        self.number += 1
        number, end = self.number, time.monotonic() + PATIENCE_S
        message = {"id": number, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self.events.append((answer["method"], answer["params"]))

    def event(self, wanted, fits=lambda params: True):
        """The next event of this kind; it is taken out of what was kept."""
        end = time.monotonic() + PATIENCE_S
        seen = 0
        while True:
            for place in range(seen, len(self.events)):
                method, params = self.events[place]
                if method == wanted and fits(params):
                    del self.events[place]
                    return params
            seen = len(self.events)
            answer = self.message(end)
            if "method" in answer:
                self.events.append((answer["method"], answer["params"]))

    def all(self, *methods):
        """What was kept of these events."""
        self.ask("Runtime.evaluate", expression="0")
        return [params for method, params in self.events if method in methods]

    def run(self, expression, context=None):
        """The value of an expression in the page, or in a frame's context."""
        where = {"uniqueContextId": context} if context else {}
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, **where)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screen(self, width, theme, height=900):
        """A screen of this width, whose user likes this theme."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def go(self, address):
        """Opens an address in place of what was there."""
        self.events.clear()
        self.ask("Page.navigate", url=address)
        self.event("Page.loadEventFired")

    def picture(self, file):
        """A picture of the whole page."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def end(self):
        """Ends the browser."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


if __name__ == "__main__":
    sys.exit(find() is None)
