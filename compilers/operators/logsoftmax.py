"""LogSoftmax along one axis of one example (ONNX LogSoftmax-13). Normal form as Softmax's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trine.compilers.graph import Array, Node
from trine.compilers.operators import SourceNode, Spelled
from trine.compilers.operators.softmax import OPERATOR as SOFTMAX


def read(source: SourceNode) -> Node:
    return replace(SOFTMAX.read(source), op="LogSoftmax")


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, axis = arguments[0], node.attributes["axis"] + 1
    shifted = x - x.max(axis=axis, keepdims=True)
    return [np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))]


def spell(node: Node, opset: int) -> list[Spelled]:
    return [Spelled("LogSoftmax", node.inputs, node.outputs, {"axis": node.attributes["axis"] + 1})]


OPERATOR = replace(SOFTMAX, name="LogSoftmax", read=read, run=run, spell=spell)
