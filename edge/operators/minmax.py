"""Min and Max of any number of int8 operands: each goes through a table into the output's scale, then the best is kept.

Equal to the float rule, since rounding keeps order: round(max(a, b)) = max(round(a), round(b)). A table that changes
nothing is left out. A constant is stored in the output's codes; one of a single number makes a table of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array, Node
from trine.edge.int16 import rescaled
from trine.edge.lower import Lowering
from trine.edge.operands import CONSTANT, activations, constant_of, elements, slots_of, spell_real, values_of
from trine.edge.operators import Kernel
from trine.edge.operators.table import EVERY, lower_scalar, scalar_of
from trine.edge.program import QMIN, Int8, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter


def alike(
    lowering: Lowering, node: Node, y: QuantizedTensor, positions: Sequence[int]
) -> tuple[Node, list[Step]]:
    """The node on int16 operands of the output's scale, and the steps that rescale those of another."""
    names, steps = list(node.inputs), dict[str, Step]()
    for i in positions:
        if lowering.is_constant(names[i]) or lowering.tensors[names[i]].scale == y.scale:
            continue
        x = lowering.tensors[names[i]]
        part = lowering.add_tensor(f"{node.name}_{x.name}", x.shape, y.scale, 0, "int16")
        steps[part.name] = rescaled(part.name, x, part)
        names[i] = part.name
    return replace(node, inputs=tuple(names)), list(steps.values())


def into_output(
    lowering: Lowering, node: Node, y: QuantizedTensor, positions: Sequence[int]
) -> dict[str, Array]:
    """Constants of a step whose operands at some positions are wanted in the output's codes: constant operands as
    "i<position>", a table "t<position>" for each activation of another scale or zero point."""
    made: dict[str, Array] = {}
    for i in positions:
        name = node.inputs[i]
        if lowering.is_constant(name):
            made[f"i{i}"] = y.quantize(constant_of(lowering, node, i))
            continue
        x = lowering.tensors[name]
        if (x.scale, x.zero_point) != (y.scale, y.zero_point):
            made[f"t{i}"] = y.quantize(x.dequantize(EVERY))
    return made


def in_output_codes(step: Step, values: Sequence[Array], positions: Sequence[int]) -> list[Array]:
    """The operands at some positions, in the output's codes."""
    found = []
    for i in positions:
        table = step.constants.get(f"t{i}")
        found.append(values[i] if table is None else table[values[i].astype(np.int16) - QMIN])
    return found


def through_tables(
    layer: LayerWriter, step: Step, texts: Sequence[str], positions: Sequence[int]
) -> list[str]:
    """C of the operands at some positions, in the output's codes."""
    found = []
    for i in positions:
        table = step.constants.get(f"t{i}")
        found.append(texts[i] if table is None else f"{layer.array(f't{i}', table)}[{texts[i]} + 128]")
    return found


def real_constants(writer: QdqWriter, step: Step, positions: Sequence[int]) -> dict[int, Array]:
    """What constant operands in the output's codes stand for."""
    y = writer.program.tensors[step.output]
    return {
        i: y.dequantize(step.constants[f"i{i}"]) for i in positions if step.attributes["slots"][i] == CONSTANT
    }


def lower(lowering: Lowering, node: Node) -> Step | tuple[Step, ...]:
    scalar = scalar_of(lowering, node) if len(node.inputs) == 2 else None
    if scalar is not None and not lowering.wide(node.outputs[0]):
        return lower_scalar(lowering, node, *scalar)
    y, steps = lowering.add_ranged(node.outputs[0]), list[Step]()
    if y.dtype == "int16":
        node, steps = alike(lowering, node, y, range(len(node.inputs)))
    constants = into_output(lowering, node, y, range(len(node.inputs)))
    names, slots = activations(lowering, node), slots_of(lowering, node)
    return (*steps, Step("minmax", node.name, names, y.name, constants, slots))


def run(program: IntegerProgram, step: Step, inputs: Sequence[Int8]) -> Int8:
    values = in_output_codes(step, values_of(step, inputs), range(len(step.attributes["slots"])))
    function = np.minimum if step.attributes["op"] == "Min" else np.maximum
    return np.asarray(reduce(function, values))


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = real_constants(writer, step, range(len(step.attributes["slots"])))
    writer.output(step, spell_real(writer, step, reals))


def minmax_layer(layer: LayerWriter, step: Step) -> None:
    texts, indent = elements(layer, step)
    first, *others = through_tables(layer, step, texts, range(len(texts)))
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    int32_t best = {first}{', v' if others else ''};")
    for text in others:
        layer.line(f"{indent}    v = {text};")
        layer.line(f"{indent}    best = v {'<' if step.attributes['op'] == 'Min' else '>'} best ? v : best;")
    layer.line(f"{indent}    *y++ = ({layer.kind(step.output)})best;")
    layer.line(f"{indent}}}")


KERNEL = Kernel("minmax", ("Min", "Max"), lower, run, qdq, minmax_layer, in_place=True, int16=True)
