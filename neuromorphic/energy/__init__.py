"""Energy, latency and battery life of a mapped net: events x cost an event + static power x time +
management + I/O.

`analyse` prices a run on one profile; `side_by_side` on all that a chip has. Numbers are per inference, each
an `Estimate` with range and source; what nobody published is in `missing`, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.battery_life import Duty
from trine.compilers.estimate import Estimate, exactly
from trine.devices import NeuroChip
from trine.neuromorphic.energy.counts import QUANTITIES, Counts, count
from trine.neuromorphic.energy.duty import duty_estimates
from trine.neuromorphic.energy.figures import (
    ANALOG,
    PARTS,
    TRUENORTH_CHIP_J,
    TRUENORTH_EDGE_J,
    WOLF_MOUNTAIN_IDLE_W,
    Price,
    prices,
    profiles,
    static_power,
)
from trine.neuromorphic.energy.times import StepTime, step_time
from trine.neuromorphic.events import Events
from trine.neuromorphic.mapping.records import Mapping
from trine.neuromorphic.net import INPUT, SpikingNet

__all__ = [
    "Analysis",
    "Duty",
    "analyse",
    "board_power_w",
    "dynamic_energy",
    "energy",
    "profiles",
    "side_by_side",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Analysis:
    """A run on a chip, priced. profile "" where the chip has none.

    estimates: per inference. missing: name -> why. by_layer: dynamic joules an inference by population and
    part (synapse, neuron, network). by_core: the same, (cores, parts). notes: what the numbers leave out.
    """

    chip: str
    profile: str
    estimates: tuple[Estimate, ...]
    missing: MappingOf[str, str]
    by_layer: MappingOf[str, MappingOf[str, float]] = field(repr=False)
    by_core: Floats = field(repr=False)
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> Estimate | None:
        """The estimate of that name, or None: see `missing`."""
        return next((e for e in self.estimates if e.name == name), None)


def energy(
    net: SpikingNet, mapping: Mapping, events: Events, chip: NeuroChip, profile: str | None = None
) -> list[Estimate]:
    """The estimates of `analyse`, without duty cycle."""
    return list(analyse(net, mapping, events, chip, profile).estimates)


def side_by_side(
    net: SpikingNet, mapping: Mapping, events: Events, chip: NeuroChip, duty: Duty | None = None
) -> tuple[Analysis, ...]:
    """One analysis for each profile of the chip; one without joules where there is none."""
    return tuple(analyse(net, mapping, events, chip, name, duty) for name in profiles(chip) or (None,))


def analyse(
    net: SpikingNet,
    mapping: Mapping,
    events: Events,
    chip: NeuroChip,
    profile: str | None = None,
    duty: Duty | None = None,
) -> Analysis:
    """Price a run. profile: one of `profiles(chip)`, default the first. duty: adds mean power and battery
    life.

    Raises InputError for events of another net or an unknown profile, AnswerIsNo for a net that does not fit.
    """
    counts = count(net, mapping, events)
    known = profiles(chip)
    found = _counted(counts, events)
    if profile is None and not known:
        why = _why_no_joules(chip)
        whole, more = _whole_chip(chip)
        lacking = dict.fromkeys(("dynamic_energy_j", "energy_j", "latency_s"), why)
        return Analysis(chip.name, "", (*found, *whole), lacking, {}, np.zeros((mapping.cores, 0)), more)
    profile = known[0] if profile is None else profile
    priced = prices(chip, profile)
    found += dynamic_energy(chip, profile, {q: counts.total(q) / events.examples for q in QUANTITIES})
    missing: dict[str, str] = {}
    time = step_time(chip, profile, mapping, counts, events)
    found += _totals(chip, profile, mapping, events, found[-1], time, _io(chip, net, counts, events), missing)
    if duty is not None:
        more_found, more_missing = duty_estimates(found, duty, static_power(chip, profile), mapping.chips)
        found, missing = found + more_found, missing | more_missing
    by_layer, by_core = _parts(priced, counts, mapping.cores, events.examples)
    return Analysis(chip.name, profile, tuple(found), missing, by_layer, by_core, _notes(chip, profile))


def _counted(counts: Counts, events: Events) -> list[Estimate]:
    """Events of one inference."""
    operations = sum(counts.total(q) for q in QUANTITIES[:3])
    amounts = {
        "synaptic_operations": operations,
        "neuron_updates": counts.total("updates"),
        "spikes": float(events.spikes),
        "packets": counts.total("packets"),
        "hops": counts.total("hops_ew") + counts.total("hops_ns"),
    }
    source = f"counted over {events.examples} inferences of {events.steps} steps"
    return [exactly(name, n / events.examples, "count", "simulated", source) for name, n in amounts.items()]


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


def _io(chip: NeuroChip, net: SpikingNet, counts: Counts, events: Events) -> Estimate | str:
    """Energy of spikes that enter, leave or change chips."""
    if chip.name != "truenorth":
        return f"no energy of a spike that enters or leaves {chip.name} is public"
    outside = [p.name for p in net.populations if p.neuron == INPUT]
    row = np.array([name in outside for name in counts.layer], bool)
    entering = float(counts.table[row, QUANTITIES.index("packets")].sum())
    leaving = float(sum(events.populations[name].spikes for name in net.outputs))
    joules = (entering + leaving) * TRUENORTH_EDGE_J + counts.total("chip_crossings") * TRUENORTH_CHIP_J
    source = "64 pJ core to edge, 832 pJ chip to chip (derived, Akopyan et al. 2015)"
    return exactly("io_energy_j", joules / events.examples, "J", "modelled", source)


def _totals(
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
    management = intercept.si_value - WOLF_MOUNTAIN_IDLE_W
    idle_mw = WOLF_MOUNTAIN_IDLE_W * 1e3
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
        value=WOLF_MOUNTAIN_IDLE_W * latency.value,
        low=WOLF_MOUNTAIN_IDLE_W * latency.low,
        high=WOLF_MOUNTAIN_IDLE_W * latency.high,
    )
    return [
        *found,
        _sum(
            "board_energy_j",
            [dynamic, idle, found[0]],
            "at the board's boundary (Wolf Mountain, idle 29.6 mW)",
        ),
    ]


def _parts(
    priced: tuple[Price, ...], counts: Counts, cores: int, examples: int
) -> tuple[dict[str, dict[str, float]], Floats]:
    """Dynamic joules an inference by layer and part, and (cores, parts)."""
    joules = np.zeros((len(counts.table), len(PARTS)))
    for price in priced:
        columns = [QUANTITIES.index(q) for q in price.quantities]
        joules[:, PARTS.index(price.part)] += price.value * counts.table[:, columns].sum(axis=1) / examples
    by_layer: dict[str, dict[str, float]] = {}
    for name, row in zip(counts.layer, joules):
        layer = by_layer.setdefault(name, dict.fromkeys(PARTS, 0.0))
        for part, value in zip(PARTS, row.tolist()):
            layer[part] += value
    by_core = np.zeros((cores, len(PARTS)))
    inside = counts.core >= 0
    np.add.at(by_core, counts.core[inside], joules[inside])
    return by_layer, by_core


def _why_no_joules(chip: NeuroChip) -> str:
    if chip.name in ANALOG:
        return f"{chip.title} is analogue: only the power of the whole chip is published"
    return f"no energy or time an event of {chip.title} is public: counts and mapping only, no joules"


def _whole_chip(chip: NeuroChip) -> tuple[list[Estimate], tuple[str, ...]]:
    """`chip_power_w` where a chip's power is all that is known."""
    figure = chip.figure("power.typical_power")
    if figure is None:
        return [], ()
    low, high = figure.si_range
    source = f"{figure.source}, {figure.cls}: {figure.conditions}; the whole chip, whatever the net"
    power = Estimate("chip_power_w", figure.si_value, "W", low, high, "datasheet", source)
    return [power], ("the power is the whole chip's and does not depend on this net",)


def _notes(chip: NeuroChip, profile: str) -> tuple[str, ...]:
    if chip.name == "loihi1":
        return (
            "dynamic energy leaves out static power, x86 management and I/O: they stand beside it",
            "Loihi 1's synaptic energy of 2018 is a pre-silicon minimum",
            "the fit to a Nahuku board states +-12 % energy and +-25 % time",
        )
    return ()
