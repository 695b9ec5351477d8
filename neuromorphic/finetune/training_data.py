"""What fine-tuning learns from and what it is judged by: labelled examples, split by patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.labelled import held_out, label_problems, picked
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
    aside, words = held_out(examples, options.held_out, options.seed)
    learnt = np.flatnonzero(~aside)
    if len(np.unique(labels[learnt])) < 2:
        raise InputError(
            f"{examples.path.name}: without {words}, which choose the epoch, all labels are of one class: give more "
            "patients, or another seed"
        )
    draws = np.stack([drawn(learnt, options, epoch) for epoch in range(options.epochs)])
    others = np.flatnonzero(aside)
    judged = others[spread(len(others), JUDGED)]
    rows = np.unique(np.concatenate([draws.reshape(-1), judged]))
    inputs = picked(examples, rows)
    return TrainingSet(inputs, labels[rows], rows, draws, judged, size, words, sha256(options.train))


def drawn(rows: Array, options: FineTuning, epoch: int) -> Array:
    """Rows of one epoch, none twice. Each epoch has a generator of its own, so that a resumed run draws the same."""
    return np.random.default_rng([options.seed, 2, epoch]).permutation(rows)[: options.examples]
