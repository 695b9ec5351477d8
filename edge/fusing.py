"""What the quantiser asks of a graph: which activations are fused, which values stay float, whose range is observed."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from trine.compilers.graph import Graph, Node
from trine.edge.operators import kernel_of

FUSES_ACTIVATION = frozenset(
    {
        "Conv",
        "Gemm",
        "MatMul",
        "Add",
        "Sub",
        "Mul",
        "AveragePool",
        "GlobalAveragePool",
        "ReduceMean",
        "ConvTranspose",
        "BatchNormalization",
    }
)
FORCED = {
    "Softmax": (np.float32(1 / 256), -128),
    "Sigmoid": (np.float32(1 / 256), -128),
    "Tanh": (np.float32(1 / 128), 0),
}
SHARES_INPUT = frozenset(
    {
        "MaxPool",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Identity",
        "Dropout",
        "ReduceMax",
        "ReduceMin",
        "TopK",
        "Slice",
        "Split",
        "Expand",
        "Tile",
        "Trilu",
        "DepthToSpace",
        "SpaceToDepth",
        "Gather",
        "GatherElements",
        "GatherND",
        "Resize",
    }
)


def activation_bounds(node: Node) -> tuple[float, float]:
    """Real bounds of a Relu or Clip node in normal form."""
    if node.op == "Relu":
        return 0.0, np.inf
    return float(node.attributes.get("min", -np.inf)), float(node.attributes.get("max", np.inf))


def fusions(graph: Graph, stated: Collection[str] = ()) -> dict[str, Node]:
    """Node name -> the Relu or Clip that is fused into it; none where the model states the scale between them."""
    consumers, found = graph.consumers(), {}
    for node in graph.nodes:
        readers = consumers.get(node.outputs[0], [])
        if (
            node.op not in FUSES_ACTIVATION
            or len(readers) != 1
            or node.outputs[0] in {*graph.outputs, *stated}
        ):
            continue
        if readers[0].op in ("Relu", "Clip") and readers[0].inputs[0] == node.outputs[0]:
            found[node.name] = readers[0]
    return found


def float_values(graph: Graph) -> set[str]:
    """The activations that stay float32: those that only kernels read which take floats, and what those write."""
    takers = {node.name for node in graph.nodes if node.op in kernel_of() and kernel_of()[node.op].floats}
    readers = graph.consumers()
    given = {t.name for t in graph.inputs if (r := readers.get(t.name)) and all(n.name in takers for n in r)}
    return given | {name for node in graph.nodes if node.name in takers for name in node.outputs}


def mixtures(graph: Graph) -> list[str]:
    """Nodes that read float32 where integers are wanted, or the other way round."""
    floats, found = float_values(graph), []
    for node in graph.nodes:
        kernel = kernel_of().get(node.op)
        read = [n for n in node.inputs if n in graph.tensors and graph.dtype(n) == "float32"]
        if kernel is None or not read or all((n in floats) == kernel.floats for n in read):
            continue
        what = (
            "reads integers here and wants floats"
            if kernel.floats
            else "reads floats here and wants integers"
        )
        found.append(f"node {node.name} ({node.op}): {what}; --precision float32 has no such borders")
    return found


def observed(graph: Graph) -> tuple[str, ...]:
    """The activations whose range decides a scale: inputs and outputs of kernels, in order."""
    fused = fusions(graph)
    names = [tensor.name for tensor in graph.inputs]
    swallowed = {node.name for node in fused.values()}
    for node in graph.nodes:
        if node.name in swallowed or node.op in FORCED or node.op in SHARES_INPUT:
            continue
        names += fused[node.name].outputs[:1] if node.name in fused else [n for n in node.outputs if n]
    floats = float_values(graph)
    return tuple(name for name in names if graph.dtype(name) == "float32" and name not in floats)
