"""Loihi's compartment compiled: `loihi_lif.compartment_step`, bit for bit, over a block of steps.

Chunks of neurons that receive nothing and would not change are passed over. A decay is a product of a double: a 32-bit
state times a 12-bit fraction is exact there, and becoming an integer rounds towards zero, as the chip does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from trine.neuromorphic.engine.compiled import compiled, inlined, widest
from trine.neuromorphic.engine.feeds import received
from trine.neuromorphic.engine.gather import CHUNK
from trine.neuromorphic.engine.lists import listed


class Cells(NamedTuple):
    """Parameters. keep_u, keep_v: shares kept by a step, a number or float64 [neurons]; the rest int32 [neurons].

    A neuron spikes above theta.
    """

    keep_u: Any
    keep_v: Any
    bias: Any
    theta: Any
    v_start: Any


class Rules(NamedTuple):
    """modulo: currents wrap modulo 2^24, else once (lava). low, high: the membrane is clipped to these.

    less: -1 where a reset subtracts theta + loose, else 0. clears: -1 where there is a reset. leaks: 0 where a membrane
    keeps its value without input, else -1. biased: some bias is not 0.
    plain: a reset to zero, after which no neuron is above its threshold (which is positive).
    """

    modulo: bool
    low: np.int32
    high: np.int32
    loose: np.int32
    less: np.int32
    clears: np.int32
    leaks: np.int32
    biased: bool
    plain: bool


class States(NamedTuple):
    """u, v int32 [batch, neurons]. standing int32 [batch, chunks]: neurons of a chunk that count as updated although
    nothing changes without input; -1 where the chunk must be computed.
    """

    u: Any
    v: Any
    standing: Any


class Sent(NamedTuple):
    """Where spikes go: event lists [batch, ring, neurons] and their lengths [batch, ring]; spikes by neuron; updates by
    sample; flags: work space uint8, a neuron each up to a whole chunk, all zero at first.
    """

    events: Any
    counts: Any
    per_neuron: Any
    updates: Any
    flags: Any


class Probed(NamedTuple):
    """Room for states [samples, steps, neurons], or of no neurons: not wanted; row and step where writing begins."""

    u: Any
    v: Any
    row: int
    step: int


def at(values: Any, i: Any) -> Any:
    """values[i] of an array, the value itself of a number."""
    raise NotImplementedError


def _at(values: Any, i: Any) -> Callable[..., Any]:
    def of_array(values: Any, i: Any) -> Any:
        return values[i]

    def of_number(values: Any, i: Any) -> Any:
        return values

    return of_array if isinstance(values, types.Array) else of_number


overload(at, inline="always")(_at)


@inlined
def _wrap(x: Any, modulo: bool) -> Any:
    """24 bits: modulo 2^24 (two's complement), else once (lava)."""
    less = np.int32(np.int32(x - 16777216) if x > 8388608 else x)
    once = np.int32(np.int32(x + 16777216) if x <= -8388608 else less)
    return np.int32(np.int32(np.int32(x << 8) >> 8) if modulo else once)


@inlined
def _fire(y: Any, limit: Any, may: Any, rules: Any) -> tuple[Any, Any]:
    """1 where a membrane fires (may: 0 or 1), and the membrane after its reset."""
    hit = np.int32(np.int32(y > limit) & may)
    less = np.int32(
        np.int32(np.int32(limit + rules.loose) & rules.less) | np.int32(y & np.int32(~rules.less))
    )
    return hit, np.int32(y - np.int32(less & np.int32(np.int32(-hit) & rules.clears)))


@inlined
def _carry(
    a: Any, u: Any, v: Any, keep_u: Any, bias: Any, modulo: bool, flags: Any, low: Any, high: Any
) -> Any:
    """New currents of a chunk, in place; flags: 1 where a neuron is not idle. 0 where no current is left."""
    left = np.int32(0)
    for i in range(low, high):
        keep = at(keep_u, i)
        carried = np.int32(u[i] if keep != 0 else np.int32(0))
        x = _wrap(np.int32(np.int32(np.float64(carried) * keep) + np.int32(a[i] << 6)), modulo)
        some = np.int32(np.int32(carried | v[i]) | np.int32(a[i] | bias[i]))
        flags[i] = np.uint8(some != 0)
        u[i] = x
        left = np.int32(left | x)
    return left


@inlined
def _take(
    x: Any,
    sums: bool,
    v: Any,
    keep_v: Any,
    bias: Any,
    theta: Any,
    rules: Any,
    may: Any,
    flags: Any,
    low: Any,
    high: Any,
) -> tuple[Any, Any, Any]:
    """A chunk takes its input, synaptic sums or the currents of `_carry`; flags: 1 where it fired.

    Returns neurons that were not idle, 0 where none fired, and 0 where the membranes would now stay as they are.
    """
    busy, hits, left = np.int32(0), np.int32(0), np.int32(0)
    for i in range(low, high):
        old, b, limit = v[i], bias[i], theta[i]
        some = np.int32(np.int32(x[i] | old) | b) if sums else np.int32(flags[i])
        current = np.int32(np.int32(x[i] << 14) >> 8) if sums else x[i]
        y = np.int32(np.int32(np.int32(np.float64(old) * at(keep_v, i)) + current) + b)
        hit, y = _fire(np.int32(min(max(y, rules.low), rules.high)), limit, may, rules)
        busy = np.int32(busy + np.int32(some != 0))
        hits = np.int32(hits + hit)
        left = np.int32(left | np.int32(np.int32(y & rules.leaks) | np.int32(y > limit)))
        flags[i] = np.uint8(hit)
        v[i] = y
    return busy, hits, left


@inlined
def _take_plainly(
    row: Any, v: Any, keep_v: Any, bias: Any, theta: Any, rules: Any, flags: Any, low: Any, high: Any
) -> tuple[Any, Any, Any]:
    """As `_take` of synaptic sums where rules.plain holds and neurons may fire, in fewer operations."""
    busy, any_hit, left = np.int32(0), np.int32(0), np.int32(0)
    for i in range(low, high):
        old, b, x = v[i], bias[i], row[i]
        y = np.int32(
            np.int32(np.int32(np.float64(old) * at(keep_v, i)) + np.int32(np.int32(x << 14) >> 8)) + b
        )
        y = np.int32(min(max(y, rules.low), rules.high))
        hit = y > theta[i]
        y = np.int32(0) if hit else y
        busy += np.int32(np.int32(np.int32(x | old) | b) != 0)
        any_hit |= np.int32(hit)
        left |= y
        flags[i] = np.uint8(hit)
        v[i] = y
    return np.int32(busy), np.int32(any_hit), np.int32(left & rules.leaks)


@inlined
def _hold(
    u: Any,
    v: Any,
    keep_u: Any,
    theta: Any,
    rules: Any,
    may: Any,
    flags: Any,
    low: Any,
    high: Any,
) -> tuple[Any, Any, Any]:
    """As `_take` for a chunk outside its integration phase: it may fire, nothing else moves."""
    busy, hits, left = np.int32(0), np.int32(0), np.int32(0)
    for i in range(low, high):
        carried = np.int32(u[i] if at(keep_u, i) != 0 else np.int32(0))
        old, limit = v[i], theta[i]
        hit, y = _fire(old, limit, may, rules)
        busy = np.int32(busy + np.int32(np.int32(carried | old) != 0))
        hits = np.int32(hits + hit)
        left = np.int32(left | np.int32(np.int32(np.int32(y & rules.leaks) | carried) | np.int32(y > limit)))
        flags[i] = np.uint8(hit)
        v[i] = y
    return busy, hits, left


@inlined
def _lif(
    feed: Any,
    modes: Any,
    cells: Any,
    rules: Any,
    states: Any,
    sent: Any,
    first_slot: int,
    probed: Any,
    carries: bool,
) -> None:
    """Body of the two kernels below."""
    widest()
    n, ring, chunks = states.v.shape[1], sent.counts.shape[1], states.standing.shape[1]
    flags = sent.flags
    for b in range(states.v.shape[0]):
        u, v, standing = states.u[b], states.v[b], states.standing[b]
        for t in range(modes.shape[0]):
            slot, mode = (first_slot + t) % ring, modes[t]
            row, marks = received(feed, b, t)
            if mode & 4:
                u[:] = 0
                for i in range(n):
                    v[i] = cells.v_start[i]
                standing[:] = -1
            if probed.u.shape[2] > 0 and not carries and mode & 1:
                for i in range(n):
                    u[i] = np.int32(np.int32(row[i] << 14) >> 8)
            may, fired, moved = np.int32(1 if mode & 2 else 0), 0, 0
            for c in range(chunks):
                if marks[c] == 0 and standing[c] >= 0:
                    moved += standing[c]
                    continue
                # Unsigned, so that numba need not ask whether an index counts from the end.
                low, high = np.uint64(c * CHUNK), np.uint64(min((c + 1) * CHUNK, n))
                if mode & 1 == 0:
                    busy, hits, left = _hold(u, v, cells.keep_u, cells.theta, rules, may, flags, low, high)
                elif carries:
                    lasting = _carry(row, u, v, cells.keep_u, cells.bias, rules.modulo, flags, low, high)
                    busy, hits, left = _take(
                        u, False, v, cells.keep_v, cells.bias, cells.theta, rules, may, flags, low, high
                    )
                    left = np.int32(left | lasting)
                elif rules.plain and mode & 2:
                    busy, hits, left = _take_plainly(
                        row, v, cells.keep_v, cells.bias, cells.theta, rules, flags, low, high
                    )
                else:
                    busy, hits, left = _take(
                        row, True, v, cells.keep_v, cells.bias, cells.theta, rules, may, flags, low, high
                    )
                if marks[c]:
                    for i in range(low, high):
                        row[i] = 0
                moved += busy
                standing[c] = -1 if left != 0 or rules.biased else 0
                if standing[c] == 0 and rules.leaks == 0:
                    for i in range(low, high):
                        standing[c] += v[i] != 0
                if hits:
                    words = flags[c * CHUNK : (c + 1) * CHUNK]
                    fired = listed(words, c * CHUNK, fired, sent.events[b, slot], sent.per_neuron)
            sent.counts[b, slot] = fired
            sent.updates[b] += n if mode & 4 else moved
            for i in range(probed.u.shape[2]):
                probed.u[probed.row + b, probed.step + t, i] = u[i]
            for i in range(probed.v.shape[2]):
                probed.v[probed.row + b, probed.step + t, i] = v[i]


@compiled
def lif_lasting(
    feed: Any,
    modes: Any,
    cells: Any,
    rules: Any,
    states: Any,
    sent: Any,
    first_slot: int,
    probed: Any,
) -> None:
    """A block of steps. feed: what is received, as in `feeds`. modes [steps]: 1 takes input, 2 may fire, 4 is reset
    first.
    """
    _lif(feed, modes, cells, rules, states, sent, first_slot, probed, True)


@compiled
def lif_direct(
    feed: Any,
    modes: Any,
    cells: Any,
    rules: Any,
    states: Any,
    sent: Any,
    first_slot: int,
    probed: Any,
) -> None:
    """As `lif_lasting` for currents without memory (du = 4095) that are two's complement or stay within 24 bits."""
    _lif(feed, modes, cells, rules, states, sent, first_slot, probed, False)
