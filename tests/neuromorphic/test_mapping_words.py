"""Loihi's synapse words and weight formats, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trine.neuromorphic.mapping.loihi import synapse_format
from trine.neuromorphic.mapping.reach import Wiring
from trine.neuromorphic.mapping.words import axon_words, delay_bits, index_bits, weight_format
from trine.neuromorphic.net import Projection


@pytest.mark.parametrize(
    ("weights", "bits", "words"),
    [
        (0, 8, 0),
        (1, 8, 1),  # 8 + 10 = 18 bits
        (6, 8, 1),  # 58
        (7, 8, 2),  # 66
        (60, 8, 8),  # 490
        (61, 8, 9),  # a second entry of 18 bits
        (128, 8, 18),  # 8 + 8 + (8 * 8 + 10 = 74 -> 2)
        (54, 1, 1),  # 64 exactly
        (55, 1, 2),
        (60, 18, 18),  # 8-bit weight with 10-bit index: 1090
    ],
)
def test_words_of_an_axon(weights: int, bits: int, words: int) -> None:
    assert axon_words(weights, bits) == words


def test_words_of_many_axons() -> None:
    assert axon_words(np.array([1, 60, 128]), np.array(8)).tolist() == [1, 8, 18]


def test_index_and_delay_bits() -> None:
    assert index_bits(np.array([1, 64, 65, 1000, 1024, 4096])).tolist() == [6, 6, 7, 10, 10, 12]
    assert [delay_bits(n) for n in (0, 1, 2, 62)] == [0, 1, 2, 6]


@pytest.mark.parametrize(
    ("weights", "bits", "needed"),
    [
        ([-254, 254, 2], 8, 8),  # even, mixed: Loihi's own 8-bit values
        ([-256, 254], 8, 8),
        ([-255, 254], None, 9),  # odd and 9 bits wide
        ([3, 255], 8, 8),  # one sign: magnitude
        ([0, 1], 1, 1),
        ([-1, 1], 2, 2),
        ([-64, 64], 2, 2),  # the common 64 goes into the exponent
        ([-8, 7], 4, 4),
        ([33, -64], 8, 7),  # 7 bits are no encoding
        ([0, 0], 1, 0),
    ],
)
def test_weight_format(weights: list[int], bits: int | None, needed: int) -> None:
    found = weight_format(Projection("p", "a", "b", "dense", np.array([weights])))
    assert (found.bits, found.needed) == (bits, needed)


def test_real_weights_count_as_eight_bits() -> None:
    assert weight_format(Projection("p", "a", "b", "dense", np.ones((1, 2), np.float32))).bits == 8


def test_equal_formats_are_one() -> None:
    """Lines of a digit, positive and negative, have negated weights and share a format; another digit does not."""
    weight = np.array([[3, -5], [7, 1]])

    def wired(values: np.ndarray, exponent: int = 0, delay: int = 0) -> tuple[object, ...]:
        projection = Projection("p", "a", "b", "dense", values, delay_steps=delay, weight_exponent=exponent)
        return synapse_format(Wiring(projection, (2,), (2,), ()))

    assert wired(weight) == wired(-weight)
    assert wired(weight, 1) == wired(2 * weight)
    assert wired(weight) != wired(weight, 1)
    assert wired(weight) != wired(np.abs(weight))
    assert wired(weight) != wired(weight, delay=3)
