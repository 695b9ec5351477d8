"""C equals NumPy on at least 10,000 random examples of every kernel of this file, shapes, axes, constants and zero points
drawn by Hypothesis; and onnxruntime agrees where the kernel promises it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import Draw, along_axis, differing, on_axes, on_one, on_operands

from trine.compilers.graph import Graph, Shape
from trine.compilers.operators import operators
from trine.edge.operators import kernels
from trine.edge.operators.table import UNARY

# Each of four examples: 10 networks, 3,500 cases. The first may be the simplest networks there are.
CASES, NETWORKS, EXAMPLES = 3500, 10, 4
QUIETLY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    phases=(Phase.generate,),  # shrinking would compile for minutes
)  # fmt: skip
BOOLS = ("bool", "bool")


def arguments(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    keep, last = draw(st.integers(0, 1)), draw(st.integers(0, 1))
    return {"axis": axis, "keepdims": keep, "select_last_index": last}


def running(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis, "exclusive": draw(st.integers(0, 1)), "reverse": draw(st.integers(0, 1))}


def top(draw: Draw, shape: Shape, axis: int) -> dict[str, Any]:
    return {"axis": axis, "k": draw(st.integers(1, shape[axis])), "largest": draw(st.integers(0, 1))}


UNARY_CASES = [(op, "float32", operators()[op].cases[-1].attributes) for op in UNARY]
CASTS = [
    *(("Cast", "float32", {"to": to}) for to in ("int64", "int32", "int8", "uint8", "bool")),
    *(("Cast", dtype, {"to": "float32"}) for dtype in ("bool", "int64", "int32")),
    ("Cast", "int64", {"to": "int32"}), ("Cast", "int32", {"to": "bool"}),
]  # fmt: skip
NETWORKS_OF: Mapping[str, st.SearchStrategy[Graph]] = {
    "add": on_operands(("Add", "Sub")),
    "argument": along_axis(("ArgMax", "ArgMin"), arguments),
    "cast": on_one(CASTS),
    "compare": on_operands(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    "cumsum": along_axis(("CumSum",), running),
    "div": on_operands(("Div",), low=0.5),
    "logic": on_operands(("And", "Or", "Xor"), types=BOOLS),
    "minmax": st.integers(2, 3).flatmap(lambda n: on_operands(("Min", "Max"), n, ("float32",) * n)),
    "mul": on_operands(("Mul",)),
    "prelu": on_operands(("PRelu",), constant_at=(1,)),
    "reduce": on_axes(
        ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "ReduceMax", "ReduceMin")
    ),
    "table": on_one(UNARY_CASES),
    "topk": along_axis(("TopK",), top),
    "where": on_operands(("Where",), 3, ("bool", "float32", "float32")),
}  # fmt: skip


@pytest.mark.parametrize("kernel", sorted(NETWORKS_OF))
def test_c_equals_numpy_on_any_network(kernel: str) -> None:
    @QUIETLY
    @given(graphs=st.lists(NETWORKS_OF[kernel], min_size=NETWORKS, max_size=NETWORKS))
    def law(graphs: list[Graph]) -> None:
        with TemporaryDirectory() as folder:
            assert differing(graphs, CASES, Path(folder)) == 0

    assert kernel in kernels()
    law()
