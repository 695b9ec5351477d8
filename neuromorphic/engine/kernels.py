"""The engine's inner loops, compiled by numba on first use and kept on disk.

Written for vector units: sums of 8-bit rows are kept in 16 bits as long as they cannot overflow, states are 32 bit,
products of 24-bit states and 12-bit decays are split so that they fit. What it buys:
`benchmarks/snn_engine.py`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload as _overload

njit: Any = numba.njit  # numba has no types of its own: its decorators would make every function untyped
overload: Any = _overload

CHUNK = 128  # neurons that rest together are passed over together


@njit(cache=True, inline="always")
def _finish(x: Any, left: int, right: int, wraps: bool) -> Any:
    """Exponent and 24-bit wrap of a sum."""
    y = np.int32(np.int32(np.int32(x) << left) >> right)
    return np.int32(np.int32(np.int32(y) << 8) >> 8) if wraps else y


@njit(cache=True)
def add_rows(
    events: Any, counts: Any, slots: Any, weights: Any, peak: int, left: int, right: int, wraps: bool, small: Any,
    total: Any, acc: Any, seen: Any,
) -> None:  # fmt: skip
    """Dense projection: acc[b, t] += sum of the rows of the events in slot slots[t] (negative: none).

    events [batch, ring, neurons], counts [batch, ring], weights [inputs, targets]; small: work space int16
    [targets] (or the weights' wider type), total: int32 [targets]; seen[b, t] counts events.
    """
    n = acc.shape[2]
    limit = max(np.iinfo(np.int16).max // max(peak, 1), 1)
    for b in range(acc.shape[0]):
        for t in range(acc.shape[1]):
            if slots[t] < 0:
                continue
            count = counts[b, slots[t]]
            if count == 0:
                continue
            seen[b, t] += count
            indices = events[b, slots[t]]
            out = acc[b, t]
            if count <= limit:
                _sum_rows(indices, 0, count, weights, small)
                for i in range(n):
                    out[i] += _finish(small[i], left, right, wraps)
                continue
            for i in range(n):
                total[i] = 0
            at = 0
            while at < count:
                end = min(at + limit, count)
                _sum_rows(indices, at, end, weights, small)
                for i in range(n):
                    total[i] += small[i]
                at = end
            for i in range(n):
                out[i] += _finish(total[i], left, right, wraps)


@njit(cache=True)
def _sum_rows(indices: Any, at: int, end: int, weights: Any, out: Any) -> None:
    """out = sum of weights[indices[at:end]], four rows at a time."""
    n = out.shape[0]
    for i in range(n):
        out[i] = 0
    while at + 4 <= end:
        w0, w1 = weights[indices[at]], weights[indices[at + 1]]
        w2, w3 = weights[indices[at + 2]], weights[indices[at + 3]]
        for i in range(n):
            out[i] += w0[i] + w1[i] + w2[i] + w3[i]
        at += 4
    while at < end:
        w0 = weights[indices[at]]
        for i in range(n):
            out[i] += w0[i]
        at += 1


@njit(cache=True)
def add_runs(
    events: Any, counts: Any, slots: Any, weights: Any, channels: int, first: Any, out_at: Any, weight_at: Any,
    length: Any, group_in: int, group_out: int, stride: int, peak: int, left: int, right: int, wraps: bool,
    small: Any, total: Any, acc: Any, seen: Any,
) -> None:  # fmt: skip
    """As `add_rows` for connectivity in runs (`connect.Runs`)."""
    n = acc.shape[2]
    limit = max(np.iinfo(np.int16).max // max(peak, 1), 1)
    for b in range(acc.shape[0]):
        for t in range(acc.shape[1]):
            if slots[t] < 0:
                continue
            count = counts[b, slots[t]]
            if count == 0:
                continue
            seen[b, t] += count
            indices = events[b, slots[t]]
            whole = count <= limit
            if not whole:
                for i in range(n):
                    total[i] = 0
            at = 0
            while at < count:
                end = min(at + limit, count)
                for i in range(n):
                    small[i] = 0
                for e in range(at, end):
                    place = np.uint32(indices[e]) // np.uint32(channels)
                    channel = np.uint32(indices[e]) - place * np.uint32(channels)
                    base = (channel // np.uint32(group_in)) * np.uint32(group_out)
                    for k in range(first[place], first[place + 1]):
                        o, w = out_at[k] + base, weight_at[k] + channel * stride
                        target = small[o : o + length[k]]
                        source = weights[w : w + length[k]]
                        for i in range(target.shape[0]):
                            target[i] += source[i]
                if not whole:
                    for i in range(n):
                        total[i] += small[i]
                at = end
            out = acc[b, t]
            if whole:
                for i in range(n):
                    out[i] += _finish(small[i], left, right, wraps)
            else:
                for i in range(n):
                    out[i] += _finish(total[i], left, right, wraps)


@njit(cache=True)
def add_graded(
    events: Any, values: Any, counts: Any, slots: Any, weights: Any, channels: int, first: Any, out_at: Any,
    weight_at: Any, length: Any, group_in: int, group_out: int, stride: int, left: int, right: int, wraps: bool,
    total: Any, acc: Any, seen: Any,
) -> None:  # fmt: skip
    """As `add_runs` for messages that carry values: 32-bit products and sums, which wrap."""
    n = acc.shape[2]
    for b in range(acc.shape[0]):
        for t in range(acc.shape[1]):
            if slots[t] < 0 or counts[b, slots[t]] == 0:
                continue
            seen[b, t] += counts[b, slots[t]]
            for i in range(n):
                total[i] = 0
            for e in range(counts[b, slots[t]]):
                index, value = events[b, slots[t], e], np.int32(values[b, slots[t], e])
                place = index // channels
                channel = index - place * channels
                base = (channel // group_in) * group_out
                for k in range(first[place], first[place + 1]):
                    o, w = out_at[k] + base, weight_at[k] + channel * stride
                    for i in range(length[k]):
                        total[o + i] += np.int32(np.int32(weights[w + i]) * value)
            for i in range(n):
                acc[b, t, i] += _finish(total[i], left, right, wraps)


@njit(cache=True)
def collect(
    messages: Any, first_slot: int, events: Any, values: Any, counts: Any, per_neuron: Any, graded: bool
) -> None:
    """Messages [batch, steps, neurons] to event lists in slots first_slot, ...; per_neuron counts them."""
    ring, n = counts.shape[1], messages.shape[2]
    for b in range(messages.shape[0]):
        for t in range(messages.shape[1]):
            slot, k = (first_slot + t) % ring, np.int64(0)
            row = messages[b, t]
            for start in range(0, n, 32):
                part = row[start : min(start + 32, n)]
                some = np.int32(0)
                for i in range(part.shape[0]):
                    some = np.int32(some | np.int32(part[i]))
                if some != 0:
                    for i in range(part.shape[0]):
                        events[b, slot, k] = start + i
                        k += np.int64(part[i] != 0)
                        # A branch would be mispredicted at every spike; the last place is only written, never counted.
            for e in range(k):
                index = events[b, slot, e]
                per_neuron[index] += 1
                if graded:
                    values[b, slot, e] = row[index]
            counts[b, slot] = k


@njit(cache=True)
def scatter(
    events: Any, values: Any, counts: Any, slots: Any, graded: bool, spikes: Any, sums: Any, first_row: int,
    first_step: int,
) -> None:  # fmt: skip
    """Event lists to spikes [samples, steps, neurons], or added to sums [samples, neurons]."""
    for b in range(counts.shape[0]):
        for t in range(slots.shape[0]):
            slot = slots[t]
            for k in range(counts[b, slot]):
                i = events[b, slot, k]
                if spikes.shape[2] > 0:
                    spikes[first_row + b, first_step + t, i] = values[b, slot, k] if graded else 1
                if sums.shape[1] > 0:
                    sums[first_row + b, i] += 1


def cut(values: Any, part: Any) -> Any:
    """values[part] of an array, the value itself of a number."""
    raise NotImplementedError


@overload(cut, inline="always")
def _cut(values: Any, part: Any) -> Any:
    def of_array(values: Any, part: Any) -> Any:
        return values[part]

    def of_number(values: Any, part: Any) -> Any:
        return values

    return of_array if isinstance(values, types.Array) else of_number


def at(values: Any, i: Any) -> Any:
    """values[i] of an array, the value itself of a number."""
    raise NotImplementedError


@overload(at, inline="always")
def _at(values: Any, i: Any) -> Any:
    def of_array(values: Any, i: Any) -> Any:
        return values[i]

    def of_number(values: Any, i: Any) -> Any:
        return values

    return of_array if isinstance(values, types.Array) else of_number


@njit(cache=True, inline="always")
def _decay(x: Any, keep: Any) -> Any:
    """x * keep / 4096 towards zero; |x| = high * 4096 + low keeps every product in 32 bits."""
    sign = np.int32(x >> 31)
    size = np.int32(np.int32(x ^ sign) - sign)
    high, low = np.int32(size >> 12), np.int32(size & 4095)
    y = np.int32(np.int32(high * keep) + np.int32(np.int32(low * keep) >> 12))
    return np.int32(np.int32(y ^ sign) - sign)


@njit(cache=True, inline="always")
def _wrap(x: Any, modulo: bool) -> Any:
    """24 bits: modulo 2^24 (two's complement), else once (lava)."""
    less = np.int32(np.int32(x - 16777216) if x > 8388608 else x)
    once = np.int32(np.int32(x + 16777216) if x <= -8388608 else less)
    return np.int32(np.int32(np.int32(x << 8) >> 8) if modulo else once)


@njit(cache=True)
def _silent(a: Any) -> bool:
    """Whether a chunk receives nothing."""
    some = np.int32(0)
    for i in range(a.shape[0]):
        some = np.int32(some | a[i])
    return bool(some == 0)


@njit(cache=True, inline="always")
def _currents(a: Any, u: Any, v: Any, keep_u: Any, bias: Any, modulo: bool) -> tuple[Any, Any]:
    """New currents of a chunk in place, how many neurons were not idle, and whether any is left."""
    busy, some = np.int32(0), np.int32(0)
    for i in range(a.shape[0]):
        keep = np.int32(at(keep_u, i))
        carried = np.int32(u[i] if keep != 0 else np.int32(0))
        any_ = np.int32(np.int32(carried | v[i]) | np.int32(a[i] | np.int32(at(bias, i))))
        busy = np.int32(busy + np.int32(any_ != 0))
        x = _wrap(np.int32(_decay(carried, keep) + np.int32(a[i] << 6)), modulo)
        u[i] = x
        some = np.int32(some | x)
    return busy, some


@njit(cache=True, inline="always")
def _potentials(
    x: Any, direct: bool, v: Any, keep_v: Any, bias: Any, theta: Any, masks: Any, spikes: Any
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Membranes, spikes and resets of a chunk in place: how many were not idle, how many fired, whether any stays.

    x: new currents, or synaptic sums themselves where `direct`. masks: low, high, and all-ones words where it may
    fire (1), subtracts, resets; then what subtraction takes beyond theta.
    """
    busy, hits, some = np.int32(0), np.int32(0), np.int32(0)
    low, high, may, subtracts, resets, loose = masks
    for i in range(x.shape[0]):
        old, b, limit = v[i], np.int32(at(bias, i)), np.int32(at(theta, i))
        busy = np.int32(busy + np.int32(np.int32(np.int32(x[i] | old) | b) != 0))
        current = np.int32(np.int32(x[i] << 14) >> 8) if direct else x[i]
        y = np.int32(np.int32(_decay(old, np.int32(at(keep_v, i))) + current) + b)
        y = np.int32(min(max(y, low), high))
        hit = np.int32(np.int32(y > limit) & may)
        less = np.int32(np.int32(np.int32(limit + loose) & subtracts) | np.int32(y & np.int32(~subtracts)))
        y = np.int32(y - np.int32(less & np.int32(np.int32(-hit) & resets)))
        spikes[i] = np.uint8(hit)
        hits = np.int32(hits + hit)
        v[i] = y
        some = np.int32(some | y)
    return busy, hits, some


@njit(cache=True, inline="always")
def _hold(u: Any, v: Any, keep_u: Any, theta: Any, masks: Any, spikes: Any) -> tuple[Any, Any, Any]:
    """A chunk outside its integration phase: it may fire, nothing else moves."""
    busy, hits, some = np.int32(0), np.int32(0), np.int32(0)
    _, _, may, subtracts, resets, loose = masks
    for i in range(v.shape[0]):
        carried = np.int32(u[i] if np.int32(at(keep_u, i)) != 0 else np.int32(0))
        y, limit = v[i], np.int32(at(theta, i))
        busy = np.int32(busy + np.int32(np.int32(carried | y) != 0))
        hit = np.int32(np.int32(y > limit) & may)
        less = np.int32(np.int32(np.int32(limit + loose) & subtracts) | np.int32(y & np.int32(~subtracts)))
        y = np.int32(y - np.int32(less & np.int32(np.int32(-hit) & resets)))
        spikes[i] = np.uint8(hit)
        hits = np.int32(hits + hit)
        v[i] = y
        some = np.int32(some | np.int32(y | carried))
    return busy, hits, some


@njit(cache=True, inline="always")
def _lif(
    acc: Any, seen: Any, u: Any, v: Any, resting: Any, keep_u: Any, keep_v: Any, bias: Any, theta: Any, v_start: Any,
    modes: Any, modulo: bool, low: int, high: int, loose: int, subtracts: bool, resets: bool, busy_bias: bool,
    spikes: Any, bytes8: Any, first_slot: int, events: Any, counts: Any, per_neuron: Any, updates: Any,
    u_probe: Any, v_probe: Any, first_row: int, first_step: int,
    carries: bool,
) -> None:  # fmt: skip
    """Body of the two kernels below."""
    n, ring, chunks = acc.shape[2], counts.shape[1], resting.shape[1]
    less, clears = np.int32(-1 if subtracts else 0), np.int32(-1 if resets else 0)
    for b in range(acc.shape[0]):
        still = True
        for c in range(chunks):
            still = still and resting[b, c] != 0
        for t in range(acc.shape[1]):
            slot, mode = (first_slot + t) % ring, modes[t]
            counts[b, slot] = 0
            if mode & 4:
                u[b, :] = 0
                v[b, :] = v_start
                updates[b] += n
                resting[b, :] = 0
                still = False
            if still and not busy_bias and (seen[b, t] == 0 or mode & 1 == 0):
                _keep(acc[b, t], u[b], v[b], first_step + t, u_probe, v_probe, first_row + b, carries, mode)
                continue
            masks = (
                np.int32(low),
                np.int32(high),
                np.int32(1 if mode & 2 else 0),
                less,
                clears,
                np.int32(loose),
            )
            fired, moved, still = 0, 0, True
            for c in range(chunks):
                part = slice(c * CHUNK, min((c + 1) * CHUNK, n))
                a, uc, vc, sc = acc[b, t, part], u[b, part], v[b, part], spikes[part]
                if mode & 1 == 0:
                    busy, hits, some = _hold(uc, vc, cut(keep_u, part), cut(theta, part), masks, sc)
                elif resting[b, c] and not busy_bias and _silent(a):
                    sc[:] = 0
                    continue
                elif carries:
                    busy, lasting = _currents(a, uc, vc, cut(keep_u, part), cut(bias, part), modulo)
                    _, hits, some = _potentials(
                        uc, False, vc, cut(keep_v, part), cut(bias, part), cut(theta, part), masks, sc
                    )
                    some = np.int32(some | lasting)
                else:
                    busy, hits, some = _potentials(
                        a, True, vc, cut(keep_v, part), cut(bias, part), cut(theta, part), masks, sc
                    )
                resting[b, c] = some == 0
                still = still and some == 0
                fired += hits
                moved += busy
            if mode & 4 == 0:
                updates[b] += moved
            _keep(acc[b, t], u[b], v[b], first_step + t, u_probe, v_probe, first_row + b, carries, mode)
            if fired:
                counts[b, slot] = _list(spikes, bytes8, events[b, slot], per_neuron)


@njit(cache=True)
def _list(spikes: Any, bytes8: Any, events: Any, per_neuron: Any) -> int:
    """Spikes as a list of indices, eight silent neurons at a time passed over."""
    k = 0
    for word in range(bytes8.shape[0]):
        if bytes8[word] != 0:
            for j in range(8):
                i = word * 8 + j
                if spikes[i]:
                    events[k] = i
                    per_neuron[i] += 1
                    k += 1
    return k


@njit(cache=True)
def _keep(
    a: Any, u: Any, v: Any, t: int, u_probe: Any, v_probe: Any, row: int, carries: bool, mode: int
) -> None:
    """Write the states of a step to probes that have room for them; a current without memory is made here."""
    if u_probe.shape[2] > 0:
        if not carries and mode & 1:
            for i in range(u.shape[0]):
                u[i] = np.int32(np.int32(a[i] << 14) >> 8)
        u_probe[row, t] = u
    if v_probe.shape[2] > 0:
        v_probe[row, t] = v


@njit(cache=True)
def lif_lasting(
    acc: Any, seen: Any, u: Any, v: Any, resting: Any, keep_u: Any, keep_v: Any, bias: Any, theta: Any, v_start: Any,
    modes: Any, modulo: bool, low: int, high: int, loose: int, subtracts: bool, resets: bool, busy_bias: bool,
    spikes: Any, bytes8: Any, first_slot: int, events: Any, counts: Any, per_neuron: Any, updates: Any,
    u_probe: Any, v_probe: Any, first_row: int, first_step: int,
) -> None:  # fmt: skip
    """Loihi's compartment over a block of steps: `loihi_lif.compartment_step`, bit for bit.

    acc [batch, steps, neurons]: synaptic sums. modes [steps]: 1 takes input, 2 may fire, 4 is reset first.
    resting [batch, chunks]: chunks whose state is all zero. keep_u, keep_v: a number or one a neuron; spikes are
    > theta, subtracted is theta + loose. spikes: work space uint8 of a multiple of 8, bytes8 the same memory as
    uint64. Probes [samples, steps, neurons] are written from row first_row and step first_step on,
    those of no neurons not at all.
    """
    _lif(
        acc, seen, u, v, resting, keep_u, keep_v, bias, theta, v_start, modes, modulo, low, high, loose, subtracts,
        resets, busy_bias, spikes, bytes8, first_slot, events, counts, per_neuron, updates, u_probe, v_probe, first_row,
        first_step, True,
    )  # fmt: skip


@njit(cache=True)
def lif_direct(
    acc: Any, seen: Any, u: Any, v: Any, resting: Any, keep_u: Any, keep_v: Any, bias: Any, theta: Any, v_start: Any,
    modes: Any, modulo: bool, low: int, high: int, loose: int, subtracts: bool, resets: bool, busy_bias: bool,
    spikes: Any, bytes8: Any, first_slot: int, events: Any, counts: Any, per_neuron: Any, updates: Any,
    u_probe: Any, v_probe: Any, first_row: int, first_step: int,
) -> None:  # fmt: skip
    """As `lif_lasting` for currents without memory (du = 4095) that are two's complement or stay within 24 bits."""
    _lif(
        acc, seen, u, v, resting, keep_u, keep_v, bias, theta, v_start, modes, modulo, low, high, loose, subtracts,
        resets, busy_bias, spikes, bytes8, first_slot, events, counts, per_neuron, updates, u_probe, v_probe, first_row,
        first_step, False,
    )  # fmt: skip
