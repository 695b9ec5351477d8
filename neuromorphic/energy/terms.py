"""The terms of a run's energy: dynamic, input and output, static, management, and their sums at two boundaries."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import replace

import numpy as np

from trine.compilers.estimate import Estimate, exactly
from trine.devices import NeuroChip
from trine.neuromorphic.energy.counts import QUANTITIES, Counts
from trine.neuromorphic.energy.figures import (
    PARTS,
    prices,
    static_power,
)
from trine.neuromorphic.energy.times import StepTime
from trine.neuromorphic.events import Events
from trine.neuromorphic.mapping.records import Mapping
from trine.neuromorphic.net import INPUT, SpikingNet


def dynamic_energy(chip: NeuroChip, profile: str, amounts: MappingOf[str, float]) -> list[Estimate]:
    """Events x cost: joules of each part (synapse, neuron, network) and `dynamic_energy_j`, last.

    amounts: events by name (`counts.QUANTITIES`), absent ones are none. The sum carries the error that the
    profile's authors state. With the profile "sanafe" and dense operations this is SANA-FE's own sum:
    35.5 SOP + 51.2 accesses + 21.6 updates + 69.3 spikes + 111 packets + 3.0 hops E-W + 4.2 hops N-S, in pJ.
    """
    figures = chip.events(profile) if profile in chip.event_profiles else {}
    error = figures["stated_energy_error"].si_value if "stated_energy_error" in figures else 0.0
    priced = prices(chip, profile)
    sums = {part: [0.0, 0.0, 0.0] for part in PARTS}
    for price in priced:
        amount = sum(amounts.get(q, 0.0) for q in price.quantities)
        for i, joules in enumerate((price.value, price.low, price.high)):
            sums[price.part][i] += joules * amount
    sources = "; ".join(dict.fromkeys(price.source for price in priced))
    found = [
        Estimate(f"{part}_energy_j", value, "J", low, high, "modelled", f"events x {profile}: {sources}")
        for part, (value, low, high) in sums.items()
        if any(price.part == part for price in priced)
    ]
    value, low, high = (sum(column) for column in zip(*sums.values()))
    said = f"; stated error {error:.0%}" if error else ""
    source = f"sum over events, profile {profile}: {sources}{said}"
    low, high = low * (1 - error), high * (1 + error)
    return [*found, Estimate("dynamic_energy_j", value, "J", low, high, "modelled", source)]


def board_power_w(chip: NeuroChip, copies: int, joules: float, inferences_per_s: float) -> float:
    """Power of a Wolf Mountain board that runs so many copies of a net: 106.24 mW + copies x joules x rate.

    The intercept is fitted on the runs of abr/power_benchmarks @ fce95c8 (10 layers of 256 neurons, 10 steps).
    """
    return chip.need("power.fit_intercept").si_value + copies * joules * inferences_per_s


def io_energy(chip: NeuroChip, net: SpikingNet, counts: Counts, events: Events) -> Estimate | str:
    """Energy of spikes that enter, leave or change chips."""
    edge, crossing = chip.figure("io.edge_spike"), chip.figure("io.chip_crossing")
    if edge is None or crossing is None:
        return f"no energy of a spike that enters or leaves {chip.name} is public"
    outside = [p.name for p in net.populations if p.neuron == INPUT]
    row = np.array([name in outside for name in counts.layer], bool)
    entering = float(counts.table[row, QUANTITIES.index("packets")].sum())
    leaving = float(sum(events.populations[name].spikes for name in net.outputs))
    joules = (entering + leaving) * edge.si_value + counts.total("chip_crossings") * crossing.si_value
    edges, crossings = f"{edge.value:g} {edge.unit}", f"{crossing.value:g} {crossing.unit}"
    source = f"{edges} core to edge, {crossings} chip to chip ({edge.cls}, {edge.source})"
    return exactly("io_energy_j", joules / events.examples, "J", "modelled", source)


def totals(
    chip: NeuroChip,
    profile: str,
    mapping: Mapping,
    events: Events,
    dynamic: Estimate,
    time: StepTime | str,
    io: Estimate | str,
    missing: dict[str, str],
) -> list[Estimate]:
    """Latency, static energy, and the sums at the chip's and the board's boundary."""
    found: list[Estimate] = []
    if isinstance(io, str):
        missing["io_energy_j"] = io
    else:
        found.append(io)
    if isinstance(time, str):
        missing |= {"latency_s": time, "static_energy_j": time, "energy_j": time}
        return found
    step = time.step
    latency = Estimate(
        "latency_s",
        step.value * events.steps,
        "s",
        step.low * events.steps,
        step.high * events.steps,
        "modelled",
        f"{events.steps} steps x step_time_s",
    )
    found += [step, latency]
    static = static_power(chip, profile)
    parts = [dynamic, *([] if isinstance(io, str) else [io])]
    if static is None and profile == "operating_point":
        missing["static_energy_j"] = "in the energy of the events already (total power over events)"
    elif static is None:
        missing["static_energy_j"] = missing["energy_j"] = f"no static power of {chip.name} is published"
        return found
    else:
        low, high = static.si_range
        source = f"{static.source}, {static.cls}: {static.conditions}; x latency_s x {mapping.chips} chips"
        found.append(
            Estimate(
                "static_energy_j",
                static.si_value * latency.value * mapping.chips,
                "J",
                low * latency.low * mapping.chips,
                high * latency.high * mapping.chips,
                "modelled",
                source,
            )
        )
        parts.append(found[-1])
    found.append(_sum("energy_j", parts, "at the chip's boundary"))
    board = _board(chip, latency, dynamic)
    if board is None or mapping.chips > 1:
        missing["board_energy_j"] = "management power is known of one Loihi 1 on Wolf Mountain only"
    else:
        found += board
    return found


def _sum(name: str, parts: list[Estimate], boundary: str) -> Estimate:
    names = " + ".join(p.name for p in parts)
    return Estimate(
        name,
        sum(p.value for p in parts),
        "J",
        sum(p.low for p in parts),
        sum(p.high for p in parts),
        "modelled",
        f"{names}, {boundary}",
    )


def _board(chip: NeuroChip, latency: Estimate, dynamic: Estimate) -> list[Estimate] | None:
    """Management (x86 cores, links) and the board's total: P = 106.24 mW + array, fitted on Wolf Mountain."""
    intercept = chip.figure("power.fit_intercept")
    if intercept is None:
        return None
    idle_w = chip.need("power.board_idle_power").si_value
    management = intercept.si_value - idle_w
    idle_mw = idle_w * 1e3
    origin = f"{intercept.source} ({intercept.cls})"
    source = f"({intercept.value:g} mW - {idle_mw:g} mW idle) x latency_s; {origin}"
    found = [
        Estimate(
            "management_energy_j",
            management * latency.value,
            "J",
            management * latency.low,
            management * latency.high,
            "modelled",
            source,
        )
    ]
    idle = replace(
        found[0],
        name="idle_energy_j",
        value=idle_w * latency.value,
        low=idle_w * latency.low,
        high=idle_w * latency.high,
    )
    return [
        *found,
        _sum(
            "board_energy_j",
            [dynamic, idle, found[0]],
            f"at the board's boundary (Wolf Mountain, idle {idle_mw:g} mW)",
        ),
    ]
