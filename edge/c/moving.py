"""C of whatever moves values without computing any: loops, runs and tables from the places the values come from.

A move is known by its origins: for each place of the output, the place in the input, or -1 where a value is filled in
(`compilers.movement.origins`). Where the origins are a sum of one term an axis, every axis becomes loops over runs of
equal stride, or a table of offsets where there are many; neighbouring axes that make one run are joined. Anything else
becomes one table for all places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Shape

if TYPE_CHECKING:
    from trine.edge.c.writer import LayerWriter

Int64 = NDArray[np.int64]
FILL = -1
MOST_RUNS = 3  # of one axis: more of them are a table
SHORT = 4  # values: a shorter run is a loop, a longer one a call


@dataclass(frozen=True)
class Run:
    """`count` places of an axis: filled in (stride None), or the input's, `stride` apart, from `start` on."""

    count: int
    start: int = 0
    stride: int | None = None


@dataclass(frozen=True)
class Axis:
    """One axis of a move: its runs, or the offset of each of its places."""

    runs: tuple[Run, ...]
    offsets: Int64 | None = None

    @property
    def size(self) -> int:
        """Places."""
        return sum(run.count for run in self.runs)


@dataclass(frozen=True)
class Move:
    """Where values come from, where they go to, and how they are written in C.

    source, target: C pointers; target is advanced. kind: C type. fill: literal. table: a C array of 256 values that
    int8 codes are put through, "" for none.
    """

    source: str
    target: str
    kind: str
    size: int
    fill: str
    table: str = ""


def stored_origins(origins: Int64, shape: Shape, last: bool) -> Int64:
    """Origins by ONNX order as origins by memory order; `last`: both tensors lie channels last."""
    if not last or len(shape) < 2:
        return origins
    places = np.arange(int(np.prod(shape))).reshape(*shape[1:], shape[0])
    stored = np.moveaxis(places, -1, 0).ravel()
    return np.ascontiguousarray(np.moveaxis(np.where(origins < 0, FILL, stored[origins]), 0, -1))


def by_axes(origins: Int64) -> tuple[int, list[Int64]] | None:
    """(base, one term an axis) whose sum the origins are, FILL where a term is; None where they are no such sum."""
    found = origins >= 0
    if not found.any():
        return None
    others = [tuple(a for a in range(origins.ndim) if a != axis) for axis in range(origins.ndim)]
    used = [found.any(axis=rest) for rest in others]
    first = tuple(int(np.argmax(u)) for u in used)
    base = int(origins[first])
    terms = []
    for axis in range(origins.ndim):
        line: tuple[Any, ...] = (*first[:axis], slice(None), *first[axis + 1 :])
        terms.append(origins[line] - base)
    total = np.full(origins.shape, base, np.int64)
    inside = np.ones(origins.shape, bool)
    for axis, (term, mask) in enumerate(zip(terms, used, strict=True)):
        column = (-1, *(1,) * (origins.ndim - 1 - axis))
        total = total + term.reshape(column)
        inside = inside & mask.reshape(column)
    if not np.array_equal(np.where(inside, total, FILL), origins):
        return None
    return base, [
        np.where(mask, term, np.iinfo(np.int64).min) for term, mask in zip(terms, used, strict=True)
    ]


def runs_of(term: Int64) -> tuple[Run, ...]:
    """An axis's offsets cut into runs of equal stride."""
    runs: list[Run] = []
    at, filled = 0, np.iinfo(np.int64).min
    while at < len(term):
        end = at + 1
        if term[at] == filled:
            while end < len(term) and term[end] == filled:
                end += 1
            runs.append(Run(end - at))
        else:
            stride = int(term[end] - term[at]) if end < len(term) and term[end] != filled else 0
            while end < len(term) and term[end] != filled and term[end] - term[end - 1] == stride:
                end += 1
            runs.append(Run(end - at, int(term[at]), stride))
        at = end
    return tuple(runs)


def axis_of(term: Int64) -> Axis:
    """Runs where there are few, else offsets."""
    runs = runs_of(term)
    return Axis(runs) if len(runs) <= MOST_RUNS else Axis((Run(len(term)),), term)


def joined(axes: list[Axis]) -> list[Axis]:
    """Neighbouring axes made one wherever the inner one is a single run that the outer one's strides continue."""
    result: list[Axis] = []
    for inner in reversed(axes):
        if result and (whole := join(inner, result[0])) is not None:
            result[0] = whole
        else:
            result.insert(0, inner)
    return result


def join(outer: Axis, inner: Axis) -> Axis | None:
    """Both axes as one, if they are."""
    if outer.offsets is not None or inner.offsets is not None or len(inner.runs) != 1:
        return None
    run = inner.runs[0]
    if run.count == 1 and run.stride is not None:
        return Axis(
            tuple(
                Run(r.count, r.start + run.start, r.stride) if r.stride is not None else r for r in outer.runs
            )
        )
    if run.stride is None or any(
        r.stride is not None and r.count > 1 and r.stride != run.stride * run.count for r in outer.runs
    ):
        return None
    return Axis(
        tuple(
            Run(r.count * run.count, r.start + run.start, None if r.stride is None else run.stride)
            for r in outer.runs
        )
    )


def move_values(layer: LayerWriter, origins: Int64, move: Move, what: str = "places") -> None:
    """Append the statements of a move; origins by memory order, of the output's shape in memory."""
    separate = by_axes(origins.reshape(origins.shape or (1,)))
    if not (origins >= 0).any():
        fill_run(layer, move, origins.size, "")
        return
    if separate is None:
        scattered(layer, origins.ravel(), move, what)
        return
    base, terms = separate
    axes = joined([axis_of(term) for term in terms])
    nested(layer, axes, 0, f"{move.source} + {base}" if base else move.source, move, what)


def offsets_array(layer: LayerWriter, values: Int64, what: str) -> str:
    """A const array of offsets of the least type that holds them."""
    kind = np.int16 if np.abs(values).max() < 2**15 else np.int32
    return layer.array(what, values.astype(kind))


def one(move: Move, at: str) -> str:
    """The value at a C expression."""
    return f"{move.table}[{at} + 128]" if move.table else at


def scattered(layer: LayerWriter, origins: Int64, move: Move, what: str) -> None:
    """A table of all places."""
    table = offsets_array(layer, origins, what)
    value = one(move, f"{move.source}[{table}[i]]")
    if origins.min() < 0:
        value = f"{table}[i] < 0 ? {move.fill} : {value}"
    layer.line(f"for (int32_t i = 0; i < {origins.size}; i++)")
    layer.line(f"    *{move.target}++ = {value};")


def nested(layer: LayerWriter, axes: list[Axis], depth: int, source: str, move: Move, what: str) -> None:
    """The statements of an axis and those inside it."""
    axis, indent, i = axes[depth], "    " * depth, f"i{depth}"
    inside = depth + 1 < len(axes)
    below = int(np.prod([a.size for a in axes[depth + 1 :]]))
    if axis.offsets is not None:
        table_axis(layer, axes, depth, source, move, what, below)
        return
    for run in axis.runs:
        place = f"{source} + {run.start}" if run.start else source
        if run.stride is None:
            fill_run(layer, move, run.count * below, indent)
        elif not inside:
            value_run(layer, run, place, move, indent)
        elif run.count == 1:
            nested_block(layer, axes, depth, place, move, what, indent)
        else:
            layer.line(f"{indent}for (int32_t {i} = 0; {i} < {run.count}; {i}++) {{")
            nested(layer, axes, depth + 1, f"{place} + {i} * {run.stride}", move, what)
            layer.line(f"{indent}}}")


def nested_block(
    layer: LayerWriter, axes: list[Axis], depth: int, place: str, move: Move, what: str, indent: str
) -> None:
    """What lies inside a run of one place."""
    layer.line(f"{indent}{{")
    nested(layer, axes, depth + 1, place, move, what)
    layer.line(f"{indent}}}")


def table_axis(
    layer: LayerWriter, axes: list[Axis], depth: int, source: str, move: Move, what: str, below: int
) -> None:
    """An axis whose places are looked up."""
    offsets, indent, i = axes[depth].offsets, "    " * depth, f"i{depth}"
    assert offsets is not None
    filled = offsets == np.iinfo(np.int64).min
    least = int(offsets[~filled].min())
    # Counted from the least, so that -1 is free to say that a value is filled in.
    table = offsets_array(layer, np.where(filled, FILL, offsets - least), f"{what}{depth}")
    place = f"{source} + {table}[{i}]" if not least else f"{source} + {least} + {table}[{i}]"
    layer.line(f"{indent}for (int32_t {i} = 0; {i} < {len(offsets)}; {i}++) {{")
    if filled.any():
        layer.line(f"{indent}    if ({table}[{i}] < 0) {{")
        fill_run(layer, move, below, indent + "        ")
        layer.line(f"{indent}        continue;")
        layer.line(f"{indent}    }}")
    if depth + 1 < len(axes):
        nested(layer, axes, depth + 1, place, move, what)
    else:
        layer.line(f"{indent}    *{move.target}++ = {one(move, f'*({place})')};")
    layer.line(f"{indent}}}")


def fill_run(layer: LayerWriter, move: Move, count: int, indent: str) -> None:
    """`count` filled-in values."""
    if move.kind == "int8_t":
        layer.need("copy")
        layer.line(f"{indent}trine_fill({move.target}, {move.fill}, {count});")
        layer.line(f"{indent}{move.target} += {count};")
    else:
        layer.line(f"{indent}for (int32_t i = 0; i < {count}; i++)")
        layer.line(f"{indent}    *{move.target}++ = {move.fill};")


def value_run(layer: LayerWriter, run: Run, place: str, move: Move, indent: str) -> None:
    """A run of values of the input: copied as bytes, put through the table, or one by one."""
    if run.stride == 1 and run.count >= SHORT:
        if move.table:
            layer.need("elementwise")
            layer.line(f"{indent}trine_table({place}, {move.target}, {move.table}, {run.count});")
        else:
            layer.need("copy")
            ends = f"(int8_t *){move.target}, (const int8_t *)({place})"
            layer.line(f"{indent}trine_copy({ends}, {run.count * move.size});")
        layer.line(f"{indent}{move.target} += {run.count};")
        return
    at = f"({place})[i * {run.stride}]" if run.count > 1 else f"*({place})"
    if run.count > 1:
        layer.line(f"{indent}for (int32_t i = 0; i < {run.count}; i++)")
        indent += "    "
    layer.line(f"{indent}*{move.target}++ = {one(move, at)};")
