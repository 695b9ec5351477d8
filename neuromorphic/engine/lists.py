"""Compiled loops between messages and lists of events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from trine.neuromorphic.engine.compiled import compiled

GATHER_BITS = np.uint64(0x0102040810204080)  # times eight bytes of 0 or 1: byte j is bit j of the top byte


@compiled
def listed(flags: Any, start: int, k: int, events: Any, per_neuron: Any) -> int:
    """Append the neurons whose flag is set to events from k on and count them; the new end.

    flags: uint64, eight neurons' bytes of 0 or 1 each, a multiple of 64 neurons, the first of them number `start`.
    A bit mask instead of a test of each byte: tests of spikes are mispredicted.
    """
    one = np.uint64(1)
    for part in range(0, flags.shape[0], 8):
        mask = np.uint64(0)
        for j in range(8):
            byte = (flags[part + j] * GATHER_BITS) >> np.uint64(56)
            mask |= byte << np.uint64(8 * j)
        first = start + 8 * part
        while mask != 0:
            i = first + np.int64(trailing_zeros(mask))
            events[k] = i
            per_neuron[i] += 1
            k += 1
            mask &= mask - one
    return k


@compiled
def collect(
    messages: Any, first_slot: int, flags: Any, events: Any, values: Any, counts: Any, per_neuron: Any
) -> None:
    """Messages [batch, steps, neurons] to event lists in slots first_slot, ...; per_neuron counts them.

    flags: work space as in `listed`, all zero behind the last neuron. values [batch, ring, neurons or 0]: the messages
    of the events, kept where there is room.
    """
    ring, n = counts.shape[1], messages.shape[2]
    bytes_ = flags.view(np.uint8)
    for b in range(messages.shape[0]):
        for t in range(messages.shape[1]):
            slot, row = (first_slot + t) % ring, messages[b, t]
            for i in range(n):
                bytes_[i] = row[i] != 0
            count = listed(flags, 0, 0, events[b, slot], per_neuron)
            counts[b, slot] = count
            if values.shape[2] > 0:
                for e in range(count):
                    values[b, slot, e] = row[events[b, slot, e]]


@compiled
def scatter(
    events: Any, values: Any, counts: Any, slots: Any, spikes: Any, sums: Any, first_row: int, first_step: int
) -> None:
    """Event lists to spikes [samples, steps, neurons], or added to sums [samples, neurons]; either may be empty."""
    graded = values.shape[2] > 0
    for b in range(counts.shape[0]):
        for t in range(slots.shape[0]):
            slot = slots[t]
            for k in range(counts[b, slot]):
                i = events[b, slot, k]
                if spikes.shape[2] > 0:
                    spikes[first_row + b, first_step + t, i] = values[b, slot, k] if graded else 1
                if sums.shape[1] > 0:
                    sums[first_row + b, i] += 1
