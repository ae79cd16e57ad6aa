"""What MCP has beside calls, each with a check: against server-everything, and against both servers of our own."""

import asyncio

from checks import check
from ears import PATIENCE_S

OWN_TOOLS = "ask sample list_roots order visit count cancelled_counts log touch grow where".split()
OWN_PROMPTS = "greet signed plain_0 plain_1 plain_2 plain_3".split()
OURS = ("modern", "legacy")

TOOLS = {"time__get_current_time", "time__convert_time", "everything__echo"} | {
    f"{server}__{tool}" for server in OURS for tool in OWN_TOOLS
}
PROMPTS = {"everything__simple-prompt", "everything__completable-prompt"} | {f"{server}__{prompt}" for server in OURS for prompt in OWN_PROMPTS}
RESOURCES = {f"{server}://{path}" for server in OURS for path in ["counter", "page/0", "page/1", "page/2", "page/3"]}
TEMPLATES = {"demo://resource/dynamic/text/{resourceId}"} | {
    f"{server}://{path}" for server in OURS for path in ["letter/{name}", "signed/{title}"]
}
DYNAMIC = "demo://resource/dynamic/text/1"
# These are there only if a server was told what the client can do.
ASKING = {f"everything__{tool}" for tool in ["trigger-elicitation-request", "trigger-sampling-request", "get-roots-list"]}


async def lists(talk):
    """The first list may come before a slow server is there; it is whole soon after."""
    wanted = {"tools": TOOLS | ASKING, "prompts": PROMPTS, "resources": RESOURCES, "templates": TEMPLATES}
    for kind, names in wanted.items():
        found = await whole(getattr(talk.link, kind), names)
        check(f"all {kind} of all servers are listed, on all pages", names <= set(found), f"missing: {sorted(names - set(found))}")
        check(f"none of the {kind} is listed twice", len(found) == len(set(found)), f"{sorted(found)}")


async def whole(listing, names):
    """A list as soon as the names are in it, or as it is when patience ends."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    found = await listing()
    while not names <= set(found) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.1)
        found = await listing()
    return found


# Questions.


async def everything_asks(talk):
    text = await talk.text("everything__trigger-sampling-request", {"prompt": "tea"})
    check("everything: a sampling request reaches the client and its answer the tool", "tea, said the model" in text, text)
    answer = await talk.call("everything__trigger-elicitation-request")
    raw = await talk.text("everything__get-roots-list")
    check("everything: a form is answered", "provided the requested information" in answer.text, answer.text)
    check("everything: the roots are those of the client", "file:///e2e/one" in raw and "1 total" in raw, raw)


async def roots_change(talk):
    """In the modern era there is no such notice: a server asks each time."""
    if talk.is_modern("everything"):
        return
    talk.ears.roots = ["file:///e2e/one", "file:///e2e/two"]
    await talk.link.roots_changed()
    end = asyncio.get_running_loop().time() + PATIENCE_S
    text = await talk.text("everything__get-roots-list")
    while "file:///e2e/two" not in text and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
        text = await talk.text("everything__get-roots-list")
    check("everything: a change of the roots reaches the server", "file:///e2e/two" in text, text)
    talk.ears.roots = ["file:///e2e/one"]
    await talk.link.roots_changed()


async def asks(talk, server):
    for message, wanted in {"Who are you?": "accept Ada", "decline": "decline", "cancel": "cancel"}.items():
        text = await talk.text(f"{server}__ask", {"message": message})
        check(f"{server}: a form's answer is {wanted}", text == wanted, text)
    text = await talk.text(f"{server}__visit")
    asked = talk.ears.of_kind("asked", "url")
    check(f"{server}: a page is visited", (text, asked[-1:]) == ("accept", [("asked", "url", "https://example.com/e2e")]), text)
    text = await talk.text(f"{server}__sample", {"prompt": "coffee"})
    check(f"{server}: a sampling request is answered", text == "coffee, said the model", text)
    text = await talk.text(f"{server}__list_roots")
    check(f"{server}: the roots are those of the client", text == "file:///e2e/one", text)
    text = await talk.text(f"{server}__order")
    check(f"{server}: one call asks three times", text == "Ada: A drink for Ada, said the model, 1 roots", text)
    texts = await asyncio.gather(*(talk.text(f"{server}__sample", {"prompt": f"cup {n}"}) for n in range(5)))
    check(f"{server}: 5 calls that ask at once get their own answers", texts == [f"cup {n}, said the model" for n in range(5)], f"{texts}")
    text = await talk.link.prompt(f"{server}__signed", {})
    check(f"{server}: a prompt asks the client", text == "accept Ada", text)
    text = await talk.link.read(f"{server}://signed/lease")
    check(f"{server}: a resource asks the client", text == "lease: accept Ada", text)


# Calls that take time.


async def makes_progress(talk, server):
    seen = []

    async def progress(at, total, message):
        seen.append((at, total, message))

    answer = await talk.call(f"{server}__count", {"steps": 20, "step_ms": 5}, progress)
    wanted = [(n, 20, f"step {n}") for n in range(1, 21)]
    check(f"{server}: progress comes in order, before the answer", (answer.text, seen) == ("counted to 20", wanted), f"{seen}")


async def cancels(talk, server):
    check(f"{server}: a running call can be cancelled", await talk.taken_back(f"{server}__count", {"steps": 6000, "step_ms": 10}))
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while (text := await talk.text(f"{server}__cancelled_counts")) != "1" and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
    check(f"{server}: it has learnt of that", text == "1", text)


# Resources, completion, logging.


async def reads(talk, server):
    for uri, wanted in {
        f"{server}://page/3": "page 3",
        f"{server}://letter/Ada": "Dear Ada",
    }.items():
        text = await talk.link.read(uri)
        check(f"{server}: {uri} can be read", text == wanted, text)
    answer = await talk.call(f"{server}__where")
    uri = f"{server}://back-room"
    check(f"{server}: a result links to a resource", answer.links == [uri], f"{answer.links}")
    listed = await talk.link.resources()
    check(f"{server}: a linked resource can be read though no list has it", uri not in listed and await talk.link.read(uri) == "the back room")
    text = await talk.link.prompt(f"{server}__greet", {"name": "Grace"})
    check(f"{server}: a prompt takes its argument", text == "Greet Grace", text)
    for what, asking in {
        "resource": talk.link.read(f"{server}://no/where/at/all"),
        "prompt": talk.link.prompt(f"{server}__nobody", {}),
    }.items():
        try:
            check(f"{server}: an unknown {what} is an error", False, await asyncio.wait_for(asking, PATIENCE_S))
        except Exception as error:
            check(f"{server}: an unknown {what} is an error", not isinstance(error, TimeoutError), repr(error))


async def completes(talk, server):
    values = await talk.link.complete_prompt(f"{server}__greet", "name", "A")
    check(f"{server}: a prompt's argument is completed", values == ["Ada", "Alan"], f"{values}")
    values = await talk.link.complete_template(f"{server}://letter/{{name}}", "name", "G")
    check(f"{server}: a template's argument is completed", values == ["Dr. Grace"], f"{values}")


async def completes_in_context(talk):
    """What was filled in before decides what is offered."""
    prompt = "everything__completable-prompt"
    for department, wanted in {"Engineering": ["Alice", "Bob", "Charlie"], "Sales": ["David", "Eve", "Frank"]}.items():
        values = await talk.link.complete_prompt(prompt, "name", "", {"department": department})
        check(f"everything: the names of {department} are offered", values == wanted, f"{values}")


async def logs(talk, server, sdk):
    # Behind the bridge a level that was asked for once counts for every server.
    if talk.is_modern(server) and not talk.asked_for_logs and not getattr(sdk, "ALWAYS_ASKS_FOR_LOGS", False):
        await talk.call(f"{server}__log")
        # What is sent is sent before the answer.
        heard = own_logs(talk, server)
        check(f"{server}: who asked for no messages gets none", not heard, f"{heard}")
    await talk.link.level("info")
    talk.asked_for_logs = not talk.is_direct
    talk.ears.events.clear()
    await talk.call(f"{server}__log")
    await talk.ears.hear("log", "error", server)
    wanted = [
        ("log", "info", f"{server}/desk", {"said": "info"}),
        ("log", "warning", f"{server}/desk", {"said": "warning"}),
        ("log", "error", server, {"said": "error"}),
    ]
    heard = own_logs(talk, server)
    check(f"{server}: messages of the wanted level come in order, with the server's name", heard == wanted, f"{heard}")


def own_logs(talk, server):
    return [event for event in talk.ears.of_kind("log") if isinstance(event[3], dict) and (event[2] or "").startswith(server)]


# Changes.


async def tells_changes(talk, servers):
    link, ears = talk.link, talk.ears
    uris = [f"{server}://counter" for server in servers]
    await link.listen([*uris, DYNAMIC])
    # This server tells at once of all that is subscribed, and again every 5 seconds.
    await talk.call("everything__toggle-subscriber-updates")
    check("everything: an update of a subscribed resource is told", await ears.hear("updated", DYNAMIC))
    await talk.call("everything__toggle-subscriber-updates")
    for server, uri in zip(servers, uris):
        before = await link.read(uri)
        at = await talk.text(f"{server}__touch")
        held = await ears.hear("updated", uri)
        after = await link.read(uri)
        check(f"{server}: an update of a subscribed resource is told", held and (before, after) == ("count 0", f"count {at}"), f"{before}, {after}")
        await grows(talk, server)
    await link.unlisten()
    ears.events.clear()
    for server in servers:
        await talk.call(f"{server}__touch")
        # Had it been told, it were told before this.
        await talk.call(f"{server}__cancelled_counts")
    heard = ears.of_kind("updated")
    check("who no longer subscribes is told of no update", not heard, f"{heard}")


async def grows(talk, server):
    link, ears = talk.link, talk.ears
    ears.events.clear()
    await talk.call(f"{server}__grow", {"name": "ivy"})
    for kind in ("tools", "prompts", "resources"):
        check(f"{server}: a change of its {kind} is told", await ears.hear("changed", kind), f"{ears.of_kind('changed')}")
    new = {"tools": f"{server}__grown_ivy", "prompts": f"{server}__grown_ivy", "resources": f"{server}://grown/ivy"}
    for kind, name in new.items():
        check(f"{server}: the changed {kind} are listed", name in await whole(getattr(link, kind), {name}))
    texts = [await talk.text(f"{server}__grown_ivy"), await link.prompt(f"{server}__grown_ivy", {}), await link.read(f"{server}://grown/ivy")]
    check(f"{server}: what is new can be used", texts == ["ivy grew"] * 3, f"{texts}")
