"""ScatterND: slices written, or reduced, into the data at tuples of indices (ONNX ScatterND-18).

Only in a graph read whole: ONNX counts the batch axis in the indices. Normal form: inputs (data, indices, updates);
attributes reduction and constant, as ScatterElements'. Indices are clipped to their axes (see `movement.clipped`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import clipped, constant_flags, examples
from trine.compilers.operators import Operator, SourceNode, Unsupported
from trine.compilers.operators.scatterelements import reduction, write


def read(source: SourceNode) -> Node:
    names, flags = source.inputs[:3], constant_flags(source)
    if any(source.batch_of(name) is not None for name, flag in zip(names, flags, strict=True) if not flag):
        raise Unsupported("its indices count the batch axis; each example must be computed on its own")
    data, indices, updates = (source.shape(i) for i in range(3))
    if (
        not indices
        or indices[-1] > len(data)
        or updates != (*indices[:-1], *data[indices[-1] :])
        or 0 in indices
    ):
        raise Unsupported(f"indices {indices} and updates {updates} for data {data}")
    attributes = {"reduction": reduction(source), "constant": flags}
    return Node("ScatterND", source.name, names, source.outputs, attributes)


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [inputs[0]]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    data, indices, updates = examples(node, arguments)
    result = np.array(data)
    for one, places, values in zip(result, indices, updates, strict=True):
        columns = tuple(clipped(places[..., k], one.shape[k]) for k in range(places.shape[-1]))
        write(one, columns, values, node.attributes["reduction"])
    return [result]


OPERATOR = Operator("ScatterND", read, shapes, run, ())
