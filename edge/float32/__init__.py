"""C of the operators of `Graph` in float32: for cores with a floating-point unit, and to check an operator's meaning.

Each file exports FLOAT32, the C of some operators: {operator: write(layer, step)}; IN_PLACE may name those of them that
may overwrite their first input while they read it. The meaning is the operator's own NumPy (`compilers.operators`);
every tensor lies in ONNX order. Arithmetic is IEEE float32 without contraction, functions are those of
`kernels/float_math.c`, so a core with or without hardware floats gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Shape
from trine.compilers.operators import operators
from trine.edge.program import IntegerProgram, QuantizedTensor, Step

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

Write = Callable[["LayerWriter", Step], None]
ABSENT, CONSTANT = -1, -2  # what an argument is that is no input of the step


@cache
def writers() -> Mapping[str, Write]:
    """The C of every operator that has one."""
    found: dict[str, Write] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        found.update(import_module(f"{__name__}.{module}").FLOAT32)
    return found


@cache
def in_place() -> frozenset[str]:
    """Operators that may overwrite their first input."""
    modules = (import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__))
    return frozenset(name for module in modules for name in getattr(module, "IN_PLACE", ()))


@dataclass(frozen=True)
class Operand:
    """An argument of an operator in C: the expression that points at it, its shape, its NumPy type, its value where
    it is a constant."""

    pointer: str
    shape: Shape
    dtype: str
    value: Array | None = None


def step_of(graph: Graph, node: Node) -> Step:
    """A node as a step: activations are its inputs, constants its constants by position ("i1")."""
    names = [name for name in dict.fromkeys(node.inputs) if name and name not in graph.constants]
    slots = [
        ABSENT if not name else CONSTANT if name in graph.constants else names.index(name)
        for name in node.inputs
    ]
    constants = {f"i{i}": graph.constants[n] for i, n in enumerate(node.inputs) if n in graph.constants}
    read = [name if name else f"{node.name}.{i}" for i, name in enumerate(node.outputs)]
    attributes = {"op": node.op, "of": dict(node.attributes), "slots": tuple(slots)}
    return Step("float32", node.name, tuple(names), read[0], constants, attributes, also=tuple(read[1:]))


def node_of(step: Step) -> Node:
    """The operator a step stands for; constants are named i0, i1, ... by position."""
    inputs = tuple(
        f"i{i}" if slot == CONSTANT else "" if slot == ABSENT else step.inputs[slot]
        for i, slot in enumerate(step.attributes["slots"])
    )
    return Node(step.attributes["op"], step.name, inputs, step.outputs, step.attributes["of"])


def operands(layer: LayerWriter, step: Step) -> list[Operand | None]:
    """A step's arguments as C reads them; constants become arrays of the file. None where one is absent."""
    found: list[Operand | None] = []
    for i, slot in enumerate(step.attributes["slots"]):
        if slot == ABSENT:
            found.append(None)
        elif slot == CONSTANT:
            value = step.constants[f"i{i}"]
            pointer = layer.array(f"i{i}", value) if value.size else "0"
            found.append(Operand(pointer, tuple(value.shape), value.dtype.name, value))
        else:
            tensor = layer.tensor(step.inputs[slot])
            found.append(Operand(f"x{slot}", tensor.shape, tensor.dtype))
    return found


def float_program(graph: Graph) -> IntegerProgram:
    """The network as it is, every node a step, in the types of the graph."""
    tensors = {t.name: QuantizedTensor(t.name, t.shape, dtype=t.dtype) for t in graph.tensors.values()}
    steps = []
    for node in graph.nodes:
        step = step_of(graph, node)
        unread = all_outputs(graph, node)
        tensors.update(
            {n: QuantizedTensor(n, *unread[i]) for i, n in enumerate(step.outputs) if n not in tensors}
        )
        steps.append(step)
    program = IntegerProgram(
        graph.name, tuple(t.name for t in graph.inputs), graph.outputs, tuple(steps), tensors
    )
    program.check()
    return program


def all_outputs(graph: Graph, node: Node) -> list[tuple[Shape, np.float32, int, str]]:
    """Shape, scale, zero point and type of every output, those among them that nobody reads and the graph lists not."""
    record = operators()[node.op]
    shapes = record.shapes(node, [graph.shape(name) for name in node.inputs])
    types = record.types(node, [graph.dtype(name) for name in node.inputs])
    return [(shape, np.float32(1), 0, kind) for shape, kind in zip(shapes, types, strict=True)]
