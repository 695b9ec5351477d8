"""Energy, latency and battery life of a mapped net: events x cost an event + static power x time +
management + I/O.

`analyse` prices a run on one profile; `side_by_side` on all that a chip has. Numbers are per inference, each
an `Estimate` with range and source; what nobody published is in `missing`, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trine.compilers.battery_life import Duty
from trine.compilers.estimate import Estimate, exactly
from trine.devices import NeuroChip
from trine.neuromorphic.energy.counts import QUANTITIES, Counts, count
from trine.neuromorphic.energy.duty import duty_estimates
from trine.neuromorphic.energy.figures import (
    PARTS,
    Price,
    analogue,
    prices,
    profiles,
    static_power,
)
from trine.neuromorphic.energy.terms import board_power_w, dynamic_energy, io_energy, totals
from trine.neuromorphic.energy.times import step_time
from trine.neuromorphic.events import Events
from trine.neuromorphic.mapping.records import Mapping
from trine.neuromorphic.net import SpikingNet

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
    found += totals(
        chip, profile, mapping, events, found[-1], time, io_energy(chip, net, counts, events), missing
    )
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
    if analogue(chip):
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
