"""The dashboard's page before eyes and in a client's hands, a week of made-up calls behind it: page.py ROOM PICTURES

It is opened in Chromium as the file that `bridge dashboard` writes, and as an MCP App whose client is this program.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import browser
import checks
import week
from checks import check

checks.name = "dashboard"
room, pictures = Path(sys.argv[1]), Path(sys.argv[2])
here, bridge = Path(__file__).parent, os.environ["BRIDGE"]
look_at = (here / "look.js").read_text()
PAGE = "ui://bridge/dashboard"
# What a client lets a page do that has asked for nothing (SEP-1865, "Host Behavior").
CSP = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'none'"
# Messages of a page that did not work, of whatever kind.
TROUBLE = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Bridge:
    """A bridge, seen by its client."""

    def __init__(self, config, data):
        options = ["--in-process", "--config", config, "--data-dir", data]
        self.process = subprocess.Popen(
            [bridge, "serve", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(room / "stderr").open("a"), text=True
        )
        self.number = 0
        shows = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}
        who = {"name": "e2e-dashboard", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": shows, "clientInfo": who})
        self.say({"method": "notifications/initialized"})

    def say(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        self.process.stdin.flush()

    def ask(self, method, params):
        """The answer to a request, as it came."""
        self.number += 1
        self.say({"id": self.number, "method": method, "params": params})
        while (answer := json.loads(self.process.stdout.readline())).get("id") != self.number:
            pass
        return answer

    def call(self, name, **arguments):
        return self.ask("tools/call", {"name": name, "arguments": arguments})

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


def prepare():
    """A configuration, a record with a week in it, and a bridge on both."""
    sample = f'command = "{bridge}"\nargs = ["__sample"]\n'
    servers = "".join(f"[servers.{json.dumps(name)}]\n{sample}" for name in week.SERVERS if name)
    broken = '[servers.postgres]\ncommand = "/bin/sh"\nargs = ["-c", "echo no key >&2; exit 3"]\n'
    (room / "config.toml").write_text(servers + broken)
    Bridge(room / "config.toml", room / "data").end()
    week.fill(room / "data/bridge.db")
    one = Bridge(room / "config.toml", room / "data")
    one.ask("tools/list", {})
    for tool in ["sample__echo", "filesystem__echo", *["postgres__x"] * 6]:
        one.call(tool, text="x")
    return one


def recorded(since):
    """What the record says of the calls of a span: all of them, and those that failed."""
    connection = sqlite3.connect(f"file:{room}/data/bridge.db?mode=ro", uri=True)
    try:
        of = "server IS NOT NULL AND outcome IS NOT NULL AND started_at >= ?"
        bad = "sum(outcome NOT IN ('ok', 'cancelled'))"
        return connection.execute(f"SELECT count(*), {bad} FROM tool_calls WHERE {of}", [since]).fetchone()
    finally:
        connection.close()


def write(data, name):
    """The page that `bridge dashboard` writes."""
    subprocess.run([bridge, "dashboard", "--out", room / name, "--data-dir", data], check=True, stdout=subprocess.DEVNULL)
    return f"file://{room}/{name}"


def held(address):
    """What such a page holds."""
    html = Path(address.removeprefix("file://")).read_text()
    return json.loads(re.search(r'id="record">(.*?)</script>', html, re.S)[1])


def tile(page, name):
    """The figures in a tile: the large one, and the line below it."""
    place = f"[...document.querySelectorAll('#tiles > div')].find((it) => it.querySelector('dt').textContent === '{name}')"
    return page.run(f"[...{place}.querySelectorAll('dd')].map((it) => it.textContent)")


number = lambda text: int(re.sub(r"\D", "", text))


def eyes(page, address, what):
    """Both themes, both widths: nothing stands out, every text can be read, nobody is asked for anything."""
    grounds = set()
    for theme in ("light", "dark"):
        for width in (400, 1200):
            page.screen(width, theme)
            page.go(address)
            found = page.run(look_at)
            page.picture(pictures / f"{what}-{theme}-{width}.png")
            name = f"{what}, {theme}, {width} px"
            check(f"{name}: every text has a contrast of 4.5", found["texts"] > 10 and not found["weak"], f"{found['weak']}")
            check(f"{name}: nothing is wider than the screen", found["scroll"] <= 0 and not found["wide"], f"{found['wide'][:5]}")
            wrong = page.all(*TROUBLE)
            check(f"{name}: the page runs without a complaint", not wrong, f"{wrong[:2]}")
            asked = {it["request"]["url"] for it in page.all("Network.requestWillBeSent")} - {address}
            check(f"{name}: it asks nobody for anything", not asked, f"{asked}")
            grounds.add(page.run("getComputedStyle(document.body).backgroundColor"))
    check(f"{what}: the themes are two", len(grounds) == 2, f"{grounds}")


def in_a_file(page):
    address = write(room / "data", "page.html")
    eyes(page, address, "page")
    data = held(address)
    calls, failed = recorded(data["span"]["since"])
    told = number(tile(page, "Calls")[0]), number(tile(page, "Errors")[1])
    check("the tiles say what the record says", told == (calls, failed) and calls > 1000, f"{told}, not {(calls, failed)}")
    drawn = page.run("[...document.querySelectorAll('#calls .bar')].length")
    check("every step with calls has a bar", drawn >= sum(1 for n in data["series"]["calls"] if n), f"{drawn}")
    texts = page.run("[...document.querySelectorAll('.server .name')].map((it) => it.textContent)")
    check("a server's name is a text, whatever it is", week.HOSTILE in texts, f"{texts}")
    check("no name became markup", page.run("document.images.length + document.scripts.length") == 2)
    check("a server in trouble stands first", texts[0] == "postgres", f"{texts}")
    page.run("document.querySelector('#calls svg').dispatchEvent(new KeyboardEvent('keydown', { key: 'End' }))")
    last = data["series"]["errors"][-1]
    legend = page.run("[...document.querySelectorAll('#calls-legend b')].map((it) => it.textContent)")
    check("the keyboard goes from step to step", number(legend[2]) == last, f"{legend}, not {last}")
    buttons = page.run("[...document.querySelectorAll('.act button')].map((it) => it.disabled)")
    said = page.run("document.getElementById('no-restart').textContent")
    check("where no client is, nothing can be restarted, and why is said", all(buttons) and "bridge restart" in said, said)


def with_nothing(page):
    (room / "empty").mkdir()
    address = write(room / "empty", "empty.html")
    eyes(page, address, "empty")
    text = page.run("document.body.innerText")
    check("a record with nothing says so", "No calls in this span" in text and "No bridge runs now" in text and "None yet" in text, text)


def with_no_times(page):
    """All that the record has is a call that a bridge died with."""
    Bridge(room / "config.toml", room / "lost").end()
    with sqlite3.connect(room / "lost/bridge.db") as connection:
        hour = time.strftime("%Y-%m-%dT%H:00:00.000Z", time.gmtime())
        row = (hour, "sample", "echo", 1, 1, 0, 0, hour, 120, 0)
        connection.execute(f"INSERT INTO call_totals VALUES ({', '.join('?' * 29)})", (*row, *[0] * 19))
    connection.close()
    eyes(page, write(room / "lost", "lost.html"), "lost")
    text = page.run("document.getElementById('latency').innerText")
    check("calls whose time nobody knows are counted, and said to be so", number(tile(page, "Calls")[0]) == 1 and "is it known" in text, text)


class App:
    """The page in a client's frame; this program is the client."""

    def __init__(self, page, html, width):
        self.page, self.log = page, []
        page.ask("Runtime.addBinding", name="heard")
        page.screen(width, "light")
        page.go(f"file://{here}/host.html")
        html = html.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{CSP}">', 1)
        page.run(f"app.srcdoc = {json.dumps(html)}; 0")
        self.hello = self.hears("ui/initialize")
        # The frame's last one: it had another before it was given its page.
        made = [it["context"] for it in page.all("Runtime.executionContextCreated")]
        self.context = made[-1]["uniqueId"]

    def hears(self, method):
        """The next message of this method that the page says."""
        while True:
            message = json.loads(self.page.event("Runtime.bindingCalled")["payload"])
            self.log.append(message.get("method"))
            if message.get("method") == method:
                return message

    def hears_answer(self, id):
        while (message := json.loads(self.page.event("Runtime.bindingCalled")["payload"])).get("id") != id or "method" in message:
            pass
        return message

    def says(self, **message):
        self.page.run(f"say({json.dumps({'jsonrpc': '2.0'} | message)})")

    def run(self, expression):
        return self.page.run(expression, self.context)

    def until(self, expression):
        end = time.monotonic() + browser.PATIENCE_S
        while not self.run(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.02)


def in_a_client(page, one):
    tools = one.ask("tools/list", {})["result"]["tools"]
    tool = next(tool for tool in tools if tool["name"] == "bridge_dashboard")
    check("the tool points to its page", tool["_meta"]["ui"]["resourceUri"] == PAGE)
    [content] = one.ask("resources/read", {"uri": PAGE})["result"]["contents"]
    app = App(page, content["text"], 640)
    of = app.hello["params"]
    check("the page greets its client", of["protocolVersion"] == "2026-01-26" and of["appInfo"] and "appCapabilities" in of, f"{of}")
    context = {"theme": "dark", "locale": "en-US", "timeZone": "Asia/Tokyo"}
    who = {"protocolVersion": "2026-01-26", "hostInfo": {"name": "e2e", "version": "1"}}
    app.says(id=app.hello["id"], result=who | {"hostCapabilities": {"serverTools": {}}, "hostContext": context})
    app.hears("ui/notifications/initialized")
    check("it says nothing before it is greeted", app.log == ["ui/initialize", "ui/notifications/initialized"], f"{app.log}")
    app.says(method="ui/notifications/tool-input", params={"arguments": {"since": "7d"}})
    result = one.call("bridge_dashboard", since="7d")["result"]
    app.says(method="ui/notifications/tool-result", params=result)
    app.until("!document.getElementById('figures').hidden")
    calls = app.run("document.querySelector('#tiles dd').textContent")
    check("it shows the result that it is given", number(calls) == result["structuredContent"]["totals"]["calls"], calls)
    heights = [app.hears("ui/notifications/size-changed")["params"]["height"]]
    while heights[-1] < 800:
        heights.append(app.hears("ui/notifications/size-changed")["params"]["height"])
    page.run(f"app.style.height = '{heights[-1]}px'")
    check("it says how high it is", app.run("document.documentElement.scrollHeight - innerHeight") <= 0, f"{heights}")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = app.run(ground)
    page.picture(pictures / "client-dark-640.png")
    app.says(method="ui/notifications/host-context-changed", params={"theme": "light"})
    app.until(f"{ground} !== {json.dumps(dark)}")
    found = app.run(look_at)
    check("it takes its client's theme, and each new one", not found["weak"] and not found["wide"], f"{found}")
    restarts(app, one)
    page.picture(pictures / "client-light-640.png")
    app.run("[...document.querySelectorAll('.spans button')].find((it) => it.textContent === '24 hours').click()")
    asked = app.hears("tools/call")
    check("another span is asked for", asked["params"] == {"name": "bridge_dashboard", "arguments": {"since": "24h"}}, f"{asked}")
    pass_on(app, one, asked)
    app.until("document.querySelector('#tiles dd.more').textContent === 'in 24 hours'")
    app.says(id="bye", method="ui/resource-teardown", params={"reason": "the test ends"})
    check("it lets itself be taken down", app.hears_answer("bye").get("result") == {})
    app.says(id="what", method="ui/unheard-of", params={})
    check("what it does not know it refuses", app.hears_answer("what").get("error", {}).get("code") == -32601)
    wrong = page.all(*TROUBLE)
    check("in a client it runs without a complaint, under the client's own rules", not wrong, f"{wrong[:2]}")


def pass_on(app, one, asked):
    """What a client does with a page's call."""
    answer = one.ask("tools/call", asked["params"])
    app.says(id=asked["id"], **{key: answer[key] for key in ("result", "error") if key in answer})
    return answer


def restarts(app, one):
    server = lambda name: f"[...document.querySelectorAll('.server')].find((it) => it.dataset.server === {json.dumps(name)})"
    for name in ("sample", "postgres", week.HOSTILE):
        told = f"{name} cannot be started" if name == "postgres" else f"of {name} was ended"
        app.run(f"{server(name)}.querySelector('.act button').click()")
        app.until(f"{server(name)}.querySelector('.ask') && document.activeElement.textContent === 'Restart now'")
        app.run("document.activeElement.click()")
        asked = app.hears("tools/call")
        wanted = {"name": "bridge_restart", "arguments": {"server": name}}
        check(f"the button restarts {name}, once it is confirmed", asked["params"] == wanted, f"{asked}")
        pass_on(app, one, asked)
        app.until(f"({server(name)}.querySelector('.said')?.textContent ?? '').includes({json.dumps(told)})")
        check("how that went is shown", app.run(f"{server(name)}.querySelector('.said').classList.contains('bad')") == (name == "postgres"))
        again = app.hears("tools/call")
        check("and what the servers do now is asked for", again["params"]["name"] == "bridge_dashboard", f"{again}")
        pass_on(app, one, again)
        app.until("document.getElementById('page').getAttribute('aria-busy') === 'false'")
    pids = [it["pid"] for it in one.call("bridge_status")["result"]["structuredContent"]["servers"] if it["name"] == "sample"]
    shown = app.run(f"{server('sample')}.querySelector('.said').textContent")
    check("it was the server of that name", str(pids[0]) in shown, shown)


def main():
    pictures.mkdir(parents=True, exist_ok=True)
    one = prepare()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        page = browser.Browser(browser.find(), home)
        try:
            in_a_file(page)
            in_a_client(page, one)
            with_nothing(page)
            with_no_times(page)
        finally:
            page.end()
            one.end()


try:
    main()
except Exception as error:
    check("the page goes to its end", False, repr(error))
checks.done()
