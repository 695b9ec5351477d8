"""Stretches of continuous ECG for `ssm_stream.onnx`, from two DS1 records of MIT-BIH.

python stretches.py --records mitbih_raw     writes stretches.npz: `signal` [n, 1, 1024] in mV, n consecutive stretches

Reads 119 and 208 as PhysioNet gives them (.hea, .dat); 180 samples a second, as the beats of `trine data mitbih`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import wfdb
from network import SIGNAL
from scipy.signal import resample_poly

RECORDS = ("119", "208")
CLIP_MV = 2.55  # as the beats


def stretches(folder: Path, record: str) -> np.ndarray:
    """The first lead, [n, 1, 1024]."""
    lead = wfdb.rdrecord(str(folder / record), channels=[0]).p_signal[:, 0]
    halved = np.clip(resample_poly(lead, 1, 2), -CLIP_MV, CLIP_MV).astype(np.float32)
    return halved[: len(halved) // SIGNAL * SIGNAL].reshape(-1, 1, SIGNAL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True, help="folder of the PhysioNet files")
    parser.add_argument("-o", "--output", type=Path, default=Path("stretches.npz"))
    given = parser.parse_args()
    signal = np.concatenate([stretches(given.records, record) for record in RECORDS])
    np.savez_compressed(given.output, signal=signal)
    print(f"{given.output}: {len(signal)} stretches of {SIGNAL} samples")


if __name__ == "__main__":
    main()
