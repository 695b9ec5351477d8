"""How long a time step takes: the busiest core, then the barrier; or the tick where the chip has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trine.compilers.estimate import Estimate
from trine.devices import NeuroChip
from trine.devices.units import convert
from trine.neuromorphic.energy.counts import QUANTITIES, Counts
from trine.neuromorphic.energy.figures import TIMES
from trine.neuromorphic.events import Events
from trine.neuromorphic.mapping.records import Mapping

TICKED = ("truenorth",)  # chips whose steps are ticks of a clock


@dataclass(frozen=True)
class StepTime:
    """step: seconds of one step. busiest: core whose work it is, -1 where a tick sets the pace."""

    step: Estimate
    busiest: int


def step_time(
    chip: NeuroChip, profile: str, mapping: Mapping, counts: Counts, events: Events
) -> StepTime | str:
    """`step_time_s`, or why there is none."""
    if chip.name in TICKED:
        tick = chip.need("limits.tick").to("s")
        source = f"one tick, {tick.source}; 200 us has been verified, faster at low load"
        return StepTime(
            Estimate("step_time_s", tick.value, "s", min(200e-6, tick.value), tick.value, "modelled", source),
            -1,
        )
    figures = chip.events(profile) if profile in chip.event_profiles else {}
    known = {key: quantities for key, quantities in TIMES.items() if key in figures}
    if not known or f"events.{profile}.barrier_tiles" not in chip.series:
        return f"no time an event of {chip.name} is public"
    steps = events.steps * events.examples
    work = counts.by_core(mapping.cores) / steps
    seconds = np.zeros(mapping.cores)
    for key, quantities in known.items():
        columns = [QUANTITIES.index(q) for q in quantities]
        seconds += figures[key].si_value * work[:, columns].sum(axis=1)
    busiest = int(np.argmax(seconds))
    barrier_low, barrier, barrier_high = barrier_s(chip, profile, max(mapping.tiles, 1), mapping.chips)
    travel = _farthest(mapping, figures["hop_ew_time"].si_value, figures["hop_ns_time"].si_value)
    core = float(seconds[busiest]) + travel
    error = figures["stated_latency_error"].si_value if "stated_latency_error" in figures else 0.0
    names = f"busiest core {busiest} (mean step), farthest spike, barrier of {max(mapping.tiles, 1)} tiles"
    said = f"; stated error {error:.0%} (TCAD 2025)" if error else "; pre-silicon, synaptic time is a maximum"
    return StepTime(
        Estimate(
            "step_time_s",
            core + barrier,
            "s",
            (core + barrier_low) * (1 - error),
            (core + barrier_high) * (1 + error),
            "modelled",
            f"{names}: {figures[next(iter(known))].source}{said}",
        ),
        busiest,
    )


def barrier_s(chip: NeuroChip, profile: str, tiles: int, chips: int) -> tuple[float, float, float]:
    """(low, value, high) seconds of the barrier that ends a step."""
    at = f"events.{profile}"
    one_chip = float(np.interp(
        tiles / chips, chip.series[f"{at}.barrier_tiles"].values, seconds_of(chip, f"{at}.barrier_times")
    ))  # fmt: skip
    if chips == 1 or "barrier.chips" not in chip.series:
        return one_chip, one_chip, one_chip
    fast, slow = seconds_of(chip, "barrier.times")
    return one_chip, (fast if chips <= chip.series["barrier.chips"].values[0] else slow), slow


def seconds_of(chip: NeuroChip, key: str) -> list[float]:
    """A series of times in s."""
    series = chip.series[key]
    return [convert(value, series.unit, "s") for value in series.values]


def _farthest(mapping: Mapping, ew_s: float, ns_s: float) -> float:
    """Seconds that the farthest message travels."""
    traffic = mapping.traffic
    if traffic is None or not len(traffic.source) or (mapping.placement[:, 1] < 0).any():
        return 0.0
    where = mapping.placement
    start = np.where((traffic.source >= 0)[:, None], where[traffic.source], 0)
    distance = np.abs(where[traffic.target] - start)
    return float((distance[:, 1] * ew_s + distance[:, 2] * ns_s).max())
