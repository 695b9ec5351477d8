"""A net that listens to a recording as it arrives, in chunks, with its state carried over; and how soon it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.arithmetic import VARIANTS, variant, wrap_to
from trine.neuromorphic.encoders import Delta, Encoder, Real
from trine.neuromorphic.engine.definition import projected
from trine.neuromorphic.engine.result import inputs_of
from trine.neuromorphic.loihi_lif import zeros
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet
from trine.neuromorphic.neuron import Moment, neuron

BEATS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")  # WFDB annotation codes that mark a heart beat
TOLERANCE_S: Final = 0.15  # a detection this near a reference beat is right: ANSI/AAMI EC57, 150 ms


class Stream:
    """One net in mid-run. `push` advances it; pushing a run in pieces gives exactly what one piece gives.

    Steps as the definition does (`engine.definition`), real-valued or integer, keeping only the messages that are
    still under way.
    """

    def __init__(self, net: SpikingNet, batch: int = 1) -> None:
        """Raises InputError for an inconsistent net."""
        net.check()
        self.net, self.batch, self.step = net, batch, 0
        self._integer = net.arithmetic != "float"
        self._rule = variant(net.arithmetic) if self._integer else VARIANTS["lava"]
        self._dtype: Any = np.int64 if self._integer else np.float64
        self._computing = [p for p in net.populations if p.neuron != INPUT]
        self._parameters = {p.name: neuron(p.neuron).values(p.parameters, self._integer, net.dt_s)
                            for p in self._computing}  # fmt: skip
        self._states = {p.name: zeros(neuron(p.neuron).states, p.shape, batch, self._dtype, self._parameters[p.name])
                        for p in self._computing}  # fmt: skip
        self._reach = 1 + max((q.delay_steps for q in net.projections), default=0)
        self._sent = {p.name: np.zeros((self._reach, batch, *p.shape), self._dtype) for p in net.populations}

    def push(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Advance by the steps of inputs [batch, steps, *shape]; messages of the outputs, [batch, steps, *shape].

        Raises InputError for inputs that do not fit the net or the batch.
        """
        steps = max((np.shape(x)[1] for x in inputs.values() if np.ndim(x) > 1), default=0)
        if not steps:
            return {
                k: np.zeros((self.batch, 0, *self.net.population(k).shape), self._dtype)
                for k in self.net.outputs
            }
        given, batch = inputs_of(self.net, inputs, steps)
        if batch != self.batch:
            raise InputError(f"a batch of {batch} for a stream of {self.batch}")
        made: dict[str, list[Array]] = {name: [] for name in self.net.outputs}
        for t in range(steps):
            fresh: dict[str, Array] = {name: x[:, t] for name, x in given.items()}
            for p in self._computing:
                fresh[p.name] = self._advance(p)
            slot = self.step % self._reach
            for name, x in fresh.items():
                self._sent[name][slot] = x
            for name, kept in made.items():
                kept.append(self._sent[name][slot].copy())
            self.step += 1
        return {name: np.stack(kept, axis=1) for name, kept in made.items()}

    def _advance(self, p: Population) -> Array:
        """One step of a population; its message."""
        kind = neuron(p.neuron)
        step = kind.integer_step if self._integer else kind.float_step
        moment = Moment(self.step, self.net.dt_s, p.reset, self._rule)
        self._states[p.name], sent = step(
            self._states[p.name], self._received(p), self._parameters[p.name], moment
        )
        return sent

    def _received(self, p: Population) -> Array:
        """What synapses deliver now; before the first step everything was silent."""
        total = np.zeros((self.batch, *p.shape), self._dtype)
        for q in self.net.into(p.name):
            message = self._sent[q.source][(self.step - 1 - q.delay_steps) % self._reach]
            if message.any():
                total = total + projected(q, message, p.shape, self._rule, self._dtype)
        return wrap_to(total, 32) if self._integer else total


@dataclass(frozen=True)
class Record:
    """A recording: signal [samples, channels] in the units of its header, reference beats in seconds and by symbol."""

    name: str
    signal: Real
    rate_hz: float
    channels: tuple[str, ...]
    beats_s: Real
    symbols: tuple[str, ...] = ()


def read_record(path: str | Path, seconds: float | None = None, start_s: float = 0.0) -> Record:
    """A WFDB record (path without extension) and its reference beats (.atr), or a stretch of it from start_s on.

    Raises InputError for a missing or unreadable record; MissingExtra without wfdb.
    """
    try:
        import wfdb
    except ImportError:
        raise MissingExtra("wfdb", "data", "reading WFDB records") from None
    where = Path(path)
    if not where.with_suffix(".hea").is_file():
        raise InputError(f"{where}.hea: no such record")
    try:
        rate = float(wfdb.rdheader(str(where)).fs)
        first = round(start_s * rate)
        last = None if seconds is None else first + round(seconds * rate)
        read = wfdb.rdrecord(str(where), sampfrom=first, sampto=last)
        marks = wfdb.rdann(str(where), "atr", sampfrom=first, sampto=last, shift_samps=True)
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{where}: cannot be read as a WFDB record: {error}") from None
    found = [(s, symbol) for s, symbol in zip(marks.sample, marks.symbol) if symbol in BEATS]
    beats = np.array([s for s, _ in found], np.float64) / rate
    symbols = tuple(str(symbol) for _, symbol in found)
    return Record(
        where.name, np.asarray(read.p_signal, np.float64), rate, tuple(read.sig_name), beats, symbols
    )


@dataclass(frozen=True)
class Streamed:
    """What came of a recording. events: spikes that the encoder sent. spikes_s: times of the output's spikes by neuron
    and time, seconds, [spikes, 2] (time, neuron)."""

    steps: int
    events: int
    seconds: float
    spikes_s: Mapping[str, Real]


def stream_record(
    signal: Any, rate_hz: float, encoder: Encoder, net: SpikingNet, chunk: int = 360
) -> Streamed:
    """Send a recording [samples, channels] through an encoder and a net, `chunk` samples at a time.

    Raises InputError where the net's step is not a sample's share, its input does not take what the encoder sends,
    or chunk is below 1.
    """
    x, name = np.asarray(signal, np.float64), net.inputs[0]
    wide, problems = net.population(name).size, []
    if chunk < 1:
        problems.append(f"chunk of {chunk} samples: give at least 1")
    if len(net.inputs) != 1 or x.ndim != 2 or wide != 2 * x.shape[-1]:
        problems.append(f"the encoder sends 2 channels for each of {x.shape[1:]}; the net takes {wide}")
    if not np.isclose(net.dt_s * rate_hz * encoder.substeps, 1, rtol=1e-3):
        problems.append(f"a step of {net.dt_s:g} s at {rate_hz:g} Hz and {encoder.substeps} substeps: "
                        f"dt_s must be {1 / (rate_hz * encoder.substeps):g}")  # fmt: skip
    if problems:
        raise InputError("cannot stream: " + "; ".join(problems))
    running, state, events = Stream(net), (), 0
    found: dict[str, list[Real]] = {k: [] for k in net.outputs}
    for first in range(0, len(x), chunk):
        spikes, state = encoder.encode(x[first : first + chunk], state)
        events += int(np.count_nonzero(spikes))
        begin = running.step
        answer = running.push({name: spikes.reshape(1, -1, *net.population(name).shape)})
        for k, y in answer.items():
            t, n = np.nonzero(y[0].reshape(y.shape[1], -1))
            found[k].append(np.stack([(t + begin) * net.dt_s, n.astype(np.float64)], axis=1))
    return Streamed(running.step, events, len(x) / rate_hz,
                    {k: np.concatenate(v) if v else np.zeros((0, 2)) for k, v in found.items()})  # fmt: skip


@dataclass(frozen=True)
class Matching:
    """Detections against reference beats, one to one. latency_s: detection less reference, of the matched."""

    beats: int
    detections: int
    matched: int
    latency_s: Real

    @property
    def sensitivity(self) -> float:
        """Share of beats that were found."""
        return self.matched / self.beats if self.beats else float("nan")

    @property
    def positive_predictivity(self) -> float:
        """Share of detections that are beats."""
        return self.matched / self.detections if self.detections else float("nan")


def match_beats(detected_s: Any, reference_s: Any, tolerance_s: float = TOLERANCE_S) -> Matching:
    """Pair detections with beats, both in order, each once, within a tolerance (ANSI/AAMI EC57: 150 ms)."""
    found, beats = np.sort(np.ravel(detected_s)), np.sort(np.ravel(reference_s))
    latency, i = [], 0
    for beat in beats:
        while i < len(found) and found[i] < beat - tolerance_s:
            i += 1
        if i < len(found) and found[i] <= beat + tolerance_s:
            latency.append(float(found[i] - beat))
            i += 1
    return Matching(len(beats), len(found), len(latency), np.array(latency))


def beat_detector(
    rate_hz: float, substeps: int = 2, threshold: float = 6.0, hold_s: float = 0.15
) -> SpikingNet:
    """A one-neuron QRS detector for one channel of `Delta` events: a leaky count of events, steep slopes add up.

    threshold: events within the 20 ms memory. hold_s: time constant with which the raised threshold falls back after
    a beat, so that one complex gives one spike. A worked example of streaming, not a diagnostic algorithm: its three
    numbers were chosen on five minutes each of MIT-BIH records 119 and 208.
    """
    dt = 1 / (rate_hz * substeps)
    kind = {
        "tau_mem_s": 0.02,
        "r": 0.02 / dt,
        "v_threshold": threshold,
        "tau_adapt_s": hold_s,
        "adapt_step": 8 * threshold,
    }
    return SpikingNet(
        "beat_detector", dt,
        (Population("events", INPUT, (2,)), Population("beat", "AdaptiveLIF", (1,), kind, "zero")),
        (Projection("slope", "events", "beat", "dense", np.ones((1, 2), np.float32)),),
        ("events",), ("beat",),
    )  # fmt: skip


def example_encoder(substeps: int = 2) -> Delta:
    """Events for `beat_detector`: 0.05 mV steps, a tenth of a small R wave."""
    return Delta(0.05, substeps)
