"""Random one-node networks of each integer kernel, many to one C file, and the law that C equals NumPy on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from program_samples import Job, ranges_of, run_on_host, together

from trine.compilers.cases import folded, interval
from trine.compilers.graph import Array, Graph, Node, Shape, Tensor
from trine.compilers.operators import operators
from trine.edge.c.emit import emit_c
from trine.edge.lower import Lowered, lower
from trine.edge.program import IntegerProgram
from trine.edge.qdq import run_qdq, to_qdq

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


def reals(graph: Graph, name: str, rng: np.random.Generator, n: int) -> Array:
    """Values of an input between two random ends, inside what its operator is defined on."""
    tensor = graph.tensors[name]
    if tensor.dtype == "bool":
        return rng.random((n, *tensor.shape)) < 0.5
    if tensor.dtype != "float32":
        return rng.integers(-40, 40, (n, *tensor.shape)).astype(tensor.dtype)
    ends = np.sort(rng.uniform(-3, 3, 2)) * 10.0 ** rng.integers(-2, 1)
    low, high = interval(graph, name)
    if np.isfinite(low) or np.isfinite(high):
        ends = np.sort(rng.uniform(-3, 3, 2))
    return np.asarray(folded(rng.uniform(*ends, (n, *tensor.shape)), low, high), np.float32)


def lowered(graph: Graph, seed: int) -> Lowered:
    """The network quantised, ranges from a few random values of every input."""
    rng = np.random.default_rng(seed)
    feed = {tensor.name: reals(graph, tensor.name, rng, 8) for tensor in graph.inputs}
    return lower(graph, ranges_of(graph, feed))


def stored_inputs(graph: Graph, found: Lowered, seed: int, n: int) -> dict[str, Array]:
    """Random stored values of every input: all codes, and reals of the other types."""
    rng, program = np.random.default_rng(seed), found.program
    inputs: dict[str, Array] = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        if tensor.quantized:
            inputs[name] = rng.integers(-128, 128, (n, *tensor.shape)).astype(np.int8)
        else:
            inputs[name] = reals(graph, name, rng, n)
    return inputs


@dataclass(frozen=True)
class Law:
    """Networks quantised as one program, and stored inputs of it."""

    program: IntegerProgram
    inputs: Mapping[str, Array]
    wanted: Mapping[str, Array]


def law_of(graphs: Sequence[Graph], cases: int) -> Law:
    """The networks on `cases` random examples in all."""
    whole = together("law", graphs)
    found = lowered(whole, len(graphs))
    program = replace(found.program, name="law")
    inputs = stored_inputs(whole, found, 7, -(-cases // len(graphs)))
    return Law(program, inputs, program.run(inputs))


def differing(law: Law, folder: Path) -> int:
    """How many values of all networks differ between C and NumPy."""
    (results,) = run_on_host([Job(law.program, emit_c(law.program), dict(law.inputs))], folder)
    return int(sum((results[name] != values).sum() for name, values in law.wanted.items()))


def apart(law: Law, count: int) -> tuple[int, float]:
    """Greatest difference from onnxruntime on the first examples, and the share of values that differ."""
    program = law.program
    feed = {name: program.tensors[name].dequantize(values[:count]) for name, values in law.inputs.items()}
    found = run_qdq(to_qdq(program), program, feed, optimize=False)
    gaps = [
        np.abs(found[name].astype(np.int64) - values[:count].astype(np.int64)).ravel()
        for name, values in law.wanted.items()
    ]
    gap = np.concatenate(gaps)
    return int(gap.max(initial=0)), float((gap > 0).mean())


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
