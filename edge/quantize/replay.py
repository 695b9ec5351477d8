"""A float reference run kept whole, and re-running only what lies downstream of a change to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph, Node, arguments_of
from trine.compilers.operators import operators
from trine.edge.program import QuantizedTensor

SQUASHES = frozenset({"Softmax", "Sigmoid"})


def noise_ratio(exact: Array, approximate: Array) -> float:
    """Energy of the difference over energy of the exact values (1 / SQNR); inf for noise on a zero signal."""
    exact = np.asarray(exact, np.float64)
    noise = float(np.square(exact - approximate).sum())
    signal = float(np.square(exact).sum())
    return 0.0 if noise == 0 else noise / signal if signal > 0 else np.inf


def decibels(noise: float) -> float:
    """Signal-to-quantisation-noise ratio in dB of a noise ratio; inf where there is no noise."""
    if noise == 0:
        return np.inf
    return float(-10 * np.log10(noise)) if np.isfinite(noise) else -np.inf


def output_noise(exact: Mapping[str, Array], approximate: Mapping[str, Array]) -> float:
    """Noise ratio of a network's outputs: the mean over its outputs, so that each counts alike.

    Indices and labels have no noise; they count only where there is nothing else.
    """
    real = [name for name in exact if exact[name].dtype.kind == "f"] or list(exact)
    return float(np.mean([noise_ratio(exact[name], approximate[name]) for name in real]))


def scored(graph: Graph) -> Graph:
    """The same network with its scores as outputs: what a closing Softmax or Sigmoid reads.

    Error is judged there. Behind a Softmax nearly all of it comes from the few examples near a class border,
    so a comparison on a few hundred examples would be decided by chance: measured on the MLPerf Tiny keyword
    network, SQNR behind it moved by 4 dB either way between variants that differ by 0.3 dB before it.
    """
    producers = graph.producers()
    names = []
    for name in graph.outputs:
        node = producers.get(name)
        names.append(node.inputs[0] if node is not None and node.op in SQUASHES else name)
    return replace(graph, outputs=tuple(dict.fromkeys(names)))


def fake_quantize(tensor: QuantizedTensor, x: Array) -> NDArray[np.float32]:
    """The float values of an activation after a round trip through int8."""
    return tensor.dequantize(tensor.quantize(x))


def evaluate(
    node: Node, graph: Graph, values: Mapping[str, Array], changed: Mapping[str, Array]
) -> list[Array]:
    """One node's outputs; values of `changed` (activations or constants) go before those of `values`."""
    # Later mappings go before earlier ones; only what is read is looked up.
    sources = (values, graph.constants, changed)
    found = {n: source[n] for source in sources for n in node.inputs if n and n in source}
    return operators()[node.op].run(node, arguments_of(replace(graph, constants={}), node, found))


@dataclass(frozen=True)
class Reference:
    """Every activation of a graph on a few examples, {name: float32 [n, *shape]}."""

    graph: Graph
    values: Mapping[str, Array]

    @staticmethod
    def of(graph: Graph, samples: Mapping[str, Array]) -> Reference:
        """Run the graph on samples {input: float32 [n, *shape]} and keep everything."""
        values: dict[str, Array] = {name: np.asarray(x, np.float32) for name, x in samples.items()}
        for node, results in graph.trace(samples):
            values.update(zip(node.outputs, results, strict=True))
        return Reference(graph, values)

    @property
    def outputs(self) -> dict[str, Array]:
        """The network's outputs."""
        return {name: self.values[name] for name in self.graph.outputs}

    @property
    def samples(self) -> dict[str, Array]:
        """The network's inputs."""
        return {tensor.name: self.values[tensor.name] for tensor in self.graph.inputs}

    def outputs_with(self, changed: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs when some activations or constants have other values; only the rest that depends is
        run.
        """
        new = dict(changed)
        last_use = {name: i for i, node in enumerate(self.graph.nodes) for name in node.inputs}
        for i, node in enumerate(self.graph.nodes):
            if any(name in new for name in node.inputs):
                results = evaluate(node, self.graph, self.values, new)
                new.update((n, r) for n, r in zip(node.outputs, results, strict=True) if n not in changed)
            for name in node.inputs:
                if last_use[name] == i and name not in changed and name not in self.graph.outputs:
                    new.pop(name, None)
        return {name: new.get(name, self.values[name]) for name in self.graph.outputs}

    def noise_with(self, changed: Mapping[str, Array]) -> float:
        """Noise ratio of the outputs caused by a change."""
        return output_noise(self.outputs, self.outputs_with(changed))
