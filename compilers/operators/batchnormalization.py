"""BatchNormalization of a trained network: every channel times a number, plus another (ONNX BatchNormalization-15).

Normal form: inputs (x (channels, *spatial), scale, offset), constants of one value a channel, into which the mean,
the variance and epsilon are folded; no attributes. The model front end writes one that stands alone as Mul and Add,
which spiking conversion wants; `edge.quantize.affine` brings both together again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.elementwise import same_shape
from trine.compilers.graph import Array, Node
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported
from trine.compilers.operators.layernormalization import parameters


def read(source: SourceNode) -> Node:
    source.first_is_batch()
    if source.integer("training_mode", 0) or any(source.outputs[1:]):
        raise Unsupported(
            "training_mode: the statistics of a batch are computed; export the model for inference"
        )
    channels = source.shape()[:1]
    what = ("the scale", "the bias", "the mean", "the variance")
    values = [source.constant(i, name).astype(np.float64) for i, name in enumerate(what, 1)]
    if any(value.shape != channels for value in values):
        raise Unsupported(
            f"parameters {[value.shape for value in values]} for shape {source.shape()} an example"
        )
    gamma, beta, mean, variance = values
    scale = gamma / np.sqrt(variance + float(source.attributes.get("epsilon", 1e-5)))
    names = [
        source.define(role, value.astype(np.float32))
        for role, value in (("scale", scale), ("offset", beta - mean * scale))
    ]
    return Node("BatchNormalization", source.name, (source.inputs[0], *names), source.outputs[:1])


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, scale, offset = arguments
    column = (-1, *(1,) * (x.ndim - 2))
    return [np.asarray(x * scale.reshape(column) + offset.reshape(column), x.dtype)]


def spell(node: Node, opset: int) -> list[Spelled]:
    """Mean 0 and variance 1, computed from the offset, since a spelling does not know how many channels there are."""
    x, scale, offset = node.inputs
    zero, one = f"{node.name}.mean", f"{node.name}.variance"
    return [
        Spelled("Sub", [offset, offset], [zero]),
        Spelled("Exp", [zero], [one]),
        Spelled("BatchNormalization", [x, scale, offset, zero, one], node.outputs, {"epsilon": 0.0}),
    ]


OPERATOR = Operator(
    "BatchNormalization", read, same_shape, run,
    (
        Case("signal", ((4, 9),), {}, parameters("signal", 4)),
        Case("image", ((3, 5, 4),), {}, parameters("image", 3)),
        Case("vector", ((7,),), {}, parameters("vector", 7)),
    ),
    spell=spell,
)  # fmt: skip
