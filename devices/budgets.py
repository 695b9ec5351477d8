"""Batteries, thermal limits for implants and the sizes of the benchmark networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trine.devices.check import Reader, name_problem
from trine.devices.errors import InputError, nearest
from trine.devices.figures import Figure
from trine.devices.parse import read_notes, read_toml

_FOLDER = Path(__file__).parent
_BATTERY_KEYS = {
    "capacity": ["charge"],
    "nominal_voltage": ["voltage"],
    "end_voltage": ["voltage"],
    "internal_resistance": ["resistance"],
    "standard_drain": ["current"],
    "system_drain": ["current"],
    "pulse_test_current": ["current"],
    "pulse_energy": ["energy"],
    "service_life": ["time"],
    "shelf_life": ["time"],
    "drain_exponent": ["ratio"],
    "run_time": ["time"],
}
_LIMIT_KEYS = {"limit": ["temperature rise", "thermal resistance", "power", "heat flux"]}


@dataclass(frozen=True)
class Battery:
    """A battery. Its capacity holds at a light drain, so a life computed from it is an upper bound."""

    name: str
    title: str
    notes: tuple[str, ...]
    figures: Mapping[str, Figure]

    @property
    def capacity(self) -> Figure | None:
        return self.figures.get("capacity")

    @property
    def nominal_voltage(self) -> Figure | None:
        return self.figures.get("nominal_voltage")

    @property
    def energy_j(self) -> Figure | None:
        """Capacity times nominal voltage, in J; None where either is unknown."""
        capacity, voltage = self.capacity, self.nominal_voltage
        if capacity is None or voltage is None:
            return None
        volts = voltage.si_value
        low, high = capacity.si_range
        return Figure(
            value=capacity.si_value * volts,
            unit="J",
            low=low * volts,
            high=high * volts,
            conditions="; ".join(filter(None, [f"capacity x {volts:g} V", capacity.conditions])),
            source=capacity.source,
            cls="unverified" if "unverified" in (capacity.cls, voltage.cls) else "derived",
        )


@dataclass(frozen=True)
class ThermalLimit:
    """A screening limit for heat in tissue: exceeding it is a finding, keeping it is no proof of safety."""

    name: str
    title: str
    notes: tuple[str, ...]
    limit: Figure


@dataclass(frozen=True)
class Workload:
    """A benchmark network that published rows refer to by its task name."""

    name: str
    title: str
    notes: tuple[str, ...]
    macs: Figure


@dataclass(frozen=True)
class _Record:
    name: str
    title: str
    notes: tuple[str, ...]
    figures: dict[str, Figure]


@cache
def batteries() -> dict[str, Battery]:
    """Every battery of `batteries.toml`, by name."""
    return {
        r.name: Battery(r.name, r.title, r.notes, r.figures) for r in _read("batteries.toml", _BATTERY_KEYS)
    }


def battery(name: str) -> Battery:
    """One battery; raises `InputError` with the nearest names for an unknown one."""
    known = batteries()
    if name not in known:
        raise InputError(f"unknown battery {name!r}; {nearest(name, known)}")
    return known[name]


@cache
def thermal_limits() -> dict[str, ThermalLimit]:
    """Every limit of `limits.toml`, by name."""
    records = _read("limits.toml", _LIMIT_KEYS, required="limit")
    return {r.name: ThermalLimit(r.name, r.title, r.notes, r.figures["limit"]) for r in records}


@cache
def workloads() -> dict[str, Workload]:
    """The networks of the benchmark rows and their multiply-accumulates per inference, by task name."""
    records = _read("workloads.toml", {"macs": ["count"]}, required="macs")
    return {r.name: Workload(r.name, r.title, r.notes, r.figures["macs"]) for r in records}


def _read(file: str, keys: Mapping[str, Sequence[str]], required: str = "") -> list[_Record]:
    return read_records(_FOLDER / file, keys, required)


def read_records(path: Path, keys: Mapping[str, Sequence[str]], required: str = "") -> list[_Record]:
    """The tables of a file of small records. Raises `InputError` with all problems of the file."""
    data = read_toml(path)
    reader = Reader(str(path))
    reader.read_sources(data.pop("sources", {}))
    records = []
    for name, value in data.items():
        problem = name_problem(name)
        if problem:
            reader.say(name, problem)
        table = reader.table(name, value)
        reader.unknown_keys(name, table, ("title", "notes", *keys))
        title = reader.text(name, table, "title")
        notes = read_notes(reader, f"{name}.notes", table.get("notes", []))
        if required and required not in table:
            reader.say(f"{name}.{required}", "missing")
        given = {key: reader.figure(f"{name}.{key}", table[key], keys[key]) for key in keys if key in table}
        records.append(
            _Record(name, title, notes, {key: fig for key, fig in given.items() if fig is not None})
        )
    reader.finish()
    return records
