"""How far the scores of a quantised network are from the float network's, on examples held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.edge.program import IntegerProgram
from trine.edge.quantize.replay import output_noise
from trine.edge.quantize.samples import in_batches


@dataclass(frozen=True)
class Judge:
    """Held-out examples, what the float network answers to them, and their labels.

    Distance: the noise of the scores over their energy. With labels the first output's scores are those of classes, and
    the Kullback-Leibler divergence from the float network's probabilities is added (Hinton et al. 2015, arXiv
    1503.02531), because the class is decided where scores lie close together.
    """

    inputs: Mapping[str, Array]
    exact: Mapping[str, Array]
    labels: NDArray[np.int64] | None
    labelled: float

    @staticmethod
    def of(graph: Graph, inputs: Mapping[str, Array], labels: Array | None, labelled: float) -> Judge:
        """The float network run on the examples."""
        return Judge(inputs, in_batches(graph.run, inputs), labels, labelled)

    def loss(self, found: Mapping[str, Array]) -> float:
        """Of these scores."""
        noise = output_noise(self.exact, found)
        if self.labels is None:
            return noise
        guess, wanted = (log_softmax(next(iter(scores.values()))) for scores in (found, self.exact))
        divergence = float((np.exp(wanted) * (wanted - guess)).sum(axis=1).mean())
        entropy = -float(guess[np.arange(len(guess)), self.labels].mean())
        return (1 - self.labelled) * (noise + divergence) + self.labelled * entropy

    def program(self, program: IntegerProgram) -> float:
        """Of an integer program."""
        return self.loss(in_batches(program.run_float, self.inputs))


def log_softmax(scores: Array) -> NDArray[np.float64]:
    """Of each example's scores, [n, classes]."""
    rows = scores.reshape(len(scores), -1).astype(np.float64)
    rows = rows - rows.max(axis=1, keepdims=True)
    return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)))
