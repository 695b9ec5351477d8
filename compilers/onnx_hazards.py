"""Nodes that onnx's own shape inference does not survive: it ends the process or never comes back (onnx 1.23).

Found by tests/fuzz. They are refused before anything infers shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MOST_AXES = 64


def _integer(node: Any, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _split(node: Any) -> str:
    count = _integer(node, "num_outputs", len(node.output))
    return "" if count == len(node.output) else f"num_outputs is {count} for {len(node.output)} outputs"


def _batch_dims(node: Any) -> str:
    count = _integer(node, "batch_dims", 0)
    return "" if 0 <= count <= MOST_AXES else f"batch_dims is {count}"


def _einsum(node: Any) -> str:
    equation = next((a.s.decode("utf-8", "replace") for a in node.attribute if a.name == "equation"), "")
    letters = equation.replace("...", "").replace("->", "", 1).replace(",", "").replace(" ", "")
    return "" if letters.isascii() and (letters.isalpha() or not letters) else f"equation {equation[:40]!r}"


CHECKS: dict[str, Callable[[Any], str]] = {"Einsum": _einsum, "GatherND": _batch_dims, "Split": _split}


def _axis(node: Any) -> str:
    axis = _integer(node, "axis", 0)
    return "" if -MOST_AXES <= axis <= MOST_AXES else f"axis is {axis}"


def hazards(nodes: Any) -> list[str]:
    """What is wrong with such nodes."""
    return [
        f"node {node.name or '(unnamed)'} ({node.op_type}) is not valid ONNX: {problem}"
        for node in nodes
        if node.domain in ("", "ai.onnx") and (problem := CHECKS.get(node.op_type, _axis)(node))
    ]


def references(nodes: Any) -> list[str]:
    """Attributes that stand for an argument of a function, where there is none: they have no value."""
    return [
        f"node {node.name or '(unnamed)'} ({node.op_type}) is not valid ONNX: attribute {attribute.name} refers to "
        f"{attribute.ref_attr_name!r}, but the node is in no function"
        for node in nodes
        for attribute in node.attribute
        if attribute.ref_attr_name
    ]
