"""Write a `Graph` as float ONNX: each normal form as ONNX spells it, batch axis first and free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.compilers.operators import Spelled, operators

OPSET = 21
ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3  # 5 drops the tree operators that exporters write

# What ONNX wants of a node: its inputs (new constants among them), its attributes.
Spelling = tuple[list[str], dict[str, Any], dict[str, Array]]


def _as_is(node: Node, opset: int) -> Spelling:
    return list(node.inputs), dict(node.attributes), {}


def _with(node: Node, attributes: dict[str, Any], **constants: Array) -> Spelling:
    """The node's inputs and then new constants, named after the node and their role."""
    named = {f"{node.name}.{role}": value for role, value in constants.items()}
    return [*node.inputs, *named], attributes, named


def _clip(node: Node, opset: int) -> Spelling:
    bounds = {role: np.array(node.attributes[role], np.float32) for role in ("min", "max")}
    return _with(node, {}, **bounds)


def _average_pool(node: Node, opset: int) -> Spelling:
    attributes = {key: value for key, value in node.attributes.items() if key != "uncounted"}
    extra = node.attributes["uncounted"]
    if opset < 19:
        attributes.pop("dilations")
    if node.attributes["count_include_pad"] and any(extra):
        rank = len(extra)
        ends = [end - x for end, x in zip(attributes["pads"][rank:], extra, strict=True)]
        attributes |= {"pads": (*attributes["pads"][:rank], *ends), "ceil_mode": 1}
    return list(node.inputs), attributes, {}


def _axis(node: Node, opset: int) -> Spelling:
    return list(node.inputs), {"axis": node.attributes["axis"] + 1}, {}


def _gemm(node: Node, opset: int) -> Spelling:
    return list(node.inputs), {"transB": 1}, {}


def _reshape(node: Node, opset: int) -> Spelling:
    return _with(node, {}, shape=np.array((-1, *node.attributes["shape"]), np.int64))


def _transpose(node: Node, opset: int) -> Spelling:
    return list(node.inputs), {"perm": (0, *(axis + 1 for axis in node.attributes["perm"]))}, {}


SPELLINGS: Mapping[str, Callable[[Node, int], Spelling]] = {
    "AveragePool": _average_pool,
    "Clip": _clip,
    "Concat": _axis,
    "Gemm": _gemm,
    "Reshape": _reshape,
    "Softmax": _axis,
    "Transpose": _transpose,
}


def spell(node: Node, opset: int = OPSET) -> Spelling:
    """Inputs, attributes and new constants of the ONNX node that means this node."""
    return SPELLINGS.get(node.op, _as_is)(node, opset)


def spelled(node: Node, opset: int = OPSET) -> list[Spelled]:
    """The ONNX nodes that mean this node."""
    record = operators()[node.op]
    if record.spell is not None:
        return record.spell(node, opset)
    inputs, attributes, made = spell(node, opset)
    return [Spelled(node.op, inputs, node.outputs, attributes, made, record.domain)]


def write_onnx(graph: Graph, opset: int = OPSET) -> Any:
    """The network as an `onnx.ModelProto` with a free batch axis `n`; read back, it is the same network."""
    from onnx import helper, numpy_helper

    constants, nodes, domains = dict(graph.constants), [], {""}
    for node in graph.nodes:
        for i, one in enumerate(spelled(node, opset)):
            constants |= one.constants
            domains.add(one.domain)
            name = node.name if i == 0 else f"{node.name}.{i}"
            nodes.append(
                helper.make_node(
                    one.op, list(one.inputs), list(one.outputs), name, domain=one.domain, **one.attributes
                )
            )

    def value(name: str) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(graph.dtype(name)))
        return helper.make_tensor_value_info(name, kind, ["n", *graph.shape(name)])

    inputs, outputs = [value(tensor.name) for tensor in graph.inputs], [value(name) for name in graph.outputs]
    body = helper.make_graph(
        nodes, graph.name, inputs, outputs,
        [numpy_helper.from_array(np.asarray(constants[name], order="C"), name) for name in sorted(constants)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(ML_DOMAIN, ML_OPSET)] if ML_DOMAIN in domains else []
    ir_version = helper.find_min_ir_version_for(opsets)
    return helper.make_model(body, opset_imports=opsets, ir_version=ir_version, producer_name="trine")
