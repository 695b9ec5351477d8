"""Heartbeats of a single-lead ECG as network inputs: a window round the R peak, the rhythm, the usual beat.

Everything here is causal but for one beat: `rr_post` needs the next R peak, so a decision comes one beat late
(about 0.8 s). Every state is an integer a wearable keeps: one averaged beat of 128 values, four averages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CLASSES = ("N", "S", "V", "F", "Q")
WINDOW, BEFORE = 128, 48
UNITS_PER_MV = 200
RR_PER_S = 360
# +-2.55 mV: an int8 input then steps by 20 uV, fine enough for P waves; 5 % of the DS1 beats are clipped.
CLIP_UNITS = 510
RR_FEATURES = (
    "rr_pre / rr_long - 1",
    "rr_post / rr_long - 1",
    "rr_pre / rr_short - 1",
    "rr_post / rr_short - 1",
    "rr_pre / rr_post - 1",
    "the previous beat's rr_pre / rr_long - 1",
    "running mean of |rr_pre / rr_short - 1|",
    "rr_short / rr_long - 1",
)
# Symbols of the MIT-BIH annotations and their AAMI EC57 class (de Chazal et al. 2004, table 1).
AAMI_CLASS = {
    symbol: number for number, symbols in enumerate(("NLRej", "AaJS", "VE", "F", "/fQ")) for symbol in symbols
}


@dataclass(frozen=True)
class RecordBeats:
    """The beats of one record (patient) in order of time.

    `x` int16 [n, 128], 180 Hz, 200 units a mV, R peak at index 48; `y` uint8 [n] AAMI class 0..4;
    `rr_pre` and `rr_post` int32 [n], 1/360 s to the neighbouring beats, -1 where there is none; `sample`
    int32 [n], R peak in the 360 Hz record.
    """

    record: int
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.uint8]
    rr_pre: npt.NDArray[np.int32]
    rr_post: npt.NDArray[np.int32]
    sample: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.y)


def cut_beats(record: int, signal: npt.ArrayLike, peaks: npt.ArrayLike, symbols: list[str]) -> RecordBeats:
    """Beats of one 360 Hz lead `signal` [samples], 200 units a mV, zero removed, with its annotations.

    The lead is brought to 180 Hz by `scipy.signal.resample_poly(signal, 1, 2)` and rounded. `peaks` are the
    annotated samples, `symbols` their MIT-BIH labels. Annotations that are no beats are left out first, so RR
    intervals join true beats; beats cut by the record's ends are left out last.
    """
    from scipy.signal import resample_poly

    halved = np.rint(resample_poly(np.asarray(signal, np.float64), 1, 2)).astype(np.int16)
    beat = np.array([symbol in AAMI_CLASS for symbol in symbols], bool)
    at = np.asarray(peaks, np.int64)[beat]
    y = np.array([AAMI_CLASS[symbol] for symbol in symbols if symbol in AAMI_CLASS], np.uint8)
    gaps = np.diff(at)
    rr_pre, rr_post = np.concatenate(([-1], gaps)), np.concatenate((gaps, [-1]))
    start = at // 2 - BEFORE
    whole = (start >= 0) & (start + WINDOW <= len(halved))
    x = halved[start[whole, None] + np.arange(WINDOW)]
    return RecordBeats(
        record=record,
        x=x,
        y=y[whole],
        rr_pre=rr_pre[whole].astype(np.int32),
        rr_post=rr_post[whole].astype(np.int32),
        sample=at[whole].astype(np.int32),
    )


def beat_input(beats: RecordBeats) -> Floats:
    """Model input `beat` float32 [n, 2, 128] in mV, within +-2.55.

    Channel 0 is the beat less its own mean; channel 1 is that less the patient's running mean beat: an
    average (weight 1/32) of the earlier beats that came on time (`rr_pre` within 10 % of `rr_long`).
    No label is used. The first beat of a record is its own reference, so its channel 1 is zero.
    """
    x = beats.x.astype(np.int64)
    centred = x - (x.sum(axis=1, keepdims=True) >> 7)
    difference = np.empty_like(centred)
    on_time = [10 * abs((pre << 8) - long) < long for pre, _, long, _, _ in _rhythm(beats)]
    reference = centred[0] << 8
    seen = 1
    for i in range(len(beats)):
        difference[i] = centred[i] - (reference >> 8)
        if on_time[i]:
            seen += 1
            reference = reference + (((centred[i] << 8) - reference) >> _shift(seen, 5))
    both = np.stack([centred, difference], axis=1)
    clipped = np.clip(both, -CLIP_UNITS, CLIP_UNITS).astype(np.float32)
    return np.asarray(clipped / np.float32(UNITS_PER_MV), np.float32)


def rr_input(beats: RecordBeats) -> Floats:
    """Model input `rr` float32 [n, 8], the ratios of `RR_FEATURES`, each within -1 .. 2.

    `rr_short` and `rr_long` are running averages (weights 1/8 and 1/128) of the earlier intervals. A missing
    interval (-1, at the ends of a record) counts as the long average, so that its ratio to it is near zero.
    """
    rows = np.zeros((len(beats), len(RR_FEATURES)), np.float64)
    previous = 0.0
    for i, (pre, short, long, irregular, post) in enumerate(_rhythm(beats)):
        early, late = pre * 256 / long - 1, post * 256 / long - 1
        rows[i] = (
            early,
            late,
            pre * 256 / short - 1,
            post * 256 / short - 1,
            pre / post - 1,
            previous,
            irregular / 4096,
            short / long - 1,
        )
        previous = early
    return np.clip(rows, -1, 2).astype(np.float32)


def model_inputs(beats: RecordBeats) -> dict[str, Floats]:
    """Both inputs of the ECG network by name."""
    return {"beat": beat_input(beats), "rr": rr_input(beats)}


def _rhythm(beats: RecordBeats) -> Iterator[tuple[int, int, int, int, int]]:
    """Per beat: rr_pre, the averages short and long (x 256), irregularity (x 4096) before it, and rr_post."""
    first = [int(v) for v in (*beats.rr_pre[:1], *beats.rr_post[:1]) if v > 0]
    short = long = (first[0] if first else RR_PER_S) << 8
    irregular = seen = 0
    for rr_pre, rr_post in zip(beats.rr_pre.tolist(), beats.rr_post.tolist()):
        usual = max(long >> 8, 1)
        pre = rr_pre if rr_pre > 0 else usual
        yield pre, short, long, irregular, rr_post if rr_post > 0 else usual
        if rr_pre <= 0:
            continue
        seen += 1
        deviation = min(4096, (abs((pre << 8) - short) << 12) // short)
        irregular += (deviation - irregular) >> _shift(seen, 4)
        # A pause or a lost beat counts as at most two usual intervals.
        interval = min(pre << 8, 2 * long)
        short += (interval - short) >> _shift(seen, 3)
        long += (interval - long) >> _shift(seen, 7)


def _shift(seen: int, most: int) -> int:
    """Averages start as plain means and settle at weight 2**-most: the shift after `seen` values."""
    return min(most, seen.bit_length() - 1)
