"""Weights of few whole values, -m..m, from few inputs; what leaving out and rounding cost is made up for by the rest.

One unit a layer: axon types are shared by a core's neurons, and the threshold carries the scale. A layer is refitted to
the coarse activations before it (`conversion.levels`), loses the inputs it has no room for, and is rounded one input
after another. Each step hands its error on to the inputs that stay, weighed by how they vary together (Hassibi & Stork
1993, "optimal brain surgeon"; Frantar et al. 2023, arXiv 2210.17323).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.operators.conv import pad_spatial, windows
from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.chips.narrow import plain, taps_of
from trine.neuromorphic.chips.rounding import best_unit, kept, rounded
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT, Layer, LayerNet, Term
from trine.neuromorphic.conversion.levels import LevelNet, coarse, input_levels, refitted, summed
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses

ROWS = 1 << 15  # rows from which the inputs' covariance is taken, at most
LAMBDAS = np.geomspace(0.25, 1.0, 25)


@dataclass(frozen=True)
class Room:
    """What a layer may use: inputs a neuron, graph inputs counted twice, and the largest weight m."""

    inputs: int
    largest: int


@dataclass
class _Work:
    """What is known so far. fine: float activations; rough: those of the whole-number network."""

    net: LayerNet
    fine: dict[str, Array]
    rough: dict[str, Array]
    scales: dict[str, float]
    layers: list[Layer] = field(default_factory=list)
    counts: list[CountLayer] = field(default_factory=list)


def few_values(
    net: LayerNet, samples: Mapping[str, Array], levels: int, input_bits: int, room: Callable[[Layer], Room],
    progress: Progress = silent,
) -> tuple[LevelNet, QuantisedNetwork]:  # fmt: skip
    """Whole numbers for a net.

    Raises InputError for layers that never answer, all-zero weights and maximum pools.
    """
    codes = input_levels(net, samples, input_bits)
    work = _Work(
        net,
        {k: np.asarray(samples[k], np.float32) for k in codes},
        {k: (c.encode(samples[k]) * c.step).astype(np.float32) for k, c in codes.items()},
        {k: c.step for k, c in codes.items()},
    )
    for done, layer in enumerate(net.layers):
        progress("rounding weights", done, len(net.layers))
        if layer.role == MAXIMUM:
            raise InputError(
                f"layer {layer.name}: no maximum pool on this chip; use an average pool or a stride"
            )
        if layer.role == READOUT:
            _read_out(layer, work)
        else:
            _settle(layer, work, levels, room(layer))
    progress("rounding weights", len(net.layers), len(net.layers))
    top: dict[str, int | None] = {x.name: x.levels for x in work.counts}
    shapes = {t.name: t.shape for t in net.inputs}
    bits = max(int(np.abs(s.weight).max()) for x in work.counts for s in x.synapses).bit_length() + 1
    found = QuantisedNetwork(
        net.name, tuple(codes[t.name] for t in net.inputs), shapes, tuple(work.counts), levels, bits
    )
    return LevelNet(replace(net, layers=tuple(work.layers)), codes, top, work.scales), found


def _settle(layer: Layer, work: _Work, levels: int, room: Room) -> None:
    """Whole numbers of one layer: inputs, weights, threshold, bias, in this order."""
    z = summed(layer, work.fine)
    goal = np.clip(z, 0, layer.ceiling).astype(np.float32)
    if goal.max() <= 0:
        raise InputError(
            f"layer {layer.name}: no calibration example makes it answer; its threshold would be zero"
        )
    made = refitted(layer, work.rough, z)
    flat, covariance = _flat(made, work), _covariance(made, work)
    if covariance is not None:
        flat = kept(flat, covariance, *_units(made, work), room.inputs)
    unit = best_unit(flat, covariance, room.largest)
    scale = _scale(_centred(_with(made, flat, 1.0, work), z, work), goal, levels, layer.ceiling)
    theta = max(1, round(scale / unit))
    unit = scale / theta  # so that one count is exactly `scale`
    whole = rounded(flat, covariance, unit, room.largest)
    made = _with(made, whole, unit, work)
    shift = _bias_shift(_centred(made, z, work), goal, scale, levels)
    centre = (z - summed(made, work.rough)).mean(axis=(0, *range(2, z.ndim)), keepdims=True)[0]
    bias = np.rint((made.bias + centre + shift) / unit).astype(np.int64)
    if np.isfinite(layer.ceiling):
        levels = max(1, min(levels, int(np.floor(layer.ceiling / scale + 0.5))))
    _keep(replace(made, bias=bias * unit), whole, CountLayer(
        made.name, made.tensor, made.shape, (), bias << ACTIVATION_SHIFT, theta, levels, unit, FIRE
    ), work)  # fmt: skip


def _keep(layer: Layer, whole: Array, count: CountLayer, work: _Work) -> None:
    parts = _split(whole, layer)
    synapses = tuple(
        Synapses(t.source, t.kind, w.astype(np.int32), 0, t.attributes) for t, w in zip(layer.terms, parts)
    )
    work.layers.append(layer)
    work.counts.append(replace(count, synapses=synapses))
    work.scales[layer.name] = count.scale
    work.fine[layer.name] = np.clip(summed(_original(layer, work), work.fine), 0, layer.ceiling).astype(
        np.float32
    )
    work.rough[layer.name] = coarse(summed(layer, work.rough), count.scale, count.levels)


def _original(layer: Layer, work: _Work) -> Layer:
    return next(x for x in work.net.layers if x.name == layer.name)


def _read_out(layer: Layer, work: _Work) -> None:
    """The host adds up spikes: weights of one."""
    (term,) = layer.terms
    one = Synapses(term.source, term.kind, np.ones((), np.int32), 0, term.attributes)
    scale = work.scales[term.source]
    work.counts.append(
        CountLayer(
            layer.name, layer.tensor, layer.shape, (one,), np.zeros((), np.int64), 1, None, scale, READOUT
        )
    )
    work.layers.append(layer)
    work.scales[layer.name] = scale
    work.rough[layer.name] = work.rough[term.source]


def _flat(layer: Layer, work: _Work) -> Array:
    """Weights by count of the source, [out, in] over all terms; one row where a path is one to one or a pool."""
    scaled = [np.asarray(t.weight, np.float64) * work.scales[t.source] for t in layer.terms]
    if max(float(np.abs(w).max()) for w in scaled) == 0:
        raise InputError(
            f"layer {layer.name}: all weights are zero, so that it answers every input alike; remove it"
        )
    if all(plain(t) for t in layer.terms):
        return np.concatenate([w.reshape(layer.shape[0], -1) for w in scaled], axis=1)
    return np.concatenate([w.ravel() for w in scaled])[None]


def _split(flat: Array, layer: Layer) -> list[Array]:
    """`_flat` undone: one array a term."""
    if all(plain(t) for t in layer.terms):
        ends = np.cumsum([t.weight[0].size for t in layer.terms])[:-1]
        return [x.reshape(t.weight.shape) for x, t in zip(np.split(flat, ends, axis=1), layer.terms)]
    ends = np.cumsum([np.size(t.weight) for t in layer.terms])[:-1]
    return [x.reshape(np.shape(t.weight)) for x, t in zip(np.split(flat[0], ends), layer.terms)]


def _with(layer: Layer, flat: Array, unit: float, work: _Work) -> Layer:
    """The layer with other weights, given by count."""
    parts = _split(flat, layer)
    terms = tuple(replace(t, weight=w * unit / work.scales[t.source]) for t, w in zip(layer.terms, parts))
    return replace(layer, terms=terms)


def _centred(layer: Layer, z: Array, work: _Work) -> Array:
    """A layer's sums, each channel with the mean of `z`."""
    found = summed(layer, work.rough)
    return np.asarray(found + (z - found).mean(axis=(0, *range(2, z.ndim)), keepdims=True))


def _scale(z: Array, goal: Array, levels: int, ceiling: float) -> float:
    """Scale of a count of least squared error."""
    top = min(float(goal.max()), ceiling)
    errors = [float(np.square(coarse(z, top * share / levels, levels) - goal).mean()) for share in LAMBDAS]
    return float(top * LAMBDAS[int(np.argmin(errors))] / levels)


def _bias_shift(z: Array, goal: Array, scale: float, levels: int) -> Array:
    """What a channel's bias needs so that its counts keep their mean."""
    axes = (0, *range(2, z.ndim))
    shift = np.zeros((1, z.shape[1], *([1] * (z.ndim - 2))))
    for _ in range(4):
        error = (goal - coarse(z + shift.astype(np.float32), scale, levels)).mean(axis=axes, keepdims=True)
        shift = np.clip(shift + error, -scale, scale)
    return np.asarray(shift[0])


def _units(layer: Layer, work: _Work) -> tuple[list[Array], list[int]]:
    """What can be left out: input channels of a convolution, single inputs of a dense term; and sources of each."""
    inputs = {t.name for t in work.net.inputs}
    units: list[Array] = []
    sizes: list[int] = []
    at = 0
    for t in layer.terms:
        taps = taps_of(t, work.net.shape(t.source) if t.kind == "dense" else ())
        each = taps // t.weight.shape[1] if t.kind == "conv" else 1
        units += [np.arange(at + k, at + k + each) for k in range(0, taps, each)]
        sizes += [each * (1 + (t.source in inputs))] * (taps // each)
        at += taps
    return units, sizes


def _covariance(layer: Layer, work: _Work) -> Array | None:
    """How the counts that a layer's weights multiply vary together, [in, in]; None for paths that are not plain."""
    if not all(plain(t) for t in layer.terms):
        return None
    places = int(np.prod(layer.shape[1:], dtype=np.int64))
    examples = max(256, ROWS // places)
    columns = [_taps(t, work.rough[t.source][:examples] / work.scales[t.source]) for t in layer.terms]
    x = np.concatenate(columns, axis=1).astype(np.float64)
    x = x - x.mean(axis=0)
    return np.asarray(x.T @ x / len(x))


def _taps(term: Term, x: Array) -> Array:
    """What one output's weights multiply, [rows, weights]."""
    if term.kind == "dense":
        return x.reshape(len(x), -1)
    a = term.attributes
    rank = term.weight.ndim - 2
    view = windows(pad_spatial(x, a["pads"], 0.0), term.weight.shape[2:], a["strides"], a["dilations"])
    return np.moveaxis(view, 1, 1 + rank).reshape(-1, int(np.prod(term.weight.shape[1:])))
