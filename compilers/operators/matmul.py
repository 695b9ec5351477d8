"""MatMul with a constant matrix on either side, or of two activations (ONNX MatMul-13, NumPy's matmul).

Normal form: inputs (a, b), at most one a constant; constants have no batch axis; no attributes.
A constant matrix after one vector an example is read as Gemm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats
from trine.compilers.operators.add import without_batch
from trine.compilers.operators.gemm import dense


def read(source: SourceNode) -> Node:
    a, b = source.shape(0), source.shape(1)
    if source.is_constant(1):
        weight = source.constant(1, "the matrix")
        if len(a) == 1 and weight.ndim == 2:
            return dense(source, weight.T, None)
        names = (source.inputs[0], without_batch(source, 1, len(a)))
    elif source.is_constant(0):
        if len(b) < 2:
            raise Unsupported(f"a constant times one vector an example of shape {b} would mix the batch axis")
        names = (without_batch(source, 0, len(b)), source.inputs[1])
    else:
        if len(a) != len(b) or len(a) < 2:
            raise Unsupported(f"activations of shapes {a} and {b} would mix the batch axis")
        names = (source.inputs[0], source.inputs[1])
    node = Node("MatMul", source.name, names, source.outputs)
    known = {**source.shapes, **{name: value.shape for name, value in source.defined.items()}}
    try:
        shapes(node, [known[name] for name in names])
    except ValueError:
        raise Unsupported(f"shapes {a} and {b} do not fit each other") from None
    return node


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    a, b = inputs
    rows = a[:-1] if len(a) > 1 else ()
    columns = b[:-2] + b[-1:] if len(b) > 1 else ()
    if a[-1] != (b[-2] if len(b) > 1 else b[-1]):
        raise ValueError(f"{a} x {b}")
    stack = np.broadcast_shapes(rows[:-1], columns[:-1])
    return [(*stack, *rows[-1:], *columns[-1:])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    return [floats(np.matmul(arguments[0], arguments[1]))]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return int(np.prod(output, dtype=np.int64)) * inputs[0][-1]


def _draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


OPERATOR = Operator(
    "MatMul", read, shapes, run,
    (
        Case("constant_matrix", ((7, 12),), constants=(_draw(1, 12, 5),)),
        Case("constant_stack", ((3, 7, 12),), constants=(_draw(2, 3, 12, 5),)),
        Case("two_activations", ((4, 6), (6, 5))),
        Case("two_activations_stacked", ((2, 4, 6), (2, 6, 3))),
    ),
    macs,
    (
        Form("vector_by_matrix", ((12,),), {}, {1: _draw(3, 12, 5)}),
        Form("rows_by_matrix", ((7, 12),), {}, {1: _draw(4, 12, 5)}),
        Form("rows_by_vector", ((7, 12),), {}, {1: _draw(5, 12)}),
        Form("matrix_first", ((12, 7),), {}, {0: _draw(6, 5, 12)}),
        Form("matrix_with_batch_axis", ((7, 12),), {}, {1: _draw(7, 1, 12, 5)}),
        Form("attention", ((2, 4, 6), (2, 6, 4))),
    ),
)  # fmt: skip
