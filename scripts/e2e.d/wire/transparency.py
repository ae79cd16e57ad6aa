"""Nothing is lost on the way: transparency.py ROOM [--direct | --self-test]

The same requests go to a server itself and to the bridge ($BRIDGE) with that server behind it. The answers' texts have to be
the same, byte for byte, but for what ALLOWED names. --direct compares each server with itself, --self-test compares one with a
pass-through that loses something, and has to find it. What is installed is in $E2E_HOME.
"""

import itertools
import json
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checks
import lossy
import session
import wire
from checks import check
from places import Place
from session import MODERN, Session, own_rows
from together import together
from wire import members, without

checks.name = "transparent"
HERE = Path(__file__).parent
# So many differences of one script are shown.
SHOWN = 12
# What a modern client of an older server gets beside an answer: no log messages that it did not ask for.
KEPT = ("notifications/progress", "sampling/createMessage", "elicitation/create")


def code(step):
    return json.loads(step.raw).get("code") if step.kind == "error" else None


def handshake(direct, bridge):
    """The revision is the same, and what the server can do the bridge can do."""
    theirs, ours = json.loads(direct.raw), json.loads(bridge.raw)
    wanted = {"tools", "prompts", "resources", "completions"} & theirs["capabilities"].keys()
    same = "supportedVersions" in ours or theirs["protocolVersion"] == ours["protocolVersion"]
    return wanted <= ours["capabilities"].keys() and same


def absent(direct, bridge):
    return code(direct) == code(bridge) == -32601


def empty(direct, bridge):
    return code(direct) == -32601 and (code(bridge) == -32601 or not own_rows(bridge))


def fewer(direct, bridge):
    """Nothing is missing but tools that ask the client something."""
    names = {json.loads(row)["name"] for row in set(own_rows(direct)) - set(own_rows(bridge))}
    asking = {name for name in names if name.startswith("trigger-") or name in ("get-roots-list", "ask")}
    return names == asking and set(own_rows(bridge)) <= set(own_rows(direct))


# Every difference that is right: what it is, which answers of the bridge are still good, and why it may differ. A rule of None
# is applied to every answer before the comparison.
ALLOWED = {
    "name": (None, "tools and prompts are shown as server__name; taken off"),
    "order": (None, "a list is sorted and comes in other pages; sorted, pages put together"),
    "own tools": (None, "bridge_status and its like are the bridge's; left out"),
    "logger": (None, "a log message says which server it is from: `server` or `server/logger`; taken off"),
    "question's id": (None, "the bridge's own number towards the client; not compared"),
    "changes": (None, "list_changed is told once for all servers, when the bridge's list changed; not compared"),
    "cache": (None, "resultType, ttlMs, cacheScope and serverInfo of a modern result may be the bridge's; asked for, not compared"),
    "handshake": (handshake, "the bridge introduces itself and can do what any of its servers can"),
    "empty": (empty, "a list of nothing: the bridge has lists though this server may have none"),
    "log level": (lambda d, b: code(d) == -32601 and b.raw == "{}", "the bridge has log messages though this server may have none"),
    "unknown method": (lambda d, b: code(b) == -32601, "no server is asked: the bridge knows that it cannot carry it"),
    "unknown name": (lambda d, b: code(b) in (-32602, -32601), "a name that no list shows belongs to no server: the bridge answers"),
    "unknown resource": (lambda d, b: code(b) in (-32602, -32002) or absent(d, b), "a URI that no list shows may belong to no server: the bridge answers"),
    "own error": (lambda d, b: code(b) in (-32602, -32601), "without a name, a URI or a level the bridge cannot pass it on"),
    "cursor": (lambda d, b: b.kind == "result" or code(b) == -32602 or absent(d, b), "the bridge's lists have pages of their own"),
    "asks back": (fewer, "a modern client cannot be asked, so an older server may keep the tools from it that ask"),
    "only the id": (lambda d, b: b.kind == d.kind or code(d) == -32601, "a list that was compared already; the answer has the id as sent"),
}


def core(raw):
    """A modern result without what the era adds."""
    if not raw.startswith("{"):
        return raw
    kept = dict(members(raw))
    meta = without(kept["_meta"], "io.modelcontextprotocol/serverInfo") if kept.get("_meta", "").startswith("{") else ""
    if meta == "{}":
        raw = without(raw, "_meta")
    elif meta and meta != kept["_meta"]:
        raw = raw.replace(kept["_meta"], meta, 1)
    return without(raw, "resultType", "ttlMs", "cacheScope") if '"complete"' == kept.get("resultType") else raw


def same_result(direct, bridge, modern):
    if bridge.listed and modern:
        return own_rows(direct) == own_rows(bridge)
    if bridge.kind == "result" and modern:
        # An older server is not shown the envelope; an empty `_meta` may be left of it in what `mirror` saw.
        return core(direct.raw) == core(bridge.raw) or core(direct.raw) == core(bridge.raw).replace(r',\"_meta\":{}', "")
    return direct.raw == bridge.raw


def lacking(label, bridge):
    """What the modern era asks of a result and this one has not."""
    if bridge.kind != "result" or label == "end of script":
        return []
    keys = ["resultType"] + (["ttlMs", "cacheScope"] if bridge.listed or label.startswith("read ") else [])
    if bridge.listed:
        return [key for key in keys if f"\n{key}: " not in "\n" + bridge.raw]
    return [key for key in keys if key not in dict(members(bridge.raw))]


def difference(label, direct, bridge, modern, translated):
    """Why the bridge's answer is not right; nothing when it is."""
    if bridge is None:
        return "was not asked"
    heard = [[h for h in step.heard if not translated or h[0] in KEPT] for step in (direct, bridge)]
    if heard[0] != heard[1]:
        return f"beside the answer came {heard[1]}, not {heard[0]}"
    if modern and lacking(label, bridge):
        return f"a modern result without {lacking(label, bridge)}: {bridge.raw[:300]}"
    if (direct.kind, True) == (bridge.kind, same_result(direct, bridge, modern)):
        return None
    if translated and direct.listed and ALLOWED["asks back"][0](direct, bridge):
        return None
    if bridge.allow and ALLOWED[bridge.allow][0](direct, bridge):
        return None
    return apart(f"{direct.kind} {direct.raw}", f"{bridge.kind} {bridge.raw}")


def apart(wanted, got):
    at = len(os.path.commonprefix([wanted, got]))
    start = max(0, at - 60)
    return f"wanted …{wanted[start : at + 160]!r}, got …{got[start : at + 160]!r}"


def compare(what, direct, bridge, modern=False, translated=False, older=None):
    """Prints one line for a script, and one for each step that differs.

    `older` is what a server that speaks both eras says in the other one, where the bridge may have opened it.
    """
    if direct["end of script"].raw != "reached":
        return check(f"{what}: the server itself answers to the end", False, direct["end of script"].raw)
    wrong = 0
    labels = [label for label in direct if not translated or label in bridge]
    for label in labels + [label for label in bridge if label not in direct]:
        if label not in direct:
            why = "was not asked of the server"
        else:
            why = difference(label, direct[label], bridge.get(label), modern, translated)
            if why and older and label in older and label in bridge and not difference(label, older[label], bridge[label], modern, True):
                why = None
        if why:
            wrong += 1
            if wrong <= SHOWN:
                check(f"{what}: {label}", False, why)
    if wrong > SHOWN:
        check(f"{what}: {wrong - SHOWN} more answers", False, "not shown")
    if not wrong:
        check(f"{what}: {len(bridge)} answers are the server's own", True)


def through_bridge(place, servers):
    return [os.environ["BRIDGE"], *checks.serve(place.config(servers), f"{place.root}/data")]


def play(place, name, version, between=None, behind="", told=None):
    """One script from start to end. `between` tells how the bridge is started; nothing for the server itself."""
    server = place.server(name)
    command = between(place, {name: server}) if between else server.args
    session = Session(
        command,
        place.environment({} if between else server.env),
        behind,
        version,
        server.capabilities,
        dict(server.answers),
        told,
        place,
    )
    session.run(server.script)
    checks.end_hub(f"{place.root}/data")
    return session


class Round:
    """All servers, each alone and behind the bridge."""

    LEGACY = ("everything", "git", "filesystem", "memory", "time", "odd")
    MODERN = ("time", "git", "odd2026")
    TRANSLATED = ("everything", "filesystem", "memory", "odd")

    def __init__(self, rooms, between):
        self.rooms, self.between = rooms, between
        self.number = itertools.count()
        # What each server says by itself, to a client of the newest older revision and to a modern one.
        self.direct, self.modern = {}, {}

    def place(self):
        return Place(self.rooms, next(self.number))

    def pair(self, name, version, translated=None):
        """The server itself, then the bridge; `translated` is what the server says to an older client."""
        direct = translated or play(self.place(), name, version)
        between = self.between
        behind = name if between else ""
        bridge = play(self.place(), name, version, between, behind, direct)
        return direct, bridge

    def server(self, name):
        """Everything there is to compare with one server: [(title, direct, bridge, options)]."""
        found, older = [], None
        if name in self.LEGACY:
            for version in ("2025-11-25", "2025-06-18"):
                direct, bridge = self.pair(name, version)
                older = self.direct.setdefault(name, direct)
                found.append((f"{name} {version}", direct, bridge, {}))
        if name in self.MODERN:
            self.modern[name], bridge = self.pair(name, MODERN)
            found.append((f"{name} {MODERN}", self.modern[name], bridge, {"modern": True, "older": older and older.steps}))
        if name in self.TRANSLATED and self.between:
            options = {"modern": True, "translated": True}
            found.append((f"{name} {MODERN} over an older server", *self.pair(name, MODERN, older), options))
        return found

    def run(self):
        names = dict.fromkeys(self.LEGACY + self.MODERN)
        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(self.server, names):
                for title, direct, bridge, options in found:
                    compare(title, direct.steps, bridge.steps, **options)
        if self.between:
            together(self.place, self.between, self.direct, self.direct | self.modern)


def self_test(rooms):
    """A pass-through that loses something has to be found; one that loses nothing is all right."""
    session.PATIENCE.update(list=0, heard=0.3)
    wire.PATIENCE_S = 1
    direct = play(Place(rooms, 0), "odd", "2025-11-25")

    def passed(numbered):
        number, loss = numbered

        def between(_place, servers):
            return [sys.executable, str(HERE / "lossy.py"), loss, *servers["odd"].args]

        return loss, play(Place(rooms, number), "odd", "2025-11-25", between, "", direct).steps

    with ThreadPoolExecutor(3) as pool:
        for loss, steps in pool.map(passed, enumerate(lossy.LOSSES, 1)):
            found = [label for label, step in direct.steps.items() if difference(label, step, steps.get(label), False, False)]
            right = "all right" if loss == "nothing" else "found"
            check(f"a pass-through that loses {loss} is {right}", bool(found) == (loss != "nothing"), f"{found}")
            if "--show" in sys.argv:
                print(f"       {found}")


def main():
    rooms, *options = sys.argv[1:]
    if "--self-test" in options:
        return self_test(rooms)
    if "--direct" in options:
        checks.name += "/direct"
        return Round(rooms, None).run()
    Round(rooms, through_bridge).run()


try:
    main()
except Exception as error:
    traceback.print_exc()
    check("the comparison goes to its end", False, repr(error))
checks.done()
