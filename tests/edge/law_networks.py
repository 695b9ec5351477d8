"""Random one-node networks of each integer kernel, drawn by Hypothesis, for tests/edge/test_kernel_laws.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from program_samples import extend

from trine.compilers.graph import Array, Graph, Node, Shape, Tensor
from trine.compilers.operators import operators

Draw = st.DrawFn
SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def network(
    op: str, inputs: Sequence[tuple[Shape, str]], attributes: Mapping[str, Any] | None = None,
    constants: Mapping[int, Array] | None = None, outputs: int = 1,
) -> Graph:  # fmt: skip
    """One node; constants by position, activations (shape, type) in the other positions."""
    count, given, names = len(inputs) + len(constants or {}), iter(enumerate(inputs)), []
    tensors: dict[str, Tensor] = {}
    for position in range(count):
        if position in (constants or {}):
            names.append(f"c{position}")
            continue
        i, (shape, dtype) = next(given)
        tensors[f"x{i}"] = Tensor(f"x{i}", shape, dtype)
        names.append(f"x{i}")
    stored = {f"c{position}": value for position, value in (constants or {}).items()}
    made = tuple(f"y{i}" for i in range(outputs))
    node = Node(op, "node", tuple(names), made, attributes or {})
    known = [tensors[n].shape if n in tensors else stored[n].shape for n in names]
    types = [tensors[n].dtype if n in tensors else stored[n].dtype.name for n in names]
    record, first = operators()[op], tuple(tensors.values())
    for name, shape, dtype in zip(made, record.shapes(node, known), record.types(node, types), strict=True):
        tensors[name] = Tensor(name, shape, dtype)
    return Graph("law", first, made, (node,), stored, tensors)


def normal(draw: Draw, *shape: int) -> Array:
    """Random weights."""
    return np.random.default_rng(draw(st.integers(0, 999))).normal(0, 0.4, shape).astype(np.float32)


def sizes(draw: Draw, count: int, most: int, least: int = 1) -> Shape:
    """Whole numbers, one an axis."""
    return tuple(draw(st.integers(least, most)) for _ in range(count))


def perhaps_followed(draw: Draw, graph: Graph) -> Graph:
    """The network as it is, or with a Relu or Clip behind it, which the kernel takes as its bounds."""
    follower = draw(st.sampled_from(("", "Relu", "Clip")))
    if not follower:
        return graph
    bounds = {"min": -0.3, "max": 0.4} if follower == "Clip" else {}
    return extend(graph, Node(follower, "after", graph.outputs, ("z",), bounds))


@st.composite
def repeated(draw: Draw, target: Shape, full: bool) -> tuple[Shape, int]:
    """A shape that broadcasts to `target`, and how many leading axes it lacks; full: it is the target."""
    if full:
        return target, 0
    shape = tuple(size if draw(st.booleans()) else 1 for size in target)
    missing = draw(st.integers(0, len(shape) - 1))
    return shape[missing:], missing


@st.composite
def on_operands(
    draw: Draw, ops: Sequence[str], count: int = 2, types: Sequence[str] = ("float32", "float32"), low: float = -2.0,
    constant_at: Sequence[int] = (0, 1, 2), full: Sequence[int] = (0, 1, 2),
) -> Graph:  # fmt: skip
    """Operands that broadcast to a random shape; full: which may have all of it, constant_at: which be constants."""
    target = draw(SHAPES)
    fullest = draw(st.sampled_from([i for i in full if i < count]))
    drawn = [draw(repeated(target, i == fullest)) for i in range(count)]
    others = [i for i in range(count) if i != fullest and i in constant_at]
    place = draw(st.sampled_from(others)) if others and draw(st.booleans()) else None
    constants, align = {}, [missing for _, missing in drawn]
    if place is not None:
        rng, shape = np.random.default_rng(draw(st.integers(0, 99))), drawn[place][0]
        value = (
            rng.random(shape) < 0.5
            if types[place] == "bool"
            else rng.uniform(low, 2, shape).astype(np.float32)
        )
        constants[place], align[place] = value, 0
    inputs = [(drawn[i][0], types[i]) for i in range(count) if i != place]
    attributes = {"align": tuple(align)} if any(align) else {}
    return network(draw(st.sampled_from(ops)), inputs, attributes, constants)


@st.composite
def along_axis(draw: Draw, ops: Sequence[str], make: Callable[[Draw, Shape, int], dict[str, Any]]) -> Graph:
    """An operator along one axis; make: its attributes from shape and axis."""
    shape = draw(SHAPES)
    axis = draw(st.integers(0, len(shape) - 1))
    op = draw(st.sampled_from(ops))
    return network(op, [(shape, "float32")], make(draw, shape, axis), outputs=2 if op == "TopK" else 1)


@st.composite
def on_axes(draw: Draw, ops: Sequence[str]) -> Graph:
    """A reduction over some axes."""
    shape = draw(SHAPES)
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    attributes = {"axes": tuple(sorted(axes)), "keepdims": draw(st.integers(0, 1))}
    return network(draw(st.sampled_from(ops)), [(shape, "float32")], attributes)


@st.composite
def on_one(draw: Draw, cases: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Graph:
    """An operator on one value: (operator, type, attributes)."""
    op, dtype, attributes = draw(st.sampled_from(cases))
    return network(op, [(draw(SHAPES), dtype)], attributes)


def index_type(draw: Draw, op: str) -> str:
    """A type that ONNX allows for the indices."""
    return "int64" if op.endswith("ND") else draw(st.sampled_from(("int64", "int32")))


@st.composite
def gathers(draw: Draw, whole: bool = False) -> Graph:
    """Gather of a constant table, GatherElements, GatherND; indices may leave their axes.

    whole: Gather of an activation too, which ONNX cannot say of examples in a batch.
    """
    op = draw(st.sampled_from(("Gather", "GatherElements", "GatherND")))
    shape, kind = draw(SHAPES), index_type(draw, op)
    axis = draw(st.integers(0, len(shape) - 1))
    some = draw(st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple))
    if op == "Gather" and not (whole and draw(st.booleans())):
        table = {0: normal(draw, *shape)}
        ranks = {"ranks": (len(shape), len(some))} if axis else {}
        return network(op, [(some, kind)], {"axis": axis, "constant": (True, False), **ranks}, table)
    attributes: dict[str, Any] = {"constant": (False, False)}
    if op == "Gather":
        indices, attributes["axis"] = some, axis
    elif op == "GatherElements":
        indices = tuple(draw(st.integers(1, 6 if i == axis else size)) for i, size in enumerate(shape))
        attributes["axis"] = axis
    else:
        depth = draw(st.integers(1, len(shape)))
        attributes["batch_dims"] = draw(st.integers(0, len(shape) - depth))
        indices = (*shape[: attributes["batch_dims"]], *some, depth)
    return network(op, [(shape, "float32"), (indices, kind)], attributes)


@st.composite
def scatters(draw: Draw, whole: bool = False) -> Graph:
    """ScatterElements with every reduction; several updates may meet in one place.

    whole: ScatterND too, which ONNX cannot say of examples in a batch.
    """
    op = draw(st.sampled_from(("ScatterElements", "ScatterND"))) if whole else "ScatterElements"
    shape, kind = draw(SHAPES), index_type(draw, op)
    axis = draw(st.integers(0, len(shape) - 1))
    how = draw(st.sampled_from(("none", "add", "mul", "max", "min")))
    attributes: dict[str, Any] = {"reduction": how, "constant": (False,) * 3}
    if op == "ScatterElements":
        updates = indices = tuple(draw(st.integers(1, 6 if i == axis else s)) for i, s in enumerate(shape))
        attributes["axis"] = axis
    else:
        depth = draw(st.integers(1, len(shape)))
        lead = draw(st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple))
        indices, updates = (*lead, depth), (*lead, *shape[depth:])
    return network(op, [(shape, "float32"), (indices, kind), (updates, "float32")], attributes)
