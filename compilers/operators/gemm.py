"""Gemm: a dense layer, also what MatMul of a vector and a constant matrix becomes (ONNX Gemm-13).

Normal form: inputs (x (in,), weight (out, in)[, bias (out,)]); weight and bias are constants; no attributes:
alpha, beta, transA and transB are folded into the constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Unsupported, floats


def dense(source: SourceNode, weight: Array, bias: Array | None) -> Node:
    """The node in normal form on the source's first activation; weight (out, in)."""
    x = next(name for name in source.inputs if name and name not in source.constants)
    if source.shapes[x] != (weight.shape[1],):
        raise Unsupported(
            f"input of shape {source.shapes[x]} does not fit a weight for {weight.shape[1]} values"
        )
    names = [x, source.define("weight", np.ascontiguousarray(floats(weight)))]
    if bias is not None:
        names.append(source.define("bias", np.ascontiguousarray(floats(bias))))
    return Node("Gemm", source.name, tuple(names), source.outputs)


def read(source: SourceNode) -> Node:
    if source.is_constant(0):
        raise Unsupported("the first matrix is a constant and the second is not; write it as MatMul")
    if source.attributes.get("transA", 0):
        raise Unsupported("transA would move the batch axis last")
    weight = source.constant(1, "the weight")
    if weight.ndim != 2 or len(source.shape()) != 1:
        raise Unsupported(f"needs matrices; got {source.shape()} an example and weight {weight.shape}")
    weight = weight if source.attributes.get("transB", 0) else weight.T
    weight = floats(weight * np.float32(source.attributes.get("alpha", 1.0)))
    if not source.has(2):
        return dense(source, weight, None)
    bias = source.constant(2, "the bias")
    if (
        bias.ndim > 2
        or (bias.ndim == 2 and bias.shape[0] != 1)
        or bias.shape[-1:] not in ((), (1,), weight.shape[:1])
    ):
        raise Unsupported(
            f"bias {bias.shape} differs between examples or does not fit {weight.shape[0]} outputs"
        )
    flat = np.broadcast_to(bias.reshape(-1), weight.shape[:1])
    return dense(source, weight, floats(flat * np.float32(source.attributes.get("beta", 1.0))))


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(inputs[1][0],)]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    y = arguments[0] @ arguments[1].T
    return [floats(y + arguments[2]) if len(arguments) > 2 else floats(y)]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return int(np.prod(inputs[1]))


def _draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


OPERATOR = Operator(
    "Gemm", read, shapes, run,
    (
        Case("bias", ((10,),), constants=(_draw(1, 4, 10), _draw(2, 4))),
        Case("no_bias", ((33,),), constants=(_draw(3, 5, 33),)),
        Case("one_output", ((64,),), constants=(_draw(4, 1, 64), _draw(5, 1))),
        Case("wide", ((3,),), constants=(_draw(6, 70, 3), _draw(7, 70))),
    ),
    macs,
    (
        Form("plain", ((6,),), {}, {1: _draw(8, 6, 4)}),
        Form("trans_b_alpha_beta", ((6,),), {"transB": 1, "alpha": 0.5, "beta": 2.0},
             {1: _draw(9, 4, 6), 2: _draw(1, 4)}),
        Form("row_bias", ((6,),), {}, {1: _draw(8, 6, 4), 2: _draw(2, 1, 4)}),
        Form("scalar_bias", ((6,),), {"beta": 0.25}, {1: _draw(8, 6, 4), 2: _draw(3, 1)}),
    ),
)  # fmt: skip
