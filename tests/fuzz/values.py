"""Odd values of every type, and bytes changed at random."""

from __future__ import annotations

import random

LIMIT = 1 << 20  # files stay under a megabyte
INTEGERS = (0, 1, -1, 2, 3, 7, 13, 255, 2**31 - 1, -(2**31), 2**31, 2**62, -(2**63), 2**63 - 1)
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, float("inf"), float("-inf"), float("nan"), 0.5, 1e9)
TEXTS = (
    "",
    "x",
    "x0",
    "y",
    "NONE",
    "BRANCH_LEQ",
    "\0",
    "a" * 3000,
    "../../x",
    "%s%n",
    "é中",
    "ai.onnx.ml",
    "0",
)
DTYPES = (
    "float32",
    "float64",
    "int64",
    "int32",
    "int8",
    "uint8",
    "bool",
    "float16",
    "int16",
    "uint16",
    "uint64",
)


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, put in, taken out, repeated, or the end cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not out:
            break
        at, how = rng.randrange(len(out)), rng.randrange(6)
        span = rng.choice((1, 1, 2, 8, 64))
        if how == 0:
            out[at] = rng.randrange(256)
        elif how == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            del out[at : at + span]
        elif how == 3:
            out[at:at] = bytes(rng.randrange(256) for _ in range(span))
        elif how == 4:
            out[at:at] = out[at : at + span]
        else:
            del out[at:]
    return bytes(out[:LIMIT])
