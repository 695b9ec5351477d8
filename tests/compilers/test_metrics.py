"""Scores against hand-counted values, the usual formulas and brute-force bootstraps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.compilers.metrics import confusion, macro_f1, score
from trine.devices.errors import InputError

NAMES = ("a", "b", "c", "never")


def test_hand_counted_scores() -> None:
    # a: 3 true, 2 found, 1 falsely given; b: 2 true, 1 found, 1 falsely; c: 1 true, not found, 1 falsely.
    result = score([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 0], NAMES)
    a, b, c, never = result.per_class
    assert result.accuracy == pytest.approx(3 / 6)
    assert (a.recall, a.precision, a.f1, a.support) == (2 / 3, 2 / 3, pytest.approx(2 / 3), 3)
    assert (b.recall, b.precision, b.f1, b.support) == (1 / 2, 1 / 2, 1 / 2, 2)
    assert (c.recall, c.precision, c.f1, c.support) == (0, 0, 0, 1)
    assert (never.recall, never.precision, never.f1, never.support) == (None, None, None, 0)
    assert result.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_a_class_given_but_never_true_costs_precision_and_stays_out_of_macro_f1() -> None:
    result = score([0, 0, 1, 1], [0, 3, 1, 1], NAMES)
    assert result.per_class[3].precision == 0.0
    assert result.per_class[3].recall is None
    assert result.macro_f1 == pytest.approx((2 / 3 + 1) / 2)


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=40)


@given(labels)
def test_macro_f1_is_the_mean_harmonic_mean_of_precision_and_recall(rows: list[tuple[int, int, int]]) -> None:
    true, predicted, group = (np.array(column) for column in zip(*rows))
    expected = []
    for k in np.unique(true):
        hit = float(((true == k) & (predicted == k)).sum())
        recall, precision = hit / (true == k).sum(), hit / max(1, (predicted == k).sum())
        expected.append(2 * recall * precision / (recall + precision) if hit else 0.0)
    result = score(true, predicted, NAMES, group, draws=20)
    assert result.macro_f1 == pytest.approx(np.mean(expected))
    assert result.accuracy == pytest.approx((true == predicted).mean())
    assert 0 <= result.macro_f1_low <= result.macro_f1_high <= 1


def test_group_interval_equals_a_bootstrap_that_copies_patients_one_by_one() -> None:
    chance = np.random.default_rng(5)
    group = np.repeat([7, 3, 9, 4], [5, 9, 2, 12])
    true = chance.integers(0, 3, len(group))
    predicted = np.where(chance.random(len(group)) < 0.7, true, chance.integers(0, 3, len(group)))
    result = score(true, predicted, NAMES, group, seed=11, draws=200)

    patients = np.unique(group)
    times = np.random.default_rng(11).multinomial(4, np.full(4, 1 / 4), size=200)
    draws = []
    for one in times:
        rows = np.concatenate([np.flatnonzero(group == p) for p, n in zip(patients, one) for _ in range(n)])
        matrix = np.zeros((4, 4), np.int64)
        for t, p in zip(true[rows], predicted[rows]):
            matrix[t, p] += 1
        draws.append(float(macro_f1(matrix)))
    low, high = np.quantile(draws, (0.025, 0.975))
    assert (result.macro_f1_low, result.macro_f1_high) == (pytest.approx(low), pytest.approx(high))


def test_one_bad_patient_widens_the_interval_that_single_beats_would_give() -> None:
    group = np.repeat(np.arange(10), 100)
    true = np.tile([0, 1], 500)
    predicted = np.where(group < 3, 1 - true, true)
    by_patient, by_beat = score(true, predicted, NAMES, group), score(true, predicted, NAMES)
    assert by_patient.macro_f1_high - by_patient.macro_f1_low > 4 * (
        by_beat.macro_f1_high - by_beat.macro_f1_low
    )
    assert by_beat.macro_f1_low < by_beat.macro_f1 < by_beat.macro_f1_high
    # 95 % interval of a share of 0.7 in 1,000 beats: 0.7 +- 1.96 sqrt(0.7 * 0.3 / 1000).
    assert by_beat.macro_f1_low == pytest.approx(0.7 - 0.0284, abs=0.006)


def test_one_group_has_no_width_and_the_seed_decides_the_rest() -> None:
    true, predicted = [0, 1, 1, 2], [0, 1, 0, 2]
    alone = score(true, predicted, NAMES, ["p", "p", "p", "p"])
    assert alone.macro_f1_low == alone.macro_f1 == alone.macro_f1_high
    assert score(true, predicted, NAMES, seed=3) == score(true, predicted, NAMES, seed=3)


def test_confusion_counts_by_group() -> None:
    matrix = confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2, np.array([1, 0, 1]))
    assert matrix.tolist() == [[[0, 0], [1, 0]], [[1, 0], [0, 1]]]


def test_json_is_plain_and_keyed_by_class() -> None:
    plain = json.loads(json.dumps(score([0, 1], [0, 1], NAMES).as_json()))
    assert plain["per_class"]["b"] == {"recall": 1.0, "precision": 1.0, "f1": 1.0, "support": 1}
    assert plain["per_class"]["never"]["f1"] is None
    assert set(plain) == {"accuracy", "macro_f1", "macro_f1_low", "macro_f1_high", "per_class"}


@pytest.mark.parametrize(
    ("true", "predicted", "group", "complaint"),
    [
        ([], [], None, "non-empty"),
        ([0, 1], [0], None, "2 labels and y_pred 1"),
        ([0, 4], [0, 1], None, "y_true holds 0 .. 4"),
        ([0, 1], [-1, 1], None, "y_pred holds -1"),
        ([0.5, 1.0], [0, 1], None, "float64"),
        ([0, 1], [0, 1], [1], "one patient for each of the 2"),
    ],
)
def test_bad_labels_are_named(
    true: list[int], predicted: list[int], group: list[int] | None, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        score(true, predicted, NAMES, group)
