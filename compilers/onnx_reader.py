"""Read an ONNX file as a `Graph`: load, normalise, then lower node by node through `operators`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.attention import fuse_attention
from trine.compilers.experts import fuse_experts
from trine.compilers.graph import Array, Graph, Node, Shape, Stored, Tensor
from trine.compilers.onnx_loader import load_onnx
from trine.compilers.onnx_normaliser import normalise
from trine.compilers.onnx_types import type_problem
from trine.compilers.operators import Operator, SourceNode, Unsupported, operators
from trine.compilers.state_space import fuse_softplus
from trine.devices.errors import InputError

LARGEST_TENSOR = (
    1 << 24
)  # values an example: far beyond every device, and a file of a few bytes could ask for more
HELD = (  # types a `Graph` holds
    "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip


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


def lower(model: Any, name: str, batch: Mapping[str, int] | int | None = 0) -> Graph:
    """An `onnx.ModelProto` that `load_onnx` accepted as a `Graph`.

    batch: where the batch axis of the inputs lies, for all or by name; it belongs to no shape. None: tensors are taken
    whole, and one of them is one example.
    """
    ir = normalise(model, name)
    lowering = _Lowering(name, int(ir.opset_imports.get("", ir.opset_imports.get("ai.onnx", 0))))
    lowering.constants = {n: v.const_value.numpy() for n, v in ir.graph.initializers.items()}
    lowering.batch = {v.name: batch[v.name] if isinstance(batch, Mapping) else batch for v in ir.graph.inputs}
    inputs = tuple(
        Tensor(v.name, without(tuple(int(d) for d in v.shape), lowering.batch[v.name]), v.dtype.numpy().name)
        for v in ir.graph.inputs
    )
    for tensor in inputs:
        if prod(tensor.shape) > LARGEST_TENSOR:
            count = prod(tensor.shape)
            raise InputError(
                f"{name}: input {tensor.name} has {count} values an example; {LARGEST_TENSOR} are supported"
            )
    if empty := [tensor.name for tensor in inputs if 0 in tensor.shape]:
        raise InputError(f"{name}: input {', '.join(empty)} has no values")
    lowering.tensors = {tensor.name: tensor for tensor in inputs}
    for index, node in enumerate(ir.graph):
        lowering.take(node, index)
    outputs = tuple(value.name for value in ir.graph.outputs)
    lowering.refuse()
    graph = fuse_softplus(fuse_attention(fuse_experts(lowering.graph(inputs, outputs))))
    graph.check()
    return graph


def without(shape: Shape, axis: int | None) -> Shape:
    """The shape less one axis."""
    return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])


@dataclass
class _Lowering:
    """What is known while the nodes are read in order."""

    model: str
    opset: int
    constants: dict[str, Array] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    batch: dict[str, int | None] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)
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
        if any(n and n not in self.tensors and n not in self.constants for n in inputs):
            return  # written by an unsupported node, which is reported already
        shapes, types = self._known(inputs)
        outputs = tuple(v.name if v.uses() or v.is_graph_output() else "" for v in node.outputs)
        source = SourceNode(
            node.op_type, name, inputs, outputs,
            {key: attribute.value for key, attribute in node.attributes.items()},
            dict(zip(inputs, shapes, strict=True)),
            {n: self.constants[n] for n in inputs if n in self.constants}, self.opset,
            types=dict(zip(inputs, types, strict=True)), batch={n: self.batch.get(n) for n in inputs},
        )  # fmt: skip
        if problem := type_problem(source.op, self.opset, operator.domain, types):
            raise Unsupported(problem)
        if all(n in self.constants for n in inputs if n):
            if source.op in ("DequantizeLinear", "Transpose"):
                self._keep(source)
                return
            raise Unsupported(
                "all its inputs are constants, and its value could not be computed when compiling"
            )
        lowered = operator.read(source)
        if not any(n in self.tensors for n in lowered.inputs):
            raise Unsupported(
                "computes with constants only, and its value could not be computed when compiling"
            )
        self.constants.update(source.defined)
        self._keep_defined(source)
        for n in (n for n in lowered.inputs if n in self.constants):
            if self.constants[n].dtype.name not in HELD:
                raise Unsupported(
                    f"constant {n} is {self.constants[n].dtype}; supported are {', '.join(HELD)}"
                )
            if not np.isfinite(self.constants[n]).all():
                raise Unsupported(f"constant {n} holds NaN or infinity once constants are folded")
        shapes, types = self._known(lowered.inputs)
        if len(mixed := sorted({kind for kind in types if kind.startswith("float")})) > 1:
            raise Unsupported(f"mixes {' and '.join(mixed)}")
        record = operators()[lowered.op]
        results = zip(
            lowered.outputs, record.shapes(lowered, shapes), record.types(lowered, types), operator.batch(source),
            strict=True,
        )  # fmt: skip
        for result, shape, kind, place in results:
            if prod(shape) > LARGEST_TENSOR:
                raise Unsupported(
                    f"{result} has {prod(shape)} values an example; {LARGEST_TENSOR} are supported"
                )
            if result and 0 in shape:
                raise Unsupported(f"its result {result} {shape} has no values")
            if result and kind not in HELD:
                raise Unsupported(f"{result} is {kind}; supported are {', '.join(HELD)}")
            if result:
                self.tensors[result], self.batch[result] = Tensor(result, shape, kind), place
        self.nodes.append(lowered)

    def _keep(self, source: SourceNode) -> None:
        """A constant that the model stores as integers, or one of those transposed."""
        name = source.outputs[0]
        if source.op == "Transpose":
            x = source.constant(0, "x")
            perm = tuple(source.attributes.get("perm", range(x.ndim)[::-1]))
            if sorted(perm) != list(range(x.ndim)):
                raise Unsupported(f"perm {perm} for {x.ndim} axes")
            self.constants[name] = np.transpose(x, perm)
            if self.constants[name].ndim == 2 and source.inputs[0] in self.stored:
                self.stored[name] = self.stored[source.inputs[0]].transposed()
            return
        q, scale = source.constant(0, "the integers"), source.constant(1, "the scale")
        zero = source.constant(2, "the zero point") if source.has(2) else np.zeros(scale.shape, q.dtype)
        if zero.size != scale.size:
            raise Unsupported(f"{zero.size} zero points for {scale.size} scales")
        if q.dtype.name not in HELD or scale.dtype != np.float32 or source.integer("block_size", 0):
            raise Unsupported(f"a constant of {q.dtype} with scales of {scale.dtype}, or in blocks")
        axis = source.integer("axis", 1) % max(q.ndim, 1) if scale.size > 1 else None
        if axis is not None and scale.shape != (q.shape[axis],):
            raise Unsupported(f"{scale.shape} scales for axis {axis} of {q.shape}")
        self.stored[name] = Stored(q, scale.reshape(-1), zero.reshape(-1), axis)
        self.constants[name] = self.stored[name].real

    def _keep_defined(self, source: SourceNode) -> None:
        """Constants that `read` made of stored ones by turning or reshaping them are stored ones too."""
        before = [self.stored[name] for name in source.inputs if name in self.stored]
        for name, value in source.defined.items():
            for stored in before:
                if stored.integers.ndim == 2 and np.array_equal(stored.real.T, value):
                    self.stored[name] = stored.transposed()
                if np.array_equal(stored.real, value):
                    self.stored[name] = stored
                if stored.axis in (0, None) and np.array_equal(stored.real.ravel(), value.ravel()):
                    whole = replace(stored, integers=stored.integers.reshape(value.shape))
                    self.stored.setdefault(name, whole)

    def _known(self, names: Sequence[str]) -> tuple[list[Shape], list[str]]:
        """Shapes and types of activations and constants; () and "" for an absent input."""
        tensors = [
            Tensor(n, tuple(self.constants[n].shape), self.constants[n].dtype.name)
            if n in self.constants
            else self.tensors.get(n, Tensor("", (), ""))
            for n in names
        ]
        return [tensor.shape for tensor in tensors], [tensor.dtype for tensor in tensors]

    def _operator(self, node: Any) -> Operator:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain not in ("", "ai.onnx.ml"):
            raise Unsupported(f"operators of the domain {domain} have no meaning here")
        if node.op_type not in operators() or operators()[node.op_type].domain != domain:
            raise Unsupported("no such operator in Trine yet")
        return operators()[node.op_type]

    def _guess(self, value: Any) -> None:
        """Take ONNX's shape for an unsupported node's output, so that the nodes after it are examined too."""
        if value.shape is not None and len(value.shape) and all(isinstance(d, int) for d in value.shape):
            batched = None not in self.batch.values()
            kind = value.dtype.numpy().name if value.dtype is not None else "float32"
            self.tensors[value.name] = Tensor(
                value.name, tuple(int(d) for d in value.shape)[int(batched) :], kind
            )
            self.batch[value.name] = 0 if batched else None

    def refuse(self) -> None:
        """Raise UnsupportedNodes if there are any."""
        if self.unsupported:
            raise UnsupportedNodes(self.model, self.unsupported)

    def graph(self, inputs: tuple[Tensor, ...], outputs: tuple[str, ...]) -> Graph:
        """The finished graph, without identities and unused constants."""
        missing = [name for name in outputs if name not in self.tensors]
        if missing:
            raise InputError(f"{self.model}: output {', '.join(missing)} does not depend on any input")
        nodes = without_identities(self.nodes, outputs)
        used = {name for node in nodes for name in node.inputs}
        written = {name for node in nodes for name in node.outputs} | {tensor.name for tensor in inputs}
        return Graph(
            self.model, inputs, outputs, tuple(nodes),
            {name: value for name, value in sorted(self.constants.items()) if name in used},
            {name: tensor for name, tensor in self.tensors.items() if name in written},
            {name: stored for name, stored in sorted(self.stored.items()) if name in used},
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
