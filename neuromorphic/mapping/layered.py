"""DYNAP-CNN and Speck: one core a layer, each core with its own memories."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.devices import NeuroChip, load_device
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.records import Limit, Violation
from trine.neuromorphic.mapping.whole import model_violations
from trine.neuromorphic.net import INPUT, Population, SpikingNet

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FAN_OUT = 2  # layers that one layer feeds at most, where the record says nothing (samna documentation)


@dataclass(frozen=True)
class Memories:
    """What each core holds: bytes of weights, neurons; biases of any core."""

    weights: Ints
    neurons: Ints
    biases: float
    notes: tuple[str, ...]


def layered(
    net: SpikingNet, wires: tuple[Wiring, ...], chip: NeuroChip
) -> tuple[list[Limit], dict[str, int], Floats, list[Violation], list[str]]:
    """One core a layer: (limits of the largest core, core by layer, use by core, violations, notes).

    Memory rule of the DYNAP-CNN documentation (from memory, unverified): weights c * 2^(ceil(log2(kx*ky)) +
    ceil(log2 f)) bytes, neurons f * 2^(ceil(log2 x) + ceil(log2 y)). Cores differ: layers are assigned to
    them by maximum matching.
    """
    room = _memories(chip)
    layers = [p for p in net.populations if p.neuron != INPUT]
    need = np.array(
        [_layer_memory(p, [w for w in wires if w.projection.target == p.name]) for p in layers]
    ).reshape(-1, 3)
    core = _matching((need[:, :1] <= room.weights) & (need[:, 1:2] <= room.neurons))
    problems = model_violations(net, chip.name, chip.title) + _layer_violations(net, wires, chip)
    problems += _memory_violations(layers, need, room)
    if len(layers) > len(room.weights):
        problems.append(
            Violation(
                f"net {net.name}", "layers", len(layers), len(room.weights), "cores", "use fewer layers"
            )
        )
    if not problems and (core < 0).any():
        names = ", ".join(p.name for p, c in zip(layers, core) if c < 0)
        remedy = "the larger cores are taken: make a large layer smaller"
        problems.append(Violation(f"layer {names}", "cores large enough", None, None, "", remedy))
    limits = [
        Limit(name, 1.0, "share of the core's", "sinabs 3.1.3") for name in ("weight memory", "neuron memory")
    ]
    chosen = np.where(core >= 0, core, 0)
    use = np.stack([need[:, 0] / room.weights[chosen], need[:, 1] / room.neurons[chosen]], 1)
    return limits, {p.name: int(c) for p, c in zip(layers, core)}, use, problems, list(room.notes)


def _memories(chip: NeuroChip) -> Memories:
    """The chip's memories by core; Speck's are DYNAP-CNN's."""
    table = chip if "limits.weight_memory_by_core" in chip.series else load_device("dynapcnn")
    assert isinstance(table, NeuroChip)
    note = "memories by core are DYNAP-CNN's: their neurons add up to Speck's 328 K (derived)"
    return Memories(
        np.array(table.series["limits.weight_memory_by_core"].values, np.int64) * 1024,
        np.array(table.series["limits.neurons_by_core"].values, np.int64),
        table.need("limits.bias_memory_per_core").value,
        () if table is chip else (note,),
    )


def _memory_violations(layers: list[Population], need: Ints, room: Memories) -> list[Violation]:
    """Layers that even the largest core cannot hold."""
    early = "pool or stride earlier"
    kinds = (
        ("weight memory", float(room.weights.max()), "bytes", "fewer channels or smaller kernels"),
        ("neuron memory", float(room.neurons.max()), "neurons", early),
        ("biases", room.biases, "biases", early),
    )
    return [
        Violation(f"layer {p.name}", name, float(amount), most, unit, remedy)
        for p, row in zip(layers, need)
        for amount, (name, most, unit, remedy) in zip(row, kinds)
        if amount > most
    ]


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
    found = [problem for w in wires for problem in _wiring_violations(w, chip)]
    for q in net.populations:
        if q.neuron == INPUT:
            continue
        amounts: tuple[tuple[str, str, int, str, str], ...] = (
            ("fan_out_layers", "fan-out", len(net.out_of(q.name)), "layers", "feed at most two layers"),
            ("output_map_max", "map", max(q.shape[1:], default=1), "places", "pool or stride earlier"),
            ("features_max", "features", q.shape[0], "channels", "use fewer channels"),
        )
        for key, name, amount, unit, remedy in amounts:
            figure = chip.figure(f"limits.{key}")
            most = None if figure is None else figure.value
            if key == "fan_out_layers" and most is None:
                most = FAN_OUT
            if most is not None and amount > most:
                found.append(Violation(f"layer {q.name}", name, amount, most, unit, remedy))
    return found


def _wiring_violations(w: Wiring, chip: NeuroChip) -> list[Violation]:
    """What one projection asks for that these chips do not have."""
    p = w.projection
    where = f"projection {p.name} ({p.source} -> {p.target})"
    kernel_most, strides = chip.figure("limits.kernel_max"), chip.series.get("limits.strides_allowed")
    found = []
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
            allowed = f"of {', '.join(f'{n:g}' for n in strides.values)}"
            found.append(
                Violation(where, "stride", axis.stride, max(strides.values), allowed, "use one of these")
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
