"""What all SDKs' results have in common here."""

from dataclasses import dataclass, field

LOG_LEVEL = "io.modelcontextprotocol/logLevel"


@dataclass
class Answer:
    text: str
    is_error: bool
    links: list[str] = field(default_factory=list)


def answer(content, is_error):
    """From a result's content blocks, as objects."""
    links = [str(block.uri) for block in content if block.type == "resource_link"]
    return Answer(content[0].text, bool(is_error), links)


async def pages(page, items, cursor):
    """All items of a list: `page(cursor)` asks for one, the names are those of its fields."""
    found, at = [], None
    while True:
        result = await page(at)
        found += getattr(result, items)
        at = getattr(result, cursor)
        if not at:
            return found
