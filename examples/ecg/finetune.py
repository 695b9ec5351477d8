"""What fine-tuning with quantisation in the loop brings back: `python finetune.py --data mitbih` prints a table.

Each precision is calibrated on DS1 with all that needs no labels (AdaRound among it), then fine-tuned on 18 patients of
DS1 and judged by the 4 others (`trine.edge.qat`, its default options); both are scored on DS2. Reads `calib.npz` and
`test.npz`, made by `trine data mitbih -o DIR`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trine.compilers.examples import Examples
from trine.compilers.metrics import score
from trine.compilers.source import load_source
from trine.edge.qat import FineTuning, Tuning, fine_tuned, summary
from trine.edge.quantize import quantize
from trine.edge.quantize.layers import packable
from trine.edge.simplify import simplify

PART = 2048  # beats at once
WIDTHS = {"int8": 8, "int4": 4, "int2": 2}

Inputs = dict[str, npt.NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "ecg.onnx")
    parser.add_argument("--precision", choices=tuple(WIDTHS), nargs="+", default=["int4", "int2"])
    parser.add_argument("--epochs", type=int, default=Tuning().epochs)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    graph, calib = simplify(load_source(given.model)), given.data / "calib.npz"
    with np.load(given.data / "test.npz", allow_pickle=False) as file:
        feed: Inputs = {tensor.name: file[tensor.name] for tensor in graph.inputs}
        y, group, classes = file["y"], file["group"], [str(name) for name in file["classes"]]

    def classified(run: object) -> npt.NDArray[np.int64]:
        assert callable(run)
        parts = range(0, len(y), PART)
        found = [run({name: x[at : at + PART] for name, x in feed.items()})["logits"] for at in parts]
        return np.asarray(np.concatenate(found).argmax(axis=1))

    wanted = classified(graph.run)

    def row(name: str, guess: npt.NDArray[np.int64]) -> None:
        result = score(y, guess, classes, group)
        recalls = " | ".join(f"{one.recall:.3f}" for one in result.per_class[:3])
        agreement = f"{np.mean(guess == wanted):.4f}"
        print(
            f"| {name} | {result.accuracy:.4f} | {result.macro_f1:.3f} | {recalls} | {agreement} |",
            flush=True,
        )

    print(
        "| DS2 | accuracy | macro-F1 | N recall | S recall | V recall | as float |\n|---|---|---|---|---|---|---|"
    )
    row("float", wanted)
    for precision in given.precision:
        bits = {node.inputs[1]: WIDTHS[precision] for node in packable(graph)}
        made = quantize(graph, Examples.open(calib, graph.inputs), weight_bits=bits)
        row(f"{precision}, calibrated", classified(made.program.run_float))
        options = FineTuning(calib, Tuning(epochs=given.epochs, seed=given.seed))
        tuned, record = fine_tuned(graph, made, options)
        row(f"{precision}, fine-tuned", classified(tuned.program.run_float))
        print(f"  ({summary(record)})")


if __name__ == "__main__":
    main()
