"""Small seeded networks and calibration sets for the tests of the quantiser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.operators import operators


@dataclass
class InMemory:
    """A calibration set of given arrays, counting how often it is walked."""

    data: dict[str, Array]
    walks: int = 0

    @property
    def count(self) -> int:
        return len(next(iter(self.data.values())))

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, Array]]:
        self.walks += 1
        total = self.count if limit is None else min(limit, self.count)
        for start in range(0, total, size):
            yield {name: x[start : min(start + size, total)] for name, x in self.data.items()}


@dataclass(frozen=True)
class Drawn:
    """A calibration set drawn batch by batch from a seed: it takes no memory of its own."""

    count: int
    shape: tuple[int, ...]
    seed: int = 0

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, Array]]:
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.count, size):
            yield {"x": rng.normal(size=(min(size, self.count - start), *self.shape)).astype(np.float32)}


@dataclass
class Builder:
    """Adds nodes one after the other; shapes come from the operators."""

    shape: tuple[int, ...]
    seed: int = 0
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.tensors = {"x": Tensor("x", self.shape)}

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        node = Node(op, name, inputs, (f"{name}.y",), attributes)
        known = [self.tensors[n].shape if n in self.tensors else self.constants[n].shape for n in inputs]
        (shape,) = operators()[op].shapes(node, known)
        self.tensors[node.output] = Tensor(node.output, shape)
        self.nodes.append(node)
        return node.output

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def conv(
        self, x: str, out: int, kernel: int = 3, group: int = 1, stride: int = 1, bias: bool = True
    ) -> str:
        per_group = self.tensors[x].shape[0] // group
        std = np.sqrt(2 / (per_group * kernel))
        names = [self.constant(self.rng.normal(0, std, (out, per_group, kernel)))]
        names += [self.constant(self.rng.normal(0, 0.1, out))] if bias else []
        pads = (kernel // 2, kernel // 2)
        return self.add("Conv", x, *names, strides=(stride,), dilations=(1,), pads=pads, group=group)

    def gemm(self, x: str, out: int) -> str:
        (width,) = self.tensors[x].shape
        weight = self.constant(self.rng.normal(0, np.sqrt(1 / width), (out, width)))
        return self.add("Gemm", x, weight, self.constant(self.rng.normal(0, 0.1, out)))

    def flatten(self, x: str) -> str:
        return self.add("Reshape", x, shape=(self.tensors[x].size,))

    def graph(self, *outputs: str) -> Graph:
        made = Graph("net", (self.tensors["x"],), outputs, tuple(self.nodes), self.constants, self.tensors)
        made.check()
        return made


def plain(seed: int = 0) -> Graph:
    """Conv, Relu, Conv, Relu, global average, dense."""
    b = Builder((3, 32), seed)
    x = b.add("Relu", b.conv("x", 8))
    x = b.add("Relu", b.conv(x, 12, stride=2))
    return b.graph(b.gemm(b.flatten(b.add("GlobalAveragePool", x)), 5))


def depthwise(seed: int = 0) -> Graph:
    """Pointwise, depthwise, pointwise, pool, flatten, dense, as in a separable network."""
    b = Builder((4, 24), seed)
    x = b.add("Relu", b.conv("x", 8, kernel=1))
    x = b.add("Relu", b.conv(x, 8, group=8, bias=False))
    x = b.add("Relu", b.conv(x, 6, kernel=1))
    x = b.add("MaxPool", x, kernel_shape=(2,), strides=(2,), dilations=(1,), pads=(0, 0))
    return b.graph(b.gemm(b.flatten(x), 4))


def residual(seed: int = 0) -> Graph:
    """A block whose input is added to its output."""
    b = Builder((4, 24), seed)
    x = b.add("Relu", b.conv("x", 8))
    y = b.conv(b.add("Relu", b.conv(x, 8)), 8)
    y = b.add("Relu", b.add("Add", x, y))
    return b.graph(b.gemm(b.flatten(b.add("GlobalAveragePool", y)), 5))


def branches(seed: int = 0) -> Graph:
    """Two branches of different size, concatenated, with a closing Softmax."""
    b = Builder((4, 24), seed)
    y = b.add("Concat", b.add("Relu", b.conv("x", 6)), b.add("Relu", b.conv("x", 3, kernel=5)), axis=0)
    x = b.gemm(b.flatten(b.add("GlobalAveragePool", b.add("Relu", b.conv(y, 8)))), 5)
    return b.graph(b.add("Softmax", x, axis=0))


def badly_scaled(graph: Graph, spread: float) -> Graph:
    """The same function, with the channels of the first layer's output scaled over a range of `spread`."""
    from trine.edge.quantize.equalize import pairs, rescale

    pair = next(iter(pairs(graph)))
    channels = graph.constants[pair.first.inputs[1]].shape[0]
    return graph.with_constants(rescale(graph, pair, np.geomspace(1.0, spread, channels)))


def normal(graph: Graph, count: int, seed: int = 1) -> InMemory:
    """Normally distributed examples for every input."""
    rng = np.random.default_rng(seed)
    return InMemory({t.name: rng.normal(size=(count, *t.shape)).astype(np.float32) for t in graph.inputs})
