"""Mixture of experts: a MatMul with weights that an index chooses becomes an `ExpertGemm`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Shape, Tensor


def fuse_experts(graph: Graph) -> Graph:
    """Gather(constant weights, index) read by one MatMul -> ExpertGemm, with a gathered bias that is added to it.

    The same function; chosen weights are then read where they lie instead of being copied.
    """
    for node in graph.nodes:
        if node.op == "MatMul":
            graph = _fused(graph, node)
    return graph


@dataclass(frozen=True)
class _Chosen:
    """A constant [experts, ...] of which an index takes some: the nodes that do it, in order."""

    value: Array
    index: str
    nodes: tuple[Node, ...]


def _chosen(graph: Graph, name: str) -> _Chosen | None:
    """What stands behind a value that is whole experts of a constant, perhaps reshaped, and read once."""
    nodes: list[Node] = []
    shape = graph.shape(name)
    while True:
        node = graph.producers().get(name)
        if node is None or name in graph.outputs or len(graph.consumers().get(name, [])) != 1:
            return None
        nodes.insert(0, node)
        if node.op != "Reshape":
            break
        name = node.inputs[0]
    data, index = node.inputs[0], node.inputs[-1]
    if (
        node.op != "Gather"
        or node.attributes["axis"] != 0
        or data not in graph.constants
        or index in graph.constants
    ):
        return None
    value = graph.constants[data]
    if value.dtype != np.float32 or len(graph.shape(index)) != 1 or shape[:1] != graph.shape(index):
        return None
    return _Chosen(value.reshape(len(value), *shape[1:]), index, tuple(nodes))


def _fused(graph: Graph, matmul: Node) -> Graph:
    for place in (0, 1):
        x, name = matmul.inputs[1 - place], matmul.inputs[place]
        chosen = _chosen(graph, name) if name in graph.tensors else None
        if chosen is None or chosen.value.ndim != 3 or x in graph.constants:
            continue
        weight = chosen.value if place == 0 else chosen.value.transpose(0, 2, 1)
        count, inputs = graph.shape(chosen.index)[0], weight.shape[2]
        shape = graph.shape(x)
        if shape[-2:] == ((inputs, 1) if place == 0 else (1, inputs)) and shape[:-2] in ((), (1,), (count,)):
            shared = shape[:-2] != (count,) or count == 1
            return _rewritten(graph, matmul, chosen, weight, (inputs,) if shared else (count, inputs), x)
    return graph


def _rewritten(graph: Graph, matmul: Node, chosen: _Chosen, weight: Array, flat: Shape, x: str) -> Graph:
    """Reshape, ExpertGemm, Reshape in the place of Gather and MatMul (and Gather and Add of a bias)."""
    name = matmul.name
    constants = {f"{name}.experts": np.ascontiguousarray(weight)}
    dropped, last = {node.name for node in (*chosen.nodes, matmul)}, matmul
    add, bias = _bias(graph, matmul, chosen.index, weight.shape[:2])
    if add is not None and bias is not None:
        constants[f"{name}.biases"] = bias.value.reshape(weight.shape[:2])
        dropped |= {node.name for node in (*bias.nodes, add)}
        last = add
    narrow, rows = f"{name}.vector", f"{name}.rows"
    shape = (graph.shape(chosen.index)[0], weight.shape[1])
    made = (
        Node("Reshape", narrow, (x,), (narrow,), {"shape": flat}),
        Node(
            "ExpertGemm", name, (narrow, chosen.index, *constants), (rows,), {"shared": int(len(flat) == 1)}
        ),
        Node("Reshape", f"{name}.wide", (rows,), last.outputs, {"shape": graph.shape(last.outputs[0])}),
    )
    nodes = [
        one
        for node in graph.nodes
        for one in (made if node.name == last.name else () if node.name in dropped else (node,))
    ]
    gone = {n for node in graph.nodes if node.name in dropped for n in node.outputs} - set(last.outputs)
    tensors = {**graph.tensors, narrow: Tensor(narrow, flat), rows: Tensor(rows, shape)}
    used = {n for node in nodes for n in node.inputs}
    return replace(
        graph, nodes=tuple(nodes), tensors={n: t for n, t in tensors.items() if n not in gone},
        constants={n: v for n, v in {**graph.constants, **constants}.items() if n in used},
    )  # fmt: skip


def _bias(graph: Graph, matmul: Node, index: str, shape: Shape) -> tuple[Node | None, _Chosen | None]:
    """The Add behind a MatMul and the biases by the same index, if that is what there is."""
    product = matmul.outputs[0]
    readers = graph.consumers().get(product, [])
    if len(readers) != 1 or readers[0].op != "Add" or product in graph.outputs:
        return None, None
    add = readers[0]
    other = add.inputs[1 - add.inputs.index(product)]
    chosen = _chosen(graph, other) if other in graph.tensors else None
    fits = chosen is not None and chosen.index == index and chosen.value.size == int(np.prod(shape))
    return (add, chosen) if fits and graph.shape(other) == graph.shape(product) else (None, None)
