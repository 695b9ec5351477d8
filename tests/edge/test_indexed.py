"""Gathers and scatters by indices that are computed, and the scale of every channel: C equals NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import drawn, ran_in_c
from law_networks import SHAPES, gathers, network, scatters

from trine.compilers.graph import Graph, Node, Tensor
from trine.edge.float32 import float_program
from trine.edge.lower import lower

COUNT, EXAMPLES = 16, 90
LAWS = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.reuse, Phase.generate])  # fmt: skip


@LAWS
@given(graphs=st.lists(st.one_of(gathers(True), scatters(True)), min_size=COUNT, max_size=COUNT),
       seed=st.integers(0, 999))  # fmt: skip
def test_any_gather_or_scatter_in_c_equals_numpy(
    tmp_path_factory: pytest.TempPathFactory, graphs: list[Graph], seed: int
) -> None:
    """8 files of 16 networks, in int8 and float32, of 90 examples: 23,040 random cases, more in test_kernel_laws.

    Those among them that ONNX cannot say of a batch. Indices from -9 to 9 leave their axes on both sides.
    """
    programs = []
    for graph in graphs:
        ranges = {"x0": (-1.5, 2.0), "x2": (-1.0, 2.5), "y0": (-1.5, 2.5)}
        programs += [lower(graph, ranges).program, float_program(graph)]
    ran_in_c(programs, tmp_path_factory.mktemp("indexed"), EXAMPLES, seed)


@pytest.mark.parametrize("how", ["add", "mul"])
def test_a_scatter_that_computes_is_the_rounded_real_one(how: str) -> None:
    """40 updates of 3 places, so that many meet: each code is the real result's, rounded, or its neighbour at a tie."""
    attributes = {"axis": 0, "reduction": how, "constant": (False,) * 3}
    graph = network("ScatterElements", [((3,), "float32"), ((40,), "int64"), ((40,), "float32")], attributes)
    y = (-30.0, 30.0) if how == "add" else (-2.0, 2.0)
    program = lower(graph, {"x0": (-1, 1), "x2": (-0.5, 1.4), "y0": y}).program
    codes = drawn(program, 300, 1)
    data, updates = (
        program.tensors[name].dequantize(codes[name]).astype(np.float64) for name in ("x0", "x2")
    )
    where = np.clip(np.where(codes["x1"] < 0, codes["x1"] + 3, codes["x1"]), 0, 2)
    real = data.copy()
    for row, places, values in zip(real, where, updates, strict=True):
        (np.add if how == "add" else np.multiply).at(row, places, values)
    tensor = program.tensors["y0"]
    steps = np.clip(real / float(tensor.scale) + tensor.zero_point, -128, 127)
    assert np.abs(program.run(codes)["y0"] - steps).max() <= 0.5 + 1e-3


def test_the_last_of_several_updates_stands() -> None:
    attributes = {"axis": 0, "reduction": "none", "constant": (False,) * 3}
    graph = network("ScatterElements", [((3,), "float32"), ((4,), "int64"), ((4,), "float32")], attributes)
    feed = {"x0": np.zeros((1, 3)), "x1": np.array([[1, 1, -2, 7]]), "x2": np.array([[1.0, 2, 3, 4]])}
    assert graph.run(feed)["y0"].tolist() == [[0, 3, 4]]


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
