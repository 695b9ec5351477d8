"""An activation in another scale or type: int8 from int16 and back, and what is a factor and a number added in int16.

q = ((x - zx) multiplier + offset + half >> shift) + zy, saturated; the sum has 64 bits. Made by the lowering where
widths differ (`edge.int16`), and for Relu, Clip, Neg and the sums and products with one number of int16 activations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node
from trine.edge.c.elementwise import rescale_layer
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, Step
from trine.edge.qdq import QdqWriter


def lower(lowering: Lowering, node: Node) -> Step:
    raise ValueError(f"{node.name}: rescale steps are made where widths differ, not lowered")


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    a, x, y = step.attributes, program.tensors[step.inputs[0]], program.tensors[step.output]
    sums = (inputs[0].astype(np.int64) - x.zero_point) * a["multiplier"] + a["offset"]
    q = ((sums + (1 << (a["shift"] - 1))) >> a["shift"]) + y.zero_point
    return np.asarray(np.clip(q, a["low"], a["high"]), y.dtype)


def qdq(writer: QdqWriter, step: Step) -> None:
    x, a = writer.value(step.inputs[0]), step.attributes
    if "scalar" in a:
        both = [x, writer.constant(np.asarray(a["scalar"], np.float32))]
        x = writer.node(a["op"], both[::-1] if a["place"] == 0 else both)
    elif a["op"] == "Neg":
        x = writer.node("Neg", [x])
    writer.output(step, x)


KERNEL = Kernel("rescale", (), lower, run, qdq, rescale_layer, in_place=True, int16=True)
