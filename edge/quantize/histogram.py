"""Histograms of a network's activations, streamed: memory does not depend on the number of examples.

Two passes. The first sees every example and keeps minima and maxima. The second fills BINS equal bins between
them, over at most SAMPLE evenly spread examples: the shape of a distribution settles long before its
extremes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.devices.errors import InputError
from trine.edge.quantize.samples import Batches, Progress, silent, stream

BINS = 2048  # as TensorRT (Migacz 2017, GTC S7310) and onnxruntime's calibrators
SAMPLE = 4096


@dataclass(frozen=True)
class Extremes:
    """Least and greatest value of an activation for each channel (first axis): float32 [channels].

    reached_by: the examples {input: float32 [*shape]} that led to the least and to the greatest value of all.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    reached_by: tuple[Mapping[str, Array], ...] = ()

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value of all."""
        return float(self.low.min()), float(self.high.max())

    def divided(self, by: NDArray[np.float32]) -> Extremes:
        """Those of the same activation after each channel was divided by a positive number."""
        return replace(self, low=(self.low / by).astype(np.float32), high=(self.high / by).astype(np.float32))


@dataclass(frozen=True)
class Histogram:
    """Counts (int64 [bins]) of an activation's values in equal bins over [low, high], which holds zero.

    zeros: how many values were exactly zero; they are in `counts` too, but quantisation never moves them.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    zeros: int = 0

    @property
    def width(self) -> float:
        """Width of one bin, in the activation's unit."""
        return (self.high - self.low) / len(self.counts)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Middle of each bin."""
        return np.asarray(self.low + (np.arange(len(self.counts)) + 0.5) * self.width, np.float64)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Borders of the bins, one more than there are bins; the outer two are exactly low and high."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)

    @property
    def total(self) -> int:
        """Number of values counted."""
        return int(self.counts.sum())

    @property
    def without_zeros(self) -> NDArray[np.int64]:
        """The counts less the values that are exactly zero."""
        counts = self.counts.copy()
        if self.width > 0:
            counts[bin_of(np.zeros(1, np.float32), self.low, self.high, len(counts))[0]] -= self.zeros
        return counts


def bin_of(x: NDArray[np.float32], low: float, high: float, bins: int) -> NDArray[np.intp]:
    """The bin of each value; values outside fall into the outer bins."""
    kind = np.float32 if 1e-30 < high - low < 1e37 else np.float64  # where float32 would overflow on the way
    scaled = (x - kind(low)) * kind(bins / (high - low))
    return np.asarray(np.clip(scaled, 0, bins - 1), np.intp)


def activations(graph: Graph, batch: Mapping[str, Array], names: set[str]) -> Iterator[tuple[str, Array]]:
    """The named activations of one batch, each [n, *shape], without keeping them."""
    yield from ((name, np.asarray(x, np.float32)) for name, x in batch.items() if name in names)
    for node, results in graph.trace(batch):
        yield from ((n, r) for n, r in zip(node.outputs, results, strict=True) if n in names)


def extremes(
    graph: Graph, names: Sequence[str], examples: Batches, batch: int, progress: Progress = silent
) -> dict[str, Extremes]:
    """First pass: least and greatest value of every channel of each named activation, over all examples.

    Raises InputError for an empty set, for values that are not finite, and for an input that never changes.
    """
    low: dict[str, Array] = {}
    high: dict[str, Array] = {}
    lowest: dict[str, Mapping[str, Array]] = {}
    highest: dict[str, Mapping[str, Array]] = {}
    for seen, inputs in stream(examples, batch):
        for name, x in activations(graph, inputs, set(names)):
            least, most = by_first_axis(x.min(axis=0)).min(axis=1), by_first_axis(x.max(axis=0)).max(axis=1)
            if name not in low or least.min() < low[name].min():
                lowest[name] = example_of(inputs, int(x.argmin()) * len(x) // x.size)
            if name not in high or most.max() > high[name].max():
                highest[name] = example_of(inputs, int(x.argmax()) * len(x) // x.size)
            low[name] = np.minimum(low[name], least) if name in low else least
            high[name] = np.maximum(high[name], most) if name in high else most
        progress("ranges", seen, examples.count)
    if not low:
        raise InputError("the calibration set is empty: give at least one example (a few hundred are better)")
    refuse(graph, low, high)
    return {name: Extremes(low[name], high[name], (lowest[name], highest[name])) for name in names}


def example_of(batch: Mapping[str, Array], index: int) -> dict[str, Array]:
    """One example of a batch, copied out of it."""
    return {name: np.array(x[index], np.float32) for name, x in batch.items()}


def outermost(found: Mapping[str, Extremes]) -> list[Mapping[str, Array]]:
    """The examples that reached any activation's least or greatest value, each once, in a fixed order."""
    unique: dict[bytes, Mapping[str, Array]] = {}
    for extreme in found.values():
        for example in extreme.reached_by:
            unique.setdefault(b"".join(example[name].tobytes() for name in sorted(example)), example)
    return list(unique.values())


def by_first_axis(x: Array) -> Array:
    """One example [channels, ...] as [channels, rest]; a scalar as one channel."""
    return x.reshape(x.shape[0] if x.ndim else 1, -1)


def refuse(graph: Graph, low: Mapping[str, Array], high: Mapping[str, Array]) -> None:
    """Raise InputError naming every activation that is not finite and every input that is constant."""
    problems = [
        f"{name}: values that are not finite (NaN or infinity) on the calibration data"
        for name in sorted(low)
        if not (np.isfinite(low[name]).all() and np.isfinite(high[name]).all())
    ]
    problems += [
        f"input {tensor.name}: it is {low[tensor.name].min():g} everywhere in every calibration example"
        for tensor in graph.inputs
        if tensor.name in low and low[tensor.name].min() == high[tensor.name].max()
    ]
    if problems:
        hint = "\ngive calibration examples like those the device will see"
        raise InputError("cannot calibrate:\n  " + "\n  ".join(problems) + hint)


def histograms(
    graph: Graph,
    found: Mapping[str, Extremes],
    examples: Batches,
    batch: int,
    progress: Progress = silent,
) -> dict[str, Histogram]:
    """Second pass: a histogram for each activation in `found`, over at most SAMPLE spread examples."""
    span = {name: (min(e.range[0], 0.0), max(e.range[1], 0.0)) for name, e in found.items()}
    counts = {name: np.zeros(BINS, np.int64) for name in found}
    zeros = dict.fromkeys(found, 0)
    for seen, inputs in stream(examples, batch, SAMPLE):
        for name, x in activations(graph, inputs, set(found)):
            zeros[name] += x.size - int(np.count_nonzero(x))
            if span[name][0] < span[name][1]:
                counts[name] += np.bincount(bin_of(x.ravel(), *span[name], BINS), minlength=BINS)
            else:
                counts[name][0] += x.size
        progress("histograms", seen, examples.count)
    return {name: Histogram(*span[name], counts[name], zeros[name]) for name in found}
