"""Operators written as several others, for ONNX versions or runtimes that do not have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from trine.compilers.graph import Node
from trine.compilers.operators import Spelled

Part = tuple[str, tuple[Any, ...], Mapping[str, Any]]


def composed(node: Node, *parts: Part) -> list[Spelled]:
    """A node as several: parts (operator, inputs, attributes), inputs "x" the node's own, numbers constants, and
    [i] the result of part i."""
    made: list[Spelled] = []
    for i, (op, inputs, attributes) in enumerate(parts):
        names, constants = [], {}
        for k, given in enumerate(inputs):
            if given == "x":
                names.append(node.inputs[0])
            elif isinstance(given, list):
                names.append(f"{node.name}.part{given[0]}")
            else:
                names.append(f"{node.name}.part{i}.{k}")
                constants[names[-1]] = np.array(given, np.float32)
        outputs = node.outputs if i == len(parts) - 1 else (f"{node.name}.part{i}",)
        made.append(Spelled(op, names, outputs, attributes, constants))
    return made


def since(opset: int) -> Callable[[Callable[[Node], list[Spelled]]], Callable[[Node, int], list[Spelled]]]:
    """Spelling of an operator that ONNX has from an opset on; the decorated function composes it before."""

    def decorate(compose: Callable[[Node], list[Spelled]]) -> Callable[[Node, int], list[Spelled]]:
        def spell(node: Node, written: int) -> list[Spelled]:
            as_is = [Spelled(node.op, node.inputs, node.outputs, node.attributes)]
            return as_is if written >= opset else compose(node)

        return spell

    return decorate
