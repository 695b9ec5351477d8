"""What a simulation gives back, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, nearest
from trine.neuromorphic.net import INPUT, Array, Projection, SpikingNet
from trine.neuromorphic.neuron import neuron

Counts = NDArray[np.int64]
Probes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Result:
    """Outcome of a run. Step t is index t; the input given at step t reaches its targets at t + 1 + delay.

    probes: by population and variable: "spikes" (messages, whole or real numbers [batch, steps, *shape]), "counts"
    (messages sent by each neuron, int64 [batch, *shape]), or a state ("u", "v", ...; after the step's reset).
    What the energy models read, inputs included where they send:
    counts: messages sent by each neuron, summed over batch and steps, int64 [*shape].
    sent: messages by sample, int64 [batch]. per_step: messages by step, summed over the batch, int64 [steps].
    updates: by sample, neuron updates of neurons that were not idle (idle: no input, no bias, state zero before and
    after), int64 [batch].
    """

    batch: int
    steps: int
    probes: Mapping[str, Mapping[str, Array]]
    counts: Mapping[str, Counts]
    sent: Mapping[str, Counts]
    per_step: Mapping[str, Counts]
    updates: Mapping[str, Counts]

    def spikes(self, population: str) -> Array:
        """Messages of a probed population, [batch, steps, *shape]."""
        return self.probes[population]["spikes"]

    def operations(self, net: SpikingNet) -> dict[str, int]:
        """Synaptic operations of each projection over the whole batch: messages times fan-out, zero weights and
        messages still under way at the end included, as SANA-FE counts them."""
        return {p.name: int((self.counts[p.source] * fan_out(net, p)).sum()) for p in net.projections}

    def neuron_steps(self, net: SpikingNet) -> dict[str, int]:
        """Neurons times steps of each population that computes, over the whole batch."""
        return {p.name: p.size * self.steps * self.batch for p in net.populations if p.neuron != INPUT}


def fan_out(net: SpikingNet, p: Projection) -> Counts:
    """Synapses of each source neuron in a projection, int64 [*source shape]."""
    from trine.neuromorphic.engine.windows import window_fan_out

    source, target = net.population(p.source), net.population(p.target)
    if p.kind == "dense":
        return np.full(source.shape, target.size, np.int64)
    if p.kind == "identity":
        return np.ones(source.shape, np.int64)
    return window_fan_out(p, source.shape, target.shape)


def inputs_of(net: SpikingNet, inputs: Mapping[str, Array], steps: int) -> tuple[dict[str, Array], int]:
    """Inputs as whole arrays [batch, steps, *shape] and the batch size.

    An input that is shorter than the run is silent after its end. Raises InputError for steps below 1, unknown or
    missing inputs, wrong shapes, NaN, and fractions where the net is an integer one.
    """
    if steps < 1:
        raise InputError(f"{steps} steps: give at least 1")
    problems = [f"input {k!r}: {nearest(k, net.inputs)}" for k in sorted(set(inputs) - set(net.inputs))]
    problems += [f"input {k!r} is missing" for k in net.inputs if k not in inputs]
    batches = {np.shape(x)[0] for x in inputs.values() if np.ndim(x)}
    if len(batches) > 1:
        problems.append(f"inputs have different batch sizes: {sorted(batches)}")
    given: dict[str, Array] = {}
    for name in (k for k in net.inputs if k in inputs):
        x, shape = np.asarray(inputs[name]), net.population(name).shape
        if x.ndim != 2 + len(shape) or x.shape[2:] != shape or x.shape[0] < 1:
            problems.append(
                f"input {name!r} is {x.shape}, should be (batch, steps, {', '.join(map(str, shape))})"
            )
        elif x.shape[1] > steps:
            problems.append(f"input {name!r} has {x.shape[1]} steps, the run only {steps}")
        elif x.dtype.kind not in "biuf":
            problems.append(f"input {name!r} is of type {x.dtype}, give numbers")
        elif x.dtype.kind == "f" and not np.isfinite(x).all():
            problems.append(f"input {name!r} holds NaN or infinity")
        elif net.arithmetic != "float" and x.dtype.kind == "f" and (x != np.round(x)).any():
            problems.append(f"input {name!r} holds fractions; the net's arithmetic is {net.arithmetic}")
        else:
            rest = np.zeros((x.shape[0], steps - x.shape[1], *shape), x.dtype)
            given[name] = np.concatenate([x, rest], axis=1) if rest.size else x
    if problems:
        raise InputError("cannot simulate:\n  " + "\n  ".join(problems))
    return given, next(iter(batches), 1)


def probes_of(net: SpikingNet, probes: Probes | None) -> dict[str, tuple[str, ...]]:
    """Checked probes; without any, the spikes of the outputs. Raises InputError for unknown names."""
    if probes is None:
        return dict.fromkeys(net.outputs, ("spikes",))
    problems = [
        f"population {k!r}: {nearest(k, net.by_name)}" for k in sorted(set(probes) - set(net.by_name))
    ]
    for name in sorted(set(probes) & set(net.by_name)):
        kind = net.population(name).neuron
        known = ("spikes", "counts", *(() if kind == INPUT else neuron(kind).states))
        problems += [f"variable {v!r} of {name}: {nearest(v, known)}" for v in probes[name] if v not in known]
    if problems:
        raise InputError("cannot probe:\n  " + "\n  ".join(problems))
    return {k: tuple(v) for k, v in probes.items()}
