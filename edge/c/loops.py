"""Loops over tensors in ONNX order: broadcast operands, and axes that are kept or reduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trine.compilers.graph import Shape

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

Axis = tuple[int, tuple[int, ...]]  # its size, and how far each operand moves along it


def strides_of(shape: Shape) -> tuple[int, ...]:
    """Elements from one value to the next along each axis."""
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


def broadcast_strides(shape: Shape, target: Shape) -> tuple[int, ...]:
    """Strides of a shape read as `target`; 0 along axes it is repeated on."""
    full = (1,) * (len(target) - len(shape)) + tuple(shape)
    return tuple(stride if size > 1 else 0 for stride, size in zip(strides_of(full), full, strict=True))


def merged(axes: Sequence[Axis]) -> list[Axis]:
    """The same walk in as few loops as can be: axes of one dropped, neighbours joined that all operands walk alike."""
    result: list[Axis] = []
    for size, steps in axes:
        if size == 1:
            continue
        if result and all(outer == inner * size for outer, inner in zip(result[-1][1], steps, strict=True)):
            result[-1] = (result[-1][0] * size, steps)
        else:
            result.append((size, steps))
    return result


def open_loops(
    layer: LayerWriter, axes: Sequence[Axis], name: str = "i", indent: str = ""
) -> tuple[list[str], str]:
    """Write `for` after `for`; returns where each operand stands in the innermost, and the indent of its body.

    The body must be one statement. With no axes the operands stand at 0.
    """
    for k, (size, _) in enumerate(axes):
        layer.line(f"{indent}for (int32_t {name}{k} = 0; {name}{k} < {size}; {name}{k}++)")
        indent += "    "
    count = len(axes[0][1]) if axes else 0
    places = [
        " + ".join(
            f"{name}{k}" if steps[j] == 1 else f"{name}{k} * {steps[j]}"
            for k, (_, steps) in enumerate(axes)
            if steps[j]
        )
        for j in range(count)
    ]
    return [place or "0" for place in places], indent


def broadcast_loops(layer: LayerWriter, target: Shape, shapes: Sequence[Shape]) -> tuple[list[str], str]:
    """Loops over a target's elements in order; where each operand stands, and the indent of the body."""
    strides = [broadcast_strides(shape, target) for shape in shapes]
    axes = merged([(size, tuple(s[k] for s in strides)) for k, size in enumerate(target)])
    places, indent = open_loops(layer, axes)
    return places or ["0"] * len(shapes), indent


def split_axes(shape: Shape, reduced: Sequence[int]) -> tuple[list[Axis], list[Axis]]:
    """The axes of one operand that stay and those that are reduced."""
    axes = [(size, (stride,)) for size, stride in zip(shape, strides_of(shape), strict=True)]
    kept = [axis for i, axis in enumerate(axes) if i not in reduced]
    return merged(kept), merged([axis for i, axis in enumerate(axes) if i in reduced])


def around(shape: Shape, axis: int) -> tuple[int, int, int]:
    """How many rows lie before an axis, its length, and how many values after it: a line is length values, the last
    number apart."""
    return int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))
