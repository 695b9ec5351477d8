"""Which neurons a projection joins, by arithmetic: nothing here lists synapses.

A population is cut into boxes by a grid: along each dimension its indices are cut into ranges, a box is one
range of each. Convolution, pooling and one-to-one connections join dimensions independently of each other,
so that every count over two boxes is a product of counts over their ranges. Dense projections join
everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trine.neuromorphic.net import Projection, Shape, SpikingNet

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Span:
    """What a range of target indices takes from one dimension of its source.

    reached: source indices with at least one connection. taps: connections. patterns[t]: how many different
    sets of t taps occur (source indices with one set share their weights on chips that can); (kernel + 1,).
    """

    reached: int
    taps: int
    patterns: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """One spatial dimension: target o takes source o * stride + k * dilation - pad, for k below kernel."""

    size_in: int
    size_out: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    pad: int = 0

    def sources(self, low: int, high: int) -> Ints:
        """Source index of each target in [low, high) and tap, -1 where there is none; (high - low,
        kernel).
        """
        target = np.arange(low, high)[:, None] * self.stride
        index: Ints = target + np.arange(self.kernel) * self.dilation - self.pad
        return np.where((index >= 0) & (index < self.size_in), index, -1)

    def span(self, low: int, high: int) -> Span:
        """The span of a range; ranges that differ by a shift away from the borders share one computation."""
        first, last = low * self.stride - self.pad, (high - 1) * self.stride - self.pad
        beyond = max(0, last + (self.kernel - 1) * self.dilation - self.size_in + 1)
        inner = first >= 0 and beyond == 0
        return _span(self, 0 if inner else low, (high - low) if inner else high, inner)

    def pairs(self, cuts: Ints) -> tuple[Ints, Ints]:
        """(target range, source index) of every connected pair, each once."""
        index = self.sources(0, self.size_out)
        ranges = np.searchsorted(cuts, np.arange(self.size_out), "right") - 1
        both = (ranges[:, None] * self.size_in + index)[index >= 0]
        return np.divmod(np.unique(both), self.size_in)


@lru_cache(maxsize=65536)
def _span(window: Window, low: int, high: int, inner: bool) -> Span:
    shifted = Window(1 << 40, 1 << 40, window.kernel, window.stride, window.dilation) if inner else window
    index = shifted.sources(low, high)
    valid = index >= 0
    if not valid.any():
        return Span(0, 0, (0,) * (window.kernel + 1))
    first = int(index[valid].min())
    table = np.zeros((int(index.max()) - first + 1, window.kernel), bool)
    rows = np.where(valid, index - first, 0)
    table[rows[valid], np.broadcast_to(np.arange(window.kernel), index.shape)[valid]] = True
    table = table[table.any(axis=1)]
    sets = table[np.unique(np.packbits(table, axis=1), axis=0, return_index=True)[1]]
    counts = np.bincount(sets.sum(axis=1), minlength=window.kernel + 1)
    return Span(len(table), int(valid.sum()), tuple(int(c) for c in counts))


@dataclass(frozen=True)
class Channels:
    """The channel dimension of a grouped convolution: each target channel takes all sources of its group."""

    size_in: int
    size_out: int
    groups: int = 1

    @property
    def per_group(self) -> tuple[int, int]:
        """(source, target) channels of one group."""
        return self.size_in // self.groups, self.size_out // self.groups

    def groups_of(self, low: int, high: int) -> int:
        """Groups that a range of target channels touches."""
        outs = self.per_group[1]
        return (high - 1) // outs - low // outs + 1

    def pairs(self, cuts: Ints) -> tuple[Ints, Ints]:
        """(target range, source channel) of every connected pair, each once."""
        ins, outs = self.per_group
        rows, columns = [], []
        for number, (low, high) in enumerate(pairwise(cuts.tolist())):
            sources = np.arange(low // outs * ins, ((high - 1) // outs + 1) * ins)
            rows.append(np.full(len(sources), number))
            columns.append(sources)
        return np.concatenate(rows).astype(np.int64), np.concatenate(columns).astype(np.int64)


Axis = Window | Channels


@dataclass(frozen=True)
class Wiring:
    """How one projection joins its populations. axes: empty where every source reaches every target
    ("dense").

    "identity" joins neurons of equal flat index, whatever the shapes.
    shared: source indices with the same set of taps share weights (convolution, pooling).
    """

    projection: Projection
    source: Shape
    target: Shape
    axes: tuple[Axis, ...]

    @property
    def dense(self) -> bool:
        return self.projection.kind == "dense"

    @property
    def shared(self) -> bool:
        return self.projection.kind in ("conv", "pool")

    @property
    def channels(self) -> Channels:
        """The channel axis of a convolution or pooling."""
        return next(axis for axis in self.axes if isinstance(axis, Channels))

    @property
    def windows(self) -> tuple[Window, ...]:
        """The spatial axes of a convolution or pooling."""
        return tuple(axis for axis in self.axes if isinstance(axis, Window))

    @property
    def source_size(self) -> int:
        return int(np.prod(self.source, dtype=np.int64))

    @property
    def synapses(self) -> int:
        """Connections that exist (padding joins nothing)."""
        target_size = int(np.prod(self.target, dtype=np.int64))
        if not self.axes:
            return self.source_size * target_size
        total = 1
        for axis in self.axes:
            if isinstance(axis, Channels):
                total *= axis.size_out * axis.per_group[0]
            else:
                total *= axis.span(0, axis.size_out).taps
        return total


def wirings(net: SpikingNet) -> tuple[Wiring, ...]:
    """The wiring of every projection, in order. Raises ValueError for attributes that do not fit the
    shapes.
    """
    return tuple(_wiring(net, p) for p in net.projections)


def _wiring(net: SpikingNet, projection: Projection) -> Wiring:
    source, target = net.population(projection.source).shape, net.population(projection.target).shape
    if projection.kind == "dense":
        return Wiring(projection, source, target, ())
    if projection.kind == "identity":
        return Wiring(projection, source, target, tuple(Window(n, n, 1) for n in target))
    return Wiring(projection, source, target, _window_axes(projection, source, target))


def _window_axes(projection: Projection, source: Shape, target: Shape) -> tuple[Axis, ...]:
    attributes, rank = projection.attributes, len(source) - 1
    pool = projection.kind == "pool"
    kernel = tuple(attributes["kernel_shape"]) if pool else projection.weight.shape[2:]
    strides = tuple(attributes.get("strides") or (1,) * rank)
    dilations = tuple(attributes.get("dilations") or (1,) * rank)
    pads = tuple(attributes.get("pads") or (0,) * (2 * rank))
    groups = source[0] if pool else int(attributes.get("group", 1))
    windows = tuple(
        Window(source[d + 1], target[d + 1], int(kernel[d]), int(strides[d]), int(dilations[d]), int(pads[d]))
        for d in range(rank)
    )
    return (Channels(source[0], target[0], groups), *windows)
