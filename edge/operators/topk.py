"""TopK of int8 codes along an axis: values keep scale and zero point, indices are int64, the lower first of equals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from trine.compilers.graph import Array, Node
from trine.compilers.onnx_writer import spelled
from trine.compilers.operators import operators
from trine.edge.c.lines import top_of_line
from trine.edge.lower import Lowering
from trine.edge.operators import Kernel
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import OPSET, QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def lower(lowering: Lowering, node: Node) -> Step:
    x, (values, *places) = lowering.tensors[node.inputs[0]], (*node.outputs, "")[:2]
    a = node.attributes
    shape = (*x.shape[: a["axis"]], a["k"], *x.shape[a["axis"] + 1 :])
    values = values or f"{node.name}.values"
    lowering.tensors[values] = replace(x, name=values, shape=shape)
    also = tuple(name for name in places if name)
    for name in also:
        lowering.tensors[name] = QuantizedTensor(name, shape, dtype="int64")
    return Step("topk", node.name, node.inputs, values, {}, {"of": dict(a)}, also=also)


def node_of(step: Step, outputs: tuple[str, ...]) -> Node:
    """The operator."""
    return Node("TopK", step.name, step.inputs, outputs, step.attributes["of"])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array | list[Array]:
    results = operators()["TopK"].run(node_of(step, step.outputs), inputs)
    return results if step.also else results[0]


def qdq(writer: QdqWriter, step: Step) -> None:
    real = f"{step.name}_real"
    places = tuple(f"{step.name}_places" for _ in step.also)
    writer.spell(step, spelled(node_of(step, (real, *places)), OPSET))
    writer.output(step, real)
    for name, place in zip(step.also, places, strict=True):
        writer.quantize(writer.program.tensors[name], place)


def topk_layer(layer: LayerWriter, step: Step) -> None:
    of = step.attributes["of"]
    top_of_line(layer, step, of["axis"], of["k"], of["largest"])


KERNEL = Kernel("topk", ("TopK",), lower, run, qdq, topk_layer, layout="row", int16=True)
