"""Compiled loops over synapses: what the events of a projection add to its target, event by event.

8-bit weights are summed in 16 bits as long as no sum can overflow: twice the lanes of a vector unit. What it buys:
`benchmarks/snn_engine.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from trine.neuromorphic.engine.compiled import compiled, inlined, widest

CHUNK = 512  # neurons that are passed over together where nothing happens


class Ends(NamedTuple):
    """What is done to a finished sum: shifts left and right, then modulo 2^24 where it wraps."""

    left: int
    right: int
    wraps: bool


class Table(NamedTuple):
    """Connectivity in runs, as `connect.Runs` says."""

    weights: Any
    place: Any
    weight_base: Any
    out_base: Any
    first: Any
    out: Any
    weight: Any
    length: Any


@inlined
def _deliver(sums: Any, ends: Any, out: Any) -> None:
    """out += finished sums, modulo 2^32."""
    for i in range(out.shape[0]):
        x = np.int32(np.int32(np.int32(sums[i]) << ends.left) >> ends.right)
        out[i] += np.int32(np.int32(x << 8) >> 8) if ends.wraps else x


@compiled
def rows_of_step(
    indices: Any,
    count: int,
    weights: Any,
    limit: int,
    ends: Any,
    small: Any,
    total: Any,
    out: Any,
    marks: Any,
) -> None:
    """out += finished sums of a dense projection: the rows of one step's events, indices[:count].

    weights [inputs, targets]; small [targets]: sums of at most `limit` rows fit its type; total int32 [targets].
    marks: 1 for the chunks of out that were added to.
    """
    widest()
    if count == 0:
        return
    marks[:] = 1
    if count <= limit:
        _sum_rows(indices, 0, count, weights, small)
        _deliver(small, ends, out)
        return
    total[:] = 0
    for at in range(0, count, limit):
        _sum_rows(indices, at, min(at + limit, count), weights, small)
        for i in range(total.shape[0]):
            total[i] += small[i]
    _deliver(total, ends, out)


@compiled
def _sum_rows(indices: Any, at: int, end: int, weights: Any, out: Any) -> None:
    """out = sum of weights[indices[at:end]], four rows at a time."""
    n = out.shape[0]
    out[:] = 0
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


@compiled
def runs_of_step(
    indices: Any,
    values: Any,
    count: int,
    table: Any,
    graded: bool,
    ends: Any,
    small: Any,
    out: Any,
    marks: Any,
) -> None:
    """As `rows_of_step` for connectivity in runs; where `graded`, each row times its event's value, modulo 2^32.

    small [targets]: all zero before and after, of a type that holds any sum.
    """
    widest()
    for e in range(count):
        j = indices[e]
        place = table.place[j]
        for k in range(table.first[place], table.first[place + 1]):
            # Unsigned, so that numba need not ask whether an index counts from the end.
            o = np.uint64(table.out[k] + table.out_base[j])
            w, n = np.uint64(table.weight[k] + table.weight_base[j]), np.uint64(table.length[k])
            if graded:
                value = np.int32(values[e])
                for i in range(n):
                    small[o + i] += np.int32(np.int32(table.weights[w + i]) * value)
            else:
                for i in range(n):
                    small[o + i] += table.weights[w + i]
            low, high = o // np.uint64(CHUNK), (o + n - np.uint64(1)) // np.uint64(CHUNK)
            marks[low] = 1
            for c in range(low, high):
                marks[c + np.uint64(1)] = 1
    for c in range(marks.shape[0] if count else 0):
        if marks[c]:
            part = small[c * CHUNK : (c + 1) * CHUNK]
            _deliver(part, ends, out[c * CHUNK : (c + 1) * CHUNK])
            part[:] = 0
