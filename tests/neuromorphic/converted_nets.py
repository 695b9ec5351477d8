"""Small trained-looking networks as graphs, for the tests of conversion."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Shape, Tensor


class Builder:
    """Appends nodes with random weights; the shapes come from the operators."""

    def __init__(self, seed: int, **inputs: Shape) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs = tuple(Tensor(name, shape) for name, shape in inputs.items())
        self.tensors = {t.name: t for t in self.inputs}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        from trine.compilers.operators import operators

        name = f"{op.lower()}{len(self.nodes)}"
        shapes = [self.tensors[i].shape if i in self.tensors else self.constants[i].shape for i in inputs]
        node = Node(op, f"node_{name}", inputs, (name,), attributes)
        self.tensors[name] = Tensor(name, operators()[op].shapes(node, shapes)[0])
        self.nodes.append(node)
        return name

    def constant(self, values: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(values, np.float32)
        return name

    def conv(self, x: str, out: int, kernel: int = 3, group: int = 1, **attributes: Any) -> str:
        shape = self.tensors[x].shape
        rank = len(shape) - 1
        fan = shape[0] // group * kernel**rank
        w = self.constant(self.rng.normal(0, 1.5 / np.sqrt(fan), (out, shape[0] // group, *(kernel,) * rank)))
        b = self.constant(self.rng.normal(0, 0.2, out))
        plain: dict[str, Any] = {
            "strides": (1,) * rank,
            "dilations": (1,) * rank,
            "pads": (kernel // 2,) * (2 * rank),
        }
        return self.add("Conv", x, w, b, **{**plain, "group": group, **attributes})

    def gemm(self, x: str, out: int) -> str:
        size = self.tensors[x].size
        w = self.constant(self.rng.normal(0, 1.5 / np.sqrt(size), (out, size)))
        return self.add("Gemm", x, w, self.constant(self.rng.normal(0, 0.2, out)))

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def flat(self, x: str) -> str:
        return self.add("Reshape", x, shape=(self.tensors[x].size,))

    def average(self, x: str, k: int) -> str:
        rank = len(self.tensors[x].shape) - 1
        return self.add(
            "AveragePool", x, kernel_shape=(k,) * rank, strides=(k,) * rank, dilations=(1,) * rank,
            pads=(0,) * 2 * rank, count_include_pad=0, uncounted=(0,) * rank,
        )  # fmt: skip

    def maximum(self, x: str, k: int) -> str:
        rank = len(self.tensors[x].shape) - 1
        return self.add(
            "MaxPool",
            x,
            kernel_shape=(k,) * rank,
            strides=(k,) * rank,
            dilations=(1,) * rank,
            pads=(0,) * 2 * rank,
        )

    def graph(self, output: str) -> Graph:
        made = Graph("net", self.inputs, (output,), tuple(self.nodes), self.constants, self.tensors)
        made.check()
        return made

    def samples(self, n: int = 96) -> dict[str, Array]:
        """Signed inputs of different sizes."""
        return {
            t.name: (self.rng.normal(0, 1 + k, (n, *t.shape))).astype(np.float32)
            for k, t in enumerate(self.inputs)
        }


def beat_like(seed: int) -> tuple[Graph, dict[str, Array]]:
    """The ECG network's shape in small: convolutions, average pool, flatten, a joined second input."""
    b = Builder(seed, beat=(2, 24), rr=(3,))
    x = b.relu(b.conv("beat", 4, 5, strides=(2,)))
    x = b.relu(b.conv(x, 6))
    x = b.relu(b.gemm(b.flat(b.average(x, 4)), 5))
    x = b.relu(b.gemm(b.add("Concat", x, "rr", axis=0), 6))
    return b.graph(b.gemm(x, 4)), b.samples()


def pooled_by_maximum(seed: int) -> tuple[Graph, dict[str, Array]]:
    b = Builder(seed, x=(1, 20))
    x = b.maximum(b.relu(b.conv("x", 4)), 2)
    x = b.relu(b.conv(x, 5))
    return b.graph(b.gemm(b.flat(x), 3)), b.samples()


def residual(seed: int) -> tuple[Graph, dict[str, Array]]:
    """An addition before a ReLU, one between ReLUs, and one input read at two depths."""
    b = Builder(seed, x=(3, 12))
    first = b.relu(b.conv("x", 4))
    second = b.relu(b.add("Add", b.conv(b.relu(b.conv(first, 4)), 4), first))
    third = b.relu(b.conv(b.add("Add", first, second), 3))
    return b.graph(b.gemm(b.flat(b.add("Concat", third, "x", axis=0)), 3)), b.samples()


def image(seed: int) -> tuple[Graph, dict[str, Array]]:
    """Two dimensions, depthwise, clipped activations, a convolution over averages."""
    b = Builder(seed, x=(2, 8, 8))
    x = b.relu(b.conv("x", 4))
    x = b.add("Clip", b.conv(x, 4, group=4), min=0.0, max=1.0)
    x = b.relu(b.conv(b.average(x, 2), 4))
    x = b.add("GlobalAveragePool", x)
    return b.graph(b.gemm(b.flat(x), 3)), b.samples(48)


KINDS = {"beat_like": beat_like, "pooled_by_maximum": pooled_by_maximum, "residual": residual, "image": image}
