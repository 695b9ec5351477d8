"""`Formulation`: how a problem is stated from files, described so that a command line can be made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError
from trine.quantum.problem import Stated, problem_named


@dataclass(frozen=True)
class Option:
    """One input. name: as in Python (least_overlap is --least-overlap). kind: str, int, float, bool or Path.

    many: may be given several times, and comes as a list. A default of None means that it may be left out.
    """

    name: str
    kind: type
    help: str
    default: Any = None
    required: bool = False
    many: bool = False

    @property
    def flag(self) -> str:
        """As spelled on the command line."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Formulation:
    """state(**options) -> Stated; raises InputError. The options are those of `options`, by name."""

    problem: str
    title: str
    options: tuple[Option, ...]
    state: Callable[..., Stated]

    def __call__(self, **given: Any) -> Stated:
        """State the problem; options not given take their defaults. Raises InputError."""
        known = {option.name for option in self.options}
        strangers = sorted(set(given) - known)
        if strangers:
            raise InputError(
                f"{self.problem}: {', '.join(strangers)} unknown; options: {', '.join(sorted(known))}"
            )
        values = {o.name: given.get(o.name, o.default) for o in self.options}
        missing = [o.flag for o in self.options if o.required and values[o.name] in (None, [], ())]
        if missing:
            raise InputError(f"{self.problem}: give {', '.join(missing)}")
        return self.state(**values)


def stated(problem: str, instance: Mapping[str, Any], notes: Mapping[str, Any]) -> Stated:
    """A problem with its instance, checked as a file's would be. Raises InputError."""
    record = problem_named(problem)
    return Stated(record, record.parse(instance), notes)


def one_of(**given: Any) -> str:
    """The name of the one option that is given. Raises InputError for none or several."""
    present = [name for name, value in given.items() if value not in (None, [], ())]
    flags = ", ".join("--" + name.replace("_", "-") for name in given)
    if len(present) != 1:
        raise InputError(f"give one of {flags}, not {len(present)} of them")
    return present[0]


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises InputError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_text(path: Path) -> str:
    """A file's text. Raises InputError."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text file") from None


def source(path: Path) -> dict[str, str]:
    """Where an instance comes from: name and checksum, not the place, so that the file is the same elsewhere."""
    return {"file": path.name, "sha256": hashlib.sha256(read_bytes(path)).hexdigest()}


def read_fasta(path: Path) -> list[tuple[str, str]]:
    """(name, sequence) of each record; the name is the header's first word. Raises InputError naming the line."""
    found: list[tuple[str, str]] = []
    for k, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if text.startswith(">"):
            name = text[1:].split()[0] if text[1:].split() else ""
            if not name or any(name == other for other, _ in found):
                raise InputError(
                    f"{path}: line {k}: the header {'repeats a name' if name else 'has no name'}"
                )
            found.append((name, ""))
        elif text and not text.startswith(";"):
            if not found:
                raise InputError(f"{path}: line {k}: FASTA begins with a header line, > and a name")
            found[-1] = (found[-1][0], found[-1][1] + "".join(text.split()).upper())
    empty = [name for name, sequence in found if not sequence]
    if not found or empty:
        raise InputError(f"{path}: {'no record' if not found else f'record {empty[0]} has no sequence'}")
    return found
