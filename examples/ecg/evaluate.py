"""Score an ECG network on labelled beats: `python evaluate.py` prints the table of the README.

Reads `test.npz` made by `trine data mitbih -o DIR` (`--data DIR`, default ./mitbih).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from trine.compilers.metrics import Accuracy, score


def logits(model: Path, inputs: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Logits [n, 5] of the float network, in batches of 4096 beats."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    count = len(inputs["beat"])
    parts = [
        session.run(["logits"], {name: values[at : at + 4096] for name, values in inputs.items()})[0]
        for at in range(0, count, 4096)
    ]
    return np.concatenate(parts)


def table(result: Accuracy) -> str:
    """The score as a Markdown table."""
    rows = ["| class | recall | precision | F1 | beats |", "|---|---|---|---|---|"]
    for one in result.per_class:
        figures = ("-" if value is None else f"{value:.3f}" for value in (one.recall, one.precision, one.f1))
        rows.append(f"| {one.name} | {' | '.join(figures)} | {one.support} |")
    interval = f"{result.macro_f1_low:.3f} to {result.macro_f1_high:.3f} (95 %, patients redrawn)"
    return "\n".join(
        [f"accuracy {result.accuracy:.4f}", f"macro-F1 {result.macro_f1:.3f}, {interval}", "", *rows]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "ecg.onnx")
    parser.add_argument("--leave-out", type=int, nargs="*", default=[], help="records not to score")
    parser.add_argument("--records", action="store_true", help="also the recall of each record")
    given = parser.parse_args()
    with np.load(given.data / "test.npz", allow_pickle=False) as file:
        kept = ~np.isin(file["group"], given.leave_out)
        inputs = {name: file[name][kept] for name in ("beat", "rr")}
        y, group, source = file["y"][kept], file["group"][kept], str(file["source"])
        classes = [str(name) for name in file["classes"]]
    guess = logits(given.model, inputs).argmax(axis=1)
    print(f"{source}: {len(y)} beats of {len(np.unique(group))} records")
    print(table(score(y, guess, classes, group)))
    # Without Q: 7 beats in the test set, 8 in the training set, too few to learn or to score.
    known = y != classes.index("Q")
    without = score(y[known], guess[known], classes, group[known])
    low, high = without.macro_f1_low, without.macro_f1_high
    print(f"\nmacro-F1 over N, S, V, F: {without.macro_f1:.3f}, {low:.3f} to {high:.3f}")
    for record in np.unique(group) if given.records else ():
        mine = group == record
        print(f"{record}: {(y[mine] == guess[mine]).mean():.4f} of {mine.sum()}")


if __name__ == "__main__":
    main()
