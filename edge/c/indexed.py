"""C of the operators whose places are computed: gathers and scatters, in any element type.

Pointers, shapes and types are given, so that the integer kernels and the float32 path print the same loops. An index is
brought into its axis first (`trine_index`, as `compilers.movement.clipped`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trine.compilers.graph import Shape
from trine.edge.c.loops import around, merged, open_loops, strides_of

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

REDUCED = {
    "none": "{v}", "add": "{t} + {v}", "mul": "{t} * {v}",
    "max": "{t} > {v} ? {t} : {v}", "min": "{t} < {v} ? {t} : {v}",
}  # fmt: skip


class Place(NamedTuple):
    """A C pointer and the shape of what it points at."""

    pointer: str
    shape: Shape


def gather_lines(layer: LayerWriter, data: Place, indices: Place, axis: int, size: int) -> None:
    """Gather; size: bytes of an element."""
    layer.need("copy", "indices")
    outer, entries, inner = around(data.shape, axis)
    count = int(np.prod(indices.shape))
    layer.line(f"for (int32_t o = 0; o < {outer}; o++)")
    layer.line(f"    for (int32_t i = 0; i < {count}; i++) {{")
    layer.line(f"        int32_t k = trine_index({indices.pointer}[i], {entries});")
    source = f"{data.pointer} + (o * {entries} + k) * {inner}"
    layer.line(f"        trine_copy((int8_t *)y, (const int8_t *)({source}), {inner * size});")
    layer.line(f"        y += {inner};")
    layer.line("    }")


def open_elements(layer: LayerWriter, shape: Shape, indices: Place, axis: int) -> tuple[str, str, str]:
    """Loops over the indices of GatherElements or ScatterElements: the index's place, the value's, the indent."""
    strides, flat = strides_of(shape), strides_of(indices.shape)
    axes = [
        (size, (flat[k], 0 if k == axis else strides[k])) for k, size in enumerate(indices.shape)
    ]  # fmt: skip
    places, indent = open_loops(layer, merged(axes))
    at, rest = places or ["0", "0"]
    along = f"trine_index({indices.pointer}[{at}], {shape[axis]}) * {strides[axis]}"
    return at, along if rest == "0" else f"{rest} + {along}", indent


def gather_elements_lines(layer: LayerWriter, data: Place, indices: Place, axis: int) -> None:
    """GatherElements."""
    layer.need("indices")
    _, place, indent = open_elements(layer, data.shape, indices, axis)
    layer.line(f"{indent}*y++ = {data.pointer}[{place}];")


def scatter_elements_lines(
    layer: LayerWriter, shape: Shape, indices: Place, updates: str, axis: int, write: str
) -> None:
    """ScatterElements into y, which holds the data already; updates: a C expression of the flat index `j`.

    write: a reduction, or the C statement that puts the update {v} into place `at`.
    """
    layer.need("indices")
    flat, place, indent = open_elements(layer, shape, indices, axis)
    layer.line(f"{indent}{{")
    layer.line(f"{indent}    int32_t j = {flat}, at = {place};")
    layer.line(f"{indent}    {written(write, updates)}")
    layer.line(f"{indent}}}")


def written(write: str, value: str) -> str:
    """The statement that brings an update into place `at`."""
    known = REDUCED.get(write)
    return write.format(v=value) if known is None else f"y[at] = {known.format(t='y[at]', v=value)};"


def tuple_place(shape: Shape, first: int, depth: int, pointer: str) -> str:
    """The offset that a tuple of indices names, from axis `first` on; `pointer` points at the tuple."""
    strides = strides_of(shape)
    return " + ".join(
        f"trine_index({pointer}[{k}], {shape[first + k]}) * {strides[first + k]}" for k in range(depth)
    )


def gather_nd_lines(layer: LayerWriter, data: Place, indices: Place, shared: int, size: int) -> None:
    """GatherND; shared: how many first axes both have."""
    layer.need("copy", "indices")
    depth = indices.shape[-1]
    groups, tuples = int(np.prod(indices.shape[:shared])), int(np.prod(indices.shape[shared:-1]))
    inner, whole = int(np.prod(data.shape[shared + depth :])), int(np.prod(data.shape[shared:]))
    layer.line(f"for (int32_t o = 0; o < {groups}; o++)")
    layer.line(f"    for (int32_t i = 0; i < {tuples}; i++) {{")
    tuple_ = f"({indices.pointer} + (o * {tuples} + i) * {depth})"
    layer.line(f"        int32_t at = o * {whole} + {tuple_place(data.shape, shared, depth, tuple_)};")
    layer.line(f"        trine_copy((int8_t *)y, (const int8_t *)({data.pointer} + at), {inner * size});")
    layer.line(f"        y += {inner};")
    layer.line("    }")


def scatter_nd_lines(layer: LayerWriter, shape: Shape, indices: Place, updates: str, write: str) -> None:
    """ScatterND into y, which holds the data already; updates and write as of ScatterElements."""
    layer.need("indices")
    depth = indices.shape[-1]
    tuples, inner = int(np.prod(indices.shape[:-1])), int(np.prod(shape[depth:]))
    layer.line(f"for (int32_t i = 0; i < {tuples}; i++)")
    layer.line(f"    for (int32_t k = 0; k < {inner}; k++) {{")
    tuple_ = f"({indices.pointer} + i * {depth})"
    layer.line(f"        int32_t j = i * {inner} + k, at = {tuple_place(shape, 0, depth, tuple_)} + k;")
    layer.line(f"        {written(write, updates)}")
    layer.line("    }")
