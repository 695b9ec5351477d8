"""Reads a graph into layers: one pass over its nodes, collecting everything that no spiking layer can stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.compilers.operators.conv import convolve, pad_spatial
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.folding import joined, over_average, spread_average
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT, Layer, LayerNet, Term


def layers_of(graph: Graph) -> LayerNet:
    """The layers of a graph. Raises InputError naming every node that no spiking layer can stand for, and why."""
    walk = _Walk(graph)
    walk.run()
    if walk.problems:
        raise InputError(f"{graph.name} has no spiking form:\n  " + "\n  ".join(walk.problems))
    return LayerNet(graph.name, graph.inputs, tuple(walk.layers))


def obstacles(graph: Graph) -> list[str]:
    """Every reason why a graph has no spiking form, each naming a node."""
    walk = _Walk(graph)
    walk.run()
    return walk.problems


@dataclass(frozen=True)
class _Sum:
    """A sum of terms plus bias that no ReLU has met yet."""

    terms: tuple[Term, ...]
    bias: Array


LINEAR = ("AveragePool", "GlobalAveragePool", "ReduceMean", "Reshape", "Concat", "Transpose", "Squeeze", "Unsqueeze",
          "Identity", "Dropout", "Add")  # fmt: skip
BASIS = 256  # unit vectors pushed through linear nodes at a time
LARGEST_DENSE = 1 << 24  # weights of a term written out as a matrix


class _Walk:
    """One pass over the nodes. `sources`: tensors that are layers or inputs; `linear`: nodes that only move or add."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.problems: list[str] = []
        self.sources: dict[str, str] = {t.name: t.name for t in graph.inputs}
        self.linear: dict[str, Node] = {}
        self.sums: dict[str, _Sum] = {}
        self.broken: set[str] = set()

    def run(self) -> None:
        """Visit all nodes, then the output."""
        for name, constant in sorted(self.graph.constants.items()):
            if constant.dtype.kind == "f" and not np.isfinite(constant).all():
                self.problems.append(
                    f"constant {name}: holds NaN or infinity; export the trained model again"
                )
        for node in self.graph.nodes:
            if self.broken & set(node.inputs):
                self.broken.update(node.outputs)
                continue
            reason = self.visit(node)
            if reason:
                self.problems.append(f"node {node.name} ({node.op}): {reason}")
                self.broken.update(node.outputs)
        if len(self.graph.outputs) != 1:
            self.problems.append(f"{len(self.graph.outputs)} outputs; a spiking net has one that is read out")
        elif not self.broken:
            self.read_out(self.graph.outputs[0])

    def visit(self, node: Node) -> str:
        """Take in one node. Returns why it cannot be, or nothing."""
        first = node.inputs[0]
        if node.op in ("Conv", "Gemm"):
            return self.weighted(node)
        if node.op in ("Relu", "Clip"):
            return self.rectified(node)
        if node.op == "MaxPool":
            return self.maximum(node)
        if node.op == "Softmax" and node.outputs[0] in self.graph.outputs and first in self.sums:
            self.sums[node.outputs[0]] = self.sums[first]  # leaves the order of the classes alone
            return ""
        if any(name in self.sums for name in node.inputs):
            return self.on_sums(node)
        if node.op in LINEAR and not any(name in self.graph.constants for name in node.inputs[:1]):
            if node.op == "Add" and any(name in self.graph.constants for name in node.inputs):
                return "adds a constant to spikes that are sent on already; add it before the ReLU"
            self.linear[node.outputs[0]] = node
            return ""
        return "no spiking form; layers are Conv or Gemm with ReLU or Clip from 0, pools, Concat, Add and reshapes"

    def weighted(self, node: Node) -> str:
        """Conv and Gemm: new terms."""
        x, weight = node.inputs[0], self.graph.constants[node.inputs[1]].astype(np.float64)
        if x in self.sums:
            return "follows a sum without a ReLU between them; its negative values would need negative spikes"
        bias = (
            self.graph.constants[node.inputs[2]].astype(np.float64) if len(node.inputs) > 2 else np.zeros(1)
        )
        shape = self.graph.shape(node.outputs[0])
        bias = np.broadcast_to(bias, shape[:1]).reshape(-1, *([1] * (len(shape) - 1)))
        terms: list[Term] | None = None
        if node.op == "Conv":
            terms = self.convolutions(x, weight, node)
        if terms is None:
            terms = self.matrices(x, node, weight)
        if terms is None:
            return "too large to be written as a matrix, which the nodes between it and the last ReLU ask for"
        self.sums[node.outputs[0]] = _Sum(tuple(terms), bias)
        return ""

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

    def matrices(self, x: str, node: Node, weight: Array) -> list[Term] | None:
        """Any linear path written as one matrix a source: a Gemm's rows are pulled back through the nodes before it, a
        Conv's are found by sending unit vectors forward."""
        if node.op == "Gemm":
            pulled: dict[str, Array] = {}
            if self.pull(x, weight.reshape(-1, *self.graph.shape(x)), pulled):
                tensors = sorted(pulled, key=self.order)
                return [Term(self.sources[t], "dense", pulled[t].reshape(len(weight), -1)) for t in tensors]
        out = int(np.prod(self.graph.shape(node.outputs[0])))
        terms = []
        for tensor in sorted(self.reached(x), key=self.order):
            shape = self.graph.shape(tensor)
            size = int(np.prod(shape))
            if size * max(out, size) > LARGEST_DENSE:
                return None
            columns = []
            for at in range(0, size, BASIS):
                unit = np.eye(min(BASIS, size - at), size, at).reshape(-1, *shape)
                moved = self.moved(x, {tensor: unit})
                if node.op == "Gemm":
                    columns.append(moved @ weight.T)
                else:
                    padded = pad_spatial(moved, node.attributes["pads"], 0.0)
                    columns.append(convolve(padded, weight, node).reshape(len(unit), -1))
            terms.append(Term(self.sources[tensor], "dense", np.concatenate(columns).T))
        return terms

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

    def reached(self, x: str) -> set[str]:
        """Sources that a tensor is made of."""
        if x in self.sources:
            return {x}
        return {s for name in self.linear[x].inputs for s in self.reached(name)}

    def order(self, tensor: str) -> int:
        """Place of a source: inputs, then layers."""
        names = [t.name for t in self.graph.inputs] + [layer.name for layer in self.layers]
        return names.index(self.sources[tensor])

    def moved(self, x: str, given: Mapping[str, Array]) -> Array:
        """A linear tensor for given sources, zero elsewhere. Operators compute in float32: unit vectors stay exact."""
        from trine.compilers.operators import operators

        if x in self.sources:
            count = len(next(iter(given.values())))
            return given[x] if x in given else np.zeros((count, *self.graph.shape(x)))
        node = self.linear[x]
        arguments = [
            self.moved(name, given) if name not in self.graph.constants else self.graph.constants[name]
            for name in node.inputs
            if name
        ]
        return operators()[node.op].run(node, [a.astype(np.float32) for a in arguments])[0].astype(np.float64)

    def on_sums(self, node: Node) -> str:
        """Additions to a sum, and nodes that leave it as it is."""
        if node.op in ("Identity", "Dropout") or (
            node.op in ("Reshape", "Squeeze", "Unsqueeze") and node.outputs[0] in self.graph.outputs
        ):
            self.sums[node.outputs[0]] = self.sums[node.inputs[0]]
            return ""
        if node.op != "Add":
            return "works on a sum that no ReLU has made non-negative yet; put the ReLU before it"
        terms: list[Term] = []
        bias = np.zeros(())
        shape = self.graph.shape(node.outputs[0])
        for name in node.inputs:
            if name in self.graph.constants:
                bias = bias + self.graph.constants[name].astype(np.float64)
            elif name in self.sums and self.graph.shape(name) == shape:
                terms += self.sums[name].terms
                bias = bias + self.sums[name].bias
            elif name in self.sources and self.graph.shape(name) == shape:
                terms.append(Term(self.sources[name], "identity", np.ones(())))
            else:
                return f"{name} is neither a layer's output nor a sum of the same shape"
        self.sums[node.outputs[0]] = _Sum(tuple(terms), bias)
        return ""

    def rectified(self, node: Node) -> str:
        """ReLU, Clip from 0: a layer."""
        x, y = node.inputs[0], node.outputs[0]
        low, high = float(node.attributes.get("min", 0.0)), float(node.attributes.get("max", np.inf))
        if low != 0 or high <= 0:
            return f"clips to {low:g} .. {high:g}; a spike count stands for 0 and above"
        if x in self.sums:
            total = self.sums[x]
            name = self.producer(x)
            shape = self.graph.shape(y)
            self.layers.append(Layer(name, y, shape, total.terms, total.bias, FIRE, high))
            self.sources[y] = name
            return ""
        if x in self.sources and self.sources[x] in {layer.name for layer in self.layers} and np.isinf(high):
            self.sources[y] = self.sources[x]
            return ""
        return "follows neither Conv nor Gemm nor a sum of them"

    def maximum(self, node: Node) -> str:
        """Greatest count of a window."""
        x, y, a = node.inputs[0], node.outputs[0], node.attributes
        if x not in self.sources or self.sources[x] in {t.name for t in self.graph.inputs}:
            return "works on values that no ReLU has made spike counts yet; put the ReLU before it"
        if any(d != 1 for d in a["dilations"]):
            return "dilated windows"
        term = Term(
            self.sources[x], "pool", np.ones(()), {k: a[k] for k in ("kernel_shape", "strides", "pads")}
        )
        self.layers.append(Layer(node.name, y, self.graph.shape(y), (term,), np.zeros(()), MAXIMUM))
        self.sources[y] = node.name
        return ""

    def read_out(self, output: str) -> None:
        """The last sum becomes the readout."""
        if output not in self.sums:
            self.problems.append(
                f"output {output}: is not a sum of Conv or Gemm, whose membrane could be read out"
            )
            return
        total = self.sums[output]
        name = next(n for n, s in self.sums.items() if s is total)
        shape = self.graph.shape(name)
        self.layers.append(Layer(self.producer(name), name, shape, total.terms, total.bias, READOUT))

    def producer(self, tensor: str) -> str:
        """Name of the node that writes a tensor."""
        return self.graph.producers()[tensor].name
