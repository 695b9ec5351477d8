"""Accuracy of `ssm.onnx` on labelled beats, in float and in int8: python evaluate.py --data mitbih

Reads `calib.npz` (every tenth beat, for the ranges) and `test.npz`, made by `trine data mitbih -o DIR`. The int8
answers are those of the integer program's definition, which the C equals bit for bit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trine.compilers.metrics import score
from trine.compilers.onnx_reader import read_onnx
from trine.edge.quantize.quantize import quantize

PART = 2048  # beats at once


@dataclass(frozen=True)
class Beats:
    """Calibration beats in memory."""

    beat: np.ndarray

    @property
    def count(self) -> int:
        return len(self.beat)

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        for at in range(0, min(self.count, limit or self.count), size):
            yield {"beat": self.beat[at : at + size]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"))
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "ssm.onnx")
    given = parser.parse_args()
    graph = read_onnx(given.model)
    with np.load(given.data / "calib.npz", allow_pickle=False) as file:
        ranges = Beats(file["beat"][::10])
    program = quantize(graph, ranges).program
    with np.load(given.data / "test.npz", allow_pickle=False) as file:
        beat, y, group = file["beat"], file["y"], file["group"]
        classes = [str(name) for name in file["classes"]]
    for name, run in (("float", graph.run), ("int8", program.run_float)):
        parts = [run({"beat": beat[at : at + PART]})["logits"] for at in range(0, len(beat), PART)]
        result = score(y, np.concatenate(parts).argmax(axis=1), classes, group)
        recalls = ", ".join(
            f"{one.name} {one.recall:.3f}" for one in result.per_class if one.recall is not None
        )
        print(
            f"{name}: {len(y)} beats, accuracy {result.accuracy:.4f}, macro-F1 {result.macro_f1:.3f}; recall {recalls}"
        )


if __name__ == "__main__":
    main()
