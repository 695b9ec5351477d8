"""Bias correction: take out of each layer's bias the mean error that quantisation gives its output.

Empirical bias correction of Nagel et al. 2019 (arXiv 1906.04721, section 4.2 and appendix D): for each output
channel b += E[float pre-activation] - E[quantised pre-activation], layer after layer, each on the inputs that
the corrected layers before it make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Node
from trine.edge.program import IntegerProgram
from trine.edge.quantize.replay import Reference, evaluate, fake_quantize


def channel_means(x: Array) -> NDArray[np.float64]:
    """Mean of each channel, x [n, channels, *spatial]; float64 [channels]."""
    return np.asarray(x.mean(axis=(0, *range(2, x.ndim)), dtype=np.float64))


def with_biases(graph: Graph) -> Graph:
    """The same network with a bias (of zeros) wherever a Conv or Gemm had none."""
    constants, nodes = dict(graph.constants), []
    for node in graph.nodes:
        if node.op in ("Conv", "Gemm") and len(node.inputs) < 3:
            name = f"{node.name}.bias"
            constants[name] = np.zeros(graph.constants[node.inputs[1]].shape[0], np.float32)
            node = replace(node, inputs=(*node.inputs, name))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), constants=constants)


def correct_biases(reference: Reference, program: IntegerProgram, weights: Mapping[str, Array]) -> Graph:
    """The float network with corrected biases, to be lowered with the same ranges as `program`.

    The quantised means are those of the program's arithmetic without its last rounding: its int8 inputs and
    weights, dequantised (`rounded_weights`), through the float operator. A bias that two layers share is left alone.
    """
    graph = with_biases(reference.graph)
    shared = {name for name, readers in graph.consumers().items() if len(readers) > 1}
    values: dict[str, Array] = {
        name: fake_quantize(program.tensors[name], x) for name, x in reference.samples.items()
    }
    corrected: dict[str, Array] = {}
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        results = evaluate(node, graph, values, {**weights, **corrected})
        if node.op in ("Conv", "Gemm") and node.inputs[2] not in shared:
            results = [_corrected(graph, node, reference.values[node.output], results[0], corrected)]
        for name, x in zip(node.outputs, results, strict=True):
            values[name] = fake_quantize(program.tensors[name], x) if name in program.tensors else x
        for name in node.inputs:
            if last_use[name] == i:
                values.pop(name, None)
    return graph.with_constants(corrected)


def _corrected(
    graph: Graph, node: Node, exact: Array, quantized: Array, corrected: dict[str, Array]
) -> Array:
    """Note the corrected bias of one layer; returns the layer's output with it."""
    difference = (channel_means(exact) - channel_means(quantized)).astype(np.float32)
    corrected[node.inputs[2]] = (graph.constants[node.inputs[2]] + difference).astype(np.float32)
    return np.asarray(quantized + difference.reshape(-1, *[1] * (quantized.ndim - 2)))


def mean_errors(exact: Mapping[str, Array], quantized: Mapping[str, Array]) -> float:
    """Root of the mean squared error of the channels' means, over all outputs."""
    squares = [np.square(channel_means(exact[name]) - channel_means(quantized[name])) for name in exact]
    return float(np.sqrt(np.mean(np.concatenate(squares))))
