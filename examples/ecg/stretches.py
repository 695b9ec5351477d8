"""Heartbeats one after another, as a stream is fed with them: what streams are calibrated and measured with.

python stretches.py --data mitbih     writes stretches.npz: `beat` [n, 2, 1024] and `rr` [n, 8, 1024], 8 beats each

Reads `calib.npz`, made by `trine data mitbih -o DIR`: every fourth stretch of eight beats of a patient that follow one
another. The RR ratios of a beat stand beside each of its samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

BEATS, EVERY = 8, 4

Floats = npt.NDArray[np.float32]


def stretches(beat: Floats, rr: Floats, patient: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """Stretches [n, channels, 8 x samples] of beats [m, channels, samples] and ratios [m, 8], in order of patients."""
    starts = [
        at
        for name in np.unique(patient)
        for rows in [np.flatnonzero(patient == name)]
        for at in rows[: len(rows) // BEATS * BEATS].reshape(-1, BEATS)[::EVERY]
    ]
    rows, wide = np.stack(starts), beat.shape[2]
    joined = beat[rows].transpose(0, 2, 1, 3).reshape(len(rows), beat.shape[1], -1)
    return {"beat": joined, "rr": np.repeat(rr[rows].transpose(0, 2, 1), wide, axis=2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("mitbih"), help="folder of `trine data mitbih -o`")
    parser.add_argument("-o", "--output", type=Path, default=Path("stretches.npz"))
    given = parser.parse_args()
    with np.load(given.data / "calib.npz", allow_pickle=False) as file:
        made = stretches(file["beat"], file["rr"], file["group"].astype(np.int64))
    np.savez_compressed(given.output, **made)
    print(f"{given.output}: {len(made['beat'])} stretches of {made['beat'].shape[2]} samples")


if __name__ == "__main__":
    main()
