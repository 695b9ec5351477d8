"""What a deployed network costs on an edge device: instructions, time, energy, battery life, heat.

Every number is an `Estimate` with its range. What nobody published stays missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trine.compilers.battery_life import Duty, Load, battery_life
from trine.compilers.estimate import Estimate, How, exactly, find
from trine.devices import EdgeDevice, battery
from trine.edge.cost.cpi import Cpi, cycles_per_instruction
from trine.edge.cost.heat import HeatCheck, heat_checks
from trine.edge.cost.power import active_power, sleep_power, why_no_power

__all__ = ["Cost", "Cpi", "Duty", "HeatCheck", "Size", "cycles_per_instruction", "estimate_cost"]

LEFT_OUT = "sensing, radio and everything on the board but what the power figure covers are left out"


@dataclass(frozen=True)
class Size:
    """Bytes the deployment takes: RAM and flash from the linked ELF, stack painted in emulation."""

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    stack_bytes: int | None = None


@dataclass(frozen=True)
class Cost:
    """What could be estimated, and what could not.

    estimates: in the order they are derived. missing: name of what could not be estimated -> why.
    heat: checks of an implant's power. notes: what the numbers leave out.
    """

    estimates: tuple[Estimate, ...]
    missing: Mapping[str, str]
    heat: tuple[HeatCheck, ...] = ()
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> Estimate | None:
        """The estimate of that name, or None: it is missing."""
        return find(self.estimates, name)

    def as_json(self) -> list[dict[str, float | str]]:
        """The list that stands in `deployment.json` under `cost`."""
        return [estimate.as_json() for estimate in self.estimates]


def estimate_cost(
    device: EdgeDevice,
    instructions: int | Mapping[str, int] | None,
    size: Size | None = None,
    duty: Duty | None = None,
    implant: bool = False,
    implant_surface_m2: float | None = None,
) -> Cost:
    """The cost of one inference and of running it at a duty.

    instructions: exact count of one inference on the emulated core, whole or by layer; None where the core
    has no emulator. implant: add the heat check, on heat flux too when its outer surface is given. Raises
    `InputError` for an unknown battery, ValueError for a count that is not positive.
    """
    found: list[Estimate] = []
    missing: dict[str, str] = {}
    duty = duty or Duty()

    def keep(name: str, result: Estimate | str) -> Estimate | None:
        if isinstance(result, str):
            missing[name] = result
            return None
        found.append(result)
        return result

    found += _sizes(size or Size())
    count = keep("instructions", _instructions(device, instructions))
    latency = keep("latency_s", _latency(device, count))
    active = keep("active_power_w", active_power(device) or why_no_power(device))
    sleep = keep("sleep_power_w", sleep_power(device) or f"no sleep power of {device.name} is published")
    keep("energy_j", _energy(latency, active))
    average = keep("average_power_w", _average_power(latency, active, sleep, duty))
    keep("battery_life_s", _battery_life(device, average, active, duty))
    powers = tuple(power for power in (average, active) if power is not None)
    heat = heat_checks(powers, implant_surface_m2) if implant else ()
    return Cost(tuple(found), missing, heat, _notes(average, sleep))


def _sizes(size: Size) -> list[Estimate]:
    given: tuple[tuple[str, int | None, How, str], ...] = (
        ("ram_bytes", size.ram_bytes, "measured", "linked ELF"),
        ("flash_bytes", size.flash_bytes, "measured", "linked ELF"),
        ("stack_bytes", size.stack_bytes, "emulated", "stack painted and scanned on the emulated core"),
    )
    return [exactly(name, value, "B", how, source) for name, value, how, source in given if value is not None]


def _instructions(device: EdgeDevice, instructions: int | Mapping[str, int] | None) -> Estimate | str:
    if instructions is None:
        return f"{device.core} is not emulated here, so nothing counted its instructions"
    counts = {"": instructions} if isinstance(instructions, int) else dict(instructions)
    if any(count < 0 for count in counts.values()) or not sum(counts.values()):
        raise ValueError(f"instruction counts are not positive: {counts}")
    source = f"exact count of the emitted C on an emulated {device.core}"
    return exactly("instructions", sum(counts.values()), "instructions", "emulated", source)


def _latency(device: EdgeDevice, count: Estimate | None) -> Estimate | str:
    """Instructions x cycles per instruction / clock; what a calibrated figure mixes in: see `cpi`."""
    cpi = cycles_per_instruction(device.core)
    if count is None or cpi is None:
        lacking = "instruction count" if count is None else "cycles per instruction"
        return (
            f"no {lacking} for {device.core}, and nobody published a latency of this network on {device.name}"
        )
    times = [count.value * cycles / device.clock_hz for cycles in (cpi.value, cpi.low, cpi.high)]
    left_out = cpi.leave_one_out_error
    error = "" if left_out is None else f", leave-one-task-out error {left_out:.0%}"
    cycles = f"{cpi.value:g} ({cpi.low:g} to {cpi.high:g}) cycles{error}"
    source = f"instructions x {cycles} / {device.clock_hz / 1e6:g} MHz; {cpi.source}"
    return Estimate("latency_s", times[0], "s", times[1], times[2], "modelled", source)


def _energy(latency: Estimate | None, active: Estimate | None) -> Estimate | str:
    if latency is None or active is None:
        return "needs " + " and ".join(_names({"latency_s": latency, "active_power_w": active}))
    low, high = latency.low * active.low, latency.high * active.high
    source = f"latency_s x active_power_w ({active.how}); {active.source}"
    return Estimate("energy_j", latency.value * active.value, "J", low, high, "modelled", source)


def _average_power(
    latency: Estimate | None, active: Estimate | None, sleep: Estimate | None, duty: Duty
) -> Estimate | str:
    """Active for the share of time that inference takes, asleep for the rest (0 W where unknown)."""
    if latency is None or active is None:
        return "needs " + " and ".join(_names({"latency_s": latency, "active_power_w": active}))
    rate = duty.inferences_per_s
    if rate * latency.value > 1:
        return f"one inference takes {latency.value:.3g} s: too slow for {rate:g} a second"

    def mean(seconds: float, watts: float, asleep_w: float) -> float:
        share = min(1.0, rate * seconds)
        return share * watts + (1 - share) * asleep_w

    low = mean(latency.low, active.low, sleep.low if sleep else 0.0)
    value = mean(latency.value, active.value, sleep.value if sleep else 0.0)
    high = mean(latency.high, active.high, sleep.high if sleep else 0.0)
    rest = "sleep_power_w for the rest" if sleep else "nothing for the rest (sleep power is not published)"
    source = f"active_power_w for {rate:g} x latency_s, {rest}"
    return Estimate("average_power_w", value, "W", min(low, value), max(high, value), "modelled", source)


def _battery_life(
    device: EdgeDevice, average: Estimate | None, active: Estimate | None, duty: Duty
) -> Estimate | str:
    cell = battery(duty.battery)
    if average is None or active is None:
        return "needs average_power_w"
    least = device.figure("power.supply_min")
    supply = device.supply_v
    load = Load(
        average,
        active,
        None if supply is None else supply.si_value,
        None if least is None else least.si_value,
    )
    return battery_life(cell, load)


def _names(parts: Mapping[str, Estimate | None]) -> list[str]:
    return [name for name, part in parts.items() if part is None]


def _notes(average: Estimate | None, sleep: Estimate | None) -> tuple[str, ...]:
    if average is None:
        return ()
    unknown = (
        () if sleep else ("sleep current is not published: mean power is too low, battery life too long",)
    )
    return (f"mean power and battery life: {LEFT_OUT}", *unknown)
