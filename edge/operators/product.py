"""ReduceProd of int8 over any axes of one example: x' times x' times ..., as m 2^e (see `edge.products`).

It begins with (input scale)^n / output scale; what it comes to is rounded once. onnxruntime multiplies in float32: one
step apart at most where that neither overflows nor underflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Node
from trine.edge.c.loops import open_loops, split_axes
from trine.edge.lower import Lowering
from trine.edge.operands import slots_of, spell_real
from trine.edge.operators import Kernel
from trine.edge.products import fixed, rounded, times
from trine.edge.program import QMAX, QMIN, Int8, IntegerProgram, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def lower(lowering: Lowering, node: Node) -> Step:
    x, y = lowering.tensors[node.inputs[0]], lowering.add_ranged(node.outputs[0])
    count = int(np.prod([x.shape[axis] for axis in node.attributes["axes"]]))
    (power, at), (over, under) = fixed(float(x.scale), count), fixed(1 / float(y.scale))
    m, e = times(np.array([power], np.int64), np.array([at], np.int64), over, under)
    attributes = {
        **slots_of(lowering, node),
        "axes": tuple(node.attributes["axes"]),
        "m": int(m[0]),
        "e": int(e[0]),
    }
    return Step("product", node.name, (x.name,), y.name, {}, attributes)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    x, y = program.tensors[step.inputs[0]], program.tensors[step.output]
    axes = [axis + 1 for axis in step.attributes["axes"]]
    centred = inputs[0].astype(np.int64) - x.zero_point
    factors = np.moveaxis(centred, axes, range(-len(axes), 0))
    factors = factors.reshape(*factors.shape[: -len(axes)], -1)
    m = np.full(factors.shape[:-1], step.attributes["m"], np.int64)
    e = np.full(factors.shape[:-1], step.attributes["e"], np.int64)
    for k in range(factors.shape[-1]):
        m, e = times(m, e, factors[..., k])
    q = np.clip(rounded(m, e) + y.zero_point, QMIN, QMAX)
    return q.astype(np.int8).reshape(len(q), *y.shape)


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, spell_real(writer, step, {}))


def product_layer(layer: LayerWriter, step: Step) -> None:
    layer.need("sums", "products")
    x, y, a = layer.tensor(step.inputs[0]), layer.tensor(step.output), step.attributes
    kept, gone = split_axes(x.shape, a["axes"])
    places, indent = open_loops(layer, kept)
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    trine_real product = {{{a['m']}, {a['e']}}};")
    inside, inner = open_loops(layer, gone, "j", indent + "    ")
    at = " + ".join([*places, *inside]) or "0"
    layer.line(f"{inner}product = trine_times(product, x0[{at}] - ({x.zero_point}), 0);")
    layer.line(f"{indent}    *y++ = trine_real_code(product, {y.zero_point});")
    layer.line(f"{indent}}}")


KERNEL = Kernel("product", ("ReduceProd",), lower, run, qdq, product_layer, layout="row", apart=1)
