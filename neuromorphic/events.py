"""`Events`: what happened in a run of a spiking net, counted; the energy model prices it, the mapper weighs
with it.

All counts are whole, summed over all examples and steps of the run, and free of any chip: how many messages
leave a core is for a `Mapping` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.neuromorphic.net import INPUT, SpikingNet


@dataclass(frozen=True)
class PopulationEvents:
    """One population.

    neurons: its size. updates: neuron-steps that were not idle (input arrived, or state away from rest),
    which an event-driven chip prices higher; neurons x steps x examples where no engine counts them. spikes:
    messages sent (graded ones count one each). spikes_by_neuron: the same by neuron, flattened in C order
    (size,), where the engine has them; sharpens what is said of single cores, never a total.
    """

    neurons: int
    updates: int
    spikes: int
    spikes_by_neuron: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ProjectionEvents:
    """One projection. synaptic_operations: weights added to a neuron's input (synapses reached by a
    message).
    """

    synaptic_operations: int


@dataclass(frozen=True)
class Events:
    """Counts of one run. steps: time steps of one example, pipeline delay included. examples: inferences
    run.
    """

    steps: int
    examples: int
    populations: Mapping[str, PopulationEvents] = field(repr=False)
    projections: Mapping[str, ProjectionEvents] = field(repr=False)

    @property
    def synaptic_operations(self) -> int:
        """All synaptic operations of the run."""
        return sum(p.synaptic_operations for p in self.projections.values())

    @property
    def spikes(self) -> int:
        """All spikes of the run, those of input populations among them."""
        return sum(p.spikes for p in self.populations.values())

    def rates(self) -> dict[str, float]:
        """Spikes a neuron sends in one step, by population: what `map_net` takes as `rates`."""
        neuron_steps = self.steps * self.examples
        return {name: p.spikes / (p.neurons * neuron_steps) for name, p in sorted(self.populations.items())}

    def check(self, net: SpikingNet) -> None:
        """Raise InputError naming every population and projection whose counts cannot be those of this
        net.
        """
        problems = [
            f"{n} {what}: at least 1"
            for what, n in (("steps", self.steps), ("examples", self.examples))
            if n < 1
        ]
        problems += _strangers("population", self.populations, {p.name for p in net.populations})
        problems += _strangers("projection", self.projections, {p.name for p in net.projections})
        neuron_steps = self.steps * self.examples
        for p in net.populations:
            seen = self.populations.get(p.name)
            if seen is None:
                continue
            if seen.neurons != p.size:
                problems.append(f"population {p.name}: {seen.neurons} neurons counted, the net has {p.size}")
            if not 0 <= seen.updates <= p.size * neuron_steps and p.neuron != INPUT:
                problems.append(
                    f"population {p.name}: {seen.updates} updates in {p.size * neuron_steps} neuron-steps"
                )
            if seen.spikes < 0:
                problems.append(f"population {p.name}: {seen.spikes} spikes")
            by_neuron = seen.spikes_by_neuron
            if by_neuron is not None and (
                by_neuron.shape != (p.size,) or int(by_neuron.sum()) != seen.spikes
            ):
                problems.append(
                    f"population {p.name}: spikes_by_neuron is {by_neuron.shape}, sum {int(by_neuron.sum())}"
                )
        problems += [
            f"projection {name}: {p.synaptic_operations} synaptic operations"
            for name, p in sorted(self.projections.items())
            if p.synaptic_operations < 0
        ]
        if problems:
            raise InputError(f"event counts that are not those of {net.name}:\n  " + "\n  ".join(problems))


def _strangers(what: str, given: Mapping[str, object], known: set[str]) -> list[str]:
    """Names that are missing or unknown."""
    missing = [f"{what} {name}: no counts" for name in sorted(known - set(given))]
    return missing + [f"{what} {name}: not in the net" for name in sorted(set(given) - known)]
