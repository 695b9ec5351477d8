"""Duty cycle: a chip that stays powered, computes now and then, and drains a battery."""

from __future__ import annotations

from trine.compilers.battery_life import Duty, Load, battery_life
from trine.compilers.estimate import Estimate, find
from trine.devices import Figure, battery


def duty_estimates(
    found: list[Estimate], duty: Duty, static: Figure | None, chips: int
) -> tuple[list[Estimate], dict[str, str]]:
    """`average_power_w` and `battery_life_s`, or why not.

    No neuromorphic chip here has a published sleep state that keeps its weights: static power flows all the
    time.
    """
    dynamic, latency = find(found, "dynamic_energy_j"), find(found, "latency_s")
    if dynamic is None or latency is None or static is None:
        lacking = "static power" if static is None else "energy or latency"
        return [], dict.fromkeys(
            ("average_power_w", "battery_life_s"), f"the chip's {lacking} is not published"
        )
    rate = duty.inferences_per_s
    if rate * latency.value > 1:
        why = f"one inference takes {latency.value:.3g} s: too slow for {rate:g} a second"
        return [], {"average_power_w": why, "battery_life_s": why}
    low, high = static.si_range
    source = (
        f"static power all the time ({static.source}, {static.cls}) + {rate:g} x dynamic_energy_j a second"
    )
    mean = Estimate(
        "average_power_w",
        static.si_value * chips + rate * dynamic.value,
        "W",
        low * chips + rate * dynamic.low,
        high * chips + rate * dynamic.high,
        "modelled",
        source,
    )
    busy = Estimate(
        "active_power_w",
        static.si_value * chips + dynamic.value / latency.value,
        "W",
        low * chips + dynamic.low / latency.high,
        high * chips + dynamic.high / latency.low,
        "modelled",
        "static power + dynamic_energy_j / latency_s",
    )
    life = battery_life(battery(duty.battery), Load(mean, busy, None, None))
    if isinstance(life, str):
        return [mean], {"battery_life_s": life}
    return [mean, life], {}
