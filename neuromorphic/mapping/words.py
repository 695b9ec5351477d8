"""Loihi 1's synapse memory: 64-bit words that the weights of one input axon take.

Rule and constants: nengo-loihi 1.1.0 (`block.Synapse`, `Config.bits_per_axon`) and NxTF (arXiv 2101.04261):
weights of an axon are stored in entries of at most 60 (63 in hardware); an entry costs n * (weight + delay
[+ index]) + 10 bits and is rounded up to whole words. The index is left out where the targets are
consecutive compartments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trine.neuromorphic.net import Projection

WORD_BITS: Final = 64
ENTRY_OVERHEAD_BITS: Final = 10
ENTRY_SYNAPSES: Final = 60
INDEX_BITS: Final = (0, 6, 7, 8, 9, 10, 11, 12)
WEIGHT_BITS: Final = (0, 1, 2, 3, 4, 5, 6, 8)

Ints = NDArray[np.int64]


def axon_words(weights: int | Ints, bits: int | Ints) -> Ints:
    """64-bit words of an input axon with so many weights of so many bits each (delay and index included)."""
    weights, bits = np.asarray(weights, np.int64), np.asarray(bits, np.int64)
    full, rest = np.divmod(weights, ENTRY_SYNAPSES)
    words = full * _entry(ENTRY_SYNAPSES, bits) + np.where(rest > 0, _entry(rest, bits), 0)
    return words.astype(np.int64)


def _entry(weights: int | Ints, bits: Ints) -> Ints:
    total: Ints = np.asarray(weights * bits + ENTRY_OVERHEAD_BITS)
    return -(-total // WORD_BITS)


def index_bits(targets: int | Ints) -> Ints:
    """Bits of an index that tells so many compartments apart, as the formats have them."""
    needed = np.ceil(np.log2(np.maximum(np.asarray(targets, np.float64), 2))).astype(np.int64)
    widths = np.array(INDEX_BITS[1:])
    found: Ints = widths[np.minimum(np.searchsorted(widths, needed), len(widths) - 1)]
    return found


def delay_bits(steps: int) -> int:
    """Bits a synapse spends on a delay of so many steps; none for no delay."""
    return int(steps).bit_length()


@dataclass(frozen=True)
class WeightFormat:
    """bits: stored bits of a weight, sign included where signs are mixed; None: no encoding holds these
    weights.

    needed: bits the weights would take. exponent: of the power of two that all weights hold. sign: which signs occur.
    """

    bits: int | None
    needed: int
    exponent: int = 0
    sign: int = 0


def weight_format(projection: Projection) -> WeightFormat:
    """The narrowest encoding that holds a projection's integer weights; 8 bits for real-valued ones
    (unquantised).

    A common power of two costs nothing: it goes into the weight exponent. Mixed signs: two's complement; one
    sign: magnitude.
    """
    weight = np.asarray(projection.weight)
    if weight.dtype.kind == "f":
        return WeightFormat(8, 8)
    low, high = (int(weight.min()), int(weight.max())) if weight.size else (0, 0)
    if low == high == 0:
        return WeightFormat(1, 0)
    common = int(np.bitwise_or.reduce(np.abs(weight.astype(np.int64)), axis=None))
    shift = (common & -common).bit_length() - 1
    low, high = low >> shift, high >> shift
    mixed = low < 0 < high
    needed = max((-low - 1).bit_length(), high.bit_length()) + 1 if mixed else max(-low, high).bit_length()
    fits = [width for width in WEIGHT_BITS if width >= max(needed, 1)]
    return WeightFormat(fits[0] if fits else None, needed, shift, (high > 0) - (low < 0) if not mixed else 2)
