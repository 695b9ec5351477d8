"""AveragePool of a network that arrives quantised: onnxruntime's QLinearAveragePool, bit for bit.

Its rule is in float32: the window's values scale (x - zero point) one after the other in their order, their sum divided
by the count and by the output's scale, plus the zero point as the model stores it (unsigned where it is), then the
nearest whole number, half to even (onnxruntime, contrib_ops/cpu/quantization/qlinear_pool.cc). Where both scales are
equal a mean of 64 values is a tie once in 64, and the rounding of that float32 sum decides it: no integer rule does the
same. A window that is the whole image is summed in integers there and is the kernel `mean`'s, as dilated windows and
cells that ceil_mode added are, which onnxruntime gets wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.onnx_writer import spell
from trine.compilers.operators.averagepool import divisors
from trine.compilers.operators.maxpool import pool_windows
from trine.edge.c.pool import stated_mean_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import Int8, IntegerProgram, Step
from trine.edge.qdq import OPSET, QdqWriter
from trine.edge.stated import StatedTensor

WINDOW = ("kernel_shape", "strides", "dilations", "pads", "count_include_pad", "uncounted")
SATURATED = np.float32(1000)


def is_stated_mean(lowering: Lowering, node: Node) -> bool:
    """Whether a pool is one that onnxruntime has in its quantised form, with scales that the model states."""
    a = node.attributes
    if node.op != "AveragePool" or lowering.output_name(node) not in lowering.stated:
        return False
    whole = tuple(a["kernel_shape"]) == lowering.graph.shape(node.inputs[0])[1:] and not any(a["pads"])
    return not whole and max(a["dilations"]) == 1 and not any(a["uncounted"])


def lower_stated_mean(lowering: Lowering, node: Node) -> Step:
    x, y = lowering.tensors[node.inputs[0]], lowering.add_ranged(lowering.output_name(node))
    low, high = lowering.bounds(node, y)
    window = {name: node.attributes[name] for name in WINDOW}
    raised = y.raised if isinstance(y, StatedTensor) else 0
    attributes = {**window, "raised": raised, "low": low, "high": high}
    return Step("mean_stated", node.name, (x.name,), y.name, {}, attributes)


def geometry(step: Step) -> Node:
    """The step's window as the AveragePool it is."""
    window = {name: step.attributes[name] for name in WINDOW}
    return Node("AveragePool", step.name, step.inputs, (step.output,), window)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, y, a = program.tensors[step.inputs[0]], program.tensors[step.output], step.attributes
    cells = pool_windows(geometry(step), x.dequantize(inputs[0]), 0.0)
    sums = np.add.accumulate(cells, axis=-1, dtype=np.float32)[..., -1]  # one after the other, as C has it
    means = sums / divisors(geometry(step), inputs[0].shape[2:])
    real = np.clip(means / y.scale + np.float32(y.zero_point + a["raised"]), -SATURATED, SATURATED)
    return np.asarray(np.clip(np.rint(real).astype(np.int64) - a["raised"], a["low"], a["high"]), np.int8)


def qdq(writer: QdqWriter, step: Step) -> None:
    x = writer.value(step.inputs[0])
    writer.output(step, writer.node("AveragePool", [x], **spell(geometry(step), OPSET)[1]))


KERNEL = Kernel("mean_stated", (), lower_stated_mean, run, qdq, stated_mean_layer, layout="last", apart=1)
