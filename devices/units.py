"""Units that a device file may use: their dimension, their base unit and the exact factor to it."""

from __future__ import annotations

from dataclasses import dataclass

from trine.devices.errors import InputError, nearest


@dataclass(frozen=True)
class Unit:
    """`value` of this unit equals `value * times / per` of `base`, the base unit of `dimension`.

    A factor below one is kept as a divisor (a power of ten is exact as a float, its inverse is not), so that
    23.6 pJ becomes 2.36e-11 J and nothing beside it.
    """

    name: str
    dimension: str
    base: str
    times: float
    per: float

    def to_base(self, value: float) -> float:
        return value * self.times / self.per

    def from_base(self, value: float) -> float:
        return value * self.per / self.times


# dimension -> base unit, then unit: (times, per). Data sizes: KiB is 1024 bytes, MB is 10^6 bytes.
_SCALES: dict[str, tuple[str, dict[str, tuple[float, float]]]] = {
    "frequency": ("Hz", {"Hz": (1, 1), "kHz": (1e3, 1), "MHz": (1e6, 1), "GHz": (1e9, 1)}),
    "data size": (
        "B",
        {"B": (1, 1), "KiB": (1024, 1), "MiB": (1024**2, 1), "GiB": (1024**3, 1), "MB": (1e6, 1)},
    ),
    "voltage": ("V", {"V": (1, 1), "mV": (1, 1e3)}),
    "current": ("A", {"A": (1, 1), "mA": (1, 1e3), "uA": (1, 1e6), "nA": (1, 1e9)}),
    "current per frequency": ("A/Hz", {"A/Hz": (1, 1), "uA/MHz": (1, 1e12)}),
    "charge": ("C", {"C": (1, 1), "Ah": (3600, 1), "mAh": (3600, 1e3)}),
    "resistance": ("ohm", {"ohm": (1, 1)}),
    "power": ("W", {"W": (1, 1), "mW": (1, 1e3), "uW": (1, 1e6), "nW": (1, 1e9)}),
    "energy": ("J", {"J": (1, 1), "mJ": (1, 1e3), "uJ": (1, 1e6), "nJ": (1, 1e9), "pJ": (1, 1e12)}),
    "time": (
        "s",
        {
            "s": (1, 1),
            "ms": (1, 1e3),
            "us": (1, 1e6),
            "ns": (1, 1e9),
            "min": (60, 1),
            "h": (3600, 1),
            "yr": (31557600, 1),
        },
    ),
    "length": ("m", {"m": (1, 1), "nm": (1, 1e9)}),
    "area": ("m2", {"m2": (1, 1), "mm2": (1, 1e6)}),
    "temperature rise": ("K", {"K": (1, 1)}),
    "thermal resistance": ("K/W", {"K/W": (1, 1), "K/mW": (1e3, 1)}),
    "heat flux": ("W/m2", {"W/m2": (1, 1), "mW/cm2": (10, 1)}),
    "count": ("count", {"count": (1, 1)}),
    "word length": ("bit", {"bit": (1, 1)}),
    "cycles": ("cycles", {"cycles": (1, 1)}),
    "ratio": ("1", {"1": (1, 1), "%": (1, 100)}),
    "rate": ("1/s", {"1/s": (1, 1), "G/s": (1e9, 1)}),
    "operations per energy": ("1/J", {"1/J": (1, 1), "G/J": (1e9, 1)}),
    "operations per cycle": ("1/cycle", {"1/cycle": (1, 1)}),
    "benchmark score": ("CoreMark", {"CoreMark": (1, 1)}),
    "score per frequency": ("CoreMark/Hz", {"CoreMark/Hz": (1, 1), "CoreMark/MHz": (1, 1e6)}),
    "score per power": ("CoreMark/W", {"CoreMark/W": (1, 1), "CoreMark/mW": (1e3, 1)}),
    "price per HQC": ("USD/HQC", {"USD/HQC": (1, 1)}),
}
# Currencies are never converted into each other: each is its own base unit.
for _per in ("task", "shot", "gate-shot", "job"):
    for _currency in ("USD", "EUR"):
        _SCALES[f"price per {_per}, {_currency}"] = (f"{_currency}/{_per}", {f"{_currency}/{_per}": (1, 1)})
_SCALES["price per time, USD"] = (
    "USD/s",
    {
        "USD/s": (1, 1),
        "USD/10ms": (100, 1),
        "USD/min": (1, 60),
        "USD/h": (1, 3600),
        "USD/month": (12, 31557600),
    },
)

UNITS: dict[str, Unit] = {
    name: Unit(name, dimension.split(", ")[0], base, times, per)
    for dimension, (base, scale) in _SCALES.items()
    for name, (times, per) in scale.items()
}

DIMENSIONS: tuple[str, ...] = tuple(dict.fromkeys(unit.dimension for unit in UNITS.values()))


def units_of(dimension: str) -> list[str]:
    """The units a figure of this dimension may be given in."""
    return [unit.name for unit in UNITS.values() if unit.dimension == dimension]


def unit_named(name: str) -> Unit:
    """The unit of this name; raises `InputError` with the nearest right names for an unknown one."""
    if name not in UNITS:
        raise InputError(f"unknown unit {name!r}; {nearest(name, UNITS)}")
    return UNITS[name]


def convert(value: float, unit: str, to: str) -> float:
    """`value` of `unit`, expressed in `to`; raises `InputError` when the two measure different things."""
    source, target = unit_named(unit), unit_named(to)
    if source.base != target.base:
        raise InputError(f"{unit} ({source.dimension}) cannot be given in {to} ({target.dimension})")
    return value if source == target else target.from_base(source.to_base(value))
