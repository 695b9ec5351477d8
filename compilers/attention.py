"""MatMul, Softmax, MatMul become one `RowAttention`: the scores of one row are then all that must be held at once."""

from __future__ import annotations

from dataclasses import replace

from trine.compilers.graph import Graph, Node


def fuse_attention(graph: Graph) -> Graph:
    """Every softmax(scale * a b) v of activations as a RowAttention; the same function."""
    for node in graph.nodes:
        if node.op == "Softmax":
            graph = _fused(graph, node)
    return graph


def _before(graph: Graph, name: str, only: str) -> Node | None:
    """The node of operator `only` that makes a value which nothing else reads."""
    node = graph.producers().get(name)
    alone = name not in graph.outputs and len(graph.consumers().get(name, [])) == 1
    return node if node is not None and node.op == only and alone else None


def _scalar(graph: Graph, node: Node) -> float | None:
    """The number that a Mul or Div by a constant scales by."""
    known = [name for name in node.inputs if name in graph.constants]
    if len(known) != 1 or graph.constants[known[0]].size != 1:
        return None
    value = float(graph.constants[known[0]].reshape(()))
    if node.op == "Mul":
        return value
    return 1.0 / value if node.inputs[1] == known[0] and value else None


def _fused(graph: Graph, softmax: Node) -> Graph:
    weights = softmax.outputs[0]
    readers = graph.consumers().get(weights, [])
    rank = len(graph.shape(weights))
    if len(readers) != 1 or weights in graph.outputs or rank < 2 or softmax.attributes["axis"] != rank - 1:
        return graph
    last, source, scale = readers[0], softmax.inputs[0], 1.0
    dropped = [softmax, last]
    for op in ("Mul", "Div"):
        scaled = _before(graph, source, op)
        factor = _scalar(graph, scaled) if scaled is not None else None
        if scaled is not None and factor is not None and factor > 0:
            dropped.append(scaled)
            source = next(name for name in scaled.inputs if name not in graph.constants)
            scale = factor
            break
    product = _before(graph, source, "MatMul")
    if product is None or last.op != "MatMul" or last.inputs[0] != weights or last.inputs[1] == weights:
        return graph
    inputs = (*product.inputs, last.inputs[1])
    shapes = [graph.shape(name) for name in inputs]
    if any(name in graph.constants for name in inputs) or len({shape[:-2] for shape in shapes}) != 1:
        return graph
    dropped.append(product)
    names = {node.name for node in dropped}
    gone = {name for node in dropped for name in node.outputs} - set(last.outputs)
    made = Node("RowAttention", last.name, inputs, last.outputs, {"scale": scale})
    nodes = tuple(
        made if n.name == last.name else n for n in graph.nodes if n.name == last.name or n.name not in names
    )
    used = {name for node in nodes for name in node.inputs}
    return replace(
        graph, nodes=nodes, tensors={n: t for n, t in graph.tensors.items() if n not in gone},
        constants={n: v for n, v in graph.constants.items() if n in used},
    )  # fmt: skip
