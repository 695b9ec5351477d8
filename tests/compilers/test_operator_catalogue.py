"""Every operator: its NumPy meaning against onnxruntime, its shapes, and how ONNX spells it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import agree, reference

from trine.compilers.cases import case_graph, draw, form_model
from trine.compilers.graph import Graph
from trine.compilers.onnx_reader import lower, read_onnx
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.operators import Case, Form, operators

# The operators of the first front end; more may come.
ISSUE_2 = [
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Dropout", "Flatten", "Gemm",
    "GlobalAveragePool", "Identity", "MatMul", "MaxPool", "Mul", "ReduceMean", "Relu", "Reshape",
    "Sigmoid", "Softmax", "Squeeze", "Tanh", "Transpose", "Unsqueeze",
]  # fmt: skip


@cache
def newest_opset() -> int:
    """The newest opset that both the onnx package and onnxruntime know."""
    for opset in range(onnx.defs.onnx_opset_version(), 13, -1):
        try:
            reference(
                write_onnx(case_graph("Relu", Case("probe", ((2,),))), opset),
                {"x0": np.zeros((1, 2), np.float32)},
            )
        except Exception:
            continue
        return opset
    raise AssertionError("onnxruntime runs no opset of the onnx package")


def cases() -> Iterator[Any]:
    for name, operator in operators().items():
        for case in operator.cases:
            yield pytest.param(name, case, id=f"{name}-{case.name}")


def forms() -> Iterator[Any]:
    for name, operator in operators().items():
        for form in operator.forms:
            yield pytest.param(name, form, id=f"{name}-{form.name}")


def test_the_catalogue_holds_every_operator_of_the_issue() -> None:
    assert set(ISSUE_2) <= set(operators())


@pytest.mark.parametrize("name", ISSUE_2)
def test_each_operator_has_at_least_three_checks(name: str) -> None:
    operator = operators()[name]
    assert len(operator.cases) >= 3 or (not operator.cases and len(operator.forms) >= 3)


@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_run_equals_onnxruntime_and_survives_a_round_trip(name: str, case: Case, tmp_path: Path) -> None:
    graph = case_graph(name, case)
    graph.check()
    inputs = draw(graph, 5, seed=len(case.name))
    ours = graph.run(inputs)["y"]
    assert ours.shape == (5, *graph.shape("y"))
    for opset in (13, newest_opset()):
        if opset < 19 and name == "AveragePool" and max(case.attributes["dilations"]) > 1:
            continue
        model = write_onnx(graph, opset)
        agree(ours, reference(model, inputs))
        onnx.save(model, tmp_path / "model.onnx")
        again = read_onnx(tmp_path / "model.onnx")
        agree(again.run(inputs)["y"], ours)
        assert again.macs() == graph.macs()


@pytest.mark.parametrize(("name", "form"), list(forms()))
def test_every_onnx_spelling_is_read_right(name: str, form: Form, tmp_path: Path) -> None:
    first, last = form.opsets
    for opset in sorted({max(first, 13), min(last, newest_opset())}):
        model = form_model(operators()[name], form, opset)
        onnx.save(model, tmp_path / "model.onnx")
        graph = read_onnx(tmp_path / "model.onnx")
        inputs = draw(graph, 4, seed=len(form.name))
        agree(graph.run(inputs)["y"], reference(model, inputs))


def run_form(name: str, form: Form) -> None:
    model = form_model(operators()[name], form, newest_opset())
    graph = lower_proto(model)
    inputs = draw(graph, 2)
    agree(graph.run(inputs)["y"], reference(model, inputs))


def lower_proto(model: Any) -> Graph:
    """Read a model whose batch axis is free without a file in between."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return lower(fixed, "model")


@st.composite
def windows_of(draw_from: st.DrawFn, rank: int) -> dict[str, Any]:
    """Random window attributes that fit the drawn input."""

    def each(low: int, high: int) -> list[int]:
        return draw_from(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    kernel, strides, dilations = each(1, 4), each(1, 3), each(1, 3)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    spatial = [r + extra for r, extra in zip(reach, each(0, 6), strict=True)]
    pads = [draw_from(st.integers(0, k - 1)) for k in kernel * 2]
    return {
        "kernel_shape": kernel,
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "spatial": spatial,
    }


@settings(max_examples=40, deadline=None)
@given(
    window=st.sampled_from((1, 2)).flatmap(windows_of),
    group=st.integers(1, 3),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_any_conv_equals_onnxruntime(
    window: dict[str, Any], group: int, seed: int, data: st.DataObject
) -> None:
    channels, filters = group * data.draw(st.integers(1, 3)), group * data.draw(st.integers(1, 3))
    weight = np.random.default_rng(seed).normal(size=(filters, channels // group, *window["kernel_shape"]))
    attributes = {key: value for key, value in window.items() if key != "spatial"} | {"group": group}
    auto_pad = data.draw(st.sampled_from(("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")))
    if auto_pad != "NOTSET" and max(window["dilations"]) == 1:
        attributes["auto_pad"] = auto_pad
        del attributes["pads"]
    constants = {1: weight.astype(np.float32), 2: np.arange(filters, dtype=np.float32)}
    run_form("Conv", Form("any", ((channels, *window["spatial"]),), attributes, constants))


@settings(max_examples=60, deadline=None)
@given(
    window=st.sampled_from((1, 2)).flatmap(windows_of), ceil=st.integers(0, 1), counted=st.integers(0, 1),
    name=st.sampled_from(("MaxPool", "AveragePool")),
)  # fmt: skip
def test_any_pool_equals_onnxruntime(window: dict[str, Any], ceil: int, counted: int, name: str) -> None:
    attributes = {key: value for key, value in window.items() if key != "spatial"} | {"ceil_mode": ceil}
    if name == "AveragePool":
        attributes["count_include_pad"] = counted
    run_form(name, Form("any", ((2, *window["spatial"]),), attributes))


@settings(max_examples=40, deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), data=st.data())
def test_any_reshape_equals_onnxruntime(shape: list[int], data: st.DataObject) -> None:
    target = list(data.draw(st.permutations(shape)))
    if data.draw(st.booleans()):
        target[data.draw(st.integers(0, len(target) - 1))] = -1
        run_form("Reshape", Form("any", (tuple(shape),), {}, {1: np.array([0, *target], np.int64)}))
    else:
        run_form("Reshape", Form("any", (tuple(shape),), {}, {1: np.array([-1, *target], np.int64)}))
