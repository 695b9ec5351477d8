"""A continuous ECG record through a deployed beat classifier, as a wearable would hear it.

Level-crossing events -> a spiking beat detector -> the R peak near each detection -> the network's inputs, cut as for
training -> one inference a beat. What comes out: detections against the record's reference beats, how long after the
R peak an answer is there and why, and what the event code costs and loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.compilers.datasets.ecg_beats import BEFORE, CLASSES, UNITS_PER_MV, WINDOW, cut_beats, model_inputs
from trine.compilers.graph import Array, Tensor
from trine.devices.errors import InputError
from trine.neuromorphic.encoders import Encoder, LevelCrossing
from trine.neuromorphic.streaming import (
    TOLERANCE_S,
    Matching,
    Record,
    beat_detector,
    example_encoder,
    match_beats,
    read_record,
    stream_record,
)

RATE_HZ: Final = 360.0
LEAD: Final = "MLII"
NEAR_S: Final = 0.1  # the R peak lies this near a detection: slopes of a QRS complex last less
SECONDS: Final = 300.0
HALVED_HZ: Final = 180.0  # of the window: see `ecg_beats`


@dataclass(frozen=True)
class Heard:
    """A record after detection. detected_s: times of detections; peaks_s: R peaks near them; both [detections].

    arrays: the network's inputs, `y` and `classes`, for detections that are reference beats, [beats]. answer_s: from R
    peak to the last sample an inference needs, [beats]. events: sent by the encoder.
    """

    record: Record
    encoder: str
    steps: int
    events: int
    detected_s: Array
    peaks_s: Array
    matching: Matching
    arrays: Mapping[str, Array]
    answer_s: Array
    coding: Mapping[str, float]


def encoder_of(name: str) -> Encoder:
    """The event code by name, 50 uV a level."""
    return example_encoder() if name == "delta" else LevelCrossing(0.05, 2)


def refuse(inputs: tuple[Tensor, ...]) -> None:
    """Raise InputError for networks that take anything but a window and a rhythm."""
    found = {t.name: tuple(t.shape) for t in inputs}
    wanted = {"beat": (2, WINDOW), "rr": (8,)}
    if found != wanted:
        raise InputError(
            f"--record: a recording becomes inputs beat [2, {WINDOW}] and rr [8], as `trine data mitbih` has them; "
            f"this network takes {', '.join(f'{k} {list(v)}' for k, v in found.items())}"
        )


def listen(path: Path, encoder: str = "delta", seconds: float | None = SECONDS) -> Heard:
    """Detect the beats of a record, at most so many seconds of it, and cut them as inputs of the network.

    Raises InputError for records that cannot be read, another rate than 360 Hz, no lead MLII where there are several,
    and too few beats; MissingExtra without wfdb.
    """
    where = path.with_suffix("") if path.suffix in (".hea", ".dat", ".atr") else path
    if seconds is not None and not seconds > 0:
        raise InputError(f"--seconds {seconds:g}: give more than 0")
    record = read_record(where, seconds)
    if abs(record.rate_hz - RATE_HZ) > 0.5:
        raise InputError(
            f"{path}: sampled at {record.rate_hz:g} Hz; the network's windows are cut at {RATE_HZ:g} Hz"
        )
    lead = record.channels.index(LEAD) if LEAD in record.channels else 0
    signal = record.signal[:, lead : lead + 1]
    if not np.isfinite(signal).all():
        raise InputError(f"{path}: lead {record.channels[lead]} has gaps; give --seconds before the first")
    code, net = encoder_of(encoder), beat_detector(record.rate_hz)
    streamed = stream_record(signal, record.rate_hz, code, net)
    detected = streamed.spikes_s[net.outputs[0]][:, 0]
    if len(detected) < 3:
        raise InputError(f"{path}: {len(detected)} beats detected in {streamed.seconds:.0f} s; is lead "
                         f"{record.channels[lead]} an ECG in mV?")  # fmt: skip
    peaks = r_peaks(signal[:, 0], detected, record.rate_hz)
    matching = match_beats(detected, record.beats_s)
    arrays, answer = cut(record, signal[:, 0], peaks, detected)
    return Heard(
        record, encoder, streamed.steps, streamed.events, detected, peaks / record.rate_hz, matching, arrays, answer,
        coding(code, signal, streamed.events),
    )  # fmt: skip


def r_peaks(signal: Array, detected_s: Array, rate_hz: float) -> Array:
    """Sample of the largest deflection within `NEAR_S` of each detection, [detections]."""
    reach = round(NEAR_S * rate_hz)
    found = []
    for at in np.round(detected_s * rate_hz).astype(np.int64):
        low, high = max(0, at - reach), min(len(signal), at + reach + 1)
        stretch = signal[low:high]
        found.append(low + int(np.abs(stretch - np.median(stretch)).argmax()))
    return np.unique(np.asarray(found, np.int64))


def cut(record: Record, signal: Array, peaks: Array, detected_s: Array) -> tuple[dict[str, Array], Array]:
    """Inputs of the network for beats that are reference beats, and seconds from R peak to the last sample needed.

    A window ends 80 samples at 180 Hz after the R peak, and the rhythm needs the next beat's detection; the later of
    the two counts.
    """
    labels, known = labelled(record, peaks / record.rate_hz)
    units = np.round(signal * UNITS_PER_MV)
    number = int(record.name) if record.name.isdigit() else 0
    beats = cut_beats(number, units, peaks, labels)
    whole = np.isin(beats.sample, peaks[known])
    following = np.searchsorted(detected_s, beats.sample / record.rate_hz + NEAR_S)
    window_s = (WINDOW - BEFORE) / HALVED_HZ
    inside = following < len(detected_s)
    next_s = detected_s[np.minimum(following, len(detected_s) - 1)] - beats.sample / record.rate_hz
    whole &= inside  # the last beat has no next one yet
    arrays: dict[str, Array] = {k: v[whole] for k, v in model_inputs(beats).items()}
    if not whole.any():
        raise InputError(f"{record.name}: no detected beat is a reference beat")
    arrays |= {"y": beats.y[whole].astype(np.int64), "classes": np.array(CLASSES)}
    return arrays, np.maximum(window_s, next_s)[whole]


def labelled(record: Record, peaks_s: Array) -> tuple[list[str], Array]:
    """MIT-BIH symbol of the reference beat at each peak, and whether there is one within 150 ms; else "Q"."""
    if not len(record.beats_s):
        return ["Q"] * len(peaks_s), np.zeros(len(peaks_s), bool)
    nearest = np.abs(peaks_s[:, None] - record.beats_s[None]).argmin(axis=1)
    known = np.abs(peaks_s - record.beats_s[nearest]) <= TOLERANCE_S
    symbols = [record.symbols[k] if ok else "Q" for k, ok in zip(nearest, known)]
    return symbols, known


def coding(code: Encoder, signal: Array, events: int) -> dict[str, float]:
    """What an event code sends and loses: events a second, events a sample, error of its decoder in mV."""
    spikes, _ = code.encode(signal)
    back = code.decode(spikes, signal[0])
    error = np.abs(back - signal)
    return {
        "events_per_s": events / (len(signal) / RATE_HZ), "events_per_sample": events / len(signal),
        "largest_error_mv": float(error.max()), "rms_error_mv": float(np.sqrt((error**2).mean())),
        "level_mv": float(np.max(code.threshold)),
    }  # fmt: skip


def summary(heard: Heard, chip_s: float | None) -> dict[str, Any]:
    """For `results.recording`, in plain values. chip_s: latency of an inference where the chip's is known."""
    m, answer = heard.matching, heard.answer_s
    total = answer + (chip_s or 0.0)
    how = "recording: wait for the end of the window and for the next beat"
    return {
        "record": heard.record.name, "seconds": len(heard.record.signal) / heard.record.rate_hz,
        "encoder": heard.encoder, "coding": dict(heard.coding), "steps": heard.steps,
        "reference_beats": m.beats, "detections": m.detections, "matched": m.matched,
        "sensitivity": m.sensitivity, "positive_predictivity": m.positive_predictivity,
        "detection_latency_s": spread(m.latency_s, "detector's spike less annotated R peak, simulated"),
        "answer_latency_s": spread(
            total, f"{how}; plus the chip's {chip_s:.3g} s (modelled)" if chip_s else f"{how}; the chip's is not known"
        ),
        "classified": len(answer),
    }  # fmt: skip


def spread(values: Array, how: str) -> dict[str, Any]:
    """Median, 5th and 95th percentile, largest; with how they were obtained."""
    if not len(values):
        return {"median": None, "how": how}
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    return {"median": middle, "low": low, "high": high, "largest": float(np.max(values)), "how": how}
