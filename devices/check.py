"""Reads figures, facts and benchmark rows out of a parsed file and collects everything wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trine.devices.errors import InputError, nearest
from trine.devices.figures import CLASSES, SPLITS, Benchmark, Fact, Figure, Series, number_problems
from trine.devices.schema import BENCHMARK_KEYS, RESULT_UNITS, Section
from trine.devices.units import units_of

FIGURE_KEYS = ("value", "low", "high", "unit", "class", "source", "conditions", "observed_on", "split")
SERIES_KEYS = ("values", "unit", "class", "source", "conditions")
FACT_KEYS = ("text", "class", "source", "conditions")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")
_KINDS_OF_VALUE = {
    dict: "a table",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


@dataclass
class Reader:
    """One file being read. Nothing is raised until `finish`, so that the user sees all problems at once."""

    path: str
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def say(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}")

    def finish(self) -> None:
        """Raises `InputError` with every problem of the file; returns when there is none."""
        if not self.problems:
            return
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) > 1 else "")
        raise InputError(f"{self.path}: {count}\n" + "\n".join(f"  {problem}" for problem in self.problems))

    def unknown_keys(self, where: str, table: dict[str, Any], known: Iterable[str]) -> None:
        known = list(known)
        for key in table:
            if key not in known:
                self.say(_at(where, key), f"unknown key; {nearest(key, known)}")

    def table(self, where: str, value: object) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.say(where, f"must be a table, not {_kind(value)}")
        return {}

    def text(self, where: str, table: dict[str, Any], key: str, required: bool = True) -> str:
        at = _at(where, key)
        value = table.get(key, "")
        if not isinstance(value, str):
            self.say(at, f"must be text, not {_kind(value)}")
            return ""
        if required and not value.strip():
            self.say(at, "missing" if key not in table else "empty")
        return value

    def number(self, where: str, table: dict[str, Any], key: str, required: bool = False) -> float | None:
        if key not in table:
            if required:
                self.say(f"{where}.{key}", "missing")
            return None
        value = table[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.say(f"{where}.{key}", f"must be a number, not {_kind(value)}")
            return None
        try:
            return float(value)
        except OverflowError:
            self.say(f"{where}.{key}", "too large for a number")
            return None

    def choice(
        self, where: str, table: dict[str, Any], key: str, known: Iterable[str], required: bool = True
    ) -> str:
        value = self.text(where, table, key, required)
        known = list(known)
        if value and value not in known:
            self.say(_at(where, key), f"unknown {key} {value!r}; {nearest(value, known)}")
            return ""
        return value

    def read_sources(self, value: object) -> None:
        """The `[sources]` table: a short name for each source, used by the figures."""
        table = self.table("sources", value)
        self.sources = {name: self.text("sources", table, name) for name in table}

    def source(self, where: str, table: dict[str, Any]) -> str:
        name = self.text(where, table, "source")
        if not name:
            return ""
        if name not in self.sources:
            self.say(
                f"{where}.source", f"{name!r} is not in [sources]; {_nearest_source(name, self.sources)}"
            )
            return ""
        return self.sources[name]

    def figure(
        self, where: str, value: object, dimensions: Iterable[str], dated: bool = False
    ) -> Figure | None:
        """A figure of one of these dimensions, or None after saying what is wrong with it."""
        before = len(self.problems)
        table = self.table(where, value)
        if len(self.problems) > before:
            return None
        self.unknown_keys(where, table, FIGURE_KEYS)
        number = self.number(where, table, "value", required=True)
        low, high = self.number(where, table, "low"), self.number(where, table, "high")
        unit = self.unit(where, table, dimensions)
        cls, source = self.choice(where, table, "class", CLASSES), self.source(where, table)
        conditions = self.text(where, table, "conditions", required=False)
        observed_on = self.text(where, table, "observed_on", required=dated)
        if observed_on and not _DATE.fullmatch(observed_on):
            self.say(f"{where}.observed_on", f"{observed_on!r} is not a date such as 2026-04-15 or 2026-04")
        split = self.choice(where, table, "split", SPLITS, required=False)
        if number is not None and unit:
            for problem in number_problems(number, unit, low, high):
                self.say(where, problem)
        if len(self.problems) > before or number is None:
            return None
        return Figure(number, unit, low, high, conditions, source, cls, observed_on, split)

    def unit(self, where: str, table: dict[str, Any], dimensions: Iterable[str]) -> str:
        unit = self.text(where, table, "unit")
        dimensions = list(dimensions)
        right = [name for dimension in dimensions for name in units_of(dimension)]
        if not unit or unit in right:
            return unit
        if len(dimensions) > 2:
            self.say(f"{where}.unit", f"unknown unit {unit!r}; {nearest(unit, right)}")
        else:
            measured = " or ".join(dimensions)
            self.say(f"{where}.unit", f"{unit!r} is not a unit of {measured}; right: {', '.join(right)}")
        return ""

    def series(self, where: str, value: object, dimension: str) -> Series | None:
        before = len(self.problems)
        table = self.table(where, value)
        if len(self.problems) > before:
            return None
        self.unknown_keys(where, table, SERIES_KEYS)
        values = table.get("values")
        if not isinstance(values, list) or not values:
            self.say(f"{where}.values", "must be a list of numbers")
            values = []
        unit = self.unit(where, table, [dimension])
        numbers = [self.number(f"{where}.values", {str(i): v}, str(i)) for i, v in enumerate(values)]
        good = tuple(number for number in numbers if number is not None)
        for number in good if unit else ():
            for problem in number_problems(number, unit, None, None):
                self.say(f"{where}.values", problem)
        cls, source = self.choice(where, table, "class", CLASSES), self.source(where, table)
        conditions = self.text(where, table, "conditions", required=False)
        return None if len(self.problems) > before else Series(good, unit, conditions, source, cls)

    def fact(self, where: str, value: object) -> Fact | None:
        before = len(self.problems)
        table = self.table(where, value)
        if len(self.problems) > before:
            return None
        self.unknown_keys(where, table, FACT_KEYS)
        text, source = self.text(where, table, "text"), self.source(where, table)
        cls = self.choice(where, table, "class", CLASSES)
        conditions = self.text(where, table, "conditions", required=False)
        return None if len(self.problems) > before else Fact(text, conditions, source, cls)

    def benchmarks(self, value: object) -> tuple[Benchmark, ...]:
        if not isinstance(value, list):
            self.say("benchmarks", f"must be [[benchmarks]] tables, not {_kind(value)}")
            return ()
        rows: list[Benchmark] = []
        for index, run in enumerate(value):
            rows += self._run(f"benchmarks[{index}]", self.table(f"benchmarks[{index}]", run))
        return tuple(rows)

    def _run(self, where: str, run: dict[str, Any]) -> list[Benchmark]:
        self.unknown_keys(where, run, BENCHMARK_KEYS)
        suite, runtime = self.text(where, run, "suite"), self.text(where, run, "runtime", required=False)
        clock, supply = self._positive(where, run, "clock_mhz"), self._positive(where, run, "supply_v")
        conditions = self.text(where, run, "conditions", required=False)
        source, cls = self.source(where, run), self.choice(where, run, "class", CLASSES)
        split = self.choice(where, run, "split", SPLITS)
        results = run.get("results")
        if not isinstance(results, list) or not results:
            self.say(
                f"{where}.results", 'must be a list of tables such as { task = "kws", latency_ms = 43.19 }'
            )
            results = []
        run_facts: dict[str, Any] = {
            "suite": suite,
            "runtime": runtime,
            "clock_hz": None if clock is None else clock * 1e6,
            "supply_v": supply,
            "conditions": conditions,
            "source": source,
            "cls": cls,
            "split": split,
        }
        rows = [self._result(f"{where}.results[{i}]", result, run_facts) for i, result in enumerate(results)]
        return [row for row in rows if row is not None]

    def _result(self, where: str, value: object, run: dict[str, Any]) -> Benchmark | None:
        table = self.table(where, value)
        self.unknown_keys(where, table, ("task", *RESULT_UNITS))
        task = self.text(where, table, "task")
        given = {key: self._positive(where, table, key) for key in RESULT_UNITS}
        if not any(key in table for key in RESULT_UNITS):
            self.say(where, f"holds no figure: give one of {', '.join(RESULT_UNITS)}")
        if self.problems:
            return None
        conditions, source, cls, split = run["conditions"], run["source"], run["cls"], run["split"]
        figures = {
            key: Figure(number, RESULT_UNITS[key], None, None, conditions, source, cls, "", split)
            for key, number in given.items()
            if number is not None
        }
        return Benchmark(
            **run,
            task=task,
            latency=figures.get("latency_ms"),
            energy=figures.get("energy_uj"),
            active_power=figures.get("power_mw") or _derived_power(figures),
        )

    def _positive(self, where: str, table: dict[str, Any], key: str) -> float | None:
        number = self.number(where, table, key)
        if number is not None and not 0 < number < float("inf"):
            self.say(f"{where}.{key}", f"{number:g}: must be above zero and finite")
            return None
        return number


def name_problem(name: str) -> str:
    """What is wrong with a device's or figure's name; empty for a good one."""
    return "" if _NAME.fullmatch(name) else f"{name!r}: names are lower case letters, digits and underscores"


def read_open_key(reader: Reader, where: str, key: str, value: object, section: Section) -> Figure | None:
    """A figure under a name of its author's choice (`sleep.stop2`)."""
    problem = name_problem(key)
    if problem:
        reader.say(where, problem)
        return None
    return reader.figure(where, value, section.open_to)


def _derived_power(figures: dict[str, Figure]) -> Figure | None:
    latency, energy = figures.get("latency_ms"), figures.get("energy_uj")
    if latency is None or energy is None:
        return None
    conditions = "; ".join(filter(None, ["energy / latency", energy.conditions]))
    value = energy.value / latency.value  # uJ / ms = mW
    return Figure(value, "mW", None, None, conditions, energy.source, "derived", "", energy.split)


def _nearest_source(name: str, sources: dict[str, str]) -> str:
    return nearest(name, sources) if sources else "the file has no [sources] table"


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _kind(value: object) -> str:
    return _KINDS_OF_VALUE.get(type(value), "a date or time")
