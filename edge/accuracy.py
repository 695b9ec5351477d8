"""Accuracy of the float network and of the integer program on labelled examples, streamed in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """Whether labels are there and name entries of the first output."""
    labels = examples.labels
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu" or len(program.outputs) != 1:
        return False
    size = program.tensors[program.outputs[0]].size
    return size > 1 and 0 <= int(labels.min()) and int(labels.max()) < size


def predict(
    graph: Graph, program: IntegerProgram, examples: Examples, progress: Progress = silent
) -> Predictions:
    """Run both on all examples; the class is the greatest entry of the output, the first of equals."""
    name = program.outputs[0]
    runs: tuple[Callable[[Mapping[str, Array]], Mapping[str, Array]], ...] = (
        graph.run,
        lambda batch: program.run(program.quantize(batch)),
    )
    found: list[list[NDArray[np.int64]]] = [[], []]
    done = 0
    for batch in examples.batches(BATCH):
        for classes, run in zip(found, runs, strict=True):
            y = run(batch)[name]
            classes.append(y.reshape(len(y), -1).argmax(axis=1))
        done += len(next(iter(batch.values())))
        progress("classifying", done, examples.count)
    return Predictions(np.concatenate(found[0]), np.concatenate(found[1]))


def accuracy(
    graph: Graph, program: IntegerProgram, examples: Examples, progress: Progress = silent
) -> dict[str, Any] | None:
    """{"source", "deployed"} of `deployment.json`, or None without usable labels."""
    if not is_classifier(program, examples):
        return None
    predictions = predict(graph, program, examples, progress)
    labels = examples.labels
    classes = examples.classes or tuple(str(i) for i in range(program.tensors[program.outputs[0]].size))

    def scored(predicted: NDArray[np.int64]) -> Accuracy:
        return score(labels, predicted, classes, examples.group)  # type: ignore[arg-type]

    return {
        "source": scored(predictions.source).as_json(),
        "deployed": scored(predictions.deployed).as_json(),
        "examples": examples.count,
        "disagreements": predictions.disagreements,
    }
