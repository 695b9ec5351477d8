"""Compiled loops between messages and lists of events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core.cgutils import ir
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic

from trine.neuromorphic.engine.compiled import compiled


@intrinsic
def _mask(context: Any, flags: Any, at: Any) -> Any:
    """Bit j set where byte at + j of flags, uint8, is not 0; j < 64."""

    def load(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_ = ir.VectorType(ir.IntType(8), 64)
        array = target.make_array(signature.args[0])(target, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        found = builder.load(builder.bitcast(place, bytes_.as_pointer()))
        found.align = 1
        return builder.bitcast(builder.icmp_unsigned("!=", found, ir.Constant(bytes_, None)), ir.IntType(64))

    return types.uint64(flags, at), load


@compiled
def listed(flags: Any, start: int, k: int, events: Any, per_neuron: Any) -> int:
    """Append the neurons whose flag is set to events from k on and count them; the new end.

    flags: uint8, a multiple of 64, the first of them neuron number `start`. A bit mask instead of a test of each byte:
    tests of spikes are mispredicted.
    """
    one = np.uint64(1)
    for part in range(0, flags.shape[0], 64):
        mask = _mask(flags, part)
        first = start + part
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
    for b in range(messages.shape[0]):
        for t in range(messages.shape[1]):
            slot, row = (first_slot + t) % ring, messages[b, t]
            for i in range(n):
                flags[i] = row[i] != 0
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
