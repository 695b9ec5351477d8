"""A choice as it was compiled, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trine.edge.budget.measure import Measured
from trine.edge.budget.space import Choice
from trine.edge.budget.ways import Way
from trine.edge.quantize import Quantized

NAMES = {"ram_bytes": "RAM", "flash_bytes": "flash", "energy_j": "energy"}


@dataclass(frozen=True)
class Point:
    """A choice, really compiled: what it takes, how good it is. drop: points of accuracy below float, if labelled."""

    way: Way
    choice: Choice
    quantized: Quantized
    measured: Measured
    drop: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        m = self.measured
        return {
            "flash_bytes": m.flash_bytes, "ram_bytes": m.ram_bytes, "energy_j": m.energy_j,
            "instructions": m.instructions, "sqnr_db": self.quantized.sqnr_db, "accuracy_drop": self.drop,
            "how": m.how, "way": self.way.name, "widths": [a.width for a in self.choice],
        }  # fmt: skip


def over(used: Measured, limits: Mapping[str, float]) -> list[str]:
    """The limits that are exceeded."""
    return [name for name, most in limits.items() if getattr(used, name) > most]


def amount(value: float, name: str) -> str:
    """A number of a limit with its unit."""
    return f"{value * 1e6:,.4g} uJ" if name == "energy_j" else f"{value:,.0f} B"


def shown(limits: Mapping[str, float]) -> str:
    """Limits in words."""
    return ", ".join(f"{NAMES[name]} {amount(most, name)}" for name, most in limits.items())


def summary(point: Point) -> str:
    """What a compiled choice is like."""
    m = point.measured
    parts = [f"flash {m.flash_bytes:,} B", f"RAM {m.ram_bytes:,} B"]
    parts += [f"energy {m.energy_j * 1e6:,.4g} uJ"] if m.energy_j is not None else []
    parts += [f"{point.quantized.sqnr_db:.1f} dB to float"]
    parts += [f"accuracy {-point.drop:+.2f} points"] if point.drop is not None else []
    return ", ".join(parts)
