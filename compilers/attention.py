"""MatMul, Softmax, MatMul become one `RowAttention`: the scores of one row are then all that must be held at once.

A mask between them becomes its fourth input: Where with a great negative number, or such numbers added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Shape

LEAST = -1e4  # a constant this low and lower is a mask and no score: its weight is e^-10000
HIDDEN, NEVER = -1e30, 0.0  # what is written for a masked score, and its weight


def fuse_attention(graph: Graph) -> Graph:
    """Every softmax(scale * a b) v of activations as a RowAttention; the same function."""
    for node in graph.nodes:
        if node.op == "Softmax":
            graph = _fused(graph, node)
    return graph


@dataclass
class _Found:
    """What lies between both products: the nodes to drop, the scale, the mask's name or value."""

    dropped: list[Node]
    scale: float = 1.0
    mask: str = ""
    value: Array | None = None

    @property
    def masked(self) -> bool:
        return bool(self.mask) or self.value is not None


def _before(graph: Graph, name: str, *ops: str) -> Node | None:
    """The node of one of some operators that makes a value which nothing else reads."""
    node = graph.producers().get(name)
    alone = name not in graph.outputs and len(graph.consumers().get(name, [])) == 1
    return node if node is not None and node.op in ops and alone else None


def _number(graph: Graph, name: str) -> float | None:
    """A constant of a single number."""
    value = graph.constants.get(name)
    return float(value.reshape(())) if value is not None and value.size == 1 else None


def _scalar(graph: Graph, node: Node) -> float | None:
    """The number that a Mul or Div by a constant scales by."""
    known = [name for name in node.inputs if name in graph.constants]
    value = _number(graph, known[0]) if len(known) == 1 else None
    if value is None or node.op == "Mul":
        return value
    return 1.0 / value if node.inputs[1] == known[0] and value else None


def _hiding(graph: Graph, node: Node, found: _Found) -> str | None:
    """The scores that a node masks, if it does; the mask goes into `found`."""
    if node.op == "Where":
        number = _number(graph, node.inputs[2])
        if number is None or number > LEAST or node.inputs[1] in graph.constants:
            return None
        found.mask = node.inputs[0]
        return node.inputs[1]
    known = [name for name in node.inputs if name in graph.constants]
    if (
        len(known) != 1
        or not ((v := graph.constants[known[0]]) <= LEAST).any()
        or ((v > LEAST) & (v != 0)).any()
    ):
        return None
    found.value = v == 0
    return next(name for name in node.inputs if name not in graph.constants)


def _as_mask(graph: Graph, found: _Found, stack: Shape, rows: int, keys: int) -> Array | str | None:
    """The mask as `RowAttention` takes it; None where it does not."""
    value = graph.constants.get(found.mask, found.value) if found.mask else found.value
    if value is None:
        shape = graph.shape(found.mask)
        fits = len(shape) == len(stack) + 2 and shape[-1] == keys and shape[-2] in (1, rows)
        same = fits and (shape[:-2] == stack or all(size == 1 for size in shape[:-2]))
        return found.mask if same and graph.dtype(found.mask) == "bool" else None
    while value.ndim > 2 and value.shape[0] == 1:
        value = value[0]
    full = (*(stack if value.ndim > 2 else ()), rows, keys)
    try:
        return np.ascontiguousarray(np.broadcast_to(value, full), bool)
    except ValueError:
        return None


def _between(graph: Graph, softmax: Node) -> tuple[_Found, Node, Node] | None:
    """What lies between the first product and the last, and both of them."""
    found, source = _Found([softmax]), softmax.inputs[0]
    hiding = _before(graph, source, "Where", "Add")
    inner = _hiding(graph, hiding, found) if hiding is not None else None
    if hiding is not None and inner is not None:
        found.dropped.append(hiding)
        source = inner
    scaled = _before(graph, source, "Mul", "Div")
    factor = _scalar(graph, scaled) if scaled is not None else None
    if scaled is not None and factor is not None and factor > 0:
        found.dropped.append(scaled)
        source, found.scale = next(name for name in scaled.inputs if name not in graph.constants), factor
    product = _before(graph, source, "MatMul")
    weights = softmax.outputs[0]
    readers = graph.consumers().get(weights, [])
    if len(readers) == 1 and found.mask and readers[0].op == "Where" and weights not in graph.outputs:
        last = readers[0]
        if last.inputs[:2] == (found.mask, weights) and _number(graph, last.inputs[2]) == NEVER:
            found.dropped.append(last)
            weights = last.outputs[0]
            readers = graph.consumers().get(weights, [])
    if product is None or len(readers) != 1 or weights in graph.outputs or readers[0].op != "MatMul":
        return None
    found.dropped.append(product)
    return (found, product, readers[0]) if readers[0].inputs[0] == weights != readers[0].inputs[1] else None


def _fused(graph: Graph, softmax: Node) -> Graph:
    rank = len(graph.shape(softmax.outputs[0]))
    if rank < 2 or softmax.attributes["axis"] != rank - 1 or (between := _between(graph, softmax)) is None:
        return graph
    found, product, last = between
    inputs = (*product.inputs, last.inputs[1])
    shapes = [graph.shape(name) for name in inputs]
    if any(name in graph.constants for name in inputs) or len({shape[:-2] for shape in shapes}) != 1:
        return graph
    constants = dict(graph.constants)
    if found.masked:
        mask = _as_mask(graph, found, shapes[0][:-2], shapes[0][-2], shapes[1][-1])
        if mask is None:
            return graph
        if not isinstance(mask, str):
            constants[f"{last.name}.mask"] = mask
            mask = f"{last.name}.mask"
        inputs = (*inputs, mask)
    names = {node.name for node in (*found.dropped, last)}
    gone = {name for node in found.dropped for name in node.outputs}
    made = Node("RowAttention", last.name, inputs, last.outputs, {"scale": found.scale})
    nodes = tuple(
        made if n.name == last.name else n for n in graph.nodes if n.name == last.name or n.name not in names
    )
    used = {name for node in nodes for name in node.inputs}
    return replace(
        graph, nodes=nodes, tensors={n: t for n, t in graph.tensors.items() if n not in gone},
        constants={n: v for n, v in constants.items() if n in used},
    )  # fmt: skip
