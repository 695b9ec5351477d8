"""What reductions share. Normal form: inputs (x); attributes axes (of one example, ascending) and keepdims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trine.compilers.elementwise import NO_REALS, require
from trine.compilers.graph import Array, Node, Shape
from trine.compilers.operators import Case, Form, Operator, SourceNode, Spelled, Unsupported

# Takes the array, the axes to reduce and keepdims.
Reduce = Callable[[Array, tuple[int, ...], bool], Array]


def reduced_axes(source: SourceNode) -> tuple[int, ...]:
    """The axes of one example that go, ascending; all of a graph without batch axis where none are named."""
    given = source.constant(1, "the axes").reshape(-1) if source.has(1) else source.attributes.get("axes", ())
    if len(given):
        return tuple(sorted({source.axis(int(axis)) for axis in given}))
    if source.batch_of() is not None:
        raise Unsupported("works on all axes, the batch axis among them; name the axes")
    return tuple(range(len(source.shape())))


def keeps_all(source: SourceNode) -> bool:
    """Whether the node names no axes and says that it then does nothing."""
    given = source.constant(1, "the axes") if source.has(1) else np.array(source.attributes.get("axes", ()))
    return given.size == 0 and bool(source.integer("noop_with_empty_axes", 0))


def reduced_shape(node: Node, inputs: Sequence[Shape]) -> list[Shape]:
    axes, keep = node.attributes["axes"], node.attributes["keepdims"]
    return [tuple(1 if i in axes else size for i, size in enumerate(inputs[0]) if keep or i not in axes)]


def batch_after(source: SourceNode, axes: Sequence[int], keepdims: int) -> int | None:
    """Where the batch axis lies once some axes of one example are gone."""
    place = source.batch_of()
    return place if place is None or keepdims else place - sum(axis < place for axis in axes)


def spell_axes(node: Node, opset: int, first: int) -> list[Spelled]:
    """Axes as an input from opset `first` on, as an attribute before."""
    axes = [axis + 1 for axis in node.attributes["axes"]]
    keep = {"keepdims": node.attributes["keepdims"]}
    if opset < first:
        return [Spelled(node.op, node.inputs, node.outputs, {**keep, "axes": axes})]
    name = f"{node.name}.axes"
    return [Spelled(node.op, [*node.inputs, name], node.outputs, keep, {name: np.array(axes, np.int64)})]


CASES = (
    Case("time", ((6, 25),), {"axes": (1,), "keepdims": 0}),
    Case("time_kept", ((6, 25),), {"axes": (1,), "keepdims": 1}),
    Case("space", ((3, 5, 4),), {"axes": (1, 2), "keepdims": 0}),
    Case("channels", ((3, 5, 4),), {"axes": (0,), "keepdims": 1}),
    Case("ends", ((3, 5, 4),), {"axes": (0, 2), "keepdims": 0}),
)


def axes_forms(first: int) -> tuple[Form, ...]:
    """Spellings: axes as an attribute before opset `first`, as an input from then on."""
    known = (
        Form("axes_input", ((6, 25),), {"keepdims": 0}, {1: np.array([2], np.int64)}, (first, 999)),
        Form("axes_input_negative", ((6, 5, 5),), {}, {1: np.array([-1, -2], np.int64)}, (first, 999)),
    )
    if first <= 13:
        return known
    return (
        Form("axes_attribute", ((6, 25),), {"axes": (-1,), "keepdims": 0}, opsets=(13, first - 1)),
        Form("axes_attribute_two", ((6, 5, 5),), {"axes": (3, 1)}, opsets=(13, first - 1)),
        *known,
    )


def reduction(
    name: str, function: Reduce, *, kinds: str = "fiu", first: int = 18, noop: bool = False,
    reals: Mapping[int, tuple[float, float]] = NO_REALS,
) -> Operator:  # fmt: skip
    """The record of a reduction. first: the opset that made axes an input. noop: without axes it is Identity."""

    def read(source: SourceNode) -> Node:
        require(source, kinds)
        if keeps_all(source):
            if not noop:
                raise Unsupported("noop_with_empty_axes without axes")
            return Node("Identity", source.name, source.inputs[:1], source.outputs)
        attributes = {"axes": reduced_axes(source), "keepdims": source.integer("keepdims", 1)}
        return Node(name, source.name, source.inputs[:1], source.outputs, attributes)

    def run(node: Node, arguments: Sequence[Array]) -> list[Array]:
        x, axes = arguments[0], tuple(axis + 1 for axis in node.attributes["axes"])
        with np.errstate(all="ignore"):
            return [
                np.asarray(function(x, axes, bool(node.attributes["keepdims"]))).astype(x.dtype, copy=False)
            ]

    def batch(source: SourceNode) -> list[int | None]:
        if keeps_all(source):
            return [source.batch_of()]
        return [batch_after(source, reduced_axes(source), source.integer("keepdims", 1))]

    def spell(node: Node, opset: int) -> list[Spelled]:
        return spell_axes(node, opset, first)

    forms = axes_forms(first)
    if noop:
        empty = {1: np.array([], np.int64)}
        forms += (Form("no_axes_noop", ((6, 5),), {"noop_with_empty_axes": 1}, empty, (first, 999)),)
    return Operator(name, read, reduced_shape, run, CASES, forms=forms, batch=batch, spell=spell, reals=reals)
