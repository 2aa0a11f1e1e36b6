"""Pages of Markdown as the tests read them: fenced blocks, headings, links, tables, code spans."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and where it is."""

    language: str
    text: str
    page: Path
    line: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str) -> list[Block]:
    """Return the page's fenced blocks of one language, in order."""
    text = page.read_text("utf-8")
    return [
        Block(found[1], found[2], page, text.count("\n", 0, found.start()) + 2)
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def all_blocks(language: str) -> list[Block]:
    """Return the blocks of one language of the README and of all pages in docs/."""
    return [block for page in PAGES for block in blocks(page, language)]


def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the page's headings."""
    headings = (found[1].lower().replace("`", "") for found in _HEADING.finditer(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """Yield the targets of the page's links."""
    return (found[1] for found in _LINK.finditer(prose(page)))


def spans(page: Path) -> list[str]:
    """Return the page's code spans."""
    return _SPAN.findall(prose(page))


def section(page: Path, heading: str) -> str:
    """Return what is below a heading of level 2. Raise `ValueError` where there is no such heading."""
    parts = re.split(r"^## (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def rows(text: str) -> list[list[str]]:
    """Return the cells of each row of the tables in a text, without the heads and the rules below them."""
    lines = text.split("\n")
    tables = [line for at, line in enumerate(lines) if line.startswith("|") and at and lines[at - 1].startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables if not line.startswith("|-")]
