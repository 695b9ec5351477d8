"""Connectivity as runs: for each input position, stretches of weights that add to stretches of the target.

Populations with spatial axes are laid out channels last here, so that one spike of a convolution adds whole rows of
[taps * channels] weights: taps that reach neighbouring outputs are stored next to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trine.neuromorphic.arithmetic import Variant
from trine.neuromorphic.engine.windows import Windows, windows
from trine.neuromorphic.net import Array, Projection, Shape, SpikingNet


def to_last(x: Array, shape: Shape) -> Array:
    """[..., *shape] channels first to [..., neurons] channels last."""
    lead, size = x.shape[: x.ndim - len(shape)], int(np.prod(shape))
    return np.ascontiguousarray(np.moveaxis(x, len(lead), -1) if len(shape) > 1 else x).reshape(*lead, size)


def from_last(x: Array, shape: Shape) -> Array:
    """The way back: [..., neurons] channels last to [..., *shape]."""
    lead = x.shape[:-1]
    if len(shape) < 2:
        return x.reshape(*lead, *shape)
    return np.ascontiguousarray(np.moveaxis(x.reshape(*lead, *shape[1:], shape[0]), -1, len(lead)))


@dataclass(frozen=True)
class Runs:
    """Synapses of a projection; neurons and targets are numbered channels last.

    Input neuron i is at position q = place[i]. Run k of the position, first[q] <= k < first[q + 1]: length[k] weights
    from weight[k] + weight_base[i] on add to the target from out[k] + out_base[i] on.
    left, right: shifts of the finished sum. limit: how many events at most add to one target in 16 bits without
    overflow; fan_in: how many there can be. wraps: the sum is taken modulo 2^24.
    """

    weights: Array
    place: Array
    weight_base: Array
    out_base: Array
    first: Array
    out: Array
    weight: Array
    length: Array
    left: int
    right: int
    limit: int
    fan_in: int
    wraps: bool
    targets: int
    graded: bool
    lag: int

    @property
    def rows(self) -> bool:
        """Whether every spike adds one whole row (dense)."""
        return len(self.length) == 1 and int(self.length[0]) == self.targets and not self.out_base.any()


def connect(net: SpikingNet, p: Projection, rule: Variant) -> Runs:
    """Runs of a projection of an integer net. Raises InputError where shapes do not agree."""
    source, target = net.population(p.source).shape, net.population(p.target).shape
    weight = np.asarray(p.weight).astype(np.int64)
    neurons_in, neurons_out = int(np.prod(source)), int(np.prod(target))
    group_in, group_out, stride, channels = neurons_in, 0, neurons_out, neurons_in
    table = [[(0, 0, neurons_out)]]
    if p.kind == "dense":
        rows = to_last(weight.T.reshape(neurons_in, *target), target)
        both = to_last(rows.T.reshape(neurons_out, *source), source)
        store = both.T
    elif p.kind == "identity":
        store = to_last(weight.reshape(target), target) if weight.size > 1 else weight.reshape(1)
        group_in, group_out, stride = 1, 1, int(weight.size > 1)
        table = [[(0, 0, 1)]]
    else:
        w = windows(p, source, target)
        channels, group_in, group_out = source[0], source[0] // w.group, target[0] // w.group
        if p.kind == "pool":
            store, stride = weight.reshape(1), 0
        else:
            order, store = _taps(w), weight.reshape(*weight.shape[:2], *w.kernel)
            store = store[..., order].reshape(w.group, group_out, group_in, -1).transpose(0, 2, 3, 1)
            stride = w.kernel[0] * w.kernel[1] * group_out
        table = _window_runs(w, target[0], group_out, p.kind == "pool")
    left = 0
    if store.size and not (store & 1).any() and np.abs(store).max() > 127:
        store, left = store >> 1, 1
    peak = int(np.abs(store).max(initial=0))
    exponent = left + p.weight_exponent
    out, weight_at, length = (np.array([r[k] for rs in table for r in rs], np.int32) for k in (0, 1, 2))
    place, channel = np.divmod(np.arange(neurons_in), channels)
    if p.kind == "identity":  # one to one in C order, whatever the two shapes are
        there = np.argsort(to_last(np.arange(neurons_out).reshape(target), target))
        channel = there[to_last(np.arange(neurons_in).reshape(source), source)]
    return Runs(
        _narrow(np.ascontiguousarray(store).reshape(-1)), place.astype(np.int32),
        (channel * stride).astype(np.int32), (channel // group_in * group_out).astype(np.int32),
        np.cumsum([0, *(len(r) for r in table)]).astype(np.int32), out, weight_at, length, max(exponent, 0),
        max(-exponent, 0), np.iinfo(np.int16).max // max(peak, 1), _fan_in(p, neurons_in),
        p.kind == "conv" and rule.conv_wraps and not _small(net, p, peak, exponent), neurons_out, p.graded,
        1 + p.delay_steps,
    )  # fmt: skip


def _fan_in(p: Projection, inputs: int) -> int:
    """Synapses of a target neuron at most."""
    if p.kind == "conv":
        return int(np.prod(p.weight.shape[1:]))
    return {"identity": 1, "dense": inputs}.get(p.kind, int(np.prod(p.attributes.get("kernel_shape", (1,)))))


def _small(net: SpikingNet, p: Projection, peak: int, exponent: int) -> bool:
    """Whether no sum of a convolution can leave 24 bits, so that taking it modulo 2^24 is idle."""
    fan_in = int(np.prod(p.weight.shape[1:]))
    return not p.graded and fan_in * peak * 2.0 ** max(exponent, 0) < 1 << 23


def _narrow(weights: Array) -> Array:
    """The smallest integer type that holds the weights."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    for kind in (np.int8, np.int16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return weights.astype(kind)
    return weights.astype(np.int32)


def _taps(w: Windows) -> list[int]:
    """Taps along the last axis, those that reach neighbouring outputs one after another."""
    step = w.stride[1] // w.dilation[1] if w.stride[1] % w.dilation[1] == 0 else w.kernel[1]
    return sorted(range(w.kernel[1]), key=lambda k: (k % step, -k))


def _window_runs(w: Windows, channels: int, group_out: int, pool: bool) -> list[list[tuple[int, int, int]]]:
    """Runs (out, weight, length) of every position, neighbours joined where one group has all channels."""
    place = {k: i for i, k in enumerate(_taps(w))}
    columns = []
    for taps in w.reaches(1):
        joined: list[tuple[int, int, int]] = []
        for i, at in sorted((place[k], at) for k, at in taps):
            last = joined[-1] if joined else None
            if last and w.group == 1 and not pool and last[0] + last[2] == i and last[1] + last[2] == at:
                joined[-1] = (last[0], last[1], last[2] + 1)
            else:
                joined.append((i, at, 1))
        columns.append(joined)
    table = []
    for rows in w.reaches(0):
        for column in columns:
            table.append(
                [
                    (
                        (oy * w.size_out[1] + at) * channels,
                        0 if pool else (ky * w.kernel[1] + i) * group_out,
                        n * group_out,
                    )
                    for ky, oy in rows
                    for i, at, n in column
                ]
            )
    return table
