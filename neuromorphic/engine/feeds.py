"""What a population receives, step by step, as the compiled neuron asks for it.

A population that one projection feeds takes each step's sums right after they are added up, in the first-level cache;
what several projections deliver is added up before, over the whole block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba.extending import overload

from trine.neuromorphic.engine.compiled import compiled
from trine.neuromorphic.engine.gather import CHUNK, rows_of_step, runs_of_step


class Dense(NamedTuple):
    """A dense projection. events [batch, ring, neurons], counts [batch, ring]; slots [steps]: where a step's events
    are, negative for none; the rest as `gather.rows_of_step` says. row int32 [targets], all zero, marks [chunks].
    """

    events: Any
    counts: Any
    slots: Any
    weights: Any
    limit: int
    ends: Any
    small: Any
    total: Any
    row: Any
    marks: Any


class Windowed(NamedTuple):
    """A projection in runs, as `Dense`; values [batch, ring, neurons]: what graded events carry."""

    events: Any
    values: Any
    counts: Any
    slots: Any
    table: Any
    graded: bool
    ends: Any
    small: Any
    row: Any
    marks: Any


class Summed(NamedTuple):
    """Finished sums: acc int32 [batch, steps, neurons]; touched [batch, steps, chunks]: where it is not all zero."""

    acc: Any
    touched: Any


Feed = Dense | Windowed | Summed


def received(feed: Any, b: Any, t: Any) -> Any:
    """Sums of a sample's step, int32 [neurons], to be left all zero, and its marks: 1 for chunks that are not all
    zero.
    """
    raise NotImplementedError


def _received(feed: Any, b: Any, t: Any) -> Callable[..., Any]:
    def summed(feed: Any, b: Any, t: Any) -> Any:
        return feed.acc[b, t], feed.touched[b, t]

    def dense(feed: Any, b: Any, t: Any) -> Any:
        slot = feed.slots[t]
        feed.marks[:] = 0
        if slot >= 0:
            rows_of_step(
                feed.events[b, slot], feed.counts[b, slot], feed.weights, feed.limit, feed.ends, feed.small,
                feed.total, feed.row, feed.marks,
            )  # fmt: skip
        return feed.row, feed.marks

    def windowed(feed: Any, b: Any, t: Any) -> Any:
        slot = feed.slots[t]
        feed.marks[:] = 0
        if slot >= 0:
            runs_of_step(
                feed.events[b, slot], feed.values[b, slot], feed.counts[b, slot], feed.table, feed.graded,
                feed.ends, feed.small, feed.row, feed.marks,
            )  # fmt: skip
        return feed.row, feed.marks

    return {"Summed": summed, "Dense": dense, "Windowed": windowed}[feed.instance_class.__name__]


overload(received, inline="always")(_received)


@compiled
def add_up(feed: Any, acc: Any, touched: Any) -> None:
    """What a feed delivers over a block, added to acc [batch, steps, neurons]; marks its chunks in touched."""
    for b in range(acc.shape[0]):
        for t in range(acc.shape[1]):
            row, marks = received(feed, b, t)
            for c in range(marks.shape[0]):
                if marks[c]:
                    touched[b, t, c] = 1
                    for i in range(c * CHUNK, min((c + 1) * CHUNK, row.shape[0])):
                        acc[b, t, i] += row[i]
                        row[i] = 0
