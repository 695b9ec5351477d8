"""NeuroBench's metrics, computed on our nets (Yik et al. 2025, doi 10.1038/s41467-025-56739-4; code of
neurobench 2.3.0).

They count what an algorithm does, on no chip in particular. A layer's connections are dense and convolutional
projections; what stands in for a bias, a pooling or a reset is not a layer and is not counted, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import VARIANTS
from trine.neuromorphic.engine.definition import define, projected
from trine.neuromorphic.net import INPUT, Array, Population, Projection, Shape, SpikingNet
from trine.neuromorphic.timing import arrivals, is_bias_source


@dataclass(frozen=True)
class Metrics:
    """What NeuroBench reports. Operations and updates are means over samples.

    footprint_bytes: weights, constants and neurons' parameters at their stored element size; weight_bytes: the first
    two alone (NeuroBench adds what the framework registers as buffers, membranes among it).
    connection_sparsity: zero weights / weights, to 4 decimals; biases do not count.
    activation_sparsity: silent neuron-steps / neuron-steps of the populations that compute.
    effective_macs, effective_acs: products of a message and a weight that are both not 0; a step's are ACs where all
    messages of the batch are -1, 0 or 1, else MACs. dense_synaptic_operations: the same with nothing 0, padding aside.
    membrane_updates: first step all neurons, then those whose membrane is another after the step.
    """

    footprint_bytes: int
    weight_bytes: int
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense_synaptic_operations: float
    membrane_updates: float


def measure(net: SpikingNet, inputs: Mapping[str, Array], steps: int) -> Metrics:
    """Metrics of a run of `steps` steps of input. inputs: [batch, steps, *shape] by name.

    Each population is observed over its own `steps` steps, from the one on at which its first input can arrive.
    Raises InputError as the simulation does.
    """
    depth = arrivals(net)
    computing = [p for p in net.populations if p.neuron != INPUT and not is_bias_source(net, p)]
    probes = {p.name: ("spikes", *_membrane(p)) for p in net.populations}
    result = define(net, inputs, steps + max(depth.values()), probes)
    seen = {p.name: result.spikes(p.name)[:, depth[p.name] : depth[p.name] + steps] for p in net.populations}
    counts = [operations(q, seen[q.source], net.population(q.target).shape) for q in layers(net)]
    active = sum(int(np.count_nonzero(seen[p.name])) for p in computing)
    total = sum(seen[p.name].size for p in computing)
    moved = sum(
        _updates(result.probes[p.name][v], depth[p.name], steps) for p in computing for v in _membrane(p)
    )
    weights, batch = weight_bytes(net), result.batch
    return Metrics(
        footprint_bytes=weights + _parameter_bytes(net), weight_bytes=weights,
        connection_sparsity=connection_sparsity(net),
        activation_sparsity=(total - active) / total if total else 0.0,
        effective_macs=sum(c[0] for c in counts) / batch, effective_acs=sum(c[1] for c in counts) / batch,
        dense_synaptic_operations=sum(c[2] for c in counts) / batch, membrane_updates=moved / batch,
    )  # fmt: skip


def layers(net: SpikingNet) -> tuple[Projection, ...]:
    """Projections that NeuroBench would see as layers."""
    constants = {p.name for p in net.populations if is_bias_source(net, p)}
    return tuple(q for q in net.projections if q.kind in ("dense", "conv") and q.source not in constants)


def connection_sparsity(net: SpikingNet) -> float:
    """Zero weights / weights. Raises InputError for a net without layers."""
    found = layers(net)
    if not found:
        raise InputError(f"{net.name} has no dense or convolutional projections, so no connection sparsity")
    zeros = sum(int(np.count_nonzero(np.asarray(q.weight) == 0)) for q in found)
    return round(zeros / sum(q.weight.size for q in found), 4)


def weight_bytes(net: SpikingNet) -> int:
    """Bytes of weights and of constants brought by synapses, at stored element size (constants as their layer's)."""
    constants = {p.name for p in net.populations if is_bias_source(net, p)}
    total = 0
    for q in net.projections:
        if q.source in constants:
            sizes = [o.weight.itemsize for o in net.into(q.target) if o.source not in constants]
            total += _distinct(net, q) * min(sizes, default=q.weight.itemsize)
        elif q.kind in ("dense", "conv"):
            total += q.weight.nbytes
    return total


def _distinct(net: SpikingNet, q: Projection) -> int:
    """Stored constants: one a channel where every position of a convolution's channel has the same."""
    shape = net.population(q.target).shape
    rows = np.asarray(q.weight).reshape(shape[0], -1)
    return shape[0] if len(shape) > 1 and (rows == rows[:, :1]).all() else int(q.weight.size)


def _parameter_bytes(net: SpikingNet) -> int:
    """Bytes of what the neurons are given; a single number counts once."""
    return sum(
        int(np.asarray(v).nbytes)
        for p in net.populations
        if p.neuron != INPUT and not is_bias_source(net, p)
        for v in p.parameters.values()
    )


def operations(q: Projection, messages: Array, target: Shape) -> tuple[int, int, int]:
    """Effective MACs, effective ACs and dense operations of a projection over messages [batch, steps, *shape]."""
    x = messages if q.graded else (messages != 0).astype(np.int8)
    batch, steps = x.shape[:2]
    here = _counted(q, (np.asarray(q.weight) != 0).astype(np.int64))
    full = _counted(q, np.ones(q.weight.shape, np.int64))
    binary = np.isin(x, (-1, 0, 1)).reshape(batch, steps, -1).all(axis=(0, 2))
    ones = np.ones((1, *x.shape[2:]), np.float64)
    reach = _fan(here, x.shape[2:], target)
    effective = ((x != 0) * reach).reshape(batch, steps, -1).sum(axis=(0, 2))
    dense = int(projected(full, ones, target, VARIANTS["lava"], np.float64).sum()) * batch * steps
    return int(effective[~binary].sum()), int(effective[binary].sum()), dense


def _counted(q: Projection, weight: Array) -> Projection:
    return Projection(q.name, q.source, q.target, q.kind, weight, q.attributes, graded=True)


def _fan(q: Projection, source: Shape, target: Shape) -> Array:
    """Synapses that are not 0 of each source neuron, [*source]."""
    if q.kind == "dense":
        return np.asarray(q.weight.sum(axis=0).reshape(source))
    from trine.neuromorphic.engine.windows import windows

    w = windows(q, source, target)
    fan = np.zeros((source[0], *w.size_in), np.int64)
    into, outof = source[0] // w.group, target[0] // w.group
    weight = q.weight.reshape(*q.weight.shape[:2], *w.kernel)
    for i, taps_i in enumerate(w.reaches(0)):
        for j, taps_j in enumerate(w.reaches(1)):
            for g in range(w.group):
                mine = weight[g * outof : (g + 1) * outof]
                fan[g * into : (g + 1) * into, i, j] = sum(
                    (mine[:, :, ki, kj].sum(axis=0) for ki, _ in taps_i for kj, _ in taps_j),
                    start=np.zeros(into, np.int64),
                )
    return fan.reshape(source)


def _membrane(p: Population) -> tuple[str, ...]:
    """The state that NeuroBench calls the membrane; none for inputs and for neurons without one."""
    from trine.neuromorphic.neuron import neuron

    return ("v",) if p.neuron != INPUT and "v" in neuron(p.neuron).states else ()


def _updates(v: Array, depth: int, steps: int) -> int:
    """Membrane updates of a population; v: [batch, steps, *shape] of the whole run."""
    own: Any = v[:, depth : depth + steps]
    return int(own[:, 0].size + np.count_nonzero(own[:, 1:] != own[:, :-1]))
