"""Cross-validate the recipe inside DS1, by patient: what every choice of `train.py` is made with.

python folds.py --seeds 0 1 2    table at the recipe's offset, and how the offset would be chosen

Reads `calib.npz`, made by `trine data mitbih -o DIR` (`--data DIR`, default ./mitbih). DS2 stays shut.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from evaluate import table
from torch import nn
from train import Beats, Recipe, load, repeatable, train

from trine.compilers.metrics import Accuracy, score

Logits = npt.NDArray[np.float32]
Training = Callable[
    [Beats, npt.NDArray[np.int64], Recipe, int, str], nn.Module
]  # a network for beats of some rows

# Patients held out together. Each fold holds S and V beats of several patients.
FOLDS = (
    (209, 106, 115, 122, 203),
    (201, 119, 101, 112, 116, 230),
    (207, 220, 208, 108, 215),
    (118, 223, 109, 114, 124, 205),
)
OFFSETS = tuple(float(offset) for offset in np.arange(-1, 4.25, 0.25))


@torch.no_grad()
def predict(net: nn.Module, beats: Beats, rows: npt.NDArray[np.int64]) -> Logits:
    """Logits [rows, 5]."""
    parts = [net(beats.beat[part], beats.rr[part]) for part in np.array_split(rows, len(rows) // 2048 + 1)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def cross_validate(beats: Beats, recipe: Recipe, seed: int, training: Training = train) -> Logits:
    """Logits [n, 5] of every DS1 beat from a network that never saw its patient, without the offset."""
    logits = np.zeros((len(beats.y), len(beats.classes)), np.float32)
    for k, held_out in enumerate(FOLDS):
        outside = np.isin(beats.patient, held_out)
        net = training(beats, np.flatnonzero(~outside), recipe, seed + k, f"fold {k + 1} of {len(FOLDS)}")
        logits[outside] = predict(net, beats, np.flatnonzero(outside))
    return logits


def judge(beats: Beats, logits: Logits, offset: float, draws: int = 1) -> Accuracy:
    """The score with `offset` added to the logit of N; `draws` of the bootstrap over patients."""
    shifted = logits + np.eye(logits.shape[1], dtype=np.float32)[0] * np.float32(offset)
    return score(beats.y, shifted.argmax(axis=1), beats.classes, beats.patient, draws=draws)


def merit(result: Accuracy) -> float:
    """What recipes and offsets are compared by: the mean F1 of N, S and V."""
    return float(np.mean([one.f1 or 0.0 for one in result.per_class[:3]]))


def best_offset(beats: Beats, every: list[Logits]) -> float:
    """The offset of greatest mean merit over the seeds, to three digits; of equals the most accurate."""
    return max(OFFSETS, key=lambda offset: standing([judge(beats, logits, offset) for logits in every]))


def standing(results: list[Accuracy]) -> tuple[float, float]:
    merits, accuracies = zip(*((merit(result), result.accuracy) for result in results))
    return round(float(np.mean(merits)), 3), float(np.mean(accuracies))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    repeatable()
    beats, recipe = load(given.data), Recipe()
    # Folds train with consecutive seeds, so trainings of different --seeds must not share one.
    every = [cross_validate(beats, recipe, len(FOLDS) * seed) for seed in given.seeds]
    report(beats, every, recipe)


def report(beats: Beats, every: list[Logits], recipe: Recipe) -> None:
    """Print the scores of cross-validations: at every offset, and in full at the recipe's."""
    for offset in OFFSETS:
        mean, accuracy = standing([judge(beats, logits, offset) for logits in every])
        print(f"offset {offset:+.2f}  mean F1 of N, S, V {mean:.3f}  accuracy {accuracy:.4f}")
    print(f"best offset {best_offset(beats, every):+.2f}, the recipe has {recipe.normal_offset:+.2f}")
    for number, logits in enumerate(every):
        result = judge(beats, logits, recipe.normal_offset, draws=1000)
        print(f"\ncross-validation {number}: mean F1 of N, S, V {merit(result):.4f}\n{table(result)}")


if __name__ == "__main__":
    main()
