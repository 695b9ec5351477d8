"""The same network in fewer operators, before it is quantised: every operator that goes is one rounding less.

- A function of one value that an exporter spelled out (Gelu by Erf, Swish by Sigmoid, ...) becomes the operator it is:
  one table. It is known by what it computes, not by how it is spelled.
- A product and a sum with a number a channel become one BatchNormalization: one requantiser.
- A BatchNormalization that only Convs without padding read goes into their weights and biases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.compilers.operators import operators

POINTWISE = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Erf",
        "Exp",
        "Log",
        "Neg",
        "Sigmoid",
        "Softplus",
        "Sqrt",
        "Tanh",
        "Clip",
        "Relu",
    }
)
LONGEST = 10  # nodes of a spelled-out function
KNOWN: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("Gelu", {"approximate": "none"}), ("Gelu", {"approximate": "tanh"}), ("Swish", {"alpha": 1.0}), ("Mish", {}),
    ("HardSwish", {}),
)  # fmt: skip
PROBES = np.concatenate([np.linspace(-12, 12, 241), [-60.0, -30.0, 30.0, 60.0]])
SAME = 2e-6  # of a function's values, relative to the largest there

Cones = dict[str, dict[str, frozenset[int]]]


def simplify(graph: Graph) -> Graph:
    """The network with fewer operators; names of inputs and outputs stay."""
    return fold_scales(join_scales(join_functions(graph)))


def join_functions(graph: Graph) -> Graph:
    """Functions of one value that are spelled out, as the operators they are."""
    readers = graph.consumers()
    cones: Cones = {name: {name: frozenset()} for name in graph.tensors}
    taken: dict[int, Node] = {}
    for index, node in enumerate(graph.nodes):
        if node.op not in POINTWISE or len(node.outputs) != 1:
            continue
        given = [name for name in node.inputs if name and name not in graph.constants]
        numbers = [graph.constants[name] for name in node.inputs if name in graph.constants]
        if not given or any(value.size != 1 or value.dtype != np.float32 for value in numbers):
            continue
        shared = set.intersection(*(set(cones[name]) for name in given))
        for source in sorted(shared):
            body = frozenset({index}).union(*(cones[name][source] for name in given))
            if len(body) <= LONGEST and graph.shape(source) == graph.shape(node.output):
                cones[node.output][source] = body
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        if any(index in body for body in _bodies(taken, cones, graph)) or len(node.outputs) != 1:
            continue
        for source, body in sorted(cones.get(node.output, {}).items(), key=lambda item: -len(item[1])):
            if len(body) > 1 and private(graph, readers, body, index):
                found = recognised(graph, body, source, node)
                if found is not None:
                    taken[index] = found
                    break
    gone = frozenset().union(*_bodies(taken, cones, graph)) if taken else frozenset()
    nodes = [taken.get(i, node) for i, node in enumerate(graph.nodes) if i in taken or i not in gone]
    return rebuilt(graph, nodes)


def _bodies(taken: Mapping[int, Node], cones: Cones, graph: Graph) -> list[frozenset[int]]:
    """The nodes that each function that was recognised replaces."""
    return [cones[node.outputs[0]][node.inputs[0]] for node in taken.values()]


def private(graph: Graph, readers: Mapping[str, Sequence[Node]], body: frozenset[int], last: int) -> bool:
    """Whether nobody outside reads what a body computes on the way."""
    inside = {graph.nodes[i].name for i in body}
    return all(
        name not in graph.outputs and all(reader.name in inside for reader in readers.get(name, []))
        for i in body
        if i != last
        for name in graph.nodes[i].outputs
    )


def recognised(graph: Graph, body: frozenset[int], source: str, last: Node) -> Node | None:
    """The operator that computes what a body does, if one of `KNOWN` does."""
    values: dict[str, Array] = {source: PROBES[:, None]}
    with np.errstate(all="ignore"):
        for i in sorted(body):
            node = graph.nodes[i]
            arguments = [
                graph.constants[n].astype(np.float64).reshape(()) if n in graph.constants else values[n]
                for n in node.inputs
            ]
            values[node.output] = operators()[node.op].run(node, arguments)[0]
        found = values[last.output]
        for op, attributes in KNOWN:
            made = Node(op, last.name, (source,), last.outputs, attributes)
            wanted = operators()[op].run(made, [PROBES[:, None]])[0]
            if np.allclose(found, wanted, rtol=SAME, atol=SAME):
                return made
    return None


def per_channel(graph: Graph, name: str, shape: tuple[int, ...]) -> Array | None:
    """A constant that has one number a channel, or one for all, of a tensor of this shape: float32 [channels]."""
    if name not in graph.constants or not shape:
        return None
    value = graph.constants[name]
    aligned = (1,) * (len(shape) - value.ndim) + value.shape
    while len(aligned) > len(shape) and aligned[0] == 1:
        aligned = aligned[1:]
    if len(aligned) != len(shape) or aligned[0] not in (1, shape[0]) or set(aligned[1:]) - {1}:
        return None
    return np.ascontiguousarray(np.broadcast_to(value.reshape(-1), shape[:1]), np.float32)


@dataclass
class Rewriting:
    """Nodes and constants as they change."""

    graph: Graph
    nodes: dict[str, Node] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def constant(self, name: str, value: Array) -> str:
        """A new constant; returns its name."""
        while name in self.constants or name in self.graph.constants or name in self.graph.tensors:
            name += "_"
        self.constants[name] = value
        return name

    def done(self) -> Graph:
        """The network that came of it."""
        whole = replace(self.graph, constants={**self.graph.constants, **self.constants})
        return rebuilt(whole, list(self.nodes.values()))


def other_operand(node: Node, name: str) -> str:
    """The operand of a product or sum that is not `name`."""
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def join_scales(graph: Graph) -> Graph:
    """Mul and then Add by a number a channel, as BatchNormalization."""
    readers, work = graph.consumers(), Rewriting(graph)
    work.nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        activations = [name for name in node.inputs if name not in graph.constants]
        after = readers.get(node.outputs[0], [])
        if node.op != "Mul" or len(activations) != 1 or len(after) != 1 or node.outputs[0] in graph.outputs:
            continue
        x, last = activations[0], after[0]
        shape = graph.shape(x)
        if last.op != "Add" or shape != graph.shape(last.output) or shape[:1] in ((), (1,)):
            continue
        scale = per_channel(graph, other_operand(node, x), shape)
        offset = per_channel(graph, other_operand(last, node.output), shape)
        if scale is None or offset is None:
            continue
        numbers = (work.constant(f"{node.name}.scale", scale), work.constant(f"{node.name}.offset", offset))
        del work.nodes[node.name]
        work.nodes[last.name] = Node("BatchNormalization", last.name, (x, *numbers), last.outputs)
    return work.done()


def fold_scales(graph: Graph) -> Graph:
    """BatchNormalization in front of Convs without padding, in their weights and biases."""
    readers, work = graph.consumers(), Rewriting(graph)
    work.nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if node.op != "BatchNormalization" or node.output in graph.outputs:
            continue
        after = readers.get(node.output, [])
        if not after or not all(
            n.op == "Conv" and n.inputs.count(node.output) == 1 and n.inputs[0] == node.output
            and not any(n.attributes["pads"]) and n.inputs[1] not in graph.stored
            for n in after
        ):  # fmt: skip
            continue
        scale, offset = (graph.constants[name].astype(np.float64) for name in node.inputs[1:3])
        for conv in after:
            work.nodes[conv.name] = folded(work, graph, conv, node.inputs[0], scale, offset)
        del work.nodes[node.name]
    return work.done()


def folded(work: Rewriting, graph: Graph, conv: Node, source: str, scale: Array, offset: Array) -> Node:
    """A Conv that reads what the BatchNormalization before it reads."""
    weight = graph.constants[conv.inputs[1]].astype(np.float64)
    group = conv.attributes["group"]
    # The input channels that each filter reads: [out, in/group].
    read = np.arange(len(scale)).reshape(group, -1).repeat(len(weight) // group, axis=0)
    spread = (*read.shape, *(1,) * (weight.ndim - 2))
    bias = (weight * offset[read].reshape(spread)).sum(axis=tuple(range(1, weight.ndim)))
    if len(conv.inputs) > 2:
        bias = bias + graph.constants[conv.inputs[2]]
    names = (
        work.constant(f"{conv.name}.weight", (weight * scale[read].reshape(spread)).astype(np.float32)),
        work.constant(f"{conv.name}.bias", bias.astype(np.float32)),
    )
    return replace(conv, inputs=(source, *names))


def rebuilt(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """The graph with other nodes, less the tensors and constants that nothing reads or writes."""
    read = {name for node in nodes for name in node.inputs}
    written = {name for node in nodes for name in node.outputs if name} | {
        tensor.name for tensor in graph.inputs
    }
    return replace(
        graph, nodes=tuple(nodes),
        constants={name: value for name, value in graph.constants.items() if name in read},
        tensors={name: tensor for name, tensor in graph.tensors.items() if name in written},
    )  # fmt: skip
