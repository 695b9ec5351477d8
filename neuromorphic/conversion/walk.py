"""Reads a graph into layers: one pass over its nodes, collecting everything that no spiking layer can stand for."""

from __future__ import annotations

import numpy as np

from trine.compilers.graph import Graph, Node
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.folding import Sum, scaled
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, READOUT, Layer, LayerNet, Term
from trine.neuromorphic.conversion.linear import Linear


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


LINEAR = ("AveragePool", "GlobalAveragePool", "ReduceMean", "Reshape", "Concat", "Transpose", "Squeeze", "Unsqueeze",
          "Identity", "Dropout", "Add")  # fmt: skip
KNOWN = ("Conv", "Gemm", "MatMul", "Mul", "Relu", "Clip", "MaxPool", "BatchNormalization", "Softmax", *LINEAR)
NO_FORM = (
    "no spiking form; layers are Conv or Gemm with ReLU or Clip from 0, pools, Concat, Add, Mul by a constant, "
    "reshapes"
)
TOO_LARGE = "too large to be written as a matrix, which what lies between it and the last ReLU asks for"


class _Walk(Linear):
    """One pass over the nodes."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.problems: list[str] = []
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
                if node.op not in KNOWN:  # what stands behind another obstacle is named as well
                    self.problems.append(f"node {node.name} ({node.op}): {NO_FORM}")
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
        if node.op == "Softmax" and node.outputs[0] in self.graph.outputs and self.known(first):
            self.sums[node.outputs[0]] = self.sum_of(first)  # leaves the order of the classes alone
            return ""
        shifted = node.op in ("Add", "Mul") and any(name in self.graph.constants for name in node.inputs)
        if shifted or any(name in self.sums for name in node.inputs):
            return self.on_sums(node)
        if node.op in LINEAR and not any(name in self.graph.constants for name in node.inputs[:1]):
            self.linear[node.outputs[0]] = node
            return ""
        return NO_FORM

    def weighted(self, node: Node) -> str:
        """Conv and Gemm: new terms."""
        x, weight = node.inputs[0], self.graph.constants[node.inputs[1]].astype(np.float64)
        bias = (
            self.graph.constants[node.inputs[2]].astype(np.float64) if len(node.inputs) > 2 else np.zeros(1)
        )
        shape = self.graph.shape(node.outputs[0])
        bias = np.broadcast_to(bias, shape[:1]).reshape(-1, *([1] * (len(shape) - 1)))
        if x in self.sums:
            made = self.after(node, self.sums[x], weight)
            if made is None:
                return TOO_LARGE
            self.sums[node.outputs[0]] = Sum(made.terms, made.bias + bias)
            return ""
        terms: list[Term] | None = None
        if node.op == "Conv":
            terms = self.convolutions(x, weight, node)
        if terms is None:
            terms = self.matrices(x, node, weight)
        if terms is None:
            return TOO_LARGE
        self.sums[node.outputs[0]] = Sum(tuple(terms), bias)
        return ""

    def on_sums(self, node: Node) -> str:
        """Linear nodes on sums: additions, scales, and whatever moves or averages."""
        y = node.outputs[0]
        shape = self.graph.shape(y)
        constants = [
            self.graph.constants[n].astype(np.float64) for n in node.inputs if n in self.graph.constants
        ]
        given = [n for n in node.inputs if n and n not in self.graph.constants]
        if not all(self.known(name) for name in given):
            return NO_FORM
        if node.op in ("Identity", "Dropout"):
            self.sums[y] = self.sum_of(given[0])
        elif node.op == "Mul" and len(given) == 1 and self.graph.shape(given[0]) == shape:
            self.sums[y] = scaled(self.sum_of(given[0]), constants[0], shape)
        elif node.op == "Add":
            parts = [self.sum_of(name) for name in given]
            if any(self.graph.shape(name) != shape for name in given):
                return f"its inputs are not all of shape {shape}"
            bias = sum((p.bias for p in parts), np.zeros(())) + sum(constants, np.zeros(()))
            self.sums[y] = Sum(tuple(t for p in parts for t in p.terms), np.asarray(bias))
        elif node.op in LINEAR and len(given) == 1:
            made = self.after(node, self.sum_of(given[0]))
            if made is None:
                return TOO_LARGE
            self.sums[y] = made
        else:
            return "works on a sum that no ReLU has made non-negative yet; put the ReLU before it"
        return ""

    def rectified(self, node: Node) -> str:
        """ReLU, Clip from 0: a layer."""
        x, y = node.inputs[0], node.outputs[0]
        low, high = float(node.attributes.get("min", 0.0)), float(node.attributes.get("max", np.inf))
        if low != 0 or high <= 0:
            return f"clips to {low:g} .. {high:g}; a spike count stands for 0 and above"
        if x in self.sources and self.sources[x] in {layer.name for layer in self.layers} and np.isinf(high):
            self.sources[y] = self.sources[x]
            return ""
        if not self.known(x):
            return "follows neither Conv nor Gemm nor a sum of them"
        self.fires(x, y, high, self.producer(x) if x in self.graph.producers() else node.name)
        return ""

    def fires(self, x: str, y: str, high: float, name: str) -> None:
        """A layer that fires at the sum x; y is the tensor that its activation stands for."""
        total = self.sum_of(x)
        if name in {layer.name for layer in self.layers}:
            name = f"{name}_{y}"
        self.layers.append(Layer(name, y, self.graph.shape(x), total.terms, total.bias, FIRE, high))
        self.sources[y] = name

    def maximum(self, node: Node) -> str:
        """Greatest count of a window."""
        x, y, a = node.inputs[0], node.outputs[0], node.attributes
        readers = [n.op for n in self.graph.nodes if y in n.inputs]
        if (
            x in self.sums and readers and set(readers) == {"Relu"}
        ):  # the ReLU of a maximum is the maximum of ReLUs
            self.fires(x, x, np.inf, self.producer(x))
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
        if not self.known(output) or output in {t.name for t in self.graph.inputs}:
            self.problems.append(
                f"output {output}: is not made of Conv or Gemm, whose membrane could be read out"
            )
            return
        total = self.sum_of(output)
        name = next((n for n, s in self.sums.items() if s is total), output)
        made = self.producer(name)
        if made in {layer.name for layer in self.layers}:
            made = f"{made}_readout"
        self.layers.append(Layer(made, name, self.graph.shape(name), total.terms, total.bias, READOUT))
