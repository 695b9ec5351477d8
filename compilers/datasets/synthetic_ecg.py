"""Stand-in heartbeats when no recording is at hand: made by NeuroKit2, never to be reported as a result.

NeuroKit2's generator (Makowski et al. 2021) draws a sinus rhythm. Supraventricular beats (S) are such beats
that come early without a P wave; ventricular beats (V) are early, twice as wide, larger, inverted after R.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trine.compilers.datasets.ecg_beats import BEFORE, UNITS_PER_MV, WINDOW, RecordBeats
from trine.devices.errors import MissingExtra

SOURCE = "SYNTHETIC (NeuroKit2 ecg_simulate and made-up S and V beats): not a recording, no clinical meaning"
SECONDS = 60
RATE_HZ = 180
NORMAL, SUPRAVENTRICULAR, VENTRICULAR = 0, 1, 2


def simulate(record: int) -> RecordBeats:
    """A minute of one made-up patient; the record number is the seed. Needs NeuroKit2, else MissingExtra."""
    try:
        import neurokit2
    except ImportError as error:
        raise MissingExtra("neurokit2", "data", "a synthetic ECG") from error
    chance = np.random.default_rng(record)
    rate = int(chance.integers(55, 95))
    trace = neurokit2.ecg_simulate(
        duration=SECONDS, sampling_rate=RATE_HZ, heart_rate=rate, noise=0.02, random_state=record
    )
    trace = np.asarray(trace, np.float64)
    _, found = neurokit2.ecg_peaks(trace, sampling_rate=RATE_HZ)
    at = np.asarray(found["ECG_R_Peaks"], np.int64)
    at = at[(at >= BEFORE) & (at + WINDOW - BEFORE <= len(trace))]
    y = chance.choice([NORMAL, SUPRAVENTRICULAR, VENTRICULAR], size=len(at), p=[0.8, 0.1, 0.1]).astype(
        np.uint8
    )
    beats = np.stack([_shape(trace[p - BEFORE : p - BEFORE + WINDOW], kind) for p, kind in zip(at, y)])
    # Early beats take their time from the pause that follows them.
    sample = at * 2
    usual = np.median(np.diff(sample))
    early = np.where(y == NORMAL, 0.0, chance.uniform(0.2, 0.4, len(at)) * usual).astype(np.int64)
    sample = sample - early
    gaps = np.diff(sample)
    return RecordBeats(
        record=record,
        x=np.rint(beats * UNITS_PER_MV).astype(np.int16),
        y=y,
        rr_pre=np.concatenate(([-1], gaps)).astype(np.int32),
        rr_post=np.concatenate((gaps, [-1])).astype(np.int32),
        sample=sample.astype(np.int32),
    )


def _shape(beat: npt.NDArray[np.float64], kind: int) -> npt.NDArray[np.float64]:
    """A sinus beat [128] in mV, as it is or made supraventricular or ventricular."""
    made = beat.copy()
    position = np.arange(WINDOW)
    if kind == SUPRAVENTRICULAR:
        made[:38] = np.median(beat[:38])
    if kind == VENTRICULAR:
        wide = np.interp(BEFORE + (position - BEFORE) / 2, position, beat)
        made = 1.4 * np.where(position > BEFORE + 12, -wide, wide)
    return made
