"""The heaviest choice without conflicts: branch and bound against all strings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.devices.errors import InputError
from trine.quantum.optima import selection
from trine.quantum.optima.selection import Items
from trine.quantum.polynomial import all_bits


@st.composite
def items(draw: st.DrawFn) -> Items:
    """Up to nine items, whole weights so that ties occur."""
    count = draw(st.integers(1, 9))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    conflicts = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    weights = draw(st.lists(st.integers(1, 5).map(float), min_size=count, max_size=count))
    return Items(tuple(weights), tuple(sorted(conflicts)))


@given(items())
@settings(max_examples=150, deadline=None)
def test_heaviest_is_the_lowest_of_all_strings(given: Items) -> None:
    encoding = selection.encode(given, [""] * len(given.weights))
    found = selection.exact(given)
    assert found.proved
    assert encoding.polynomial.diagonal().min() == pytest.approx(found.cost)
    assert selection.broken(given, np.array(found.bits)) == []


@given(items(), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_heaviest_of_a_size(given: Items, size: int) -> None:
    strings = all_bits(len(given.weights))
    fits = [row for row in strings if row.sum() == size and not selection.broken(given, row)]
    found = selection.heaviest(given, size)
    if not fits:
        assert found is None
        return
    assert found is not None
    assert sum(found.bits) == size
    assert -found.cost == pytest.approx(max(float(row @ np.array(given.weights)) for row in fits))


@given(items())
@settings(max_examples=100, deadline=None)
def test_penalty_above_the_bound_suffices_and_half_of_it_does_not_always(given: Items) -> None:
    bound = selection.penalty_bound(given)
    tight = Items(given.weights, given.conflicts, bound * 1.000001 if bound else None)
    lowest = selection.encode(tight, [""] * len(given.weights)).polynomial.diagonal().min()
    assert lowest == pytest.approx(selection.exact(given).cost)


def test_too_low_a_penalty_would_break_a_conflict() -> None:
    pair = Items((1.0, 1.0), ((0, 1),), 0.5)
    assert selection.encode(pair, ["", ""]).polynomial.diagonal().min() < selection.exact(pair).cost


def test_cut_short_is_said() -> None:
    generator = np.random.default_rng(1)
    conflicts = tuple((i, j) for i in range(40) for j in range(i + 1, 40) if generator.random() < 0.3)
    given = Items(tuple(generator.uniform(1, 2, 40).tolist()), conflicts)
    full, short = selection.heaviest(given), selection.heaviest(given, visited=5)
    assert full is not None
    assert full.proved
    assert short is not None
    assert not short.proved
    assert short.cost >= full.cost
    with pytest.raises(InputError, match="none excluded"):
        selection.heaviest(given, size=6, visited=3)
