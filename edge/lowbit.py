"""Weights of 8, 4 or 2 bits: which integers each width holds, and how real weights become them.

8 bits: -127 to 127. 4 bits: -8 to 7. 2 bits: -3, -1, 1 and 3, that is 2q + 1 for q in two's complement: four levels
symmetric about zero, without a zero. On a normal distribution their least squared error is 0.119 of the variance, that
of -1, 0, 1 is 0.190 (Max 1960, "Quantizing for minimum distortion", table 1), so a weight's sign is worth more than
its absence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.edge.program import Step

WIDTHS = (8, 4, 2)
LARGEST = {8: 127, 4: 7, 2: 3}  # the code that the largest weight of a channel gets
LEAST = {8: -127, 4: -8, 2: -3}
SMALLEST_SCALE = np.float32(2.0**-40)
# The DSP kernels keep low-bit weights at the top of a byte, so that their sums are larger by this factor.
RAISED = {8: 1, 4: 16, 2: 32}

WeightBits = Mapping[str, int]  # by the weight's name; 8 where nothing is said


def bits_of(step: Step) -> int:
    """Width of a step's weights. Raises InputError for one that there is not (a program file from elsewhere)."""
    bits = step.attributes.get("weight_bits", 8)
    if bits not in WIDTHS:
        raise InputError(f"step {step.name}: weights of {bits!r} bits; compile the model again")
    return int(bits)


def constant_bytes(step: Step, name: str) -> int:
    """Bytes of a step's constant in the C print, but for the padding of rows."""
    size = int(step.constants[name].nbytes)
    return -(-size * bits_of(step) // 8) if name == "weight" else size


def to_codes(scaled: Array, bits: int) -> NDArray[np.int8]:
    """The nearest code of each value; values in units of the scale."""
    nearest = 2 * np.floor(np.asarray(scaled) / 2) + 1 if bits == 2 else np.rint(scaled)
    return np.asarray(np.clip(nearest, LEAST[bits], LARGEST[bits]).astype(np.int8))


def are_codes(codes: Array, bits: int) -> bool:
    """Whether integers are codes of a width."""
    inside = bool(codes.size == 0 or (codes.min() >= LEAST[bits] and codes.max() <= LARGEST[bits]))
    return inside and (bits != 2 or bool((np.asarray(codes, np.int8) & 1 == 1).all()))


def scales_of(rows: Array, bits: int, clip: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Scale of each row [channels, ...]: its real maximum, or `clip`, over the largest code; 1 for an empty row."""
    largest = np.abs(rows).max(axis=1) if clip is None else np.asarray(clip, np.float32)
    scale = np.maximum(largest / np.float32(LARGEST[bits]), SMALLEST_SCALE).astype(np.float32)
    scale[largest == 0] = 1.0
    return np.asarray(scale)
