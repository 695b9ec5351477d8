"""Random small networks, drawn by hypothesis: chains of layers with branches, on signals and images."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from program_samples import chain

from trine.compilers.graph import Array, Graph, Node, Shape
from trine.compilers.operators import operators

Draw = st.DrawFn


class Growing:
    """A network as it grows: the shape of each value, and the nodes so far."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.shapes, self.nodes = {"x": shape}, list[Node]()
        self.constants: dict[str, Array] = {}
        self.last = "x"

    def constant(self, *shape: int) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = self.rng.normal(0, 0.4, shape).astype(np.float32)
        return name

    def add(self, op: str, inputs: tuple[str, ...], **attributes: object) -> None:
        output = f"v{len(self.nodes)}"
        node = Node(op, f"{op}{len(self.nodes)}", inputs, (output,), attributes)
        known = [self.shapes[n] if n in self.shapes else self.constants[n].shape for n in inputs]
        self.shapes[output] = operators()[op].shapes(node, known)[0]
        self.nodes.append(node)
        self.last = output


def _conv(draw: Draw, net: Growing) -> None:
    shape = net.shapes[net.last]
    rank = len(shape) - 1
    kernel = [draw(st.integers(1, min(3, size))) for size in shape[1:]]
    kind = draw(st.sampled_from(["dense", "depthwise", "grouped"] if shape[0] > 1 else ["dense"]))
    group = {"dense": 1, "depthwise": shape[0], "grouped": shape[0] if shape[0] % 2 else shape[0] // 2}[kind]
    out = group * draw(st.integers(1, 3)) if kind != "depthwise" else group
    weight = net.constant(out, shape[0] // group, *kernel)
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    strides = tuple(draw(st.integers(1, 2)) for _ in kernel)
    bias = net.constant(out)
    net.add("Conv", (net.last, weight, bias), strides=strides, dilations=(1,) * rank, pads=pads, group=group)


def _pool(draw: Draw, net: Growing) -> None:
    shape = net.shapes[net.last]
    rank = len(shape) - 1
    kernel = tuple(draw(st.integers(1, min(3, size))) for size in shape[1:])
    strides = tuple(draw(st.integers(1, 2)) for _ in kernel)
    window = {"kernel_shape": kernel, "strides": strides, "dilations": (1,) * rank, "pads": (0,) * (2 * rank)}
    if draw(st.booleans()):
        net.add("MaxPool", (net.last,), **window)
    else:
        net.add("AveragePool", (net.last,), **window, count_include_pad=0, uncounted=(0,) * rank)


def _join(draw: Draw, net: Growing) -> None:
    shape = net.shapes[net.last]
    same = [name for name, other in net.shapes.items() if other == shape]
    other, op = draw(st.sampled_from(same)), draw(st.sampled_from(["Add", "Mul", "Concat"]))
    if op == "Concat":
        net.add(op, (other, net.last), axis=draw(st.integers(0, len(shape) - 1)))
    else:
        net.add(op, (other, net.last))


def _activation(draw: Draw, net: Growing) -> None:
    op = draw(st.sampled_from(["Relu", "Clip", "Sigmoid", "Tanh"]))
    bounds = {"min": -0.5, "max": 1.0} if op == "Clip" else {}
    net.add(op, (net.last,), **bounds)


def _transpose(draw: Draw, net: Growing) -> None:
    perm = draw(st.permutations(range(len(net.shapes[net.last]))))
    net.add("Transpose", (net.last,), perm=tuple(perm))


@st.composite
def networks(draw: Draw) -> Graph:
    """A network of two to seven nodes that ends in an image, a vector or class scores; some values are
    outputs too."""
    rank = draw(st.integers(1, 2))
    shape = (draw(st.integers(1, 6)), *(draw(st.integers(3, 9)) for _ in range(rank)))
    net = Growing(shape, draw(st.integers(0, 2**16)))
    layers = st.sampled_from([_conv, _conv, _pool, _join, _activation, _transpose])
    for _ in range(draw(st.integers(1, 5))):
        draw(layers)(draw, net)
        if int(np.prod(net.shapes[net.last])) > 2000:
            break
    if draw(st.booleans()):
        size = int(np.prod(net.shapes[net.last]))
        net.add("Reshape", (net.last,), shape=(size,))
        classes = draw(st.integers(1, 5))
        net.add("Gemm", (net.last, net.constant(classes, size), net.constant(classes)))
        if draw(st.booleans()):
            net.add("Softmax", (net.last,), axis=0)
    values = [n for n in net.shapes if n not in ("x", net.last)]
    kept = draw(st.lists(st.sampled_from(values), max_size=2, unique=True)) if values else []
    return chain("random", [("x", shape)], net.nodes, net.constants, (net.last, *kept))
