"""The pages of the documentation, as the tests read them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

_BLOCK = re.compile(
    r"(?:^<!-- ([^\n]*) -->\n\n)?^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block: `sh` is for a reader to run as it stands, `console` and `text` are shown.

    What is said of it stands behind the language where the site knows that word (`title`), else in
    a comment before it, which nobody sees.
    """

    language: str
    attributes: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(language, f"{said} {known}".strip(), text)
        for said, language, known, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def sections(page: Path) -> dict[str, str]:
    """The text under each heading of a page."""
    parts = re.split(r"^#+ (.+)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
