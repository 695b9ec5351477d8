"""Equal, Greater, Less and their kin: int8 operands of any two scales compared exactly, without floats.

For each code of b, `least[b]` is the least code of a whose real value is not below b's, and `past[b]` the least whose
value is above it. Then a >= b is a >= least[b], a > b is a >= past[b], and a = b lies between: all comparisons of all
65,536 pairs, as the float values they stand for compare. A constant b needs no scale of its own: its elements have
their thresholds stored. IsNaN and IsInf of integers are never true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node
from trine.edge.lower import Lowering
from trine.edge.operands import (
    CONSTANT,
    activations,
    constant_of,
    operand_places,
    slots_of,
    spell_real,
    values_of,
)
from trine.edge.operators import Kernel
from trine.edge.operators.table import EVERY
from trine.edge.program import QMIN, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

# By operator: which comparison says the same with the operands exchanged.
EXCHANGED = {
    "Equal": "Equal", "Greater": "Less", "GreaterOrEqual": "LessOrEqual", "Less": "Greater",
    "LessOrEqual": "GreaterOrEqual",
}  # fmt: skip
# By operator: which thresholds it needs, and the C of code a against them.
RULES = {
    "Equal": (("least", "past"), "{a} >= {least} && {a} < {past}"),
    "Greater": (("past",), "{a} >= {past}"),
    "GreaterOrEqual": (("least",), "{a} >= {least}"),
    "Less": (("least",), "{a} < {least}"),
    "LessOrEqual": (("past",), "{a} < {past}"),
}


def thresholds(a: QuantizedTensor, real: Array) -> dict[str, NDArray[np.int16]]:
    """For real values: the least code of a that is not below each, and the least above it; up to 128, where none is."""
    values, wanted = a.dequantize(EVERY), np.asarray(real, np.float32)
    least, past = np.searchsorted(values, wanted, "left"), np.searchsorted(values, wanted, "right")
    return {"least": (least + QMIN).astype(np.int16), "past": (past + QMIN).astype(np.int16)}


def lower(lowering: Lowering, node: Node) -> Step:
    y = lowering.add_plain(node.outputs[0])
    if node.op in ("IsNaN", "IsInf"):
        return Step("compare", node.name, node.inputs, y.name, {}, slots_of(lowering, node))
    attributes = slots_of(lowering, node)
    names, first = activations(lowering, node), 0
    if lowering.is_constant(node.inputs[0]):
        first = 1
    other = node.inputs[1 - first]
    a = lowering.tensors[node.inputs[first]]
    needed = RULES[node.op if first == 0 else EXCHANGED[node.op]][0]
    if not lowering.is_constant(other):
        found = thresholds(a, lowering.tensors[other].dequantize(EVERY))
        return Step("compare", node.name, names, y.name, {key: found[key] for key in needed}, attributes)
    real = constant_of(lowering, node, 1 - first)
    found = thresholds(a, real)
    constants = {f"i{1 - first}": real, **{key: found[key] for key in needed}}
    return Step("compare", node.name, names, y.name, constants, attributes)


def rule_of(step: Step) -> tuple[str, int]:
    """The comparison with an activation first, and the position of that operand."""
    op, first = step.attributes["op"], int(step.attributes["slots"][0] == CONSTANT)
    return (EXCHANGED[op], 1) if first else (op, 0)


def holds(op: str, a: Array, limits: dict[str, Array]) -> Array:
    """The rule of RULES in NumPy."""
    if op == "Equal":
        return np.asarray((a >= limits["least"]) & (a < limits["past"]))
    if op in ("Greater", "GreaterOrEqual"):
        return np.asarray(a >= limits["past" if op == "Greater" else "least"])
    return np.asarray(a < limits["least" if op == "Less" else "past"])


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    if step.attributes["op"] in ("IsNaN", "IsInf"):
        return np.zeros(inputs[0].shape, bool)
    op, first = rule_of(step)
    values = values_of(step, inputs)
    a, b = values[first].astype(np.int16), values[1 - first]
    constant = step.attributes["slots"][1 - first] == CONSTANT
    limits = {
        key: step.constants[key][None] if constant else step.constants[key][b.astype(np.int16) - QMIN]
        for key in RULES[op][0]
    }
    return holds(op, a, limits)


def qdq(writer: QdqWriter, step: Step) -> None:
    reals = {int(name[1:]): value for name, value in step.constants.items() if name[1:].isdigit()}
    if step.attributes["op"] == "IsInf":
        step = replace(step, attributes={**step.attributes, "op": "IsNaN", "of": {}})
    writer.output(step, spell_real(writer, step, reals))


def compare_layer(layer: LayerWriter, step: Step) -> None:
    if step.attributes["op"] in ("IsNaN", "IsInf"):
        layer.line("(void)x0;")
        layer.line(f"for (int32_t i = 0; i < {layer.tensor(step.output).size}; i++)")
        layer.line("    y[i] = 0;")
        return
    op, first = rule_of(step)
    needed, text = RULES[op]
    places, indent = operand_places(layer, step)
    slots, other = step.attributes["slots"], places[1 - first]
    # Thresholds stand where a constant stood, or are looked up by the other operand's code.
    index = other if slots[1 - first] == CONSTANT else f"x{slots[1 - first]}[{other}] + 128"
    words = {key: f"{layer.array(key, step.constants[key])}[{index}]" for key in needed}
    words["a"] = f"x{slots[first]}[{places[first]}]"
    layer.line(f"{indent}*y++ = (uint8_t)({text.format(**words)});")


KERNEL = Kernel("compare", (*RULES, "IsNaN", "IsInf"), lower, run, qdq, compare_layer, layout="row")
