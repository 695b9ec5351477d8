"""GatherND: slices of the data by tuples of indices (ONNX GatherND-13).

Normal form: inputs (data, indices); attributes batch_dims, axes of one example that both share, and constant (one flag
each: indices may be a constant in a graph read whole). Indices are clipped to their axes (see `movement.clipped`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import clipped, constant_flags, examples
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported


def read(source: SourceNode) -> Node:
    dims, flags = source.integer("batch_dims", 0), constant_flags(source)
    data, indices = source.shape(), source.shape(1)
    if flags[0] or (flags[1] and source.batch_of() is not None):
        raise Unsupported(
            f"{source.inputs[flags.index(True)]} is a constant; data and indices must both be computed"
        )
    if source.batch_of() is not None:
        source.first_is_batch()
        if dims == 0:
            raise Unsupported(
                "its indices count the batch axis (batch_dims 0); each example must be computed by itself"
            )
        dims -= 1
    if (
        data[:dims] != indices[:dims]
        or not indices
        or not 1 <= indices[-1] <= len(data) - dims
        or 0 in indices
    ):
        raise Unsupported(f"indices {indices} for data {data} with batch_dims {dims}")
    attributes = {"batch_dims": dims, "constant": flags}
    return Node("GatherND", source.name, source.inputs[:2], source.outputs, attributes)


def batch(source: SourceNode) -> list[int | None]:
    return [source.batch_of()]


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    data, indices = inputs
    return [(*indices[:-1], *data[node.attributes["batch_dims"] + indices[-1] :])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    data, indices = examples(node, arguments)
    shared = node.attributes["batch_dims"] + 1
    depth = indices.shape[-1]
    columns = [clipped(indices[..., k], data.shape[shared + k]) for k in range(depth)]
    grid = np.ogrid[tuple(slice(size) for size in indices.shape[:shared])]
    lead = [g.reshape(*g.shape, *(1,) * (indices.ndim - 1 - shared)) for g in grid]
    return [data[(*lead, *columns)]]


def spell(node: Node, opset: int) -> list[Spelled]:
    dims = {"batch_dims": node.attributes["batch_dims"] + 1}
    return [Spelled("GatherND", node.inputs, node.outputs, dims)]


def _case(name: str, data: Shape, indices: Shape, dims: int = 0) -> Case:
    attributes = {"batch_dims": dims, "constant": (False, False)}
    return Case(name, (data, indices), attributes, dtypes=("float32", "int64"))


OPERATOR = Operator(
    "GatherND", read, shapes, run,
    (
        _case("rows", (4, 5), (6, 1)),
        _case("values", (4, 5), (3, 2, 2)),
        _case("shared_axis", (2, 4, 5), (2, 3, 1), 1),
    ),
    batch=batch,
    spell=spell,
)  # fmt: skip
