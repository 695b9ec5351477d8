"""`Estimate`: one number of a cost, with its range, how it was obtained and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

How = Literal["measured", "emulated", "simulated", "modelled", "datasheet"]
HOWS: tuple[str, ...] = get_args(How)


@dataclass(frozen=True)
class Estimate:
    """A number that was obtained somehow: `value` in `unit`, between `low` and `high`.

    how: measured (on the thing itself: hardware, a linked file), emulated (counted while the code ran on a
    modelled core), simulated, modelled (an equation over other numbers) or datasheet. source: paper, data
    sheet, log, or the equation with the sources of its terms. A number nobody can obtain is no Estimate: it
    stays missing.
    Raises ValueError where the range does not hold the value or the source is missing.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    how: How
    source: str

    def __post_init__(self) -> None:
        problems = [
            f"{what} is {number}"
            for what, number in (("value", self.value), ("low", self.low), ("high", self.high))
            if not math.isfinite(number)
        ]
        if not problems and not self.low <= self.value <= self.high:
            problems.append(f"{self.value:g} is not between low {self.low:g} and high {self.high:g}")
        if self.how not in HOWS:
            problems.append(f"how is {self.how!r}, not one of {', '.join(HOWS)}")
        problems += [f"no {what}" for what in ("name", "unit", "source") if not getattr(self, what).strip()]
        if problems:
            raise ValueError(f"estimate {self.name}: " + "; ".join(problems))

    def as_json(self) -> dict[str, float | str]:
        """The object that stands in `deployment.json` under `cost`."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "low": self.low,
            "high": self.high,
            "how": self.how,
            "source": self.source,
        }


def exactly(name: str, value: float, unit: str, how: How, source: str) -> Estimate:
    """An estimate without spread, such as a count."""
    return Estimate(name, value, unit, value, value, how, source)


def find(estimates: Iterable[Estimate], name: str) -> Estimate | None:
    """The estimate of that name, or None: it is missing."""
    return next((estimate for estimate in estimates if estimate.name == name), None)
