"""Accuracy of the float network and of the integer program on labelled examples, streamed in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.metrics import Accuracy, score
from trine.compilers.target import Progress, silent
from trine.edge.program import IntegerProgram

BATCH = 64  # small enough for the caches: larger batches ran slower


@dataclass(frozen=True)
class Predictions:
    """Class of every example by the float network and by the integer program, int64 [examples]."""

    source: NDArray[np.int64]
    deployed: NDArray[np.int64]

    @property
    def disagreements(self) -> int:
        """Examples that the two put in different classes."""
        return int((self.source != self.deployed).sum())


def is_classifier(program: IntegerProgram, examples: Examples) -> bool:
    """Whether labels are there and name entries of the only output, or are what an output of labels says."""
    labels = examples.labels
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        return False
    if label_of(program):
        return True
    size = program.tensors[program.outputs[0]].size
    return len(program.outputs) == 1 and size > 1 and int(labels.min()) >= 0 and int(labels.max()) < size


def label_of(program: IntegerProgram) -> str:
    """The output that is the class itself, one whole number an example, as tree ensembles have it; "" where none is."""
    named = [name for name in program.outputs if program.tensors[name].dtype == "int64"]
    return named[0] if len(named) == 1 and program.tensors[named[0]].size == 1 else ""


def spread(count: int, limit: int | None) -> NDArray[np.int64]:
    """Indices of at most `limit` examples, evenly spread over `count`."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).astype(np.int64))


def predict(
    graph: Graph,
    program: IntegerProgram,
    examples: Examples,
    chosen: NDArray[np.int64],
    progress: Progress = silent,
) -> Predictions:
    """Run both on the chosen examples; the class is the greatest entry of the output, the first of equals."""
    label = label_of(program)
    name = label or program.outputs[0]
    runs: tuple[Callable[[Mapping[str, Array]], Mapping[str, Array]], ...] = (
        graph.run,
        lambda batch: program.run(program.quantize(batch)),
    )
    found: list[list[NDArray[np.int64]]] = [[], []]
    for batch in regrouped(examples, chosen, progress):
        for classes, run in zip(found, runs, strict=True):
            y = run(batch)[name].reshape(len(next(iter(batch.values()))), -1)
            classes.append(y[:, 0].astype(np.int64) if label else y.argmax(axis=1))
    return Predictions(np.concatenate(found[0]), np.concatenate(found[1]))


def regrouped(
    examples: Examples, chosen: NDArray[np.int64], progress: Progress = silent
) -> Iterator[dict[str, Array]]:
    """The chosen examples in batches of BATCH, read in one pass over the file."""
    waiting: dict[str, list[Array]] = {}
    held = start = 0
    for whole in examples.batches(4 * BATCH):
        size = len(next(iter(whole.values())))
        here = chosen[(chosen >= start) & (chosen < start + size)] - start
        start += size
        held += len(here)
        for name, x in whole.items():
            waiting.setdefault(name, []).append(x[here])
        progress("classifying", start, examples.count)
        if held >= BATCH or start == examples.count:
            joined = {name: np.concatenate(parts) for name, parts in waiting.items()}
            yield from ({n: x[i : i + BATCH] for n, x in joined.items()} for i in range(0, held, BATCH))
            waiting, held = {}, 0


def accuracy(
    graph: Graph,
    program: IntegerProgram,
    examples: Examples,
    progress: Progress = silent,
    limit: int | None = None,
) -> dict[str, Any] | None:
    """{"source", "deployed", ...} of `deployment.json`, or None without usable labels.

    limit: how many examples at most, evenly spread; all by default.
    """
    labels = examples.labels
    if labels is None or not is_classifier(program, examples):
        return None
    chosen = spread(examples.count, limit)
    predictions = predict(graph, program, examples, chosen, progress)
    group = examples.group
    known = int(labels.max()) + 1 if label_of(program) else program.tensors[program.outputs[0]].size
    classes = examples.classes or tuple(str(i) for i in range(known))

    def scored(predicted: NDArray[np.int64]) -> Accuracy:
        return score(labels[chosen], predicted, classes, None if group is None else group[chosen])

    return {
        "source": scored(predictions.source).as_json(),
        "deployed": scored(predictions.deployed).as_json(),
        "examples": len(chosen),
        "disagreements": predictions.disagreements,
    }
