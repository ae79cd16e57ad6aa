"""Several servers behind one bridge, two of them broken: what works is all there, and what does not is said."""

import json

import checks
import session
from checks import check
from session import LISTS, MODERN, Session, own_rows

GOOD = ("memory", "odd", "time")
BROKEN = ("broken", "missing")


class Joined(Session):
    """The bridge with all of them: names stay as the bridge shows them."""

    def _row(self, key, raw):
        name = json.loads(raw)["name"]
        return None if name.startswith("bridge_") else raw


def prefixed(one, key, raw):
    if key not in ("tools", "prompts"):
        return raw
    return session.replaced(raw, "name", lambda name: json.dumps(one.shown(json.loads(name))))


def union(direct, label, key):
    """What a list has to be: every server's own rows under the bridge's names."""
    wanted = []
    for name in GOOD:
        one = direct[name]
        one.behind = name
        wanted += [prefixed(one, key, row) for row in own_rows(one.steps[label])]
        one.behind = ""
    return sorted(wanted)


def settled(joined, method, wanted):
    """The list, asked for until it is whole."""
    found = []

    def whole():
        step = joined._whole(method)
        found[:] = own_rows(step) if step.listed else [step.raw]
        return found == sorted(wanted)

    for _ in range(50):
        if whole():
            break
        joined.wire.until(lambda: False, 0.1)
    return found


def status(joined):
    message = joined.wire.ask("tools/call", joined._enveloped('{"name":"bridge_status"}') if joined.modern else '{"name":"bridge_status"}')
    return message.parts.get("result", "")


def look(joined, direct, what):
    joined.open()
    for label, method in zip(("tools", "prompts", "resources", "templates"), LISTS, strict=True):
        wanted = union(direct, label, LISTS[method])
        found = settled(joined, method, wanted)
        check(f"{what}: {method} is what the servers list", found == wanted, f"{len(found)} rows, not {len(wanted)}: {found[:1]}")
    said = status(joined)
    silent = [name for name in BROKEN if name not in said]
    check(f"{what}: servers that cannot start are reported", not silent, f"nothing about {silent}: {said[:300]}")
    for name in BROKEN:
        step = joined.call(f"call of {name}", f"{name}__anything", {})
        held = step.kind == "error" or json.loads(step.raw).get("isError") is True
        check(f"{what}: a call of a server that cannot start is an error", held, step.raw[:300])
    for uri, owner in (("memory://knowledge-graph", "memory"), ("urn:example:a:B", "odd"), ("odd://t/1", "odd")):
        step = joined.ask(f"read {uri}", "resources/read", {"uri": uri})
        check(f"{what}: {uri} is read from {owner}", step.kind == "result" and f'"uri":"{uri}"' in step.raw, step.raw[:300])


def together(place, between, older, newer):
    """What each server said by itself, to an older client and, if it can, to a modern one."""
    for version, direct in (("2025-11-25", older), (MODERN, newer)):
        here = place()
        servers = {name: here.server(name) for name in (*GOOD, *BROKEN)}
        joined = Joined(between(here, servers), here.environment(), "", version, {}, {}, None, here)
        try:
            look(joined, direct, f"together {version}")
        except (session.Gone, KeyError, ValueError) as error:
            check(f"together {version}: goes to its end", False, repr(error))
        finally:
            joined.wire.close()
            checks.end_hub(f"{here.root}/data")
