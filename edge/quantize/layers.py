"""Where a graph's constant weights are, and which axis of them is the output channel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Node
from trine.edge.lowbit import WeightBits
from trine.edge.weights import quantize_weight

Clips = Mapping[str, NDArray[np.float32]]
EIGHT: WeightBits = MappingProxyType({})
SMALLEST = {8: 0.4, 4: 0.3, 2: 0.15}  # fraction of the largest weight down to which clips are tried


def weighted(graph: Graph) -> tuple[Node, ...]:
    """The nodes with a constant weight, quantised per channel: Conv, Gemm, MatMul by a constant matrix."""
    return tuple(
        node
        for node in graph.nodes
        if node.op in ("Conv", "Gemm") or (node.op == "MatMul" and node.inputs[1] in graph.constants)
    )


def packable(graph: Graph) -> tuple[Node, ...]:
    """Those whose weights may have fewer than 8 bits: matrices and filters that one layer alone reads, not stored."""
    readers = graph.consumers()
    return tuple(
        node
        for node in weighted(graph)
        if node.inputs[1] in graph.constants
        and (node.op == "Conv" or graph.constants[node.inputs[1]].ndim == 2)
        and node.inputs[1] not in graph.stored
        and len(readers[node.inputs[1]]) == 1
    )


def by_channel(node: Node, weight: Array) -> Array:
    """The weight with its output channels on axis 0 (a view); its own inverse."""
    return weight.T if node.op == "MatMul" else weight


def rounded_weight(
    node: Node, weight: Array, clip: NDArray[np.float32] | None = None, bits: int = 8
) -> NDArray[np.float32]:
    """The weight as the integer program has it, dequantised: float32 of the same shape."""
    q, scale = quantize_weight(np.ascontiguousarray(by_channel(node, weight)), clip, bits)
    real = q.astype(np.float32) * scale.reshape(-1, *[1] * (q.ndim - 1))
    return np.ascontiguousarray(by_channel(node, real))


def rounded_weights(graph: Graph, clips: Clips, bits: WeightBits = EIGHT) -> dict[str, Array]:
    """Every quantised weight of a graph, dequantised, by name."""
    return {
        name: rounded_weight(node, graph.constants[name], clips.get(name), bits.get(name, 8))
        for node in weighted(graph)
        for name in node.inputs[1:2]
    }


def least_error_clips(graph: Graph, bits: WeightBits) -> dict[str, NDArray[np.float32]]:
    """`least_error_clip` of every weight of fewer than 8 bits."""
    return {
        name: least_error_clip(np.ascontiguousarray(by_channel(node, graph.constants[name])), bits=bits[name])
        for node in weighted(graph)
        for name in node.inputs[1:2]
        if bits.get(name, 8) < 8
    }


def least_error_clip(weight: Array, candidates: int = 48, bits: int = 8) -> NDArray[np.float32]:
    """Real maximum of each channel (axis 0) that makes the squared rounding error of its weights least.

    Searches fractions of max|w| from 0.4 (less for fewer bits) to 1 (Nagel et al. 2021, arXiv 2106.08295, section
    3.1, MSE based ranges).
    """
    rows = weight.reshape(weight.shape[0], -1)
    largest = np.abs(rows).max(axis=1).astype(np.float32)
    best, least = largest.copy(), np.full(len(rows), np.inf)
    for fraction in np.linspace(1.0, SMALLEST[bits], candidates):
        clip = (largest * np.float32(fraction)).astype(np.float32)
        q, scale = quantize_weight(weight, clip, bits)
        error = ((q.reshape(rows.shape) * scale[:, None] - rows) ** 2).sum(axis=1)
        best, least = np.where(error < least, clip, best), np.minimum(error, least)
    return np.asarray(best, np.float32)
