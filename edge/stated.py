"""Networks that arrive quantised: their own scales, zero points and integers, taken as they are.

QuantizeLinear and DequantizeLinear are what a model says about its activations; `strip` takes them out of the graph and
keeps what they say. Lowering then has nothing to choose: where no integer rule equals the float rule of ONNX for the
stated scales, that channel is rounded in float32, as ONNX defines it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from trine.compilers.graph import Graph, Node, Tensor
from trine.edge.fusing import FORCED, SHARES_INPUT, fusions
from trine.edge.lower import same
from trine.edge.operators import kernel_for
from trine.edge.program import QuantizedTensor

RAISED = {
    "uint8": 128,
    "uint16": 32768,
}  # unsigned codes are stored this much lower; the values do not change


@dataclass(frozen=True)
class StatedTensor(QuantizedTensor):
    """An activation as a model states it; raised: how much higher the model stores its codes (128 where unsigned)."""

    raised: int = 0


@dataclass(frozen=True)
class Stripped:
    """A network without its Quantize and Dequantize nodes, and what they said of each activation."""

    graph: Graph
    stated: Mapping[str, QuantizedTensor]


def is_quantised(graph: Graph) -> bool:
    """Whether a network says how its activations are quantised."""
    return any(node.op == "QuantizeLinear" for node in graph.nodes)


def problems(graph: Graph) -> list[str]:
    """Why a quantised network cannot be taken as it is, node by node."""
    found = []
    readers = graph.consumers()
    for node in graph.nodes:
        where = f"node {node.name} ({node.op})"
        if node.op == "QuantizeLinear":
            if node.attributes["dtype"] not in ("int8", "uint8"):
                found.append(
                    f"{where}: activations of {node.attributes['dtype']}; int8 and uint8 are taken as they are"
                )
            if graph.constants[node.inputs[1]].size > 1:
                found.append(f"{where}: an activation with a scale for each channel")
            others = [
                r for r in readers.get(node.output, []) if r.op not in ("DequantizeLinear", *SHARES_INPUT)
            ]
            if node.output in graph.outputs or others:
                who = others[0].name if others else "the caller"
                found.append(f"{where}: {who} reads its integers; only DequantizeLinear may")
        elif node.op == "DequantizeLinear" and graph.producers().get(node.inputs[0]) is None:
            found.append(f"{where}: input {node.inputs[0]} arrives as integers; export with float32 inputs")
        elif node.op not in SHARES_INPUT and graph.dtype(node.outputs[0]) not in ("float32", "bool", "int64"):
            found.append(f"{where}: computes in {graph.dtype(node.outputs[0])}")
    if found:
        return found
    stripped = strip(graph)
    found = [text for node in stripped.graph.nodes for text in constant_problems(stripped.graph, node)]
    fused = fusions(stripped.graph, stripped.stated)
    swallowed = {node.name for node in fused.values()}
    for node in stripped.graph.nodes:
        name = fused[node.name].outputs[0] if node.name in fused else node.outputs[0]
        free = node.op in FORCED or node.op in SHARES_INPUT or node.name in swallowed
        if not free and name not in stripped.stated and stripped.graph.dtype(name) == "float32":
            found.append(
                f"node {node.name} ({node.op}): the model does not say how its output {name} is quantised"
            )
    found += [
        f"input {t.name}: the model does not say how it is quantised"
        for t in stripped.graph.inputs
        if t.name not in stripped.stated and t.dtype == "float32"
    ]
    return found


def constant_problems(graph: Graph, node: Node) -> list[str]:
    """Constants of an exact kernel that are not quantised in the model, or whose integers the kernel does not take."""
    kernel = kernel_for(graph, node)
    if kernel is None or kernel.apart or node.op in SHARES_INPUT:
        return []
    found = []
    for place, name in enumerate(node.inputs):
        value, stored = graph.constants.get(name), graph.stored.get(name)
        bias = place == 2 and node.op in ("Conv", "Gemm")  # counts in units of the sums, stored or not
        if value is None or value.dtype != np.float32 or value.size == 1 or bias:
            continue
        matrix = node.op in ("Conv", "Gemm") or (node.op == "MatMul" and place == 1 and value.ndim == 2)
        if not matrix and node.op not in ("Add", "Sub", "Mul"):
            found.append(f"node {node.name} ({node.op}): its kernel does not take the integers of {name}")
        elif stored is None or not (matrix or stored.axis is None):
            found.append(
                f"node {node.name} ({node.op}): {name} is not quantised in the model, or not with one scale"
            )
    return found


def strip(graph: Graph) -> Stripped:
    """Take Quantize and Dequantize nodes out: their consumers read the activation itself.

    An output of the network that is dequantised keeps its name.
    """
    nodes, stated, alias = _walk(graph)
    given = {tensor.name for tensor in graph.inputs}
    # What a network hands out is the dequantised value: the activation takes that name.
    names = {alias[n]: n for n in graph.outputs if n in alias and alias[n] not in {*graph.outputs, *given}}

    def new(name: str) -> str:
        return names.get(alias.get(name, name), alias.get(name, name))

    nodes = [
        replace(node, inputs=tuple(map(new, node.inputs)), outputs=tuple(map(new, node.outputs)))
        for node in nodes
    ]
    moved = {name for node in nodes if node.op in SHARES_INPUT for name in node.outputs}
    tensors = {
        new(tensor.name): replace(tensor, name=new(tensor.name)) for tensor in stated_shapes(graph, stated)
    }
    tensors |= {name: replace(tensors[name], dtype="float32") for name in moved}
    written = given.union(*(node.outputs for node in nodes))
    used = {name for node in nodes for name in node.inputs}
    stripped = replace(
        graph, nodes=tuple(nodes), outputs=tuple(map(new, graph.outputs)),
        tensors={name: tensor for name, tensor in tensors.items() if name in written},
        constants={name: value for name, value in graph.constants.items() if name in used},
    )  # fmt: skip
    return Stripped(stripped, {new(name): replace(tensor, name=new(name)) for name, tensor in stated.items()})


def stated_shapes(graph: Graph, stated: Mapping[str, QuantizedTensor]) -> list[Tensor]:
    """The graph's real activations, and those that `_walk` added."""
    coded = {node.output for node in graph.nodes if node.op in ("QuantizeLinear", "DequantizeLinear")}
    tensors = [tensor for tensor in graph.tensors.values() if tensor.name not in coded]
    return [*tensors, *(Tensor(t.name, t.shape) for t in stated.values() if t.name not in graph.tensors)]


def _walk(graph: Graph) -> tuple[list[Node], dict[str, QuantizedTensor], dict[str, str]]:
    """The other nodes, what is stated of each activation, and which activation every coded value stands for."""
    stated: dict[str, QuantizedTensor] = {}
    alias: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        source = alias.get(node.inputs[0], node.inputs[0])
        if node.op == "DequantizeLinear":
            alias[node.output] = source
        elif node.op == "QuantizeLinear":
            tensor = stated_tensor(graph, node, source)
            if source in stated and not same(stated[source], tensor):  # quantised twice, in two ways
                again = f"{source}_{node.output}"
                nodes.append(Node("Identity", f"{node.name}_again", (source,), (again,)))
                source, tensor = again, replace(tensor, name=again)
            stated[source] = tensor
            alias[node.output] = source
        else:
            nodes.append(node)
    return nodes, stated, alias


def stated_tensor(graph: Graph, node: Node, name: str) -> QuantizedTensor:
    """What a QuantizeLinear says of its input."""
    scale, zero = (
        graph.constants[node.inputs[1]].reshape(-1)[0],
        int(graph.constants[node.inputs[2]].reshape(-1)[0]),
    )
    kind = node.attributes["dtype"]
    raised = RAISED.get(kind, 0)
    return StatedTensor(
        name, graph.shape(node.inputs[0]), np.float32(scale), zero - raised, kind.removeprefix("u"), raised
    )
