"""Linear paths between layers: what a tensor is made of, written as terms of the layer behind it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Shape
from trine.compilers.operators.conv import convolve, pad_spatial
from trine.neuromorphic.conversion.folding import (
    Sum,
    by_channel,
    columns,
    folded,
    joined,
    over_average,
    spread_average,
)
from trine.neuromorphic.conversion.layers import Layer, Term, apply

LARGEST_DENSE: Final = 1 << 24  # weights of a term written out as a matrix


class Linear:
    """Tensors met so far. sources: those that are layers or inputs, by the layer's name; sums: those that no ReLU has
    met yet; linear: nodes on sources that only move or add."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.sources: dict[str, str] = {t.name: t.name for t in graph.inputs}
        self.linear: dict[str, Node] = {}
        self.sums: dict[str, Sum] = {}

    def known(self, x: str) -> bool:
        """Whether a tensor is made of layers and inputs."""
        return x in self.sums or x in self.sources or x in self.linear

    def shape_of(self, source: str) -> Shape:
        """Shape of an input or a layer by its own name."""
        shapes = {t.name: t.shape for t in self.graph.inputs} | {x.name: x.shape for x in self.layers}
        return shapes[source]

    def producer(self, tensor: str) -> str:
        """Name of the node that writes a tensor."""
        return self.graph.producers()[tensor].name

    def order(self, tensor: str) -> int:
        """Place of a source: inputs, then layers."""
        names = [t.name for t in self.graph.inputs] + [layer.name for layer in self.layers]
        return names.index(self.sources[tensor])

    def reached(self, x: str) -> set[str]:
        """Sources that a tensor is made of."""
        if x in self.sources:
            return {x}
        return {s for name in self.linear[x].inputs for s in self.reached(name)}

    def sum_of(self, x: str) -> Sum:
        """A tensor as a sum: what it is already, a source one to one, or nodes between it and its sources."""
        if x in self.sums:
            return self.sums[x]
        if x in self.sources:
            return Sum((Term(self.sources[x], "identity", np.ones(())),), np.zeros(()))
        terms = []
        for tensor in sorted(self.reached(x), key=self.order):
            made = columns(self.graph.shape(tensor), partial(self.alone, x, tensor))
            terms.append(Term(self.sources[tensor], "dense", made))
        return Sum(tuple(terms), np.zeros(()))

    def after(self, node: Node, total: Sum, weight: Array | None = None) -> Sum | None:
        """A sum behind a linear node, its own bias left out; None where a matrix would be too large.

        No ReLU lies between, so the sum's weights and the node's are multiplied: no neuron stands for the sum itself.
        """
        middle, shape = self.graph.shape(node.inputs[0]), self.graph.shape(node.outputs[0])

        def forward(x: Array) -> Array:
            return self.operated(node, [x]) if weight is None else self.weighed(node, weight, x)

        def behind(term: Term, x: Array) -> Array:
            return forward(apply(term, x, middle))

        terms = []
        for term in total.terms:
            short = folded(term, weight, node) if node.op == "Conv" and weight is not None else None
            if short is None:
                source = self.shape_of(term.source)
                size = int(np.prod(source))
                if size * max(int(np.prod(shape)), int(np.prod(middle))) > LARGEST_DENSE:
                    return None
                short = Term(term.source, "dense", columns(source, partial(behind, term)))
            terms.append(short)
        bias = forward(np.broadcast_to(total.bias, (1, *middle)).astype(np.float64))[0]
        return Sum(tuple(terms), by_channel(bias))

    @staticmethod
    def weighed(node: Node, weight: Array, x: Array) -> Array:
        """What a Conv or Gemm makes of values, its bias left out."""
        if node.op == "Gemm":
            return np.asarray(x.reshape(len(x), -1) @ weight.T)
        return convolve(pad_spatial(x, node.attributes["pads"], 0.0), weight, node)

    def alone(self, x: str, source: str, values: Array) -> Array:
        """A linear tensor for values of one source, the others zero."""
        return self.moved(x, {source: values})

    def operated(self, node: Node, values: list[Array]) -> Array:
        """A linear node's answer to values for its inputs that are no constants. Operators compute in float32: unit
        vectors stay exact."""
        from trine.compilers.operators import operators

        left = iter(values)
        arguments = [
            self.graph.constants[name] if name in self.graph.constants else next(left)
            for name in node.inputs
            if name
        ]
        return operators()[node.op].run(node, [a.astype(np.float32) for a in arguments])[0].astype(np.float64)

    def moved(self, x: str, given: Mapping[str, Array]) -> Array:
        """A linear tensor for given sources, zero elsewhere."""
        if x in self.sources:
            count = len(next(iter(given.values())))
            return given[x] if x in given else np.zeros((count, *self.graph.shape(x)))
        node = self.linear[x]
        return self.operated(
            node, [self.moved(name, given) for name in node.inputs if name not in self.graph.constants]
        )

    def matrices(self, x: str, node: Node, weight: Array) -> list[Term] | None:
        """Any linear path written as one matrix a source: a Gemm's rows are pulled back through the nodes before it, a
        Conv's are found by sending unit vectors forward."""
        if node.op == "Gemm":
            pulled: dict[str, Array] = {}
            if self.pull(x, weight.reshape(-1, *self.graph.shape(x)), pulled):
                tensors = sorted(pulled, key=self.order)
                return [Term(self.sources[t], "dense", pulled[t].reshape(len(weight), -1)) for t in tensors]
        out = int(np.prod(self.graph.shape(node.outputs[0])))

        def behind(tensor: str, unit: Array) -> Array:
            return self.weighed(node, weight, self.alone(x, tensor, unit))

        terms = []
        for tensor in sorted(self.reached(x), key=self.order):
            shape = self.graph.shape(tensor)
            size = int(np.prod(shape))
            if size * max(out, size) > LARGEST_DENSE:
                return None
            made = columns(shape, partial(behind, tensor))
            terms.append(Term(self.sources[tensor], "dense", made))
        return terms

    def convolutions(self, x: str, weight: Array, node: Node) -> list[Term] | None:
        """A convolution of sources, of sources joined by channel, or of their averages; None for anything else."""
        if x in self.sources:
            return [Term(self.sources[x], "conv", weight, dict(node.attributes))]
        inner = self.linear[x]
        if inner.op in ("Identity", "Dropout"):
            return self.convolutions(inner.inputs[0], weight, node)
        if inner.op == "Add":
            parts = [self.convolutions(name, weight, node) for name in inner.inputs]
            same = all(self.graph.shape(name) == self.graph.shape(x) for name in inner.inputs)
            return joined(parts) if same else None
        if inner.op == "Concat" and inner.attributes["axis"] == 0 and node.attributes["group"] == 1:
            ends = np.cumsum([0, *(self.graph.shape(name)[0] for name in inner.inputs)])
            return joined([
                self.convolutions(name, weight[:, a:b], node)
                for name, a, b in zip(inner.inputs, ends, ends[1:])
            ])  # fmt: skip
        if inner.op == "AveragePool":
            wider = over_average(inner, weight, node, self.graph.shape(inner.inputs[0]))
            return None if wider is None else self.convolutions(inner.inputs[0], *wider)
        return None

    def pull(self, x: str, rows: Array, found: dict[str, Array]) -> bool:
        """Add rows [n, *shape of x], linear functions of a tensor, to `found` as functions of its sources.

        False where a node on the way has no transpose here.
        """
        if x in self.sources:
            found[x] = found.get(x, 0) + rows
            return True
        node = self.linear[x]
        shapes = [self.graph.shape(name) for name in node.inputs]
        if node.op in ("Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout"):
            return self.pull(node.inputs[0], rows.reshape(-1, *shapes[0]), found)
        if node.op == "Concat":
            axis = node.attributes["axis"] + 1
            ends = np.cumsum([shape[axis - 1] for shape in shapes])[:-1]
            parts = np.split(rows, ends, axis=axis)
            return all(self.pull(name, part, found) for name, part in zip(node.inputs, parts))
        if node.op == "Add" and set(shapes) == {self.graph.shape(x)}:
            return all(self.pull(name, rows, found) for name in node.inputs)
        if node.op == "AveragePool" and set(node.attributes["dilations"]) == {1}:
            return self.pull(node.inputs[0], spread_average(node, rows, shapes[0]), found)
        return False
