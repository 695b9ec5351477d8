"""Numbers as C writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.compilers.graph import Array

SHORT = frozenset({"int8", "uint8", "int16", "uint16"})  # types whose numbers C reads as they are


def c_literals(array: Array) -> list[str]:
    """Every element as C writes it. Weights are many: what needs no care goes without."""
    flat = array.ravel()
    if array.dtype.name in SHORT:
        return [str(v) for v in flat.tolist()]
    if array.dtype == np.float32 and np.isfinite(flat).all():
        return [f"{v.hex()}f" for v in flat.tolist()]
    return [c_literal(v) for v in flat]


def c_literal(value: Any) -> str:
    """A number as C writes it, to the last bit. Infinities and NaN are written as operations, without a library."""
    kind = np.asarray(value).dtype
    if kind.kind == "f":
        if np.isnan(value):
            return "(0.0f / 0.0f)"
        if np.isinf(value):
            return f"({'-' if value < 0 else ''}1.0f / 0.0f)"
        return f"{float(value).hex()}{'f' if kind == np.float32 else ''}"
    suffix = {"int64": "INT64_C({})", "uint64": "UINT64_C({})", "uint32": "{}u"}.get(kind.name, "{}")
    least = {"int64": -(2**63), "int32": -(2**31)}.get(kind.name)
    if least is not None and int(value) == least:  # C reads the digits first, and they are too large
        return f"({suffix.format(least + 1)} - 1)"
    return suffix.format(int(value))
