"""The smallest records of the catalogue: figures, series, facts and benchmark rows, each with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trine.devices.errors import InputError, nearest
from trine.devices.units import UNITS, convert, unit_named

CLASSES = ("measured", "datasheet", "vendor", "derived", "simulated", "unverified")
"""How a figure was obtained, strongest first: `measured` (paper or public log), `datasheet`, `vendor` (claim
on a page, a package constant, a community compilation), `derived` (arithmetic), `simulated` (in a paper),
`unverified` (from memory: look it up before relying on it)."""

SPLITS = ("", "calibrate", "context")
"""`calibrate`: may be fitted; `context`: for comparison only, never fitted; empty: a static fact."""

WHOLE = ("count", "word length")
"""Dimensions whose figures are whole numbers."""


def number_problems(value: float, unit: str, low: float | None, high: float | None) -> list[str]:
    """What is impossible about a number with a known unit (nothing is, for a good one)."""
    given = {"value": value, "low": low, "high": high}
    present = {name: number for name, number in given.items() if number is not None}
    infinite = [name for name, number in present.items() if not math.isfinite(number)]
    if infinite:
        return [
            f"{name} is {present[name]}: give a finite number, or leave the figure out" for name in infinite
        ]
    problems = [
        f"{name} is {number:g}: negative, which is impossible here"
        for name, number in present.items()
        if number < 0
    ]
    if UNITS[unit].dimension in WHOLE:
        problems += [
            f"{name} is {number:g}: a whole number is needed"
            for name, number in present.items()
            if number % 1
        ]
    if low is not None and low > value:
        problems.append(f"low {low:g} is above the value {value:g}")
    if high is not None and high < value:
        problems.append(f"high {high:g} is below the value {value:g}")
    return problems


@dataclass(frozen=True)
class Figure:
    """A number with unit, range, conditions, source and class. Raises `InputError` when it makes no sense."""

    value: float
    unit: str
    low: float | None
    high: float | None
    conditions: str
    source: str
    cls: str
    observed_on: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        unit_named(self.unit)
        if self.cls not in CLASSES:
            raise InputError(f"unknown class {self.cls!r}; {nearest(self.cls, CLASSES)}")
        problems = number_problems(self.value, self.unit, self.low, self.high)
        if problems:
            raise InputError(f"figure in {self.unit}: " + "; ".join(problems))

    def to(self, unit: str) -> Figure:
        """The same figure in another unit of its dimension; raises `InputError` for a unit of another one."""
        low = None if self.low is None else convert(self.low, self.unit, unit)
        high = None if self.high is None else convert(self.high, self.unit, unit)
        return replace(self, value=convert(self.value, self.unit, unit), unit=unit, low=low, high=high)

    def si(self) -> Figure:
        """The same figure in the base unit of its dimension (V, A, W, J, s, Hz, B, 1, ...)."""
        return self.to(UNITS[self.unit].base)

    @property
    def si_value(self) -> float:
        """The value in the base unit."""
        return convert(self.value, self.unit, UNITS[self.unit].base)

    @property
    def si_range(self) -> tuple[float, float]:
        """Low and high in the base unit; the value itself where no range is known."""
        si = self.si()
        return (si.value if si.low is None else si.low, si.value if si.high is None else si.high)


@dataclass(frozen=True)
class Series:
    """Numbers that belong together in order, such as the weight memory of each of nine cores."""

    values: tuple[float, ...]
    unit: str
    conditions: str
    source: str
    cls: str


@dataclass(frozen=True)
class Fact:
    """A fact in words (a core's instruction set, a topology), with its source and class."""

    text: str
    conditions: str
    source: str
    cls: str


@dataclass(frozen=True)
class Benchmark:
    """One published row: a task run on the device by some runtime.

    `latency` is per inference, `energy` per inference, `active_power` while inferring; each is a `Figure` or
    None where it was not published. A power that is energy / latency has class `derived`.
    """

    task: str
    suite: str
    runtime: str
    clock_hz: float | None
    supply_v: float | None
    latency: Figure | None
    energy: Figure | None
    active_power: Figure | None
    conditions: str
    source: str
    cls: str
    split: str

    @property
    def latency_s(self) -> float | None:
        return None if self.latency is None else self.latency.si_value

    @property
    def energy_j(self) -> float | None:
        return None if self.energy is None else self.energy.si_value

    @property
    def active_power_w(self) -> float | None:
        return None if self.active_power is None else self.active_power.si_value
