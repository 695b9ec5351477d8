"""ReduceMean over axes of one example (ONNX ReduceMean-13 and -18).

Normal form: inputs (x); attributes axes (without the batch axis, ascending) and keepdims.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats


def read(source: SourceNode) -> Node:
    given = source.constant(1, "the axes").reshape(-1) if source.has(1) else source.attributes.get("axes", ())
    if len(given) == 0:
        if source.integer("noop_with_empty_axes", 0):
            return Node("Identity", source.name, source.inputs[:1], source.outputs)
        raise Unsupported("averages over all axes, the batch axis among them; name the axes")
    axes = tuple(sorted({source.axis(int(axis)) for axis in given}))
    attributes = {"axes": axes, "keepdims": source.integer("keepdims", 1)}
    return Node("ReduceMean", source.name, source.inputs[:1], source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    axes, keep = node.attributes["axes"], node.attributes["keepdims"]
    return [tuple(1 if i in axes else size for i, size in enumerate(inputs[0]) if keep or i not in axes)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    axes = tuple(axis + 1 for axis in node.attributes["axes"])
    return [floats(arguments[0].mean(axis=axes, keepdims=bool(node.attributes["keepdims"])))]


OPERATOR = Operator(
    "ReduceMean", read, shapes, run,
    (
        Case("time", ((6, 25),), {"axes": (1,), "keepdims": 0}),
        Case("time_kept", ((6, 25),), {"axes": (1,), "keepdims": 1}),
        Case("space", ((3, 5, 4),), {"axes": (1, 2), "keepdims": 0}),
        Case("channels", ((3, 5, 4),), {"axes": (0,), "keepdims": 1}),
    ),
    forms=(
        Form("axes_attribute", ((6, 25),), {"axes": (-1,), "keepdims": 0}, opsets=(13, 17)),
        Form("axes_attribute_two", ((6, 5, 5),), {"axes": (3, 1)}, opsets=(13, 17)),
        Form("axes_input", ((6, 25),), {"keepdims": 0}, {1: np.array([2], np.int64)}, (18, 999)),
        Form("axes_input_negative", ((6, 5, 5),), {}, {1: np.array([-1, -2], np.int64)}, (18, 999)),
        Form("no_axes_noop", ((6, 5),), {"noop_with_empty_axes": 1}, {1: np.array([], np.int64)}, (18, 999)),
    ),
)  # fmt: skip
