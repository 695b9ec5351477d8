"""Transposed convolution: its definition by scattering, onnxruntime in float, and the C of any geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import ran_in_c

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.operators import operators
from trine.compilers.operators.convtranspose import as_conv_weight
from trine.edge.c.transposed import axis_phases
from trine.edge.lower import lower

COUNT, EXAMPLES = 16, 90


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes and attributes of a ConvTranspose whose output is not empty."""
    rank = draw(st.integers(1, 2))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731  # reads as a phrase
    group = draw(st.integers(1, 3))
    spatial, kernel, strides, dilations = each(1, 6), each(1, 4), each(1, 4), each(1, 3)
    extra = tuple(draw(st.integers(0, s - 1)) for s in strides)
    whole = [
        s * (i - 1) + (k - 1) * d + 1 + e
        for i, k, s, d, e in zip(spatial, kernel, strides, dilations, extra, strict=True)
    ]
    begins = tuple(draw(st.integers(0, min(w - 1, 3))) for w in whole)
    ends = tuple(draw(st.integers(0, min(w - 1 - b, 3))) for w, b in zip(whole, begins, strict=True))
    attributes = {
        "strides": strides, "dilations": dilations, "output_padding": extra, "pads": (*begins, *ends), "group": group,
    }  # fmt: skip
    inputs, outputs = group * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {"x": (inputs, *spatial), "weight": (inputs, outputs, *kernel), "attributes": attributes,
            "seed": draw(st.integers(0, 99)), "bias": draw(st.booleans())}  # fmt: skip


def graph_of(name: str, geometry: dict[str, Any]) -> Graph:
    rng = np.random.default_rng(geometry["seed"])
    weight = rng.normal(0, 0.3, geometry["weight"]).astype(np.float32)
    constants: dict[str, Array] = {f"{name}_w": weight}
    if geometry["bias"]:
        outputs = weight.shape[1] * geometry["attributes"]["group"]
        constants[f"{name}_b"] = rng.normal(0, 0.3, outputs).astype(np.float32)
    node = Node(
        "ConvTranspose", f"{name}_node", (f"{name}_x", *constants), (f"{name}_y",), geometry["attributes"]
    )
    (after,) = operators()["ConvTranspose"].shapes(node, [geometry["x"], weight.shape])
    tensors = {f"{name}_x": Tensor(f"{name}_x", geometry["x"]), f"{name}_y": Tensor(f"{name}_y", after)}
    return Graph(name, (tensors[f"{name}_x"],), (f"{name}_y",), (node,), constants, tensors)


def scattered(x: Array, weight: Array, attributes: dict[str, Any], out: tuple[int, ...]) -> Array:
    """The definition by scattering: every input adds its multiple of the kernel to the output."""
    group, rank = attributes["group"], weight.ndim - 2
    result = np.zeros((len(x), weight.shape[1] * group, *out))
    per_group = weight.shape[0] // group
    for channel in range(weight.shape[0]):
        filters = slice(
            (channel // per_group) * weight.shape[1], (channel // per_group + 1) * weight.shape[1]
        )
        for place in np.ndindex(*x.shape[2:]):
            for tap in np.ndindex(*weight.shape[2:]):
                at = tuple(
                    place[i] * attributes["strides"][i]
                    + tap[i] * attributes["dilations"][i]
                    - attributes["pads"][i]
                    for i in range(rank)
                )
                if all(0 <= a < o for a, o in zip(at, out, strict=True)):
                    value = x[(slice(None), channel, *place)]
                    result[(slice(None), filters, *at)] += (
                        value[:, None] * weight[(channel, slice(None), *tap)]
                    )
    return result


@settings(max_examples=60, deadline=None)
@given(geometry=geometries())
def test_any_conv_transpose_equals_scattering_and_onnxruntime(geometry: dict[str, Any]) -> None:
    graph = graph_of("any", {**geometry, "bias": False})
    x = np.random.default_rng(1).normal(size=(2, *geometry["x"])).astype(np.float32)
    ours = graph.run({"any_x": x})["any_y"]
    weight = graph.constants["any_w"]
    wanted = scattered(x, weight, geometry["attributes"], graph.shape("any_y")[1:])
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
    session = onnxruntime.InferenceSession(
        write_onnx(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(ours, session.run(None, {"any_x": x})[0], rtol=1e-4, atol=1e-5)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])  # fmt: skip
@given(
    cases=st.lists(geometries(), min_size=COUNT, max_size=COUNT), seed=st.integers(0, 999),
    core=st.sampled_from(("cortex-m4f", "cortex-m55")), relu=st.booleans(),
)  # fmt: skip
def test_any_conv_transpose_in_c_equals_numpy(
    tmp_path_factory: pytest.TempPathFactory, cases: list[dict[str, Any]], seed: int, core: str, relu: bool
) -> None:
    """8 files of 16 networks of 90 examples: 11,520 random cases."""
    programs = []
    for i, geometry in enumerate(cases):
        graph = graph_of(f"n{i}", geometry)
        low = 0.0 if relu else -2.0
        programs.append(lower(graph, {f"n{i}_x": (-1.5, 2.0), f"n{i}_y": (low, 2.5)}).program)
    ran_in_c(programs, tmp_path_factory.mktemp("transposed"), EXAMPLES, seed, core)


@settings(max_examples=300, deadline=None)
@given(
    size=st.integers(1, 9), kernel=st.integers(1, 6), stride=st.integers(1, 6), dilation=st.integers(1, 5),
    begin=st.integers(-2, 6), extra=st.integers(0, 4),
)  # fmt: skip
def test_phases_name_every_product_once(
    size: int, kernel: int, stride: int, dilation: int, begin: int, extra: int
) -> None:
    """The taps and inputs of all phases are those of the definition, i + begin = j * stride + k * dilation."""
    out = stride * (size - 1) + (kernel - 1) * dilation + 1 - begin + extra
    if out < 1:
        return
    found = {
        (phase.first + i * stride, i + phase.offset + t * phase.dilation, tap)
        for phase in axis_phases(out, kernel, stride, dilation, begin)
        for i in range(phase.count)
        for t, tap in enumerate(phase.taps)
    }
    wanted = {
        (i, (i + begin - k * dilation) // stride, k)
        for i in range(out)
        for k in range(kernel)
        if (i + begin - k * dilation) % stride == 0
    }
    assert found == wanted


def test_a_pad_may_cut_off_more_than_the_input() -> None:
    """Found by the law above: the first pad takes the only input, the output padding is all that is left."""
    attributes = {"strides": (3,), "dilations": (1,), "output_padding": (2,), "pads": (2, 0), "group": 1}
    graph = graph_of(
        "cut", {"x": (2, 1), "weight": (2, 3, 1), "attributes": attributes, "seed": 0, "bias": True}
    )
    y = graph.run({"cut_x": np.ones((1, 2, 1), np.float32)})["cut_y"]
    assert np.array_equal(y[0, :, 0], graph.constants["cut_b"])


def test_the_conv_weight_is_its_own_inverse() -> None:
    weight = np.arange(4 * 3 * 5).reshape(4, 3, 5)
    turned = as_conv_weight(weight, 2)
    assert turned.shape == (6, 2, 5)
    assert np.array_equal(as_conv_weight(turned, 2), weight)
    assert np.array_equal(turned[4, 1], weight[3, 1])
