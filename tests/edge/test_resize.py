"""Resize: its weights, onnxruntime in float, and the C of whole-number weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import drawn, ran_in_c

from trine.compilers.graph import Graph, Node, Tensor
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.resizing import axis_of, cubic
from trine.edge.float32 import float_program
from trine.edge.lower import lower
from trine.edge.operators.resize import MOST_BITS, whole_weights
from trine.edge.qdq import run_qdq, to_qdq

COUNT, EXAMPLES = 16, 90
ATTRIBUTES = {
    "cubic_coeff_a": -0.75, "exclude_outside": 0, "extrapolation_value": 0.0, "antialias": 0,
    "nearest_mode": "round_prefer_floor",
}  # fmt: skip
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


@st.composite
def resizes(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    """A shape and the attributes of a Resize of one or two spatial axes, to any sizes."""
    spatial = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=2)))
    sizes = tuple(draw(st.integers(1, 9)) for _ in spatial)
    mode = draw(st.sampled_from(("linear", "linear", "cubic", "nearest")))
    channels = draw(st.integers(1, 3))
    attributes = {
        **ATTRIBUTES, "mode": mode, "sizes": (channels, *sizes), "roi": ((0.0, 1.0),) * (1 + len(spatial)),
        "scales": (1.0, *(float(np.float32(o) / np.float32(i)) for o, i in zip(sizes, spatial, strict=True))),
        "coordinate_transformation_mode": draw(st.sampled_from(COORDINATES)),
        "antialias": draw(st.integers(0, 1)) if mode == "linear" else 0,
    }  # fmt: skip
    return (channels, *spatial), attributes


def graph_of(name: str, shape: tuple[int, ...], attributes: dict[str, Any]) -> Graph:
    node = Node("Resize", f"{name}_node", (f"{name}_x",), (f"{name}_y",), attributes)
    tensors = {f"{name}_x": Tensor(f"{name}_x", shape), f"{name}_y": Tensor(f"{name}_y", attributes["sizes"])}
    return Graph(name, (tensors[f"{name}_x"],), (f"{name}_y",), (node,), {}, tensors)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])  # fmt: skip
@given(cases=st.lists(resizes(), min_size=COUNT, max_size=COUNT), seed=st.integers(0, 999))
def test_any_resize_in_c_equals_numpy(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Any], seed: int
) -> None:
    """8 files of 16 networks of 90 examples: 11,520 random cases."""
    graphs = [graph_of(f"n{i}", *case) for i, case in enumerate(cases)]
    programs = [
        lower(g, {f"n{i}_x": (-1.5, 2.0), f"n{i}_y": (-1.5, 2.0)}).program for i, g in enumerate(graphs)
    ]
    ran_in_c(programs, tmp_path_factory.mktemp("resize"), EXAMPLES, seed)


@settings(max_examples=100, deadline=None)
@given(case=resizes())
def test_whole_weights_add_up_and_are_within_2_to_the_minus_16(
    case: tuple[tuple[int, ...], dict[str, Any]],
) -> None:
    shape, attributes = case
    node = graph_of("n", shape, attributes).nodes[0]
    for i, size in enumerate(shape):
        axis = axis_of(node, i, size)
        assert np.allclose(axis.weights.sum(axis=1), 1)
        weights, bits = whole_weights(axis)
        assert bits <= MOST_BITS
        assert (weights.sum(axis=1) == 2**bits).all()
        # The greatest takes up what rounding the others left.
        assert (
            np.abs(weights / 2**bits - axis.weights).max() <= 2.0 ** -(MOST_BITS + 1) * axis.weights.shape[1]
        )


@settings(max_examples=60, deadline=None)
@given(case=resizes())
def test_any_resize_equals_onnxruntime(case: tuple[tuple[int, ...], dict[str, Any]]) -> None:
    """Linear and cubic, without antialiasing: onnxruntime's antialiasing leaves the border out, ONNX's does not."""
    shape, attributes = case
    if attributes["antialias"] or attributes["coordinate_transformation_mode"] == "half_pixel_symmetric":
        return
    if attributes["mode"] == "nearest" or (attributes["mode"] == "cubic" and len(shape) != 3):
        return
    graph = graph_of("n", shape, attributes)
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        write_onnx(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {"n_x": x})[0]
    if found.shape[1:] == attributes["sizes"]:  # a scale in float32 may give one value fewer
        np.testing.assert_allclose(graph.run({"n_x": x})["n_y"], found, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("scale", [2.0, 4.0, 0.5])
@pytest.mark.parametrize("optimize", [False, True])
def test_exact_weights_round_as_onnxruntime(scale: float, optimize: bool) -> None:
    """Powers of two: every tie is a tie in both, and goes to the even number in both."""
    attributes = {
        **ATTRIBUTES, "mode": "linear", "sizes": (4, int(40 * scale)), "roi": ((0.0, 1.0),) * 2, "scales": (1.0, scale),
        "coordinate_transformation_mode": "half_pixel",
    }  # fmt: skip
    program = lower(graph_of("n", (4, 40), attributes), {"n_x": (-1.5, 2.0), "n_y": (-1.5, 2.0)}).program
    codes = drawn(program, 200, 0)
    feed = {"n_x": program.tensors["n_x"].dequantize(codes["n_x"])}
    for kind in ("int8", "uint8"):
        found = run_qdq(to_qdq(program, kind), program, feed, optimize)
        assert np.array_equal(found["n_y"], program.run(codes)["n_y"])


def test_the_cubic_kernel_is_keys() -> None:
    """Keys 1981, equation 4 with a = -1/2: 1 at 0, 0 at whole numbers, 9/16 and -1/16 half way."""
    found = cubic(np.array([0, 0.5, 1, 1.5, 2, 2.5]), -0.5)
    assert found.tolist() == [1, 0.5625, 0, -0.0625, 0, 0]


def test_float_and_int8_agree_to_half_a_step() -> None:
    attributes = {
        **ATTRIBUTES, "mode": "linear", "sizes": (2, 21, 15), "roi": ((0.0, 1.0),) * 3, "scales": (1.0, 3.0, 2.5),
        "coordinate_transformation_mode": "half_pixel",
    }  # fmt: skip
    graph = graph_of("n", (2, 7, 6), attributes)
    program = lower(graph, {"n_x": (-1.5, 2.0), "n_y": (-1.5, 2.0)}).program
    codes = drawn(program, 60, 1)
    x = program.tensors["n_x"]
    real = float_program(graph).run({"n_x": x.dequantize(codes["n_x"])})["n_y"] / float(x.scale)
    gap = np.abs(program.run(codes)["n_y"].astype(float) - x.zero_point - real)
    assert gap.max() <= 0.5 + 2 * 255 * 2.0**-MOST_BITS
