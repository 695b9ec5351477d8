"""Clip to constant bounds (ONNX Clip-13).

Normal form: inputs (x); attributes min and max, -inf and inf where absent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import require, same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported


def _bound(source: SourceNode, index: int, what: str, absent: float) -> float:
    if not source.has(index):
        return absent
    value = float(source.scalar(index, what))
    if np.isnan(value):
        raise Unsupported(f"{what} is not a number")
    return value


def read(source: SourceNode) -> Node:
    require(source, "fiu")
    bounds = {
        "min": _bound(source, 1, "the lower bound", -np.inf),
        "max": _bound(source, 2, "the upper bound", np.inf),
    }
    return Node("Clip", source.name, source.inputs[:1], source.outputs, bounds)


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x = arguments[0]
    low, high = node.attributes["min"], node.attributes["max"]
    x = np.maximum(x, x.dtype.type(low)) if low > -np.inf else x
    return [np.minimum(x, x.dtype.type(high)) if high < np.inf else x]


_LOW, _HIGH = np.array(-0.5, np.float32), np.array(0.25, np.float32)

OPERATOR = Operator(
    "Clip", read, same_shape, run,
    (
        Case("relu6", ((4, 9),), {"min": 0.0, "max": 6.0}),
        Case("both", ((12,),), {"min": -0.5, "max": 0.25}),
        Case("lower_only", ((3, 5, 4),), {"min": 0.125, "max": float("inf")}),
        Case("upper_only", ((3, 5, 4),), {"min": float("-inf"), "max": 0.5}),
    ),
    forms=(
        Form("both", ((4, 9),), {}, {1: _LOW, 2: _HIGH}),
        Form("lower", ((4, 9),), {}, {1: _LOW}),
        Form("upper", ((4, 9),), {}, {1: None, 2: _HIGH}),
        Form("lower_above_upper", ((4, 9),), {}, {1: _HIGH, 2: _LOW}),
    ),
)  # fmt: skip
