"""Geometry of convolution and pooling: which output positions a window of the input reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.net import Array, Projection, Shape


@dataclass(frozen=True)
class Windows:
    """Two spatial axes (one-dimensional data has height 1): sizes, kernel, stride, dilation, padding before."""

    size_in: tuple[int, int]
    size_out: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    group: int

    def reaches(self, axis: int) -> list[list[tuple[int, int]]]:
        """For each input position along an axis: (tap, output position) of every window it lies in."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(self.size_in[axis])]
        for i, taps in enumerate(found):
            for k in range(self.kernel[axis]):
                at, left = divmod(i + self.pad[axis] - k * self.dilation[axis], self.stride[axis])
                if left == 0 and 0 <= at < self.size_out[axis]:
                    taps.append((k, at))
        return found


def windows(p: Projection, source: Shape, target: Shape) -> Windows:
    """Geometry of a projection of kind conv or pool. Raises InputError where its shapes do not agree."""
    where = f"projection {p.name} ({p.source} -> {p.target})"
    axes = len(source) - 1
    if axes not in (1, 2) or len(target) != len(source):
        raise InputError(
            f"{where}: {p.kind} needs (channels, length) or (channels, height, width), not {source}"
        )
    kernel = tuple(p.weight.shape[2:]) if p.kind == "conv" else tuple(p.attributes["kernel_shape"])
    ones, group = (1,) * axes, int(p.attributes.get("group", 1)) if p.kind == "conv" else source[0]
    stride = tuple(p.attributes.get("strides", ones))
    dilation = tuple(p.attributes.get("dilations", ones))
    pads = tuple(p.attributes.get("pads", (0,) * 2 * axes))
    expected = tuple(
        (n + pads[i] + pads[axes + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i, n in enumerate(source[1:])
    )
    channels = p.weight.shape[0] if p.kind == "conv" else source[0]
    if (channels, *expected) != tuple(target):
        raise InputError(f"{where}: {p.kind} gives {(channels, *expected)}, the target is {tuple(target)}")
    if p.kind == "conv" and (p.weight.shape[1] * group != source[0] or channels % group):
        raise InputError(
            f"{where}: weight {p.weight.shape} with group {group} does not fit {source[0]} channels"
        )

    def pair(values: Shape, fill: int) -> tuple[int, int]:
        return (fill, values[0]) if axes == 1 else (values[0], values[1])

    return Windows(
        pair(tuple(source[1:]), 1), pair(tuple(target[1:]), 1), pair(kernel, 1), pair(stride, 1),
        pair(dilation, 1), pair(pads[:axes], 0), group,
    )  # fmt: skip


def window_fan_out(p: Projection, source: Shape, target: Shape) -> Array:
    """Synapses of each input neuron, int64 [*source]."""
    w = windows(p, source, target)
    per_axis = [np.array([len(taps) for taps in w.reaches(axis)], np.int64) for axis in (0, 1)]
    channels = target[0] // w.group
    plane = np.outer(per_axis[0], per_axis[1]).reshape(source[1:]) * channels
    return np.broadcast_to(plane, source)
