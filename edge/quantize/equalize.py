"""Cross-layer equalisation: move scale between the channels of two layers, the function staying the same.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
1906.04721), equation 11: s_i = sqrt(r1_i r2_i) / r2_i, W1 / s, b1 / s, W2 * s, where r is the range of a
channel's weights. It holds through whatever lies between that commutes with positive scaling of a channel:
Relu, pools, reshapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Node
from trine.compilers.operators import operators

POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool"})
MOVES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout"})
POINTWISE = frozenset({"Relu", "LeakyRelu"})
SWEEPS = 20  # Nagel et al.: repeat over the pairs until the scales settle
SETTLED = 1e-3


@dataclass(frozen=True)
class Equalized:
    """The equal network; `divisors`: what each channel (first axis) of an activation was divided by."""

    graph: Graph
    divisors: dict[str, NDArray[np.float32]]

    @property
    def spread(self) -> float:
        """Largest over smallest divisor of any activation: 1 where nothing moved."""
        return max((float(d.max() / d.min()) for d in self.divisors.values()), default=1.0)


@dataclass(frozen=True)
class Pair:
    """Two layers; for each activation between them, the first's channel that each index of axis 0 holds."""

    first: Node
    second: Node
    channels: dict[str, NDArray[np.int64]]

    @property
    def arriving(self) -> NDArray[np.int64]:
        """The first layer's channel behind each input channel of the second."""
        return self.channels[self.second.inputs[0]]


def pairs(graph: Graph) -> Iterator[Pair]:
    """Pairs of Conv and Gemm with nothing but positively homogeneous single-consumer nodes between them."""
    consumers = graph.consumers()
    for first in graph.nodes:
        if first.op not in ("Conv", "Gemm") or any(len(consumers[n]) > 1 for n in first.inputs[1:]):
            continue
        name = first.outputs[0]
        channels: dict[str, NDArray[np.int64]] = {name: np.arange(graph.shape(name)[0])}
        while len(readers := consumers.get(name, [])) == 1 and name not in graph.outputs:
            node = readers[0]
            if node.op in ("Conv", "Gemm"):
                if len(consumers[node.inputs[1]]) == 1:
                    yield Pair(first, node, channels)
                break
            moved = carry(graph, node, channels[name])
            if moved is None:
                break
            name = node.outputs[0]
            channels[name] = moved


def carry(graph: Graph, node: Node, channels: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Which channel each index of axis 0 of a node's output holds; None where the node mixes them."""
    if node.op in POINTWISE or node.op in POOLS:
        return channels
    if node.op not in MOVES and not (node.op == "ReduceMean" and 0 not in node.attributes["axes"]):
        return None
    shape = graph.shape(node.inputs[0])
    labels = np.broadcast_to(channels.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.float32)
    moved = operators()[node.op].run(node, [labels[None]])[0][0]
    whole = np.rint(moved).astype(np.int64)  # a float mean of equal labels may miss by a rounding error
    rows = whole.reshape(whole.shape[0] if whole.ndim else 1, -1)
    return rows[:, 0] if (rows == rows[:, :1]).all() else None


def out_ranges(weight: Array) -> NDArray[np.float64]:
    """Largest magnitude of each output channel's weights."""
    return np.asarray(np.abs(weight.reshape(weight.shape[0], -1)).max(axis=1), np.float64)


def in_view(node: Node, weight: Array) -> Array:
    """The weight as (group, out/group, in/group, rest); input channels run over axes 0 and 2."""
    group = int(node.attributes.get("group", 1))
    return weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1)


def scales_of(graph: Graph, pair: Pair) -> NDArray[np.float64]:
    """Equation 11 for each channel of the first layer; 1 for channels that either layer leaves unused."""
    first = out_ranges(graph.constants[pair.first.inputs[1]])
    magnitude = np.abs(in_view(pair.second, graph.constants[pair.second.inputs[1]]))
    arriving = magnitude.max(axis=(1, 3)).reshape(-1).astype(np.float64)
    second = np.zeros_like(first)
    np.maximum.at(second, pair.arriving, arriving)
    used = (first > 0) & (second > 0)
    return np.where(used, np.sqrt(first / np.where(used, second, 1.0)), 1.0)


def rescale(graph: Graph, pair: Pair, s: NDArray[np.float64]) -> dict[str, Array]:
    """The constants of both layers after each channel of the first was divided by s."""
    names = pair.first.inputs[1:]
    changed = {n: _divide(graph.constants[n], s) for n in names}
    name = pair.second.inputs[1]
    weight = graph.constants[name]
    view = in_view(pair.second, weight).astype(np.float64)
    factor = s[pair.arriving].reshape(view.shape[0], 1, view.shape[2], 1)
    changed[name] = (view * factor).reshape(weight.shape).astype(np.float32)
    return changed


def _divide(x: Array, s: NDArray[np.float64]) -> Array:
    return (x / s.reshape(-1, *[1] * (x.ndim - 1))).astype(np.float32)


def equalize(graph: Graph) -> Equalized:
    """An equal network whose paired layers share their channels' ranges (float32 rounding aside)."""
    found = list(pairs(graph))
    divisors: dict[str, NDArray[np.float64]] = {}
    for _ in range(SWEEPS):
        moved = 0.0
        for pair in found:
            s = scales_of(graph, pair)
            graph = graph.with_constants(rescale(graph, pair, s))
            for name, channels in pair.channels.items():
                divisors[name] = divisors.get(name, 1.0) * s[channels]
            moved = max(moved, float(np.abs(np.log(s)).max()))
        if moved < SETTLED:
            break
    changed = {name: d.astype(np.float32) for name, d in divisors.items() if not np.allclose(d, 1.0)}
    return Equalized(graph, changed)
