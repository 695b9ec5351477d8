"""Independent set: nodes of a graph with no edge between them, weighing most.

Ising form: Lucas 2014, arXiv 1302.5843, section 4.2; instances with best known values: QOBLIB class 07.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trine.quantum.optima import selection
from trine.quantum.optima.selection import Items
from trine.quantum.polynomial import Bits
from trine.quantum.problem import Encoding, Exact, Problem, Reader


@dataclass(frozen=True)
class Graph:
    """Undirected, with weights of the nodes. penalty: None for the default."""

    nodes: int
    edges: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]
    penalty: float | None = None

    @cached_property
    def items(self) -> Items:
        """Nodes joined by an edge conflict."""
        return Items(self.weights, self.edges, self.penalty)

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "nodes": self.nodes,
            "edges": [list(e) for e in self.edges],
            "weights": list(self.weights),
            "penalty": self.penalty,
        }


def parse(data: Mapping[str, Any]) -> Graph:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("nodes", "edges"), ("weights", "penalty"))
    nodes = reader.whole("nodes", low=1, high=100_000)
    graph = Graph(
        nodes,
        reader.edges("edges", nodes),
        selection.read_weights(reader, nodes),
        selection.read_penalty(reader),
    )
    selection.refuse_weak_penalty(graph.items, reader)
    reader.done()
    return graph


def encode(graph: Graph) -> Encoding:
    """One bit a node."""
    return selection.encode(graph.items, [f"node {i}" for i in range(graph.nodes)])


def cost(graph: Graph, bits: Bits) -> float:
    """Minus the weight of the set, plus the penalty for each edge inside."""
    return selection.cost(graph.items, bits)


def violations(graph: Graph, bits: Bits) -> list[str]:
    """Edges inside the set."""
    return [f"nodes {i} and {j} are joined by an edge" for i, j in selection.broken(graph.items, bits)]


def decode(graph: Graph, bits: Bits) -> dict[str, Any]:
    """The set and its weight."""
    chosen = [i for i in range(graph.nodes) if bits[i]]
    return {"nodes": chosen, "weight": sum(graph.weights[i] for i in chosen)}


def bits_of(graph: Graph, answer: Mapping[str, Any]) -> Bits:
    """From the set."""
    return selection.chosen_bits(graph.nodes, answer["nodes"], "node")


def exact(graph: Graph) -> Exact | None:
    """Branch and bound."""
    return selection.exact(graph.items)


def greedy(graph: Graph) -> Bits:
    """Heaviest first."""
    return selection.greedy(graph.items)


def example() -> Graph:
    """A ring of five with a heavy node: 0 and one of 2, 3 are best, weight 3."""
    return Graph(5, ((0, 1), (0, 4), (1, 2), (2, 3), (3, 4)), (2.0, 1.0, 1.0, 1.0, 1.0))


def sample(generator: np.random.Generator, qubits: int) -> Graph:
    """A third of all edges, weights uniform in 0.1 to 2."""
    nodes = max(1, qubits)
    pairs = [(i, j) for i in range(nodes) for j in range(i + 1, nodes)]
    edges = tuple(p for p in pairs if generator.random() < 1 / 3)
    return Graph(nodes, edges, tuple(np.round(generator.uniform(0.1, 2, nodes), 3).tolist()))


PROBLEM = Problem(
    "independent_set", "heaviest independent set of a graph", "Lucas 2014 (arXiv 1302.5843)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    keys={
        "nodes": "number of nodes",
        "edges": "list of [i, j]: pairs that cannot be had together",
        "weights": "one a node, above 0; 1 if left out",
        "penalty": "on an edge inside; left out or null: 1.5 times what suffices",
    },
)  # fmt: skip
