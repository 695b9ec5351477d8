"""Another simulator's word on a run: every message, and the readout's membrane, beside the native engine's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trine.compilers.report import Parity
from trine.compilers.target import Progress, silent
from trine.neuromorphic.backends import sanafe
from trine.neuromorphic.backends.simulate import simulate
from trine.neuromorphic.engine import run
from trine.neuromorphic.engine.result import Result
from trine.neuromorphic.mapping.records import Mapping as Placed
from trine.neuromorphic.net import INPUT, Array, SpikingNet

EXAMPLES: Final = {"snntorch": 64, "lava": 4, "sanafe": 4}  # by default: tens of seconds on the ECG network
BATCH: Final = 16
NAMES: Final = {"snntorch": "snnTorch", "lava": "lava-nc", "sanafe": "SANA-FE"}
NOTES: Final = {
    "snntorch": "real numbers: without decays nothing needs rounding, with them spikes may come elsewhere",
}


@dataclass(frozen=True)
class Compared:
    """One population: values compared (steps x neurons x examples), those that differ, spikes of each side."""

    values: int
    differing: int
    largest: float
    native: int
    other: int


@dataclass(frozen=True)
class Testimony:
    """What a back end saw. populations: messages; of readouts the membrane after the last step, in 1/64 units.

    more: what only this back end tells: SANA-FE's energy, time and updates of an inference.
    """

    backend: str
    version: str
    examples: int
    steps: int
    populations: Mapping[str, Compared] = field(repr=False)
    classes_differing: int
    more: Mapping[str, Any]

    @property
    def values(self) -> int:
        """Messages and membranes compared."""
        return sum(p.values for p in self.populations.values())

    @property
    def differing(self) -> int:
        """Messages and membranes that differ."""
        return sum(p.differing for p in self.populations.values())

    def parity(self) -> Parity:
        """For the record: real-valued simulators may differ, the others may not."""
        against = f"{NAMES[self.backend]} {self.version}: every spike of the native engine, and the readout"
        largest = math.ceil(max(p.largest for p in self.populations.values()))
        exact = self.backend not in NOTES
        return Parity(
            against, self.examples, self.values, self.differing, largest, exact, NOTES.get(self.backend, "")
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.backend, "version": self.version, "examples": self.examples, "steps": self.steps,
            "values": self.values, "differing": self.differing, "classes_differing": self.classes_differing,
            "populations": {k: vars(p) for k, p in self.populations.items()}, **self.more,
        }  # fmt: skip


def ask(
    net: SpikingNet, inputs: Mapping[str, Array], steps: int, backend: str, placed: Placed,
    time_limit_s: float | None = None, progress: Progress = silent,
) -> Testimony:  # fmt: skip
    """Run a net on a back end and on the native engine, and compare. inputs: [examples, steps, *shape] by name.

    placed: where sanafe puts the neurons. time_limit_s: of a worker. Raises as the back end's `run`.
    """
    probes = {
        p.name: (("v",) if p.neuron == "LI" else ("spikes",)) for p in net.populations if p.neuron != INPUT
    }
    limit = {} if time_limit_s is None or backend == "snntorch" else {"time_limit_s": time_limit_s}
    total = len(next(iter(inputs.values())))
    parts: list[tuple[Result, Result]] = []
    more: dict[str, Any] = {}
    for at in range(0, total, BATCH):
        part = {k: x[at : at + BATCH] for k, x in inputs.items()}
        if backend == "sanafe":
            other, seen = sanafe.observe(net, part, steps, probes, placed=placed, **limit)
            count = len(next(iter(part.values())))
            for key, value in (*seen.energy_j.items(), ("time_s", seen.time_s), ("updates", seen.updates)):
                more[key] = more.get(key, 0.0) + value * count / total
        else:
            other = simulate(net, part, steps, backend, probes, **limit)
        parts.append((run(net, part, steps, probes), other))
        progress(f"asking {backend}", min(at + BATCH, total), total)
    compared = {name: _compared([(a.probes[name], b.probes[name]) for a, b in parts]) for name in probes}
    return Testimony(
        backend, version_of(backend), total, steps, compared, _classes(net, parts), _named(more)
    )  # fmt: skip


def _named(more: Mapping[str, float]) -> dict[str, Any]:
    """Figures under their names in the record."""
    if not more:
        return {}
    parts = {k: v for k, v in sorted(more.items()) if k not in ("time_s", "updates")}
    return {"energy_j": parts, "latency_s": more["time_s"], "neuron_updates": more["updates"]}


def _compared(pairs: list[tuple[Mapping[str, Array], Mapping[str, Array]]]) -> Compared:
    """One population over all batches: spikes by step, or the readout's membrane at the end."""
    rows = []
    for native, other in pairs:
        ((variable, a),) = native.items()
        b = other[variable]
        if variable == "v":
            a, b = a[:, -1], b[:, -1]
        apart = np.abs(a - b)
        sent = (0, 0) if variable == "v" else (int((a != 0).sum()), int((b != 0).sum()))
        rows.append((a.size, int((apart > 1e-6).sum()), float(apart.max(initial=0)), *sent))
    columns = list(zip(*rows))
    largest = max(columns[2])
    return Compared(
        sum(columns[0]), sum(columns[1]), int(largest) if largest.is_integer() else largest,
        sum(columns[3]), sum(columns[4]),
    )  # fmt: skip


def _classes(net: SpikingNet, parts: list[tuple[Result, Result]]) -> int:
    """Examples to which the two give different classes: the largest membrane of the output, or most spikes."""
    differing = 0
    for native, other in parts:
        found = []
        for result in (native, other):
            ((variable, x),) = result.probes[net.outputs[0]].items()
            score = x[:, -1] if variable == "v" else x.sum(axis=1)
            found.append(score.reshape(len(score), -1).argmax(axis=1))
        differing += int((found[0] != found[1]).sum())
    return differing


def version_of(backend: str) -> str:
    """The version of a back end that has just run."""
    from importlib.metadata import version

    from trine.neuromorphic.backends import lava_environment, sanafe_environment

    if backend == "snntorch":
        return version("snntorch")
    found = lava_environment.doctor() if backend == "lava" else sanafe_environment.doctor()
    return str(found.get("lava") or found.get("version") or "")
