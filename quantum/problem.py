"""`Problem`: one drug-discovery subproblem as a record; its file; the catalogue of all of them.

A problem is one module of quantum/problems exporting PROBLEM. Its two facts check each other: `encode` (a polynomial
of bits, what a quantum machine sees) and `cost` (the chemist's objective and penalties by plain loops).
Packages outside Trine add problems through the entry-point group `trine.problems`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np

from trine.devices.errors import InputError, nearest
from trine.quantum.feasible import Feasible
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.polynomial import Bits, Polynomial

SCHEMA = "trine.problem/1"


@dataclass(frozen=True)
class Encoding:
    """An instance as bits.

    polynomial: objective and penalties over all 2^n strings. inside: what is left to minimise inside `feasible`
    (no penalty for the constraints that `feasible` keeps); equal to `polynomial` on feasible strings.
    labels: what each bit says, in the chemist's words. penalty: the weight used, with `penalty_source` saying why
    it suffices.
    """

    polynomial: Polynomial
    inside: Polynomial
    feasible: Feasible
    labels: tuple[str, ...]
    penalty: float | None = None
    penalty_source: str = ""

    @property
    def qubits(self) -> int:
        """Bits."""
        return self.polynomial.variables

    @property
    def hamiltonian(self) -> Hamiltonian:
        """The polynomial in Z strings."""
        return Hamiltonian.from_polynomial(self.polynomial)


@dataclass(frozen=True)
class Exact:
    """An optimum: its cost, one string that reaches it, how it was found; proved says that no other is lower."""

    cost: float
    bits: tuple[int, ...]
    method: str
    proved: bool = True


@dataclass(frozen=True)
class Problem:
    """One subproblem.

    parse(data) -> instance, a frozen dataclass with `as_json()`; raises InputError with all that is wrong.
    encode(instance) -> Encoding. cost(instance, bits [n]) -> the polynomial's value by plain loops, for every string.
    violations(instance, bits) -> broken hard constraints in words, empty where feasible.
    decode(instance, bits) -> the answer in the chemist's words (JSON); a feasible string's answer has all of it.
    bits_of(instance, answer) -> the string that decodes to it. exact(instance) -> the optimum, None where out of
    reach. greedy(instance) -> a feasible string by the plain rule a chemist would try first.
    example() -> a small instance with a known answer. sample(generator, qubits) -> a random instance of about so many
    qubits. source: papers. unit: of the cost. display: lines for reading an answer.
    draw(instance, generator, count) -> strings [count, n], uniform over all that break no constraint; only where
    `Encoding.feasible` knows fewer constraints than there are and plain redrawing would take too long.
    """

    name: str
    title: str
    source: str
    parse: Callable[[Mapping[str, Any]], Any]
    encode: Callable[[Any], Encoding]
    cost: Callable[[Any, Bits], float]
    violations: Callable[[Any, Bits], list[str]]
    decode: Callable[[Any, Bits], dict[str, Any]]
    bits_of: Callable[[Any, Mapping[str, Any]], Bits]
    exact: Callable[[Any], Exact | None]
    greedy: Callable[[Any], Bits]
    example: Callable[[], Any]
    sample: Callable[[np.random.Generator, int], Any]
    unit: str = "1"
    keys: Mapping[str, str] = field(
        default_factory=dict
    )  # schema of an instance: key -> meaning, type and unit
    draw: Callable[[Any, np.random.Generator, int], Bits] | None = None


@cache
def problems() -> Mapping[str, Problem]:
    """All problems by name: the files of quantum/problems, then entry points."""
    package = import_module("trine.quantum.problems")
    found: dict[str, Problem] = {}
    for module in sorted(info.name for info in iter_modules(package.__path__)):
        made = getattr(import_module(f"trine.quantum.problems.{module}"), "PROBLEM", None)
        if isinstance(made, Problem):
            found[made.name] = made
    for entry in metadata.entry_points(group="trine.problems"):
        made = entry.load()
        found[made.name] = made
    return found


def problem_named(name: str) -> Problem:
    """One problem. Raises InputError with the nearest names."""
    if name not in problems():
        raise InputError(f"no problem is called {name!r}: {nearest(name, problems())}")
    return problems()[name]


@dataclass(frozen=True)
class Stated:
    """A problem with its instance, as a file holds it. notes: where the instance comes from."""

    problem: Problem
    instance: Any
    notes: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object of the file."""
        return {
            "schema": SCHEMA,
            "problem": self.problem.name,
            "instance": self.instance.as_json(),
            "notes": dict(self.notes),
        }

    def text(self) -> str:
        """The file, the same bytes each time."""
        return json.dumps(self.as_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_problem(path: Path) -> Stated:
    """A problem file. Raises InputError saying what is wrong and where."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); trine formulate writes problem files") from None
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(data, dict) or "problem" not in data or not isinstance(data.get("instance"), dict):
        raise InputError(
            f"{path}: no problem file: needs the keys schema, problem and instance (trine problems)"
        )
    if data.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema is {data.get('schema')!r}, this version reads {SCHEMA!r}")
    problem = problem_named(str(data["problem"]))
    try:
        instance = problem.parse(data["instance"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Stated(problem, instance, data.get("notes") or {})


def write_problem(stated: Stated, path: Path) -> None:
    """Write a problem file beside its final place, then rename. Raises InputError where that cannot be."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(stated.text(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error})") from None


class Reader:
    """Takes an instance's JSON apart, collecting every mistake; `done` raises them together."""

    def __init__(self, data: Mapping[str, Any], keys: Sequence[str], optional: Sequence[str] = ()) -> None:
        self.data = data
        self.problems: list[str] = []
        self.problems += [f"{key} is missing" for key in keys if key not in data]
        known = (*keys, *optional)
        self.problems += [f"{key} is unknown, {nearest(key, known)}" for key in data if key not in known]

    def number(self, key: str, default: float = 0.0, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number between low and high."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.problems.append(f"{key} is {value!r}: give a finite number")
            return default
        if not low <= value <= high:
            self.problems.append(f"{key} is {value:g}: give {low:g} to {high:g}")
        return float(value)

    def whole(self, key: str, default: int = 0, low: int = 0, high: int = 1 << 31) -> int:
        """A whole number between low and high."""
        value = self.number(key, default, low, high)
        if value != int(value):
            self.problems.append(f"{key} is {value:g}: give a whole number")
        return int(value)

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        value = self.data.get(key, default)
        if not isinstance(value, str):
            self.problems.append(f"{key} is {value!r}: give a text")
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.problems.append(f"{key}: give a list of texts")
            return ()
        return tuple(value)

    def numbers(self, key: str, length: int | None = None) -> tuple[float, ...]:
        """A list of finite numbers, of a length if given."""
        value = self.data.get(key, [])
        if not isinstance(value, list):
            self.problems.append(f"{key}: give a list of numbers")
            return ()
        for k, v in enumerate(value):
            if isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v):
                self.problems.append(f"{key}[{k}] is {v!r}: give a finite number")
                return ()
        if length is not None and len(value) != length:
            self.problems.append(f"{key} has {len(value)} entries: give {length}")
        return tuple(float(v) for v in value)

    def edges(self, key: str, nodes: int) -> tuple[tuple[int, int], ...]:
        """A list of [i, j] with i != j below `nodes`, each pair once; ascending."""
        value = self.data.get(key, [])
        if not isinstance(value, list):
            self.problems.append(f"{key}: give a list of [i, j]")
            return ()
        found: dict[tuple[int, int], int] = {}
        for k, pair in enumerate(value):
            whole = isinstance(pair, list) and len(pair) == 2 and all(type(v) is int for v in pair)
            if not whole or pair[0] == pair[1] or not all(0 <= v < nodes for v in pair):
                self.problems.append(
                    f"{key}[{k}] is {pair!r}: give two different nodes from 0 to {nodes - 1}"
                )
                continue
            edge = (min(pair), max(pair))
            if edge in found:
                self.problems.append(f"{key}[{k}] repeats {key}[{found[edge]}]")
            found.setdefault(edge, k)
        return tuple(sorted(found))

    def done(self) -> None:
        """Raise InputError with everything found so far."""
        if self.problems:
            more = f" (and {len(self.problems) - 8} more)" if len(self.problems) > 8 else ""
            raise InputError("; ".join(self.problems[:8]) + more)
