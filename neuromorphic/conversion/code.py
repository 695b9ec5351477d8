"""Inputs as spikes: signed whole numbers on two sets of lines, in digits that a line can count.

A line sends at most T spikes, so a magnitude is written in digits of base 2^b <= T + 1, one population a digit and
sign, named `beat_p0`, `beat_n0`, `beat_p1`, ...; a digit's synapses are shifted left by its place. Nothing is lost:
the sum over lines is the whole number times the weight. On chips with graded spikes one message carries the number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.levels import InputLevels


@dataclass(frozen=True)
class Line:
    """One population of input neurons: which input, which sign (1 or -1), and how far its weights are shifted."""

    name: str
    source: str
    sign: int
    shift: int
    bits: int

    def digits(self, steps: Array) -> Array:
        """What each neuron has to send for whole inputs: 0 .. 2^bits - 1."""
        size = np.maximum(steps * self.sign, 0)
        return np.asarray((size >> self.shift) & ((1 << self.bits) - 1))


def digit_bits(levels: int) -> int:
    """Bits of a digit that T spikes can count. Raises InputError for T below 1."""
    if levels < 1:
        raise InputError(f"T is {levels}: a spiking net needs at least one time step; give --steps 8")
    return int(levels + 1).bit_length() - 1


def shift_of(code_bits: int, levels: int) -> int:
    """Shift of the highest digit of a magnitude of so many bits."""
    bits = digit_bits(levels)
    return (max(code_bits, 1) - 1) // bits * bits


def lines_of(code: InputLevels, levels: int) -> tuple[Line, ...]:
    """The populations that carry an input."""
    bits = digit_bits(levels)
    made = []
    for letter, sign, most in (("p", 1, code.high), ("n", -1, -code.low)):
        made += [
            Line(f"{code.name}_{letter}{k}", code.name, sign, at, bits)
            for k, at in enumerate(range(0, int(most).bit_length(), bits))
        ]
    return tuple(made)


def at_once(counts: Array, steps: int) -> Array:
    """Spike trains [n, steps, *shape] uint8 that send all spikes in the first steps."""
    t = np.arange(steps).reshape(1, -1, *([1] * (counts.ndim - 1)))
    return (t < counts[:, None]).astype(np.uint8)


def evenly(counts: Array, steps: int) -> Array:
    """Spike trains [n, steps, *shape] uint8 that spread the spikes evenly."""
    t = np.arange(steps + 1).reshape(1, -1, *([1] * (counts.ndim - 1)))
    return np.diff((2 * t * counts[:, None] + steps) // (2 * steps), axis=1).astype(np.uint8)


def first_spikes(counts: Array, steps: int) -> Array:
    """Spike trains [n, steps, *shape] uint8 of one spike: a count c at step T - c, none for 0."""
    t = np.arange(steps).reshape(1, -1, *([1] * (counts.ndim - 1)))
    now = (t == steps - counts[:, None]) & (counts[:, None] > 0)
    return np.asarray(now, np.uint8)


def first_counts(trains: Array) -> Array:
    """Counts that spike trains [n, steps, *shape] of at most one spike stand for, int64; -1 for more than one."""
    steps = trains.shape[1]
    left = np.arange(steps, 0, -1).reshape(1, -1, *([1] * (trains.ndim - 2)))
    counts = ((trains != 0) * left).sum(axis=1, dtype=np.int64)
    return np.asarray(np.where((trains != 0).sum(axis=1) > 1, -1, counts))
