"""C equals NumPy on at least 10,000 random examples of a kernel; shapes, axes, constants, zero points by Hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import Law, apart, differing, fused_operators, law_of
from law_layers import NETWORKS_OF
from law_networks import network

from trine.compilers.graph import Array, Graph
from trine.edge.lower import Lowered, lower
from trine.edge.operators import kernels
from trine.edge.operators.compare import RULES

# Each of four examples: 10 networks, 3,500 cases. The first may be the simplest networks there are.
CASES, NETWORKS, EXAMPLES = 3500, 10, 4
IN_ONNXRUNTIME, MOST_APART = 60, 0.002  # examples a network; share of values that may be a step apart
SHARES_APART = {"attention": 0.05}  # 15 bits a weight, over up to 40 keys
QUIETLY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    phases=(Phase.generate,),  # shrinking would compile for minutes
)  # fmt: skip


# The other kernels have laws of 10,000 cases and more where their own tests are.
ELSEWHERE = {
    "channel_scale": "test_indexed", "conv_transpose": "test_conv_transpose", "gru": "test_recurrent",
    "lstm": "test_recurrent", "mean_stated": "test_arrives_quantised", "move": "test_movement",
    "normalise": "test_normalise", "rescale": "test_int16", "resize": "test_resize", "rnn": "test_recurrent",
    "selective_scan": "test_state_space", "softmax_stated": "test_arrives_quantised", "trees": "test_trees",
}  # fmt: skip
NO_INTEGERS_OF_ITS_OWN = {"float32", "relayout"}  # an operator as it is; a move that the C print alone makes
# Kernels that onnxruntime has in integers too: its fused graph must hold one of these, and no value may differ.
IN_INTEGERS = {
    "add": {"QLinearAdd"}, "argument": {"ArgMax"}, "concat": {"QLinearConcat"}, "conv": {"QLinearConv"},
    "dense": {"QGemm", "MatMulIntegerToFloat"}, "gather": {"Gather"}, "matmul": {"QLinearMatMul"},
    "max_pool": {"MaxPool"}, "mean": {"QLinearAveragePool", "QLinearGlobalAveragePool"}, "mul": {"QLinearMul"},
    "reshape": {"Reshape"}, "softmax": {"QLinearSoftmax"}, "transpose": {"Transpose"}, "where": {"QLinearWhere"},
}  # fmt: skip
# Sums that onnxruntime takes in float32 while nothing is fused: they may fall on the other side of a tie.
SUMMED = {"conv", "dense", "matmul"}


def test_every_kernel_has_a_law() -> None:
    assert {*NETWORKS_OF, *ELSEWHERE, *NO_INTEGERS_OF_ITS_OWN} == set(kernels())
    assert not set(NETWORKS_OF) & set(ELSEWHERE)
    assert all((Path(__file__).parent / f"{module}.py").is_file() for module in ELSEWHERE.values())


@pytest.mark.parametrize("kernel", sorted(NETWORKS_OF))
def test_c_equals_numpy_on_any_network_and_onnxruntime_agrees(kernel: str) -> None:
    cases, reached = 0, set[str]()

    @QUIETLY
    @given(graphs=st.lists(NETWORKS_OF[kernel], min_size=NETWORKS, max_size=NETWORKS))
    def law(graphs: list[Graph]) -> None:
        nonlocal cases
        networks = law_of(graphs, CASES)
        with TemporaryDirectory() as folder:
            assert differing(networks, Path(folder)) == 0
        cases += len(graphs) * len(next(iter(networks.inputs.values())))
        for optimize in (False, True):
            most = max(kernels()[kernel].apart, int(kernel in SUMMED and not optimize))
            gap, share = apart(networks, IN_ONNXRUNTIME, optimize)
            assert gap <= most, optimize
            assert share <= SHARES_APART.get(kernel, MOST_APART), optimize
        reached.update(fused_operators(networks.program))

    law()
    assert cases >= 10_000
    assert IN_INTEGERS.get(kernel, reached) & reached


EVERY_PAIR = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij"), -1).reshape(
    -1, 2
)


def on_every_pair(op: str, ranges: Mapping[str, tuple[float, float]], folder: Path) -> tuple[Lowered, Array]:
    """An operator on all 65,536 pairs of codes, C equal to NumPy: the program, and the codes it gives."""
    graph = network(op, [((1,), "float32"), ((1,), "float32")])
    found = lower(graph, ranges)
    inputs = {name: EVERY_PAIR[:, i : i + 1].astype(np.int8) for i, name in enumerate(("x0", "x1"))}
    law = Law(replace(found.program, name="law"), inputs, found.program.run(inputs), inputs)
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
