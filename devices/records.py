"""The three kinds of device. Each figure in them carries its unit, range, conditions, source and class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trine.devices.errors import InputError, nearest
from trine.devices.figures import Benchmark, Fact, Figure, Series


@dataclass(frozen=True)
class Device:
    """What every kind of device has. `figures`, `series`, `facts` are keyed as in the file: `memory.ram`."""

    name: str
    kind: str
    title: str
    figures: Mapping[str, Figure] = field(repr=False)
    series: Mapping[str, Series] = field(repr=False)
    facts: Mapping[str, Fact] = field(repr=False)
    benchmarks: tuple[Benchmark, ...] = field(repr=False)
    notes: tuple[str, ...]
    path: str

    def figure(self, key: str) -> Figure | None:
        """The figure of a dotted key, or None: not published."""
        return self.figures.get(key)

    def need(self, key: str) -> Figure:
        """The figure of a dotted key; raises `InputError` naming device and key when it is not there."""
        if key not in self.figures:
            raise InputError(f"{self.name} has no figure {key}: not published, or left out of {self.path}")
        return self.figures[key]

    def count(self, key: str) -> int | None:
        """A figure as a whole number of its base unit (bytes, cores, qubits), or None: not published."""
        figure = self.figures.get(key)
        return None if figure is None else int(figure.si_value)

    def section(self, prefix: str) -> dict[str, Figure]:
        """The figures below a dotted prefix, by their last names: `section("events.davies2018")`."""
        start = prefix + "."
        return {key[len(start) :]: figure for key, figure in self.figures.items() if key.startswith(start)}

    def sources(self) -> list[str]:
        """Every source used, once, in order of first use."""
        used: Iterator[str] = (
            record.source
            for group in (self.facts.values(), self.figures.values(), self.series.values(), self.benchmarks)
            for record in group
        )
        return list(dict.fromkeys(used))


@dataclass(frozen=True)
class EdgeDevice(Device):
    """A microcontroller or a small application processor. `core` is the core that Trine compiles for."""

    core: str
    external: tuple[str, ...]

    @property
    def clock_hz(self) -> int:
        """The clock at which speed and power are stated; `core.clock_max` holds a higher one, if any."""
        return int(self.need("core.clock").si_value)

    @property
    def ram_bytes(self) -> int | None:
        """On-chip RAM a program may use, in bytes; None where it is external (see `external`)."""
        return self.count("memory.ram")

    @property
    def banks(self) -> tuple[tuple[str, int], ...]:
        """The parts of `ram` that a plan may use apart, in bytes: what is tightly coupled to the core first, then the
        largest piece of the rest. Empty where the file does not state both (`memory.tcm`, `memory.sram`)."""
        sizes = [(name, self.count(f"memory.{name}")) for name in ("tcm", "sram")]
        return tuple((name, size) for name, size in sizes if size) if all(size for _, size in sizes) else ()

    @property
    def flash_bytes(self) -> int | None:
        """On-chip program memory in bytes; None where it is external (see `memory.board_flash`)."""
        return self.count("memory.flash")

    @property
    def supply_v(self) -> Figure | None:
        """The supply voltage at which the power figures hold."""
        return _si(self.figure("power.supply"))

    @property
    def active_power_w(self) -> Figure | None:
        """Power while computing at `clock_hz`, in W, only where it comes from measured rows."""
        return _si(self.figure("power.active_power"))

    @property
    def active_current_a(self) -> Figure | None:
        """Current while running a stated program at `clock_hz`, in A; mind its class and conditions."""
        return _si(self.figure("power.active_current"))

    @property
    def run_current_a_per_hz(self) -> Figure | None:
        """The headline run current in A/Hz: too low for neural networks (2.2 times on the STM32U575)."""
        return _si(self.figure("power.run_current"))

    @property
    def sleep_current_a(self) -> Figure | None:
        """Current in the sleep state between inferences (RAM kept), in A; other states are in `sleep.*`."""
        return _si(self.figure("power.sleep_current"))

    @property
    def sleep_power_w(self) -> Figure | None:
        """Sleep current times supply voltage, in W (class `derived`); None where one of them is missing."""
        current, supply = self.sleep_current_a, self.supply_v
        if current is None or supply is None:
            return None
        low, high = current.si_range
        return Figure(
            value=current.value * supply.value,
            unit="W",
            low=low * supply.value,
            high=high * supply.value,
            conditions="; ".join(
                filter(None, [f"sleep current x {supply.value:g} V", current.conditions, supply.conditions])
            ),
            source=current.source,
            cls="unverified" if "unverified" in (current.cls, supply.cls) else "derived",
        )


@dataclass(frozen=True)
class NeuroChip(Device):
    """A neuromorphic chip: `limits.*`, `power.*` and one `events.<profile>.*` set per consistent source."""

    @property
    def event_profiles(self) -> tuple[str, ...]:
        """The names of the sets of event energies, times and cycles; empty when none is public."""
        keys = (key.split(".") for key in self.figures)
        return tuple(dict.fromkeys(parts[1] for parts in keys if parts[0] == "events"))

    def events(self, profile: str) -> dict[str, Figure]:
        """Event costs of one profile; raises `InputError` with the nearest names for an unknown one."""
        if profile not in self.event_profiles:
            known = self.event_profiles
            hint = nearest(profile, known) if known else "no event costs of this chip are public"
            raise InputError(f"{self.name} has no event profile {profile!r}; {hint}")
        return self.section(f"events.{profile}")


@dataclass(frozen=True)
class QuantumDevice(Device):
    """A quantum machine: `limits.*`, `errors.*`, `times.*`, `speed.*` and `price.<seller>.*`, with dates."""

    @property
    def qubits(self) -> int:
        return int(self.need("limits.qubits").si_value)

    @property
    def topology(self) -> str:
        return self.facts["machine.topology"].text

    @property
    def native_gates(self) -> tuple[str, ...]:
        """The gates the machine runs; empty for an analog machine or an annealer."""
        fact = self.facts.get("machine.native_gates")
        return () if fact is None else tuple(gate.strip() for gate in fact.text.split(","))

    @property
    def sellers(self) -> tuple[str, ...]:
        """Who sells time on it, as named in `price.<seller>`."""
        keys = (key.split(".") for key in self.figures)
        return tuple(dict.fromkeys(parts[1] for parts in keys if parts[0] == "price"))


def _si(figure: Figure | None) -> Figure | None:
    return None if figure is None else figure.si()
