"""The problems of a campaign: a folder of problem files, or one .jsonl with a stated problem on each line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError
from trine.quantum.problem import SCHEMA, Stated, problem_named, read_problem


@dataclass(frozen=True)
class Named:
    """A stated problem with the name of its row."""

    name: str
    stated: Stated


def read_instances(path: Path) -> list[Named]:
    """All problems of a folder (*.json, by name) or of a .jsonl file (notes.name, or the line's number).

    Raises InputError naming the files and lines that are wrong, up to eight.
    """
    found: list[Named] = []
    problems: list[str] = []
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            try:
                found.append(Named(file.stem, read_problem(file)))
            except InputError as error:
                problems.append(str(error))
    else:
        for number, line in enumerate(lines_of(path), 1):
            if not line.strip():
                continue
            try:
                stated = parse_line(line)
            except InputError as error:
                problems.append(f"{path}, line {number}: {error}")
                continue
            found.append(Named(str(stated.notes.get("name", f"line {number}")), stated))
    if problems:
        more = f"; and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise InputError("; ".join(problems[:8]) + more)
    if not found:
        raise InputError(
            f"{path}: no problem in it; give a folder of problem files or a .jsonl (trine formulate)"
        )
    return found


def lines_of(path: Path) -> list[str]:
    """Of a text file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); give a folder of problem files or a .jsonl"
        ) from None


def parse_line(line: str) -> Stated:
    """One stated problem. Raises InputError."""
    try:
        data: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"column {error.colno}: {error.msg}") from None
    if (
        not isinstance(data, dict)
        or data.get("schema") != SCHEMA
        or not isinstance(data.get("instance"), dict)
    ):
        raise InputError(f"no problem: needs schema {SCHEMA!r}, problem and instance")
    problem = problem_named(str(data.get("problem")))
    return Stated(problem, problem.parse(data["instance"]), data.get("notes") or {})
