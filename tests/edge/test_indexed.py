"""Gathers and scatters by indices that are computed, and the scale of every channel: C equals NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from law_samples import ran_in_c

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.operators import operators
from trine.edge.float32 import float_program
from trine.edge.lower import lower

COUNT, EXAMPLES = 16, 90
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


@st.composite
def picks(draw: st.DrawFn) -> tuple[str, list[tuple[tuple[int, ...], str]], dict[str, Any], Array | None]:
    """An operator, the shapes and types of its activations, attributes, and a constant table where it has one."""
    op = draw(st.sampled_from(("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND")))
    shape, kind = draw(SHAPES), draw(st.sampled_from(("int64", "int32")))
    axis = draw(st.integers(0, len(shape) - 1))
    if op == "Gather":
        indices = (draw(SHAPES), kind)
        if draw(st.booleans()):
            table = np.random.default_rng(axis).normal(size=shape).astype(np.float32)
            return op, [indices], {"axis": axis, "constant": (True, False)}, table
        return op, [(shape, "float32"), indices], {"axis": axis, "constant": (False, False)}, None
    if op in ("GatherElements", "ScatterElements"):
        part = tuple(draw(st.integers(1, 6 if i == axis else size)) for i, size in enumerate(shape))
        given_ = [(shape, "float32"), (part, kind)]
        if op == "GatherElements":
            return op, given_, {"axis": axis, "constant": (False, False)}, None
        how = draw(st.sampled_from(("none", "max", "min")))
        attributes = {"axis": axis, "reduction": how, "constant": (False,) * 3}
        return op, [*given_, (part, "float32")], attributes, None
    depth = draw(st.integers(1, len(shape)))
    if op == "GatherND":
        shared = draw(st.integers(0, len(shape) - depth))
        indices = ((*shape[:shared], *draw(SHAPES), depth), kind)
        return op, [(shape, "float32"), indices], {"batch_dims": shared, "constant": (False, False)}, None
    lead = draw(SHAPES)
    given_ = [(shape, "float32"), ((*lead, depth), kind), ((*lead, *shape[depth:]), "float32")]
    return (
        op,
        given_,
        {"reduction": draw(st.sampled_from(("none", "max", "min"))), "constant": (False,) * 3},
        None,
    )


def graph_of(
    name: str, pick: tuple[str, list[tuple[tuple[int, ...], str]], dict[str, Any], Array | None]
) -> Graph:
    op, activations, attributes, table = pick
    inputs = tuple(Tensor(f"{name}_x{i}", *activation) for i, activation in enumerate(activations))
    constants = {} if table is None else {f"{name}_table": table}
    names = (*constants, *(tensor.name for tensor in inputs))
    node = Node(op, f"{name}_node", names, (f"{name}_y",), attributes)
    before = [value.shape for value in constants.values()] + [tensor.shape for tensor in inputs]
    (after,) = operators()[op].shapes(node, before)
    tensors = {tensor.name: tensor for tensor in (*inputs, Tensor(f"{name}_y", after))}
    return Graph(name, inputs, (f"{name}_y",), (node,), constants, tensors)


LAWS = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.reuse, Phase.generate])  # fmt: skip


@LAWS
@given(cases=st.lists(picks(), min_size=COUNT, max_size=COUNT), seed=st.integers(0, 999))
def test_any_gather_or_scatter_in_c_equals_numpy(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Any], seed: int
) -> None:
    """8 files of 16 networks, in int8 and float32, of 90 examples: 23,040 random cases. Indices from -9 to 9 leave
    their axes on both sides."""
    programs = []
    for i, case in enumerate(cases):
        graph = graph_of(f"n{i}", case)
        ranges = {f"n{i}_x0": (-1.5, 2.0), f"n{i}_x2": (-1.0, 2.5), f"n{i}_y": (-1.5, 2.5)}
        programs.append(lower(graph, ranges).program)
        programs.append(float_program(graph))
    ran_in_c(programs, tmp_path_factory.mktemp("indexed"), EXAMPLES, seed)


@pytest.mark.parametrize("how", ["add", "mul"])
def test_a_scatter_that_computes_has_no_int8_form(how: str) -> None:
    attributes = {"axis": 0, "reduction": how, "constant": (False,) * 3}
    graph = graph_of(
        "n", ("ScatterElements", [((4,), "float32"), ((2,), "int64"), ((2,), "float32")], attributes, None)
    )
    with pytest.raises(ValueError, match=f"reduction {how} has no int8 form"):
        lower(graph, {"n_x0": (-1, 1), "n_x2": (-1, 1), "n_y": (-1, 1)})


def test_the_last_of_several_updates_stands() -> None:
    attributes = {"axis": 0, "reduction": "none", "constant": (False,) * 3}
    graph = graph_of(
        "n", ("ScatterElements", [((3,), "float32"), ((4,), "int64"), ((4,), "float32")], attributes, None)
    )
    feed = {"n_x0": np.zeros((1, 3)), "n_x1": np.array([[1, 1, -2, 7]]), "n_x2": np.array([[1.0, 2, 3, 4]])}
    assert graph.run(feed)["n_y"].tolist() == [[0, 3, 4]]


@st.composite
def scales(draw: st.DrawFn) -> tuple[tuple[int, ...], int, float]:
    """A shape, a seed and how widely the channels' scales differ."""
    return draw(SHAPES), draw(st.integers(0, 99)), draw(st.sampled_from((0.0, 1.0, 4.0)))


@LAWS
@given(cases=st.lists(scales(), min_size=COUNT, max_size=COUNT), seed=st.integers(0, 999))
def test_any_channel_scale_in_c_equals_numpy(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Any], seed: int
) -> None:
    """8 files of 16 networks of 90 examples: 11,520 random cases."""
    programs = []
    for i, (shape, number, spread) in enumerate(cases):
        rng = np.random.default_rng(number)
        scale = rng.normal(0, 1, shape[0]) * np.exp(rng.normal(0, spread, shape[0]))
        constants = {
            f"n{i}_s": scale.astype(np.float32),
            f"n{i}_o": rng.normal(size=shape[0]).astype(np.float32),
        }
        node = Node("BatchNormalization", f"n{i}_node", (f"n{i}_x", *constants), (f"n{i}_y",))
        tensors = {name: Tensor(name, shape) for name in (f"n{i}_x", f"n{i}_y")}
        graph = Graph(f"n{i}", (tensors[f"n{i}_x"],), (f"n{i}_y",), (node,), constants, tensors)
        wide = max(
            1.0, 0.05 * float(np.abs(scale).max())
        )  # most of a channel saturates, but its sums stay in int32
        ranges = {f"n{i}_x": (-1.5, 2.0), f"n{i}_y": (-3.0 * wide, 2.5 * wide)}
        programs.append(lower(graph, ranges).program)
    ran_in_c(programs, tmp_path_factory.mktemp("scales"), EXAMPLES, seed)
