"""GlobalMaxPool (ONNX GlobalMaxPool-1); read as ReduceMax over the spatial axes."""

from __future__ import annotations

from trine.compilers.graph import Node
from trine.compilers.operators import Form, Operator, SourceNode, Unsupported
from trine.compilers.operators.reducemax import OPERATOR as REDUCE_MAX


def read(source: SourceNode) -> Node:
    source.first_is_batch()
    if len(source.shape()) < 2:
        raise Unsupported(f"shape {source.shape()} has no spatial axes")
    axes = tuple(range(1, len(source.shape())))
    return Node("ReduceMax", source.name, source.inputs, source.outputs, {"axes": axes, "keepdims": 1})


OPERATOR = Operator(
    "GlobalMaxPool", read, REDUCE_MAX.shapes, REDUCE_MAX.run, (),
    forms=(Form("signal", ((3, 11),)), Form("image", ((3, 5, 4),)), Form("one_position", ((6, 1, 1),))),
)  # fmt: skip
