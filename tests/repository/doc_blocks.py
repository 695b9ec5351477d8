"""The fenced blocks of a page, and how what a command prints is compared with what the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- file=(?P<file>\S+) -->\n)?^```(?P<label>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")
DRAWING = re.compile(r"[\u2500-\u257f]+")  # the lines of a table
TOLERANCE = 0.1  # relative; a page is stale when a number has moved by more


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file named in a comment above it, its text and where it stands."""

    language: str
    file: str | None
    body: str
    place: str


@dataclass(frozen=True)
class Command:
    """A line after `$ ` in a console block, and the lines that the page shows under it."""

    text: str
    shown: tuple[str, ...]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(found["label"], found["file"], found["body"], f"{page.name}:{line}")


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block; `> ` goes on with the line before."""
    text = ""
    shown: list[str] = []
    for line in block.body.splitlines():
        if line.startswith("$ "):
            if text:
                yield Command(text, tuple(shown))
            text, shown = line[2:], []
        elif line.startswith("> ") and not shown:
            text += "\n" + line[2:]
        else:
            shown.append(line)
    if not text:
        raise AssertionError(f"{block.place}: a console block without a command after '$ '")
    yield Command(text, tuple(shown))


def words(lines: tuple[str, ...]) -> list[str]:
    """Words in order, free of line breaks and of the lines that draw a table."""
    return DRAWING.sub(" ", " ".join(lines)).split()


def same_word(shown: str, printed: str) -> bool:
    """Equal, numbers within `TOLERANCE`, so that another compiler or processor does not make a page stale."""
    if shown == printed:
        return True
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    values = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
    return all(abs(a - b) <= TOLERANCE * abs(a) for a, b in values)


def mismatch(shown: tuple[str, ...], printed: str) -> str | None:
    """Where the output leaves what the page shows, or None. A word `...` on the page stands for any words."""
    found = words(tuple(printed.splitlines()))
    start = 0
    parts = sections(words(shown))
    for number, wanted in enumerate(parts):
        last = start if number == 0 else len(found) - len(wanted)
        if number and number == len(parts) - 1:
            start = max(start, last)  # nothing may follow the last part
        for at in range(start, last + 1):
            if all(map(same_word, wanted, found[at : at + len(wanted)])) and at + len(wanted) <= len(found):
                start = at + len(wanted)
                break
        else:
            return f"the page shows {' '.join(wanted)!r}; printed from there: {' '.join(found[start:])!r}"
    if len(parts) == 1 and start != len(found):
        return f"printed after what the page shows: {' '.join(found[start:])!r}"
    return None


def sections(shown: list[str]) -> list[list[str]]:
    """The words between `...`; the first and the last section may be empty."""
    parts: list[list[str]] = [[]]
    for word in shown:
        if word == "...":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
