"""Pad of one example's axes: a constant, or values of the example itself (ONNX Pad-21).

Normal form: inputs (x); attributes pads (begin..., end..., one each an axis; negative ones crop), mode ("constant",
"edge", "reflect", "wrap") and value, which only "constant" reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.movement import example_values, integers, spelled, text, with_batch
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported

MODES = ("constant", "edge", "reflect", "wrap")


def read(source: SourceNode) -> Node:
    mode, rank = text(source, "mode", "constant"), len(source.file_shape())
    if mode not in MODES:
        raise Unsupported(f"mode {mode}; supported are {', '.join(MODES)}")
    given = integers(source, 1, "the pads")
    axes = integers(source, 3, "the axes") if source.has(3) else list(range(rank))
    if len(given) != 2 * len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise Unsupported(f"pads {given} for {len(axes)} axes of {rank}")
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[axis % rank] = (given[i], given[len(axes) + i])
    inner = example_values(source, pairs, (0, 0), "pads")
    value = float(source.scalar(2, "the padding value")) if source.has(2) else 0.0
    shape = source.shape()
    least = min((size + sum(pair) for size, pair in zip(shape, inner, strict=True)), default=1)
    if least < 1:
        raise Unsupported(f"pads {given} leave nothing of {shape}")
    if mode != "constant" and min((p for pair in inner for p in pair), default=0) < 0:
        raise Unsupported(f"negative pads {given} with mode {mode}")
    if mode == "reflect" and any(max(pair) >= size for size, pair in zip(shape, inner, strict=True)):
        raise Unsupported(f"pads {given} reflect more than {shape} has")
    pads = (*(begin for begin, _ in inner), *(end for _, end in inner))
    if not any(pads):
        return Node("Identity", source.name, source.inputs[:1], source.outputs)
    return Node(
        "Pad", source.name, source.inputs[:1], source.outputs,
        {"pads": pads, "mode": mode, "value": value if mode == "constant" else 0.0},
    )  # fmt: skip


def shapes(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    pads, rank = node.attributes["pads"], len(inputs[0])
    return [tuple(size + pads[i] + pads[rank + i] for i, size in enumerate(inputs[0]))]


def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
    x, a, rank = arguments[0], node.attributes, arguments[0].ndim - 1
    begins, ends = a["pads"][:rank], a["pads"][rank:]
    x = x[(slice(None), *(slice(max(-b, 0), min(e, 0) or None) for b, e in zip(begins, ends, strict=True)))]
    widths = [(0, 0), *((max(b, 0), max(e, 0)) for b, e in zip(begins, ends, strict=True))]
    if a["mode"] == "constant":
        return [np.pad(x, widths, constant_values=np.asarray(a["value"]).astype(x.dtype))]
    return [np.pad(x, widths, mode=a["mode"])]


def spell(node: Node, opset: int) -> list[Spelled]:
    a, rank = node.attributes, len(node.attributes["pads"]) // 2
    pads = (*with_batch(a["pads"][:rank], 0), *with_batch(a["pads"][rank:], 0))
    value = {"value": np.array(a["value"], np.float32)} if a["mode"] == "constant" and a["value"] else {}
    return spelled(node, {"mode": a["mode"]}, pads=np.array(pads, np.int64), **value)


def _pads(mode: str, *pads: int, value: float = 0.0) -> dict[str, object]:
    return {"pads": pads, "mode": mode, "value": value}


OPERATOR = Operator(
    "Pad", read, shapes, run,
    (
        Case("zeros", ((4, 9),), _pads("constant", 0, 2, 1, 3)),
        Case("value", ((4, 9),), _pads("constant", 1, 2, 0, 1, value=0.7)),
        Case("cropped", ((4, 9),), _pads("constant", 0, -2, 1, -1)),
        Case("edge", ((3, 5, 4),), _pads("edge", 0, 1, 2, 0, 2, 1)),
        Case("reflect", ((4, 9),), _pads("reflect", 0, 4, 0, 3)),
    ),
    forms=(
        Form("default_mode", ((4, 9),), {}, {1: np.array([0, 1, 2, 0, 0, 1], np.int64)}),
        Form("nothing", ((4, 9),), {}, {1: np.zeros(6, np.int64)}),
        Form("axes", ((4, 9),), {"mode": "reflect"},
             {1: np.array([2, 1], np.int64), 2: None, 3: np.array([-1], np.int64)}, (18, 999)),
        Form("wrap", ((4, 9),), {"mode": "wrap"}, {1: np.array([0, 0, 2, 0, 0, 1], np.int64)}, (19, 999)),
    ),
    spell=spell,
)  # fmt: skip
