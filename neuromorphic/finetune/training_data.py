"""What fine-tuning learns from and what it is judged by: labelled examples, split by patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.source import sha256
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.convert import spread
from trine.neuromorphic.conversion.layers import LayerNet
from trine.neuromorphic.finetune.options import FineTuning

JUDGED = 4096  # held-out examples that the epochs are judged by, evenly spread


@dataclass(frozen=True)
class TrainingSet:
    """Examples in memory; rows are places in the file.

    inputs: {name: [n, *shape]}; labels: [n] class numbers; rows: [n] ascending. draws: rows of each epoch, [epochs,
    examples]. judged: rows held out. classes: that the network tells apart. held_out: what was held out, in words.
    digest: SHA-256 of the file.
    """

    inputs: dict[str, Array] = field(repr=False)
    labels: Array = field(repr=False)
    rows: Array = field(repr=False)
    draws: Array = field(repr=False)
    judged: Array = field(repr=False)
    classes: int
    held_out: str
    digest: str

    def take(self, rows: Array) -> tuple[dict[str, Array], Array]:
        """Inputs and labels of rows of the file."""
        at = np.searchsorted(self.rows, rows)
        return {k: x[at] for k, x in self.inputs.items()}, self.labels[at]


def load_training(graph: Graph, net: LayerNet, options: FineTuning) -> TrainingSet:
    """Read the examples that will be drawn. Raises InputError with everything that is wrong with options and file."""
    problems = options.problems()
    size = int(np.prod(net.output.shape))
    examples = None
    try:
        examples = Examples.open(options.train, graph.inputs)
        problems += [f"{examples.path.name}: {problem}" for problem in label_problems(examples, size)]
    except InputError as error:
        problems.append(str(error))
    if problems or examples is None:
        raise InputError("fine-tuning cannot begin:\n  " + "\n  ".join(problems))
    labels = np.asarray(examples.labels, np.int64)
    aside, held_out = split(examples, options)
    learnt = np.flatnonzero(~aside)
    if len(np.unique(labels[learnt])) < 2:
        raise InputError(
            f"{examples.path.name}: without {held_out}, which choose the epoch, all labels are of one class: give more "
            "patients, or another seed"
        )
    draws = np.stack([drawn(learnt, options, epoch) for epoch in range(options.epochs)])
    others = np.flatnonzero(aside)
    judged = others[spread(len(others), JUDGED)]
    rows = np.unique(np.concatenate([draws.reshape(-1), judged]))
    inputs = picked(examples, rows)
    return TrainingSet(inputs, labels[rows], rows, draws, judged, size, held_out, sha256(options.train))


def label_problems(examples: Examples, size: int) -> list[str]:
    """Why the labels cannot be learnt from."""
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


def split(examples: Examples, options: FineTuning) -> tuple[Array, str]:
    """Which examples are held out, [count] bool, and in words: whole patients where they are known."""
    rng = np.random.default_rng([options.seed, 1])
    group = examples.group
    names = np.unique(group) if group is not None else np.arange(1)
    if group is None or len(names) < 2:
        count = _share(examples.count, options.held_out)
        aside = np.zeros(examples.count, bool)
        aside[rng.permutation(examples.count)[:count]] = True
        return aside, f"{count} of {examples.count} examples"
    chosen = np.sort(rng.permutation(names)[: _share(len(names), options.held_out)])
    listed = ", ".join(str(name) for name in chosen)
    return np.isin(group, chosen), f"{len(chosen)} of {len(names)} patients ({listed})"


def _share(count: int, share: float) -> int:
    return min(max(round(count * share), 1), count - 1)


def drawn(rows: Array, options: FineTuning, epoch: int) -> Array:
    """Rows of one epoch, none twice. Each epoch has a generator of its own, so that a resumed run draws the same."""
    return np.random.default_rng([options.seed, 2, epoch]).permutation(rows)[: options.examples]


def picked(examples: Examples, rows: Array) -> dict[str, Array]:
    """The examples of ascending rows."""
    parts: dict[str, list[Array]] = {name: [] for name in examples.inputs}
    start = 0
    for batch in examples.batches(1024):
        size = len(next(iter(batch.values())))
        here = rows[(rows >= start) & (rows < start + size)] - start
        start += size
        for name in parts:
            parts[name].append(batch[name][here])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
