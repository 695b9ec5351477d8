"""DYNAP-CNN and Speck: one core a layer, each core with its own memories."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip, load_device
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.mapping.whole import model_violations
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def layered(
    net: SpikingNet, wires: tuple[Wiring, ...], chip: NeuroChip
) -> tuple[list[Limit], dict[str, int], Floats, list[Violation], list[str]]:
    """One core a layer: (limits of the largest core, core by layer, use by core, violations, notes).

    Memory rule of the DYNAP-CNN documentation (from memory, unverified): weights c * 2^(ceil(log2(kx*ky)) +
    ceil(log2 f)) bytes, neurons f * 2^(ceil(log2 x) + ceil(log2 y)). Cores differ: layers are assigned to
    them by maximum matching.
    """
    table = chip if "limits.weight_memory_by_core" in chip.series else load_device("dynapcnn")
    assert isinstance(table, NeuroChip)
    notes = (
        []
        if table is chip
        else ["memories by core are DYNAP-CNN's: their neurons add up to Speck's 328 K (derived)"]
    )
    weights = np.array(table.series["limits.weight_memory_by_core"].values) * 1024
    neurons = np.array(table.series["limits.neurons_by_core"].values)
    biases = table.need("limits.bias_memory_per_core").value
    layers = [p for p in net.populations if p.neuron != INPUT]
    problems = model_violations(net, chip.name, chip.title) + _layer_violations(net, wires, chip)
    need = np.array(
        [_layer_memory(p, [w for w in wires if w.projection.target == p.name]) for p in layers]
    ).reshape(-1, 3)
    for p, row in zip(layers, need):
        for name, amount, most, unit in (
            ("weight memory", row[0], weights.max(), "bytes"),
            ("neuron memory", row[1], neurons.max(), "neurons"),
            ("biases", row[2], biases, "biases"),
        ):
            if amount > most:
                remedy = (
                    "fewer channels or smaller kernels"
                    if name == "weight memory"
                    else "pool or stride earlier"
                )
                problems.append(Violation(f"layer {p.name}", name, float(amount), float(most), unit, remedy))
    if len(layers) > len(weights):
        problems.append(
            Violation(f"net {net.name}", "layers", len(layers), len(weights), "cores", "use fewer layers")
        )
    able = (need[:, :1] <= weights) & (need[:, 1:2] <= neurons)
    core = _matching(able)
    if not problems and (core < 0).any():
        names = ", ".join(p.name for p, c in zip(layers, core) if c < 0)
        problems.append(
            Violation(
                f"layer {names}",
                "cores large enough",
                None,
                None,
                "",
                "the larger cores are taken: make a large layer smaller",
            )
        )
    limits = [
        Limit("weight memory", 1.0, "share of the core's", "sinabs 3.1.3"),
        Limit("neuron memory", 1.0, "share of the core's", "sinabs 3.1.3"),
    ]
    chosen = np.where(core >= 0, core, 0)
    use = (
        np.stack([need[:, 0] / weights[chosen], need[:, 1] / neurons[chosen]], 1)
        if len(layers)
        else np.zeros((0, 2))
    )
    return limits, {p.name: int(c) for p, c in zip(layers, core)}, use, problems, notes


def _up(n: int) -> int:
    return int(np.ceil(np.log2(max(n, 1))))


def _layer_memory(p: Population, into: list[Wiring]) -> tuple[int, int, int]:
    """(weight bytes, neuron slots, biases) of a layer."""
    shape = p.shape + (1,) * (3 - len(p.shape)) if len(p.shape) < 3 else p.shape
    weights = 0
    for w in into:
        if w.dense:
            spatial = int(np.prod(w.source[1:])) if len(w.source) > 1 else 1
            weights += w.source[0] * 2 ** (_up(spatial) + _up(p.size))
        elif w.shared and w.projection.kind == "conv":
            weights += w.channels.size_in * 2 ** (_up(math.prod(a.kernel for a in w.windows)) + _up(shape[0]))
    bias = np.asarray(p.parameters.get("bias", p.parameters.get("bias_mant", 0)))
    return weights, shape[0] * 2 ** (_up(shape[1]) + _up(shape[2])), len(np.unique(bias)) if bias.any() else 0


def _layer_violations(net: SpikingNet, wires: tuple[Wiring, ...], chip: NeuroChip) -> list[Violation]:
    """Shapes and connections that these chips do not have."""
    found = []
    kernel_most, map_most, feature_most = (
        chip.figure(f"limits.{k}") for k in ("kernel_max", "output_map_max", "features_max")
    )
    strides = chip.series.get("limits.strides_allowed")
    for w in wires:
        p = w.projection
        where = f"projection {p.name} ({p.source} -> {p.target})"
        if p.delay_steps:
            found.append(Violation(where, "delay", p.delay_steps, 0, "steps", "these chips have no delays"))
        if p.source == p.target:
            found.append(Violation(where, "recurrence", None, None, "", "a layer cannot feed itself here"))
        for axis in w.windows if w.shared else ():
            if kernel_most and p.kind == "conv" and axis.kernel > kernel_most.value:
                found.append(
                    Violation(where, "kernel", axis.kernel, kernel_most.value, "taps", "use a smaller kernel")
                )
            if strides and axis.stride not in strides.values:
                found.append(
                    Violation(
                        where, "stride", axis.stride, max(strides.values), "of 1, 2, 4, 8", "use one of these"
                    )
                )
    for q in net.populations:
        fan = len(net.out_of(q.name))
        if q.neuron != INPUT and fan > 2:
            found.append(Violation(f"layer {q.name}", "fan-out", fan, 2, "layers", "feed at most two layers"))
        if map_most and any(n > map_most.value for n in q.shape[1:]) and q.neuron != INPUT:
            found.append(
                Violation(
                    f"layer {q.name}",
                    "map",
                    max(q.shape[1:]),
                    map_most.value,
                    "places",
                    "pool or stride earlier",
                )
            )
        if feature_most and q.shape[0] > feature_most.value and q.neuron != INPUT:
            found.append(
                Violation(
                    f"layer {q.name}",
                    "features",
                    q.shape[0],
                    feature_most.value,
                    "channels",
                    "use fewer channels",
                )
            )
    return found


def _matching(able: NDArray[np.bool_]) -> Ints:
    """The core of each layer by augmenting paths, -1 where none is left; able: (layers, cores)."""
    owner = np.full(able.shape[1], -1, np.int64)

    def seat(layer: int, tried: set[int]) -> bool:
        for core in np.flatnonzero(able[layer]).tolist():
            if core in tried:
                continue
            tried.add(core)
            if owner[core] < 0 or seat(int(owner[core]), tried):
                owner[core] = layer
                return True
        return False

    for layer in range(able.shape[0]):
        seat(layer, set())
    result = np.full(able.shape[0], -1, np.int64)
    for core, layer in enumerate(owner.tolist()):
        if layer >= 0:
            result[layer] = core
    return result
