"""Cast between int8 and what stands for itself: a table one way, a rounding the other.

int8 to integers or truth values: 256 entries. Truth values to int8: two codes. Integers to int8: thresholds, the least
integer that reaches each code, which is the rounding of QuantizeLinear exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.operators import operators
from trine.devices.errors import InputError
from trine.edge.c.writer import C_TYPES
from trine.edge.lower import Lowering
from trine.edge.operands import slots_of, spell_real
from trine.edge.operators import Kernel
from trine.edge.operators.table import EVERY
from trine.edge.program import LIMITS, QMAX, QMIN, IntegerProgram, QuantizedTensor, Step
from trine.edge.qdq import QdqWriter
from trine.edge.requantize import thresholds

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

LARGEST = 2**31 - 1


def lower(lowering: Lowering, node: Node) -> Step:
    x, name = lowering.tensors[node.inputs[0]], node.outputs[0]
    if {lowering.graph.dtype(n) for n in (node.inputs[0], name)} & set(LIMITS):
        raise InputError(
            f"node {node.name} (Cast): int8 and int16 stand for reals here; --precision float32 has it"
        )
    y = lowering.add_ranged(name) if lowering.graph.dtype(name) == "float32" else lowering.add_plain(name)
    constants: dict[str, Array] = {}
    if x.quantized:
        constants["table"] = operators()["Cast"].run(node, [x.dequantize(EVERY)])[0]
    elif x.dtype == "bool":
        constants["table"] = y.quantize(np.array([0, 1], np.float32))
    else:
        constants["steps"] = steps_of(y)
    return Step("cast", node.name, (x.name,), y.name, constants, slots_of(lowering, node))


def steps_of(y: QuantizedTensor) -> Array:
    """The least whole number that reaches each code from -127 on; 2^31 - 1 where it is beyond."""
    levels = np.arange(QMIN + 1, QMAX + 1, dtype=np.int64)[None]
    guess = np.rint((levels - y.zero_point - 0.5) * float(y.scale)).clip(-LARGEST, LARGEST).astype(np.int64)
    ends = np.array([[-LARGEST - 1]], np.int64), np.array([[LARGEST]], np.int64)
    found = thresholds(lambda x: y.quantize(x.astype(np.float32)).astype(np.int64), *ends, levels, guess)
    return np.asarray(np.minimum(found[0], LARGEST), np.int32)


def run(program: IntegerProgram, step: Step, inputs: Sequence[Array]) -> Array:
    (x,), constants = inputs, step.constants
    if "steps" in constants:
        whole = np.clip(x.astype(np.int64), -LARGEST - 1, LARGEST)
        return (np.searchsorted(constants["steps"], whole, "right") + QMIN).astype(np.int8)
    quantized = program.tensors[step.inputs[0]].quantized
    return np.asarray(constants["table"][x.astype(np.int16) - QMIN if quantized else x.astype(np.int8)])


def qdq(writer: QdqWriter, step: Step) -> None:
    writer.output(step, spell_real(writer, step, {}))


def cast_layer(layer: LayerWriter, step: Step) -> None:
    x, y = layer.tensor(step.inputs[0]), layer.tensor(step.output)
    value = "x0[i]"
    if "steps" in step.constants:
        layer.need("sums")
        whole = f"trine_whole({value})" if x.dtype in ("int64", "uint64", "uint32") else f"(int32_t){value}"
        value = f"trine_steps({whole}, {layer.array('steps', step.constants['steps'])})"
    else:
        value = f"{layer.array('table', step.constants['table'])}[{value}{' + 128' if x.quantized else ''}]"
    layer.line(f"for (int32_t i = 0; i < {x.size}; i++)")
    layer.line(f"    y[i] = ({C_TYPES[y.dtype]})({value});")


KERNEL = Kernel("cast", ("Cast",), lower, run, qdq, cast_layer, layout="row")
