"""ExpertGemm: for each chosen expert, its own dense layer; the weights of the others are not touched.

No operator of ONNX: `compilers.experts` makes it of a Gather of constant weights and the MatMul that reads it; it is
spelled like that again. Normal form: inputs (x (in,) or (chosen, in), index (chosen,), weight (experts, out, in)[, bias
(experts, out)]); y[c] = weight[index[c]] x[c] + bias[index[c]]. Sparsely gated experts: Shazeer et al. 2017,
arXiv 1701.06538.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import clipped
from trine.compilers.operators import Case, Operator, SourceNode, Spelled, Unsupported, floats


def read(source: SourceNode) -> Node:
    raise Unsupported("is no operator of ONNX; write a Gather of the weights and a MatMul")


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    return [(inputs[1][0], inputs[2][1])]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, weight = arguments[0], arguments[2]
    index = clipped(arguments[1], len(weight))
    x = x[:, None, :] if x.ndim == 2 else x
    y = np.matmul(weight[index], np.broadcast_to(x, (*index.shape, x.shape[-1]))[..., None])[..., 0]
    return [floats(y + arguments[3][index] if len(arguments) > 3 else y)]


def macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    return int(np.prod(output)) * inputs[2][2]


def spell(node: Node, opset: int) -> list[Spelled]:
    """Gather, MatMul, Gather, Add."""
    x, index, weight = node.inputs[:3]
    names = {role: f"{node.name}.{role}" for role in ("wide", "weights", "columns", "product", "bias")}
    y = node.outputs[0]
    last = names["product"] if len(node.inputs) > 3 else y
    made = [
        Spelled("Gather", (weight, index), (names["weights"],)),
        Spelled("Unsqueeze", (x, f"{node.name}.last"), (names["wide"],), constants=_axes(node, "last", -1)),
    ]
    if node.attributes["shared"]:
        made.append(Spelled("Unsqueeze", (names["wide"], f"{node.name}.each"), (names["columns"],),
                            constants=_axes(node, "each", 1)))  # fmt: skip
    columns = names["columns"] if node.attributes["shared"] else names["wide"]
    made += [
        Spelled("MatMul", (names["weights"], columns), (f"{node.name}.column",)),
        Spelled(
            "Squeeze",
            (f"{node.name}.column", f"{node.name}.drop"),
            (last,),
            constants=_axes(node, "drop", -1),
        ),
    ]
    if len(node.inputs) > 3:
        made.append(Spelled("Gather", (node.inputs[3], index), (names["bias"],)))
        made.append(Spelled("Add", (last, names["bias"]), (y,)))
    return made


def _axes(node: Node, role: str, axis: int) -> dict[str, Array]:
    return {f"{node.name}.{role}": np.array([axis], np.int64)}


def _case(name: str, x: Shape, experts: int, outputs: int, chosen: int, bias: bool = True) -> Case:
    rng = np.random.default_rng(sum(map(ord, name)))
    weight = rng.normal(0, 0.3, (experts, outputs, x[-1])).astype(np.float32)
    constants = (weight, rng.normal(0, 0.3, (experts, outputs)).astype(np.float32)) if bias else (weight,)
    return Case(name, (x, (chosen,)), {"shared": int(len(x) == 1)}, constants, ("float32", "int64"))


OPERATOR = Operator(
    "ExpertGemm", read, shapes, run,
    (
        _case("shared_input", (12,), 8, 6, 2),
        _case("an_input_each", (2, 7), 4, 5, 2),
        _case("no_bias_odd", (9,), 5, 3, 1, bias=False),
    ),
    macs, spell=spell, types=lambda node, inputs: ["float32"],
)  # fmt: skip
