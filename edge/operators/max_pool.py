"""MaxPool 1-D and 2-D in integers: the greatest int8 of a window; padding never wins; scale and zero point stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators.conv import pad_spatial, windows
from trine.edge.c.pool import max_pool_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import QMIN, Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    y = lowering.like_input(node)
    return Step("max_pool", node.name, (node.inputs[0],), y.name, {}, dict(node.attributes))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    kernel, strides = step.attributes["kernel_shape"], step.attributes["strides"]
    dilations = step.attributes.get("dilations", (1,) * len(kernel))
    pads, rank = list(step.attributes["pads"]), len(kernel)
    for i, positions in enumerate(program.tensors[step.output].shape[1:]):
        reach = (positions - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        pads[rank + i] = max(reach - inputs[0].shape[2 + i] - pads[i], pads[rank + i])
    view = windows(pad_spatial(inputs[0], pads, QMIN), kernel, strides, dilations)
    return np.asarray(view.max(axis=tuple(range(-rank, 0))))


def qdq(writer: QdqWriter, step: Step) -> None:
    names = ("kernel_shape", "strides", "pads", "dilations")
    lists = {name: list(step.attributes[name]) for name in names if name in step.attributes}
    x = writer.value(step.inputs[0])
    writer.output(step, writer.node("MaxPool", [x], **lists, ceil_mode=step.attributes.get("ceil_mode", 0)))


KERNEL = Kernel("max_pool", ("MaxPool",), lower, run, qdq, max_pool_layer, layout="last")
