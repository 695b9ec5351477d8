"""MaxCut: split a graph's nodes in two so that the edges between the parts weigh most.

Ising form: Lucas 2014, arXiv 1302.5843. Haplotype phasing and many benchmarks reduce to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.feasible import AllStates
from trine.quantum.optima.reference import lowest_string
from trine.quantum.polynomial import Bits, Polynomial, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader


@dataclass(frozen=True)
class Graph:
    """Undirected; weights one an edge."""

    nodes: int
    edges: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {"nodes": self.nodes, "edges": [list(e) for e in self.edges], "weights": list(self.weights)}


def parse(data: Mapping[str, Any]) -> Graph:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("nodes", "edges"), ("weights",))
    nodes = reader.whole("nodes", low=2)
    edges = reader.edges("edges", nodes)
    given = data.get("edges")
    weights = (1.0,) * len(edges)
    if "weights" in data and isinstance(given, list):
        unsorted = reader.numbers("weights", len(given))
        if not reader.problems:
            order = sorted(range(len(given)), key=lambda k: sorted(given[k]))
            weights = tuple(unsorted[k] for k in order)
    reader.done()
    return Graph(nodes, edges, weights)


def encode(graph: Graph) -> Encoding:
    """-w on x_i + x_j - 2 x_i x_j for each edge."""
    parts = [
        {(i,): -w, (j,): -w, (i, j): 2 * w} for (i, j), w in zip(graph.edges, graph.weights, strict=True)
    ]
    polynomial = Polynomial(graph.nodes, total(parts))
    labels = tuple(f"node {i} in part B" for i in range(graph.nodes))
    return Encoding(polynomial, polynomial, AllStates(graph.nodes), labels)


def cost(graph: Graph, bits: Bits) -> float:
    """Minus the weight of the cut."""
    return -sum(w for (i, j), w in zip(graph.edges, graph.weights, strict=True) if bits[i] != bits[j])


def decode(graph: Graph, bits: Bits) -> dict[str, Any]:
    """The two parts and the cut's weight."""
    return {"part_b": [i for i in range(graph.nodes) if bits[i]], "cut": -cost(graph, bits)}


def bits_of(graph: Graph, answer: Mapping[str, Any]) -> Bits:
    """From part B."""
    bits = np.zeros(graph.nodes, np.uint8)
    for i in answer["part_b"]:
        if not 0 <= int(i) < graph.nodes:
            raise InputError(f"part_b: node {i} is not one of 0 to {graph.nodes - 1}")
        bits[int(i)] = 1
    return bits


def exact(graph: Graph) -> Exact | None:
    """All 2^n strings, to 24 nodes."""
    return lowest_string(encode(graph).polynomial) if graph.nodes <= 24 else None


def greedy(graph: Graph) -> Bits:
    """Each node in turn goes where its edges to the placed ones are cut most (ratio at least 1/2)."""
    bits = np.zeros(graph.nodes, np.uint8)
    for node in range(graph.nodes):
        pull = 0.0
        for (i, j), w in zip(graph.edges, graph.weights, strict=True):
            if j == node:  # i < j is placed
                pull += w if bits[i] == 0 else -w
        bits[node] = pull > 0
    return bits


def example() -> Graph:
    """A ring of five: at most four edges can be cut."""
    return Graph(5, ((0, 1), (0, 4), (1, 2), (2, 3), (3, 4)), (1.0,) * 5)


def sample(generator: np.random.Generator, qubits: int) -> Graph:
    """Half of all edges, weights uniform in 0.1 to 2."""
    nodes = max(2, qubits)
    pairs = [(i, j) for i in range(nodes) for j in range(i + 1, nodes)]
    chosen = [p for p in pairs if generator.random() < 0.5] or pairs[:1]
    weights = np.round(generator.uniform(0.1, 2, len(chosen)), 3)
    return Graph(nodes, tuple(chosen), tuple(weights.tolist()))


PROBLEM = Problem(
    "maxcut", "largest cut of a graph", "Lucas 2014 (arXiv 1302.5843)",
    parse, encode, cost, lambda graph, bits: [], decode, bits_of, exact, greedy, example, sample,
    keys={"nodes": "number of nodes", "edges": "list of [i, j]", "weights": "one an edge, 1 if left out"},
)  # fmt: skip
