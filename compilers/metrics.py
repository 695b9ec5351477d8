"""How well a classifier does: accuracy, per-class figures, macro-F1, its bootstrap interval over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trine.devices.errors import InputError

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassScore:
    """One class. A figure is None where it is undefined: no true example, or no example given this class."""

    name: str
    recall: float | None
    precision: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Accuracy:
    """The score of one model on one labelled set; fractions in [0, 1].

    `macro_f1` is the mean of F1 over the classes with at least one true example. `macro_f1_low` and
    `macro_f1_high` are the 2.5 % and 97.5 % points of its bootstrap distribution (Efron 1979).
    """

    accuracy: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    per_class: tuple[ClassScore, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries for `deployment.json`; `per_class` is keyed by the class name."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "macro_f1_low": self.macro_f1_low,
            "macro_f1_high": self.macro_f1_high,
            "per_class": {
                c.name: {"recall": c.recall, "precision": c.precision, "f1": c.f1, "support": c.support}
                for c in self.per_class
            },
        }


def score(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    classes: Sequence[str],
    group: npt.ArrayLike | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> Accuracy:
    """Score predicted against true class numbers, both [n], each in 0 .. len(classes) - 1.

    `group` [n] names the patient of each example: the bootstrap then redraws whole patients, because beats
    of one patient are not independent (Field & Welsh 2007, cluster bootstrap); else examples are redrawn.
    Raises InputError for empty, unequal or out-of-range labels.
    """
    true, predicted = _labels("y_true", y_true, len(classes)), _labels("y_pred", y_pred, len(classes))
    if len(true) != len(predicted):
        raise InputError(
            f"y_true has {len(true)} labels and y_pred {len(predicted)}: give one prediction an example"
        )
    if draws < 1:
        raise InputError(f"draws is {draws}: the bootstrap needs at least 1")
    groups = np.zeros(len(true), np.int64) if group is None else _group_numbers(group, len(true))
    per_group = confusion(true, predicted, len(classes), groups)
    total: Counts = per_group.sum(axis=0)
    rng = np.random.default_rng(seed)
    redrawn = _redraw_examples(total, rng, draws) if group is None else _redraw_groups(per_group, rng, draws)
    low, high = np.quantile(macro_f1(redrawn), (0.025, 0.975))
    return Accuracy(
        accuracy=float(np.trace(total) / total.sum()),
        macro_f1=float(macro_f1(total)),
        macro_f1_low=float(low),
        macro_f1_high=float(high),
        per_class=per_class(total, classes),
    )


def confusion(true: Counts, predicted: Counts, classes: int, groups: Counts) -> Counts:
    """Confusion matrices [groups, true class, predicted class] of integer labels and group numbers [n]."""
    cells = (groups * classes + true) * classes + predicted
    count = int(groups.max()) + 1
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes).astype(np.int64)


def macro_f1(matrix: Counts) -> npt.NDArray[np.float64]:
    """Mean F1 = 2 TP / (2 TP + FP + FN) over classes with true examples; [..., true, predicted] -> [...]."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    support, given = matrix.sum(axis=-1), matrix.sum(axis=-2)
    f1 = 2 * hits / np.maximum(support + given, 1)
    present = support > 0
    return np.asarray((f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1), np.float64)


def per_class(matrix: Counts, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Recall, precision, F1 and support of each class of one confusion matrix [true, predicted]."""
    scores = []
    for k, name in enumerate(classes):
        hits, support, given = int(matrix[k, k]), int(matrix[k].sum()), int(matrix[:, k].sum())
        scores.append(
            ClassScore(
                name=name,
                recall=hits / support if support else None,
                precision=hits / given if given else None,
                f1=2 * hits / (support + given) if support else None,
                support=support,
            )
        )
    return tuple(scores)


def _redraw_groups(per_group: Counts, rng: np.random.Generator, draws: int) -> Counts:
    """Confusion matrices [draws, k, k] of as many groups drawn with replacement: counts times matrices."""
    groups, classes = per_group.shape[0], per_group.shape[1]
    times = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return np.asarray(times @ per_group.reshape(groups, -1), np.int64).reshape(draws, classes, classes)


def _redraw_examples(total: Counts, rng: np.random.Generator, draws: int) -> Counts:
    """The same for single examples: redrawing n examples is a multinomial over the cells of the matrix."""
    count = int(total.sum())
    return rng.multinomial(count, total.ravel() / count, size=draws).reshape(draws, *total.shape)


def _labels(what: str, values: npt.ArrayLike, classes: int) -> Counts:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{what} is {array.dtype} {list(array.shape)}: give a non-empty list of class numbers"
        )
    if int(array.min()) < 0 or int(array.max()) >= classes:
        raise InputError(
            f"{what} holds {array.min()} .. {array.max()}: class numbers go from 0 to {classes - 1}"
        )
    return array.astype(np.int64)


def _group_numbers(group: npt.ArrayLike, examples: int) -> Counts:
    array = np.asarray(group)
    if array.shape != (examples,):
        raise InputError(
            f"group has shape {list(array.shape)}: give one patient for each of the {examples} examples"
        )
    return np.unique(array, return_inverse=True)[1].astype(np.int64)
