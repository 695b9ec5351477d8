"""Spikes of a net with real weights and membranes, in the timetable of its scheme.

What separates it from coarse activations is timing alone, what separates the chip's net from it is rounding alone: the
receipts show the two apart, and *rate* is calibrated on its counts. Layers are fed forward, so each is simulated whole
before the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trine.compilers.graph import Array
from trine.neuromorphic.conversion.code import first_counts, lines_of
from trine.neuromorphic.conversion.feed import TRAINS
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT, Layer, LayerNet, apply, pooled
from trine.neuromorphic.conversion.levels import InputLevels
from trine.neuromorphic.conversion.schedule import Slot, Timetable, Turn, timetable


@dataclass
class FloatSpikes:
    """Layers simulated one after another. trains: what each sends in its window, [n, T, *shape]: inputs in real units,
    layers 0 and 1. scales: real value of one count."""

    times: Timetable
    scales: dict[str, float] = field(default_factory=dict)
    trains: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def of(
        cls, net: LayerNet, codes: Mapping[str, InputLevels], levels: Mapping[str, int | None], input_steps: int,
        scheme: str, lag: int,
    ) -> FloatSpikes:  # fmt: skip
        """Ready for `feed`. levels: T by layer."""
        slots = [
            Slot(x.name, x.role, tuple(t.source for t in x.terms), levels.get(x.name) or input_steps)
            for x in net.layers
        ]
        return cls(timetable(slots, dict.fromkeys(codes, input_steps), scheme, lag))

    def feed(self, code: InputLevels, x: Array) -> None:
        """Spike trains of an input's lines, added up with their weights."""
        steps, whole = self.times.turns[code.name].window, code.encode(x)
        total = np.zeros((len(whole), steps, *whole.shape[1:]), np.float32)
        for line in lines_of(code, steps):
            total += np.float32(line.sign * (1 << line.shift)) * TRAINS[self.times.scheme](
                line.digits(whole), steps
            )
        self.trains[code.name] = total * np.float32(code.step)
        self.scales[code.name] = 1.0

    def run(self, layer: Layer, scale: float, levels: int | None) -> Array:
        """Simulate a layer whose sources have run: its activations (counts times scale), or a readout's sums."""
        turn, scheme = self.times.turns[layer.name], self.times.scheme
        if layer.role == MAXIMUM:
            return self._maximum(layer, scale)
        n = len(next(iter(self.trains.values())))
        bias = np.broadcast_to(layer.bias.astype(np.float32), (n, *layer.shape))
        until = turn.start + turn.takes if layer.role == READOUT else turn.begins + turn.window
        spread = scheme == "rate" and layer.role == FIRE  # positive biases come in equal parts
        part = np.maximum(bias, 0) / (until - turn.start) if spread else np.zeros((), np.float32)
        v = (np.minimum(bias, 0) if spread else bias) + np.float32(scale / 2 if layer.role == FIRE else 0)
        u = np.zeros((), np.float32)
        sent = np.zeros((n, turn.window, *layer.shape), np.uint8)
        for step in range(turn.start, until):
            current = self._current(layer, turn, step)
            u = u + current if scheme == "ttfs" else current
            v = v + part
            if step < turn.start + turn.takes:
                v = v + u
            if layer.role == FIRE and step >= turn.begins:
                v, spikes = self._fire(v, scale, turn, step)
                sent[:, step - turn.begins] = spikes
        if layer.role == READOUT:
            return np.asarray(v, np.float32)
        self.trains[layer.name], self.scales[layer.name] = sent, scale
        counts = first_counts(sent) if scheme == "ttfs" else sent.sum(axis=1, dtype=np.int64)
        return np.asarray(counts * scale, np.float32)

    def _fire(self, v: Array, scale: float, turn: Turn, step: int) -> tuple[Array, Array]:
        """Membranes after a step's spikes, and the spikes."""
        if self.times.scheme != "ttfs":
            spikes = v >= np.float32(scale)
            return v - spikes * np.float32(scale), spikes
        v = v + np.float32(scale if step > turn.begins else 0)
        spikes = v >= np.float32(turn.window * scale)
        return np.where(spikes, -np.inf, v), spikes  # never again

    def _current(self, layer: Layer, turn: Turn, step: int) -> Array:
        """What a layer's synapses deliver at a step; a float32 zero where nothing is under way."""
        total = np.zeros((), np.float32)
        for term in layer.terms:
            source = self.times.turns[term.source]
            at = step - 1 - self.times.delay(term.source, layer.name) - source.begins
            if 0 <= at < source.window:
                weight = (term.weight * self.scales[term.source]).astype(np.float32)
                total = total + apply(term, self.trains[term.source][:, at], layer.shape, weight)
        return total

    def _maximum(self, layer: Layer, scale: float) -> Array:
        """The earliest, or most, spikes of a window: any spike is passed on; in *ttfs* once."""
        (term,) = layer.terms
        trains = self.trains[term.source]
        sent = np.stack([pooled(term, trains[:, t]).max(axis=-1) for t in range(trains.shape[1])], axis=1)
        if self.times.scheme == "ttfs":
            sent = sent * (np.cumsum(sent, axis=1) == 1)
        self.trains[layer.name], self.scales[layer.name] = sent.astype(np.uint8), scale
        counts = first_counts(sent) if self.times.scheme == "ttfs" else sent.sum(axis=1, dtype=np.int64)
        return np.asarray(counts * scale, np.float32)


__all__ = ["FloatSpikes"]
