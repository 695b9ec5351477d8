"""Labelled examples to train on: what can be wrong with them, which are held out, and reading chosen ones."""

from __future__ import annotations

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array


def label_problems(examples: Examples, size: int) -> list[str]:
    """Why the labels of examples cannot be learnt from by a network that answers `size` classes."""
    labels = examples.labels
    if labels is None:
        return ["no array y: fine-tuning learns from labels, one class number for each example"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return [f"array y is {labels.dtype} {labels.shape}: give one whole class number for each example"]
    found = []
    if int(labels.min()) < 0 or int(labels.max()) >= size:
        found.append(
            f"array y holds {labels.min()} .. {labels.max()}: the network answers classes 0 to {size - 1}"
        )
    if len(np.unique(labels)) < 2:
        found.append(f"array y holds class {labels[0]} only: give examples of at least 2 classes")
    if len(labels) < 2:
        found.append(f"{len(labels)} example: one is learnt from and one is held out at least")
    return found


def held_out(examples: Examples, share: float, seed: int) -> tuple[Array, str]:
    """Which examples are held out, [count] bool, and in words: whole patients where `group` tells them apart."""
    rng = np.random.default_rng([seed, 1])
    group = examples.group
    names = np.unique(group) if group is not None else np.arange(1)
    if group is None or len(names) < 2:
        count = _part(examples.count, share)
        aside = np.zeros(examples.count, bool)
        aside[rng.permutation(examples.count)[:count]] = True
        return aside, f"{count} of {examples.count} examples"
    chosen = np.sort(rng.permutation(names)[: _part(len(names), share)])
    listed = ", ".join(str(name) for name in chosen)
    return np.isin(group, chosen), f"{len(chosen)} of {len(names)} patients ({listed})"


def _part(count: int, share: float) -> int:
    return min(max(round(count * share), 1), count - 1)


def picked(examples: Examples, rows: Array) -> dict[str, Array]:
    """{input: [len(rows), *shape]} of ascending rows."""
    parts: dict[str, list[Array]] = {name: [] for name in examples.inputs}
    start = 0
    for batch in examples.batches(1024):
        size = len(next(iter(batch.values())))
        here = rows[(rows >= start) & (rows < start + size)] - start
        start += size
        for name in parts:
            parts[name].append(batch[name][here])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
