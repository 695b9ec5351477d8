"""What a layer's inputs say about its weights: second moments, from which the layer's output error follows exactly.

With x the input in the float network, z the same input in the quantised one, W the weights and V their rounded form,
the mean squared error of a layer's output is tr(V A V') - 2 tr(W B V') + const, A = E[z z'], B = E[x z']. So a search
over V needs no examples, only A and B. The mean of the error is the bias's to correct, so moments are those about the
mean where a layer has a bias of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Node
from trine.edge.program import IntegerProgram
from trine.edge.quantize.bias import channel_means
from trine.edge.quantize.layers import by_channel, weighted
from trine.edge.quantize.replay import Reference, evaluate, fake_quantize

Float = NDArray[np.float64]
ROWS = 8192  # windows that moments are taken over, evenly spread over examples and positions
GRAM_FLOPS = 4e9  # of one layer's moments: a second or two of one core
MOST_TAPS = 4096  # inputs of one output; moments of longer rows would take more memory than they are worth
DAMPING = (
    1e-3  # of the mean input energy, added to every input: what was hardly seen is rounded to the nearest
)


@dataclass(frozen=True)
class Layer:
    """A layer with weights by groups [groups, channels, taps] and the moments of its inputs [groups, taps, taps]."""

    node: Node
    weight: Float
    own: Float
    cross: Float

    @property
    def aim(self) -> Float:
        """W B: [groups, channels, taps]."""
        return np.asarray(self.weight @ self.cross)

    def error(self, rounded: Float) -> Float:
        """Mean squared error of each output channel on the quantised inputs alone [groups, channels]."""
        off = rounded - self.weight
        return np.asarray(((off @ self.own) * off).sum(axis=2))


Rounding = Callable[[Layer], Float]  # the rounded weights of a layer, real values [groups, channels, taps]


def patches(node: Node, x: Array, weight: Array) -> NDArray[np.float32]:
    """Every window that a layer's weights meet: [windows, groups, taps]. weight: output channels first."""
    if node.op != "Conv":
        return x.reshape(-1, 1, weight.shape[1])
    kernel, rank, a = weight.shape[2:], weight.ndim - 2, node.attributes
    pads = [(0, 0), (0, 0), *((a["pads"][i], a["pads"][rank + i]) for i in range(rank))]
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, a["dilations"], strict=True))
    axes = tuple(range(2, 2 + rank))
    windows = sliding_window_view(np.pad(x, pads), reach, axes)
    steps = tuple(slice(None, None, s) for s in a["strides"])
    taps = tuple(slice(None, None, d) for d in a["dilations"])
    windows = windows[(slice(None), slice(None), *steps, *taps)]  # [n, channels, *positions, *kernel]
    moved = np.moveaxis(windows, 1, 1 + rank)
    return np.ascontiguousarray(moved.reshape(-1, int(a["group"]), weight.shape[1] * int(np.prod(kernel))))


def spread_rows(rows: Array, flops_a_row: float) -> Array:
    """At most ROWS of them, fewer where moments would take too long, evenly spread."""
    count = int(np.clip(GRAM_FLOPS / flops_a_row, 256, ROWS))
    return rows if len(rows) <= count else rows[(np.arange(count) * len(rows)) // count]


def layer_of(node: Node, weight: Array, exact: Array, quantized: Array, centred: bool) -> Layer:
    """Moments of a layer. weight: output channels first; exact, quantized: its input [n, *shape] in both networks."""
    groups = int(node.attributes.get("group", 1)) if node.op == "Conv" else 1
    by_group = weight.reshape(groups, weight.shape[0] // groups, -1).astype(np.float64)
    flops = 4.0 * groups * by_group.shape[2] ** 2
    x, z = (
        spread_rows(patches(node, v, weight), flops).astype(np.float64).transpose(1, 2, 0)
        for v in (exact, quantized)
    )
    if centred:
        x, z = x - x.mean(axis=2, keepdims=True), z - z.mean(axis=2, keepdims=True)
    own, cross = z @ z.transpose(0, 2, 1) / x.shape[2], x @ z.transpose(0, 2, 1) / x.shape[2]
    damping = DAMPING * np.trace(own, axis1=1, axis2=2) / own.shape[1]
    eye = np.maximum(damping, 1e-30)[:, None, None] * np.eye(own.shape[1])
    return Layer(node, by_group, own + eye, cross + eye)


def rebuild(
    reference: Reference,
    program: IntegerProgram,
    weights: Mapping[str, Array],
    chosen: frozenset[str],
    rounding: Rounding,
) -> Graph:
    """The float network with the weights in `chosen` replaced by `rounding`'s, layer after layer.

    Each layer is rounded on the inputs that the layers before it make once rounded; its bias then takes the error's
    mean out. weights: the rounded form of all other weights. program: whose activations' scales hold. Every Conv and
    Gemm of the reference's graph must have a bias (`with_biases`).
    """
    graph = reference.graph
    shared = {name for name, readers in graph.consumers().items() if len(readers) > 1}
    values: dict[str, Array] = {
        name: fake_quantize(program.tensors[name], x) for name, x in reference.samples.items()
    }
    new: dict[str, Array] = dict(weights)
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    mine = {node.name for node in weighted(graph) if node.inputs[1] in chosen - shared}
    for i, node in enumerate(graph.nodes):
        if node.name in mine:
            own_bias = len(node.inputs) > 2 and node.inputs[2] not in shared
            name = node.inputs[1]
            weight = np.ascontiguousarray(by_channel(node, graph.constants[name]))
            exact, quantized = reference.values[node.inputs[0]], values[node.inputs[0]]
            layer = layer_of(node, weight, exact, quantized, own_bias)
            real = rounding(layer).reshape(weight.shape).astype(np.float32)
            new[name] = np.ascontiguousarray(by_channel(node, real))
        results = evaluate(node, graph, values, new)
        if node.name in mine and own_bias:
            off = channel_means(reference.values[node.output]) - channel_means(results[0])
            new[node.inputs[2]] = (graph.constants[node.inputs[2]] + off).astype(np.float32)
            results = evaluate(node, graph, values, new)
        for output, x in zip(node.outputs, results, strict=True):
            values[output] = fake_quantize(program.tensors[output], x) if output in program.tensors else x
        for name in node.inputs:
            if last_use[name] == i:
                values.pop(name, None)
    biases = {n.inputs[2] for n in graph.nodes if n.name in mine and len(n.inputs) > 2}
    return graph.with_constants(
        {n: x for n, x in new.items() if n in chosen - shared or n in biases - shared}
    )
