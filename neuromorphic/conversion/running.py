"""Run a converted network on a simulator, in batches, and compare its counts with the quantised network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.target import Progress, silent
from trine.neuromorphic.conversion.code import first_counts
from trine.neuromorphic.conversion.layers import FIRE, READOUT
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.engine.result import Probes, Result
from trine.neuromorphic.events import Events, PopulationEvents, ProjectionEvents
from trine.neuromorphic.net import INPUT, SpikingNet

Simulator = Callable[[SpikingNet, Mapping[str, Array], int, Probes | None], Result]
BATCH = 128


@dataclass(frozen=True)
class LayerCounts:
    """Counts of one layer against the quantised network's. spikes: the counts found, summed; wanted: those of the
    quantised network. silent_neurons: without a spike in the whole run."""

    values: int
    differing: int
    largest: int
    spikes: int
    wanted: int
    silent_neurons: int


@dataclass(frozen=True)
class Run:
    """What a run showed. membrane: of the readout at its end, in 1/64 weight units, int64 [n, *shape].

    layers: by layer that fires, and the readout (values compared: membranes). spiking, quantised: class of every
    example by the spiking net and by the quantised network. counts: by layer that fires [n, *shape], where asked for.
    """

    membrane: Array = field(repr=False)
    layers: Mapping[str, LayerCounts]
    events: Events
    spiking: Array = field(repr=False)
    quantised: Array = field(repr=False)
    counts: Mapping[str, Array] = field(default_factory=dict, repr=False)

    @property
    def differing(self) -> int:
        """Counts and membranes that differ."""
        return sum(layer.differing for layer in self.layers.values())

    @property
    def values(self) -> int:
        """Counts and membranes compared."""
        return sum(layer.values for layer in self.layers.values())


def native() -> Simulator:
    """The engine."""
    from trine.neuromorphic.engine import run

    return run


def run_spiking(
    made: Spiking,
    network: QuantisedNetwork,
    whole: Mapping[str, Array],
    simulator: Simulator | None = None,
    progress: Progress = silent,
    batch: int = BATCH,
    keep: bool = False,
) -> Run:
    """Simulate inputs in whole steps {input: [n, *shape]} and compare every count with the quantised network's.

    keep: hand back all counts.
    """
    simulator = simulator or native()
    total = len(next(iter(whole.values())))
    tally = _Tally(made, network, keep)
    for at in range(0, total, batch):
        part = {k: v[at : at + batch] for k, v in whole.items()}
        wanted = network.trace(part)
        tally.add(simulator(made.net, made.encode(part), made.steps, tally.probes()), wanted)
        progress("simulating", min(at + batch, total), total)
    return tally.finish()


class _Tally:
    """Gathers batches."""

    def __init__(self, made: Spiking, network: QuantisedNetwork, keep: bool) -> None:
        self.made, self.network, self.net, self.keep = made, network, made.net, keep
        self.kept: dict[str, list[Array]] = {}
        self.rows: dict[str, list[LayerCounts]] = {}
        self.seen: dict[str, Array] = {}
        self.membranes: list[Array] = []
        self.classes: tuple[list[Array], list[Array]] = ([], [])
        self.spikes = {p.name: np.zeros(p.size, np.int64) for p in self.net.populations}
        self.updates = {p.name: 0 for p in self.net.populations}
        self.operations = {p.name: 0 for p in self.net.projections}
        self.examples = 0

    @property
    def graded(self) -> bool:
        return self.made.scheme == "sigma_delta"

    def probes(self) -> Probes:
        """Counts of layers (messages where they carry values or their time does), the state of the readout."""
        asked: dict[str, tuple[str, ...]] = {}
        for layer in self.network.layers:
            if layer.role == READOUT:
                asked[layer.name] = ("sigma",) if self.graded else ("v",)
            else:
                asked[layer.name] = ("counts",) if self.made.scheme in ("exact", "rate") else ("spikes",)
        return asked

    def counts(self, layer: CountLayer, probe: Mapping[str, Array]) -> Array:
        """What a layer's messages stand for, [n, *shape]; -1 for more than one spike, or one out of its window, in
        *ttfs*."""
        if self.made.scheme in ("exact", "rate"):
            return probe["counts"]
        if self.graded:
            return np.asarray(probe["spikes"].sum(axis=1))
        begin, spikes = self.made.begins[layer.name], probe["spikes"]
        window = spikes[:, begin : begin + (layer.levels or 1)]
        stray = (spikes != 0).sum(axis=1) != (window != 0).sum(axis=1)
        return np.asarray(np.where(stray, -1, first_counts(window)))

    def add(self, result: Result, wanted: Mapping[str, Array]) -> None:
        for layer in self.network.layers:
            probe = result.probes[layer.name]
            if layer.role == READOUT:
                found = probe["sigma"][:, -1] << 6 if self.graded else probe["v"][:, -1]
                self.membranes.append(found)
                expected = (wanted[layer.name] >> 6) << 6 if self.graded else wanted[layer.name]
                self.classes[0].append(found.reshape(len(found), -1).argmax(axis=1))
                self.classes[1].append(wanted[layer.name].reshape(len(found), -1).argmax(axis=1))
            else:
                found = self.counts(layer, probe)
                expected = wanted[layer.name]
                if self.keep:
                    self.kept.setdefault(layer.name, []).append(found)
            fired = (found != 0).any(axis=0)
            self.seen[layer.name] = self.seen.get(layer.name, np.zeros_like(fired)) | fired
            apart = np.abs(found - expected)
            self.rows.setdefault(layer.name, []).append(
                LayerCounts(
                    apart.size,
                    int((apart > 0).sum()),
                    int(apart.max()),
                    int(found.sum()),
                    int(expected.sum()),
                    0,
                )
            )
        self.examples += result.batch
        for name, counts in result.counts.items():
            self.spikes[name] += counts.reshape(-1)
        for name, updates in result.updates.items():
            self.updates[name] += int(updates.sum())
        for name, operations in result.operations(self.net).items():
            self.operations[name] += operations

    def finish(self) -> Run:
        layers = {
            name: LayerCounts(
                sum(r.values for r in rows), sum(r.differing for r in rows), max(r.largest for r in rows),
                sum(r.spikes for r in rows), sum(r.wanted for r in rows), int((~self.seen[name]).sum()),
            )
            for name, rows in self.rows.items()
        }  # fmt: skip
        populations = {
            p.name: PopulationEvents(
                p.size, 0 if p.neuron == INPUT else self.updates[p.name], int(self.spikes[p.name].sum()),
                self.spikes[p.name],
            )
            for p in self.net.populations
        }  # fmt: skip
        events = Events(
            self.made.steps,
            self.examples,
            populations,
            {k: ProjectionEvents(v) for k, v in self.operations.items()},
        )
        return Run(
            np.concatenate(self.membranes), layers, events,
            np.concatenate(self.classes[0]), np.concatenate(self.classes[1]),
            {name: np.concatenate(parts) for name, parts in self.kept.items()},
        )  # fmt: skip


__all__ = ["FIRE", "LayerCounts", "Run", "Simulator", "native", "run_spiking"]
