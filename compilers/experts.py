"""Mixture of experts: a MatMul with weights that an index chooses becomes an `ExpertGemm`."""

from __future__ import annotations

from dataclasses import replace

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


def _chosen(graph: Graph, name: str) -> Node | None:
    """The Gather of whole experts that alone makes a value and that one node reads."""
    node = graph.producers().get(name)
    if node is None or node.op != "Gather" or node.attributes.get("axis") != 0 or name in graph.outputs:
        return None
    data, index = node.inputs
    known = data in graph.constants and graph.dtype(data) == "float32" and index in graph.tensors
    alone = len(graph.consumers().get(name, [])) == 1
    return node if known and alone and len(graph.shape(index)) == 1 else None


def _fused(graph: Graph, matmul: Node) -> Graph:
    for place in (0, 1):
        gather = _chosen(graph, matmul.inputs[place])
        if gather is None or graph.constants[gather.inputs[0]].ndim != 3:
            continue
        x = matmul.inputs[1 - place]
        weight = graph.constants[gather.inputs[0]]
        weight = weight if place == 0 else weight.transpose(0, 2, 1)
        chosen, inputs = graph.shape(gather.inputs[1])[0], weight.shape[2]
        column = (inputs, 1) if place == 0 else (1, inputs)
        shape = graph.shape(x)
        if x in graph.constants or shape[-2:] != column or shape[:-2] not in ((), (1,), (chosen,)):
            continue
        shared = shape[:-2] != (chosen,) or chosen == 1
        return _rewritten(graph, matmul, gather, x, weight, (inputs,) if shared else (chosen, inputs))
    return graph


def _rewritten(graph: Graph, matmul: Node, gather: Node, x: str, weight: Array, flat: Shape) -> Graph:
    """Reshape, ExpertGemm, Reshape in the place of Gather and MatMul (and Gather and Add of a bias)."""
    name, index = matmul.name, gather.inputs[1]
    constants = {f"{name}.experts": np.ascontiguousarray(weight)}
    dropped, last = {gather.name, matmul.name}, matmul
    add, bias = _bias(graph, matmul, index, weight.shape[:2])
    if add is not None and bias is not None:
        constants[f"{name}.biases"] = graph.constants[bias.inputs[0]].reshape(weight.shape[:2])
        dropped |= {add.name, bias.name}
        last = add
    narrow, rows = f"{name}.vector", f"{name}.rows"
    shape = (graph.shape(index)[0], weight.shape[1])
    made = (
        Node("Reshape", narrow, (x,), (narrow,), {"shape": flat}),
        Node("ExpertGemm", name, (narrow, index, *constants), (rows,), {"shared": int(len(flat) == 1)}),
        Node("Reshape", f"{name}.wide", (rows,), last.outputs, {"shape": graph.shape(last.outputs[0])}),
    )
    tensors = {**graph.tensors, narrow: Tensor(narrow, flat), rows: Tensor(rows, shape)}
    nodes = [
        one
        for node in graph.nodes
        for one in (made if node.name == last.name else () if node.name in dropped else (node,))
    ]
    gone = {n for node in graph.nodes if node.name in dropped for n in node.outputs} - set(last.outputs)
    used = {n for node in nodes for n in node.inputs}
    return replace(
        graph, nodes=tuple(nodes), tensors={n: t for n, t in tensors.items() if n not in gone},
        constants={n: v for n, v in {**graph.constants, **constants}.items() if n in used},
    )  # fmt: skip


def _bias(graph: Graph, matmul: Node, index: str, shape: Shape) -> tuple[Node | None, Node | None]:
    """The Add behind a MatMul and the Gather of biases by the same index, if that is what there is."""
    readers = graph.consumers().get(matmul.outputs[0], [])
    if len(readers) != 1 or readers[0].op != "Add" or matmul.outputs[0] in graph.outputs:
        return None, None
    add = readers[0]
    other = add.inputs[1 - add.inputs.index(matmul.outputs[0])]
    gather = _chosen(graph, other) if other in graph.tensors else None
    if (
        gather is None
        or gather.inputs[1] != index
        or graph.constants[gather.inputs[0]].size != int(np.prod(shape))
    ):
        return None, None
    fits = graph.shape(other) == graph.shape(matmul.outputs[0])
    return (add, gather) if fits else (None, None)
