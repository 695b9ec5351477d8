"""Weights of 4 and 2 bits as the C reads them: two or four to a byte.

Whatever order the int8 kernels read a layer's weights in, four at a time as words, holds here too: a packed word holds
the words that come next in it, the first in the low bits of each byte. With rows in pairs, words of the two rows take
turns, and a packed word holds words of one row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array
from trine.devices.errors import InputError
from trine.edge.lowbit import are_codes


def granule(bits: int) -> int:
    """Taps in a word: rows are padded to a multiple of it."""
    return 32 // bits


def padded(row: int, bits: int = 8) -> int:
    """Taps of a row as stored."""
    return -(-row // granule(bits)) * granule(bits)


def pack(stream: Array, bits: int, paired: bool) -> NDArray[np.int8]:
    """Codes in the order of the int8 kernels, packed. Padded to whole words, or pairs of them; padding is any code.

    Raises InputError for codes that the width cannot hold (a program file that nothing of ours wrote).
    """
    flat = np.ascontiguousarray(stream, np.int8).ravel()
    if not are_codes(flat[flat != 0] if bits == 2 else flat, bits):
        raise InputError(f"a layer of {bits} bit weights holds others; compile the model again")
    words = 1 + paired  # of each field, before the next field
    block = 4 * words * (8 // bits)
    whole = np.zeros(-(-flat.size // block) * block, np.int8)
    whole[: flat.size] = flat
    fields = (whole >> 1 if bits == 2 else whole).astype(np.uint8) & np.uint8(2**bits - 1)
    fields = fields.reshape(-1, 8 // bits, 4 * words)
    packed = np.zeros((fields.shape[0], 4 * words), np.uint8)
    for i in range(8 // bits):
        packed |= fields[:, i] << np.uint8(bits * i)
    return packed.view(np.int8).ravel()
