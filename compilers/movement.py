"""What the operators that move values share: axes with and without the batch, and where each value comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import SourceNode, Spelled, Unsupported

Value = TypeVar("Value")
Int64 = NDArray[np.int64]


def example_values(
    source: SourceNode, values: Sequence[Value], neutral: Value, what: str
) -> tuple[Value, ...]:
    """One value for each axis of the file as one for each axis of an example; the batch axis must be left alone."""
    batch = source.batch_of()
    if batch is None:
        return tuple(values)
    if values[batch] != neutral:
        raise Unsupported(
            f"{what} {values[batch]} along the batch axis; each example must be computed on its own"
        )
    return (*values[:batch], *values[batch + 1 :])


def integers(source: SourceNode, index: int, what: str) -> list[int]:
    """A constant input as a list of whole numbers."""
    return [int(v) for v in source.constant(index, what).reshape(-1)]


def text(source: SourceNode, name: str, default: str) -> str:
    """A string attribute."""
    value = source.attributes.get(name, default)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def with_batch(values: Sequence[Any], neutral: Any) -> tuple[Any, ...]:
    """Values of one example's axes as ONNX wants them: the batch axis first."""
    return (neutral, *values)


def spelled(node: Node, attributes: dict[str, Any] | None = None, **constants: Array) -> list[Spelled]:
    """One ONNX node of the same operator: the node's inputs, then new constants named after their role."""
    named = {f"{node.name}.{role}": value for role, value in constants.items()}
    return [Spelled(node.op, [*node.inputs, *named], node.outputs, attributes or {}, named)]


def origins(
    run: Callable[[Node, Sequence[Array]], list[Array]], node: Node, inputs: Sequence[Array | Shape]
) -> Int64:
    """Where each value of a moving operator's output comes from: its place in the first input, -1 if it is filled in.

    inputs: the shape of one example of the first, then its constants. The operator is run on the places themselves, so
    it must not compute with values; whatever it fills in must be 0 then.
    """
    shape = inputs[0]
    assert isinstance(shape, tuple)
    places = np.arange(1, int(np.prod(shape)) + 1, dtype=np.int64).reshape(1, *shape)
    (moved,) = run(node, [places, *inputs[1:]])  # type: ignore[list-item]  # the rest are arrays
    return np.asarray(moved[0] - 1, np.int64)


def clipped(indices: Array, size: int) -> Int64:
    """Indices of an axis of `size` entries: negative ones count from the end, those beyond stop at it.

    ONNX calls an index beyond the axis an error; a device has nobody to tell, and must not read elsewhere.
    """
    wide = indices.astype(np.int64)
    return np.clip(np.where(wide < 0, wide + size, wide), 0, size - 1)


def checked_indices(indices: Array, size: int) -> None:
    """Unsupported where a constant index lies beyond its axis."""
    if indices.size and (indices.min() < -size or indices.max() >= size):
        raise Unsupported(f"indices from {indices.min()} to {indices.max()} on an axis of {size}")


def examples(node: Node, arguments: Sequence[Array]) -> list[Array]:
    """Every argument with the examples first; those that attribute `constant` marks are the same for all."""
    flags = node.attributes["constant"]
    count = max(len(a) for a, flag in zip(arguments, flags, strict=True) if not flag)
    return [
        np.broadcast_to(a[None], (count, *a.shape)) if flag else a
        for a, flag in zip(arguments, flags, strict=True)
    ]


def constant_flags(source: SourceNode) -> tuple[bool, ...]:
    """Which inputs are constants."""
    return tuple(source.is_constant(i) for i in range(len(source.inputs)))
