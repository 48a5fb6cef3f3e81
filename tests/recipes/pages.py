"""Take programs and commands out of README.md and the pages in docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    *sorted(ROOT.glob("[!R]*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    heading: str
    language: str
    text: str


def blocks() -> list[Block]:
    """All fenced blocks, page by page."""
    found = []
    for page in PAGES:
        heading = ""
        inside: list[str] | None = None
        language = ""
        for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.startswith("```"):
                if inside is None:
                    inside, language = [], line[3:].strip()
                else:
                    found.append(Block(page, heading, language, "".join(inside)))
                    inside = None
            elif inside is not None:
                inside.append(line)
            elif line.startswith("#"):
                heading = line.lstrip("#").strip()
        assert inside is None, f"{page.name}: a block does not end"
    return found


def block(heading: str, language: str) -> str:
    """The only block in *language* below the heading *heading*.

    :raises ValueError: if there is none, or another one.
    """
    [text] = [b.text for b in blocks() if b[1:3] == (heading, language)]
    return text


def program(heading: str) -> str:
    """The Python program below the heading *heading*."""
    return block(heading, "python")


def command(page: str, word: str) -> str:
    """The only command line of a page of that name which holds *word*.

    It stands alone on its line, or between backquotes in a sentence.
    """
    [path] = [path for path in PAGES if path.name == page]
    text = re.sub("(?ms)^```.*?^```", "", path.read_text(encoding="utf-8"))
    lines = {b.text.strip() for b in blocks() if b.page == path and b.language == "sh"}
    lines.update(re.sub(r"\s+", " ", code) for code in re.findall("`([^`]+)`", text))
    [line] = [line for line in lines if word in line]
    return line
