"""`Graph`: the framework-free network every pillar lowers from, and its definition in NumPy.

Shapes are those of one example: the batch axis of the source model is not part of any shape, and axes in
attributes are counted without it. Arrays handed to `run` carry the examples on a leading axis.
Layout is ONNX's: (channels, length) and (channels, height, width).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A value of the network: its name, the shape of one example, and its NumPy type (float32, int64, bool, ...)."""

    name: str
    shape: Shape
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of elements of one example."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Node:
    """One operator applied: its inputs may be activations or constants of the graph."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The only output of a node that has one."""
        (only,) = self.outputs
        return only


@dataclass(frozen=True)
class Stored:
    """A constant as a quantised model stores it: real = scale * (integers - zero_point), along `axis` where the scale
    is a vector."""

    integers: Array
    scale: NDArray[np.float32]
    zero_point: Array
    axis: int | None = None

    @property
    def real(self) -> NDArray[np.float32]:
        """The constant itself."""
        shape = [1] * self.integers.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        scale, zero = self.scale.reshape(shape), self.zero_point.reshape(shape)
        return (self.integers.astype(np.int64) - zero.astype(np.int64)).astype(np.float32) * scale

    def transposed(self) -> Stored:
        """Of a matrix: with rows and columns swapped."""
        return replace(self, integers=self.integers.T, axis=None if self.axis is None else 1 - self.axis)


@dataclass(frozen=True)
class Graph:
    """A network: nodes in an order in which they can run, constants by name.

    `tensors` holds every activation, the inputs among them. `outputs` are names of activations. `stored`: the constants
    that the model stores as integers.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    tensors: Mapping[str, Tensor]
    stored: Mapping[str, Stored] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `InputError` naming every node whose inputs, operator or shapes are inconsistent."""
        from trine.compilers.operators import operators

        known = {tensor.name for tensor in self.inputs} | set(self.constants)
        problems: list[str] = []
        for node in self.nodes:
            where = f"node {node.name} ({node.op})"
            missing = [name for name in node.inputs if name and name not in known]
            if node.op not in operators():
                problems.append(f"{where}: no such operator")
            elif missing:
                problems.append(f"{where}: reads {', '.join(missing)} before anything writes it")
            else:
                record = operators()[node.op]
                shapes = record.shapes(node, [self.shape(name) for name in node.inputs])
                types = record.types(node, [self.dtype(name) for name in node.inputs])
                for name, *should in zip(node.outputs, shapes, types, strict=True):
                    stated = [self.tensors[name].shape, self.tensors[name].dtype] if name else should
                    if stated != should:
                        problems.append(f"{where}: {name} is {stated}, should be {should}")
            known.update(node.outputs)
        problems += [f"output {name} is never written" for name in self.outputs if name not in known]
        if problems:
            raise InputError("inconsistent graph:\n  " + "\n  ".join(problems))

    def shape(self, name: str) -> Shape:
        """Shape of one example of an activation, or the whole shape of a constant; () for an absent input."""
        if name in self.tensors:
            return self.tensors[name].shape
        return tuple(self.constants[name].shape) if name else ()

    def dtype(self, name: str) -> str:
        """NumPy type of an activation or constant; "" for an absent input."""
        if name in self.tensors:
            return self.tensors[name].dtype
        return self.constants[name].dtype.name if name else ""

    def typed(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The inputs in the types the graph states."""
        return {name: np.asarray(x, self.dtype(name)) for name, x in inputs.items()}

    def trace(self, inputs: Mapping[str, Array]) -> Iterator[tuple[Node, list[Array]]]:
        """Run node by node, yielding each node with its outputs; values are dropped after their last use.

        inputs: {name: [n, *shape]}. Yields arrays [n, *shape], each of its tensor's type. An operator is given None
        for an optional input that is absent.
        """
        from trine.compilers.operators import operators

        last_use = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        values: dict[str, Array] = self.typed(inputs)
        for i, node in enumerate(self.nodes):
            results = operators()[node.op].run(node, arguments_of(self, node, values))
            values.update(zip(node.outputs, results, strict=True))
            yield node, results
            for name in {*node.inputs, *node.outputs}:
                if last_use.get(name, -1) <= i and name not in self.outputs:
                    values.pop(name, None)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The definition of the network. inputs: {name: [n, *shape]}; returns {name: [n, *shape]}."""
        values = self.typed({name: inputs[name] for name in self.outputs if name in inputs})
        for node, results in self.trace(inputs):
            values.update((n, r) for n, r in zip(node.outputs, results, strict=True) if n in self.outputs)
        return {name: values[name] for name in self.outputs}

    def producers(self) -> dict[str, Node]:
        """Which node writes each activation."""
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Which nodes read each activation or constant, in order."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers

    def with_constants(self, changed: Mapping[str, Array]) -> Graph:
        """The same network with some constants replaced."""
        return replace(self, constants={**self.constants, **changed})

    def macs(self) -> int:
        """Multiply-accumulates of one example, padding counted (ONNX Conv, Gemm and MatMul)."""
        return sum(self.macs_by_node().values())

    def macs_by_node(self) -> dict[str, int]:
        """Multiply-accumulates of one example by node name; nodes without any are left out."""
        from trine.compilers.operators import operators

        counts = {
            node.name: operators()[node.op].macs(
                node, [self.shape(n) for n in node.inputs], self.shape(node.outputs[0])
            )
            for node in self.nodes
        }
        return {name: count for name, count in counts.items() if count}

    def parameters(self) -> int:
        """Number of float32 constants' elements."""
        return int(sum(a.size for a in self.constants.values() if a.dtype == np.float32))


def arguments_of(graph: Graph, node: Node, values: Mapping[str, Array]) -> list[Any]:
    """A node's arguments, constants among them: None for an absent input that others follow."""
    names = list(node.inputs)
    while names and not names[-1]:
        names.pop()
    return [graph.constants[n] if n in graph.constants else values[n] if n else None for n in names]
