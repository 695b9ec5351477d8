"""What a deployment may take, and how the command line says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trine.devices.errors import InputError

BYTES: Mapping[str, int] = {
    "": 1, "B": 1, "K": 1024, "KiB": 1024, "kB": 1000, "KB": 1000, "M": 1024**2, "MiB": 1024**2, "MB": 1000**2,
}  # fmt: skip
JOULES: Mapping[str, float] = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9}
NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Limits:
    """The most a deployment may take; None where nothing was said.

    ram_bytes, flash_bytes: of the linked program, as `fit` counts them. energy_j: of one inference. accuracy_drop:
    points by which accuracy on labelled examples may fall below the float network's.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    energy_j: float | None = None
    accuracy_drop: float | None = None

    @property
    def resources(self) -> dict[str, float]:
        """The limits that are given, but for accuracy, by the name of an alternative's field."""
        named = {"ram_bytes": self.ram_bytes, "flash_bytes": self.flash_bytes, "energy_j": self.energy_j}
        return {name: float(value) for name, value in named.items() if value is not None}

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return bool(self.resources) or self.accuracy_drop is not None

    def as_json(self) -> dict[str, float | int]:
        """Those that are given."""
        return {name: value for name, value in vars(self).items() if value is not None}


def _quantity(text: str, option: str, units: Mapping[str, float], example: str) -> float:
    """A positive number in base units. Raises InputError."""
    match = NUMBER.fullmatch(text)
    if match is None or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise InputError(f"{option} {text}: give a number and a unit ({known}), as in {option} {example}")
    value = float(match[1]) * units[match[2]]
    if not 0 < value < 1e15:
        raise InputError(f"{option} {text}: must be more than zero, as in {option} {example}")
    return value


def parse_size(text: str, option: str) -> int:
    """Bytes of "64K", "128 KiB", "1M", "200kB" or "4096": K and M are powers of 1024, kB and MB of 1000."""
    value = _quantity(text, option, BYTES, "64K")
    if value < 1:
        raise InputError(f"{option} {text}: less than a byte")
    return int(value)


def parse_energy(text: str, option: str) -> float:
    """Joules of "200uJ", "1.5mJ" or "2e-4 J"."""
    return _quantity(text, option, JOULES, "200uJ")


def parse_drop(points: float, option: str) -> float:
    """Points of accuracy. Raises InputError unless 0 <= points <= 100."""
    if not 0 <= points <= 100:
        raise InputError(f"{option} {points:g}: give points of accuracy from 0 to 100, as in {option} 0.5")
    return float(points)
