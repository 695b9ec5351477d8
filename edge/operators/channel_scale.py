"""BatchNormalization in integers: every channel times a weight of its own, plus a bias, and one requantiser.

The weight of a channel is the int8 number 127 (or -127), and its scale is the channel's: nothing is lost but the one
rounding at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.linear import folded_bias
from trine.edge.c.writer import LayerWriter
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.operators.conv import lower_linear
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    scale, rank = lowering.graph.constants[node.inputs[1]], len(lowering.graph.shape(node.inputs[0]))
    return lower_linear(lowering, node, "channel_scale", scale.reshape(-1, 1, *(1,) * (rank - 1)), {})


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x = inputs[0].astype(np.int64) - program.tensors[step.inputs[0]].zero_point
    column = (-1, *(1,) * (x.ndim - 2))
    weight, bias = (step.constants[name].astype(np.int64).reshape(column) for name in ("weight", "bias"))
    return np.asarray(step.requantizer.apply(x * weight + bias))


def qdq(writer: QdqWriter, step: Step) -> None:
    """A depthwise Conv of one tap, which onnxruntime computes in integers; for other ranks a product and a sum."""
    x, w, b = writer.linear_inputs(step, axis=0)
    weight = step.constants["weight"]
    if weight.ndim in (3, 4):
        writer.output(step, writer.node("Conv", [x, w, b], group=len(weight)))
        return
    column = writer.shape([len(weight), *(1,) * (weight.ndim - 2)])
    scale, offset = (writer.node("Reshape", [value, column]) for value in (w, b))
    writer.output(step, writer.node("Add", [writer.node("Mul", [x, scale]), offset]))


def write_c(layer: LayerWriter, step: Step) -> None:
    r, x = step.requantizer, layer.tensor(step.inputs[0])
    channels = layer.channels(r, folded_bias(layer.program, step))
    weight = layer.array("weight", step.constants["weight"])
    count, each = x.shape[0], x.size // x.shape[0]
    outer, inner = ("i", "c") if layer.source.laid_out.last[step.output] else ("c", "i")
    sizes = {"c": count, "i": each}
    for k, name in enumerate((outer, inner)):
        layer.line(f"{'    ' * k}for (int32_t {name} = 0; {name} < {sizes[name]}; {name}++)")
    total = f"(*x0++ * {weight}[c] + {channels}[c].bias)"
    if r.rule == "int16":
        layer.need("int16")
        layer.line(
            f"        *y++ = trine_requantize16({total} * {2**r.left}, &{channels}[c], {r.low}, {r.high});"
        )
        return
    if r.rule == "tflite":
        layer.need("tflite")
        rounded = (
            f"trine_tflite({total}, {channels}[c].multiplier, {channels}[c].shift) + {channels}[c].addend"
        )
        value = f"(int8_t)trine_clamp({rounded}, {r.low}, {r.high})"
    else:
        value = f"trine_requantize({total} * {2**r.left}, &{channels}[c], {r.low}, {r.high})"
    layer.line(f"        *y++ = {value};")


KERNEL = Kernel(
    "channel_scale",
    ("BatchNormalization",),
    lower,
    run,
    qdq,
    write_c,
    layout="any",
    in_place=True,
    int16=True,
)
