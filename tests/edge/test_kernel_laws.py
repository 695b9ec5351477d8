"""C equals NumPy on at least 10,000 random examples of a kernel; shapes, axes, constants, zero points by Hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import Draw, Law, along_axis, apart, differing, law_of, network, on_axes, on_one, on_operands

from trine.compilers.graph import Array, Graph, Shape
from trine.compilers.operators import operators
from trine.edge.lower import Lowered, lower
from trine.edge.operators import kernels
from trine.edge.operators.compare import RULES
from trine.edge.operators.table import UNARY

# Each of four examples: 10 networks, 3,500 cases. The first may be the simplest networks there are.
CASES, NETWORKS, EXAMPLES = 3500, 10, 4
IN_ONNXRUNTIME, MOST_APART = 60, 0.002  # examples a network; share of values that may be a step apart
QUIETLY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    phases=(Phase.generate,),  # shrinking would compile for minutes
)  # fmt: skip


def arguments(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    keep, last = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    return {"axis": axis, "keepdims": keep, "select_last_index": last}


def one_axis(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis}


def running(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis, "exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}


def top(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis, "k": draw(st.integers(1, shape[axis])), "largest": draw(st.integers(0, 1))}


UNARY_CASES = [(op, "float32", operators()[op].cases[-1].attributes) for op in UNARY]
CASTS = [
    *(("Cast", "float32", {"to": to}) for to in ("int64", "int32", "bool")),
    *(("Cast", dtype, {"to": "float32"}) for dtype in ("bool", "int64", "int32")),
]  # fmt: skip
NETWORKS_OF: Mapping[str, st.SearchStrategy[Graph]] = {
    "add": on_operands(("Add", "Sub")),
    "argument": along_axis(("ArgMax", "ArgMin"), arguments),
    "cast": on_one(CASTS),
    "compare": on_operands(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    "cumsum": along_axis(("CumSum",), running),
    "div": on_operands(("Div",), low=0.5),
    "log_sum": st.one_of(along_axis(("LogSoftmax",), one_axis), on_axes(("ReduceLogSumExp",))),
    "minmax": st.integers(2, 3).flatmap(lambda n: on_operands(("Min", "Max"), n, ("float32",) * n)),
    "mul": on_operands(("Mul",)),
    "power": on_operands(("Pow",), low=0.5),
    "prelu": on_operands(("PRelu",), constant_at=(1,), full=(0,)),
    "reduce": on_axes(
        ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "ReduceMax", "ReduceMin")
    ),
    "table": on_one(UNARY_CASES),
    "topk": along_axis(("TopK",), top),
    "where": on_operands(("Where",), 3, ("bool", "float32", "float32")),
}  # fmt: skip


@pytest.mark.parametrize("kernel", sorted(NETWORKS_OF))
def test_c_equals_numpy_on_any_network_and_onnxruntime_agrees(kernel: str) -> None:
    @QUIETLY
    @given(graphs=st.lists(NETWORKS_OF[kernel], min_size=NETWORKS, max_size=NETWORKS))
    def law(graphs: list[Graph]) -> None:
        networks = law_of(graphs, CASES)
        with TemporaryDirectory() as folder:
            assert differing(networks, Path(folder)) == 0
        gap, share = apart(networks, IN_ONNXRUNTIME)
        assert gap <= kernels()[kernel].apart
        assert share <= MOST_APART

    law()


EVERY_PAIR = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij"), -1).reshape(
    -1, 2
)


def on_every_pair(op: str, ranges: Mapping[str, tuple[float, float]], folder: Path) -> tuple[Lowered, Array]:
    """An operator on all 65,536 pairs of codes, C equal to NumPy: the program, and the codes it gives."""
    graph = network(op, [((1,), "float32"), ((1,), "float32")])
    found = lower(graph, ranges)
    inputs = {name: EVERY_PAIR[:, i : i + 1].astype(np.int8) for i, name in enumerate(("x0", "x1"))}
    law = Law(replace(found.program, name="law"), inputs, found.program.run(inputs))
    assert differing(law, folder) == 0
    return found, law.wanted["y0"]


def test_powers_of_negative_numbers_and_of_zero(tmp_path: Path) -> None:
    """Exponents that are multiples of 1 / 32, so that whole ones are among them."""
    found, codes = on_every_pair("Pow", {"x0": (-2, 2), "x1": (-4, 4 - 1 / 32), "y0": (-16, 16)}, tmp_path)
    x, y, result = (found.program.tensors[name] for name in ("x0", "x1", "y0"))
    base, exponent = x.dequantize(EVERY_PAIR[:, 0]), y.dequantize(EVERY_PAIR[:, 1])
    with np.errstate(all="ignore"):
        exact = np.power(base.astype(np.float64), exponent.astype(np.float64))
    broken = np.isnan(exact)
    assert broken.sum() > 1000
    assert ((exact < 0) & (np.abs(exact) < 16)).sum() > 100
    np.testing.assert_array_equal(codes[broken, 0], result.zero_point)
    np.testing.assert_array_equal(codes[~broken, 0], result.quantize(exact[~broken].astype(np.float32)))


def test_quotients_and_divisions_by_zero(tmp_path: Path) -> None:
    found, codes = on_every_pair("Div", {"x0": (-3, 2), "x1": (-1, 2.5), "y0": (-20, 20)}, tmp_path)
    a, b, result = (found.program.tensors[name] for name in ("x0", "x1", "y0"))
    left, right = a.dequantize(EVERY_PAIR[:, 0]), b.dequantize(EVERY_PAIR[:, 1])
    with np.errstate(all="ignore"):
        exact = (left / right).astype(np.float32)
    np.testing.assert_array_equal(codes[:, 0], result.quantize(np.where(np.isnan(exact), 0, exact)))
    assert set(codes[(right == 0) & (left != 0), 0]) == {-128, 127}


@pytest.mark.parametrize("op", sorted(RULES))
def test_comparisons_are_those_of_the_real_values(op: str, tmp_path: Path) -> None:
    found, codes = on_every_pair(op, {"x0": (-3, 2), "x1": (-1, 2.5)}, tmp_path)
    a, b = (found.program.tensors[name].dequantize(EVERY_PAIR[:, i]) for i, name in enumerate(("x0", "x1")))
    function = {"Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less,
                "LessOrEqual": np.less_equal}[op]  # fmt: skip
    np.testing.assert_array_equal(codes[:, 0], function(a, b))
