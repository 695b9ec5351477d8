"""Read an ONNX file as a `Graph`: load, normalise, then lower node by node through `operators`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node, Shape, Tensor
from trine.compilers.onnx_loader import load_onnx
from trine.compilers.onnx_normaliser import normalise
from trine.compilers.operators import Operator, SourceNode, Unsupported, operators
from trine.devices.errors import InputError


class UnsupportedNodes(InputError):
    """The model has nodes that cannot be lowered; `nodes` lists each (name, operator, reason)."""

    def __init__(self, model: str, nodes: Sequence[tuple[str, str, str]]) -> None:
        self.nodes = tuple(nodes)
        lines = "\n  ".join(f"{name} ({op}): {reason}" for name, op, reason in nodes)
        plural = "node is" if len(nodes) == 1 else "nodes are"
        super().__init__(f"{model}: {len(nodes)} {plural} not supported:\n  {lines}")


def read_onnx(path: Path, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """The network in an ONNX file, opset 13 to the newest the onnx package writes.

    shapes: whole input shapes by name with the batch axis (1) first, for axes the file leaves open.
    Raises InputError for a file that cannot be used (see `onnx_loader`), UnsupportedNodes listing every node
    that has no meaning in a `Graph`.
    """
    path = Path(path)
    return lower(load_onnx(path, shapes), path.stem)


def lower(model: Any, name: str) -> Graph:
    """An `onnx.ModelProto` that `load_onnx` accepted as a `Graph`."""
    ir = normalise(model, name)
    lowering = _Lowering(name, int(ir.opset_imports.get("", ir.opset_imports.get("ai.onnx", 0))))
    lowering.constants = {n: v.const_value.numpy() for n, v in ir.graph.initializers.items()}
    inputs = tuple(Tensor(v.name, tuple(int(d) for d in v.shape)[1:]) for v in ir.graph.inputs)
    lowering.shapes = {tensor.name: tensor.shape for tensor in inputs}
    for index, node in enumerate(ir.graph):
        lowering.take(node, index)
    outputs = tuple(value.name for value in ir.graph.outputs)
    lowering.refuse()
    graph = lowering.graph(inputs, outputs)
    graph.check()
    return graph


@dataclass
class _Lowering:
    """What is known while the nodes are read in order."""

    model: str
    opset: int
    constants: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    unsupported: list[tuple[str, str, str]] = field(default_factory=list)

    def take(self, node: Any, index: int) -> None:
        """Read one ONNX node, or note why it cannot be."""
        used = {other.name for other in self.nodes} | {name for name, _, _ in self.unsupported}
        name = node.name or f"{node.op_type}_{index}"
        name = name if name not in used else f"{name}_{index}"
        try:
            self._read(node, name)
        except Unsupported as reason:
            op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            self.unsupported.append((name, op, str(reason)))
            for value in node.outputs:
                self._guess(value)

    def _read(self, node: Any, name: str) -> None:
        operator = self._operator(node)
        inputs = tuple("" if value is None else value.name for value in node.inputs)
        known = self.shapes | {n: tuple(a.shape) for n, a in self.constants.items()}
        if any(n and n not in known for n in inputs):
            return  # written by an unsupported node, which is reported already
        outputs = tuple(v.name if v.uses() or v.is_graph_output() else "" for v in node.outputs)
        source = SourceNode(
            node.op_type, name, inputs, outputs,
            {key: attribute.value for key, attribute in node.attributes.items()},
            {n: known[n] for n in inputs if n}, {n: self.constants[n] for n in inputs if n in self.constants},
            self.opset,
        )  # fmt: skip
        if all(n in self.constants for n in inputs if n):
            raise Unsupported(
                "all its inputs are constants, and its value could not be computed when compiling"
            )
        lowered = operator.read(source)
        self.constants.update(source.defined)
        for n in (n for n in lowered.inputs if n in self.constants):
            if self.constants[n].dtype != np.float32:
                raise Unsupported(f"constant {n} is {self.constants[n].dtype}, not float32")
            if not np.isfinite(self.constants[n]).all():
                raise Unsupported(f"constant {n} holds NaN or infinity once constants are folded")
        shapes = [
            tuple(self.constants[n].shape) if n in self.constants else self.shapes[n] for n in lowered.inputs
        ]
        self.shapes.update(zip(lowered.outputs, operators()[lowered.op].shapes(lowered, shapes), strict=True))
        self.nodes.append(lowered)

    def _operator(self, node: Any) -> Operator:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported(f"operators of the domain {node.domain} have no meaning here")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") or node.op_type.startswith("QLinear"):
            raise Unsupported("already quantised models come later; give the float model")
        if node.op_type not in operators():
            raise Unsupported("no such operator in Trine yet")
        return operators()[node.op_type]

    def _guess(self, value: Any) -> None:
        """Take ONNX's shape for an unsupported node's output, so that the nodes after it are examined too."""
        if value.shape is not None and len(value.shape) and all(isinstance(d, int) for d in value.shape):
            self.shapes[value.name] = tuple(int(d) for d in value.shape)[1:]

    def refuse(self) -> None:
        """Raise UnsupportedNodes if there are any."""
        if self.unsupported:
            raise UnsupportedNodes(self.model, self.unsupported)

    def graph(self, inputs: tuple[Tensor, ...], outputs: tuple[str, ...]) -> Graph:
        """The finished graph, without identities and unused constants."""
        missing = [name for name in outputs if name not in self.shapes]
        if missing:
            raise InputError(f"{self.model}: output {', '.join(missing)} does not depend on any input")
        nodes = without_identities(self.nodes, outputs)
        used = {name for node in nodes for name in node.inputs}
        written = {name for node in nodes for name in node.outputs} | {tensor.name for tensor in inputs}
        return Graph(
            self.model, inputs, outputs, tuple(nodes),
            {name: value for name, value in sorted(self.constants.items()) if name in used},
            {name: Tensor(name, self.shapes[name]) for name in self.shapes if name in written},
        )  # fmt: skip


def without_identities(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes less every Identity that is not itself a way from an input to an output of the graph."""
    produced = {name for node in nodes for name in node.outputs}
    alias: dict[str, str] = {}
    kept: list[Node] = []
    for node in nodes:
        inputs = tuple(alias.get(name, name) for name in node.inputs)
        if node.op != "Identity":
            kept.append(replace(node, inputs=inputs))
        elif node.output not in outputs:
            alias[node.output] = inputs[0]
        elif inputs[0] in produced and inputs[0] not in outputs:
            before, after = inputs[0], node.output
            produced.add(after)
            alias[before] = after
            for i, other in enumerate(kept):
                swap = [
                    tuple(after if n == before else n for n in names)
                    for names in (other.inputs, other.outputs)
                ]
                kept[i] = replace(other, inputs=swap[0], outputs=swap[1])
            alias.update({n: after for n, target in alias.items() if target == before})
        else:
            kept.append(replace(node, inputs=inputs))
    return kept
