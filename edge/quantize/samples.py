"""Calibration examples as the quantiser reads them: a stream it may walk again, and a fixed spread of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.devices.errors import InputError

Progress = Callable[[str, int, int], None]  # what is being done, examples done, examples in all
LEAST = 8  # examples looked at closely however large the network
LEAST_HELD_OUT = 64  # fewer than twice as many are not split: verdicts on 32 were seen to be chance
MEMORY_BYTES = 64 * 2**20  # of float activations kept at once for the examples that are looked at closely


class Batches(Protocol):
    """A calibration set: `batches` may be called again and gives the same examples in the same order."""

    @property
    def count(self) -> int:
        """Number of examples."""
        ...

    def batches(self, size: int, limit: int | None = None) -> Iterator[Mapping[str, Array]]:
        """Yield {input: float32 [n, *shape]} with n <= size, in order."""
        ...


def silent(stage: str, done: int, total: int) -> None:
    """The progress callable that shows nothing."""


def spread_indices(count: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` example numbers, evenly spread over `count`; int64, ascending."""
    wanted = min(count, wanted)
    return (np.arange(wanted, dtype=np.int64) * count) // max(wanted, 1)


def stream(
    examples: Batches, size: int, wanted: int | None = None
) -> Iterator[tuple[int, Mapping[str, Array]]]:
    """Yield (examples passed, batch of about `size`); with `wanted`, only so many, evenly spread."""
    seen = 0
    if wanted is None or wanted >= examples.count:
        for batch in examples.batches(size):
            seen += size_of(batch)
            yield seen, batch
        return
    picked = spread_indices(examples.count, wanted)
    waiting: list[Mapping[str, Array]] = []
    kept = 0
    for batch in examples.batches(size):
        first, seen = seen, seen + size_of(batch)
        here = picked[np.searchsorted(picked, first) : np.searchsorted(picked, seen)] - first
        if here.size:
            waiting.append({name: x[here] for name, x in batch.items()})
            kept += here.size
        # A run of the network costs much the same for five examples as for fifty.
        if kept >= size or (seen >= examples.count and waiting):
            yield seen, {name: np.concatenate([part[name] for part in waiting]) for name in waiting[0]}
            waiting, kept = [], 0


def gather(examples: Batches, size: int, wanted: int) -> dict[str, Array]:
    """`wanted` evenly spread examples as one batch {input: float32 [wanted, *shape]}."""
    parts = [batch for _, batch in stream(examples, size, wanted)]
    if not parts:
        raise InputError("the calibration set is empty: give at least one example (a few hundred are better)")
    return {name: np.concatenate([np.asarray(part[name], np.float32) for part in parts]) for name in parts[0]}


def size_of(samples: Mapping[str, Array]) -> int:
    """Number of examples in {input: [n, *shape]}."""
    return len(next(iter(samples.values())))


def split(samples: Mapping[str, Array], most: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """(to derive from, held out): every other example each, or all for both when there are too few.

    most: of the examples to derive from; they stay evenly spread.
    """
    apart = size_of(samples) >= 2 * LEAST_HELD_OUT
    derive = {name: x[0::2] if apart else x for name, x in samples.items()}
    held = {name: x[1::2] if apart else x for name, x in samples.items()}
    return every(derive, most), held


def every(samples: Mapping[str, Array], most: int) -> dict[str, Array]:
    """At most so many of the examples {input: [n, *shape]}, evenly spread."""
    picked = spread_indices(size_of(samples), most)
    return {name: x[picked] for name, x in samples.items()}


def joined(samples: Mapping[str, Array], more: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Samples {input: [n, *shape]} with single examples {input: [*shape]} after them."""
    return {name: np.concatenate([x, *(one[name][None] for one in more)]) for name, x in samples.items()}


def in_batches(
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]], samples: Mapping[str, Array], size: int = 64
) -> dict[str, Array]:
    """Run a network on samples {input: [n, *shape]}, `size` at a time so that memory stays small."""
    count = size_of(samples)
    parts = [run({n: x[i : i + size] for n, x in samples.items()}) for i in range(0, count, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def affordable(graph: Graph, runs: int, most: int, budget_macs: float) -> int:
    """How many examples fit MEMORY_BYTES of activations, and `runs` runs of them a budget of MACs."""
    floats = sum(tensor.size for tensor in graph.tensors.values())
    by_memory = MEMORY_BYTES // max(4 * floats, 1)
    by_work = int(budget_macs / max(graph.macs() * runs, 1))
    return int(np.clip(min(by_memory, by_work), LEAST, most))
