"""Normalisation in integers: the rule's parts, how near it is to float, and its C."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import drawn, ran_in_c

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.normalisation import normalised, runs_of
from trine.edge.lower import lower
from trine.edge.normalising import LONGEST, mantissa, reciprocal_root, rule_of
from trine.edge.program import IntegerProgram
from trine.edge.qdq import run_qdq, to_qdq

COUNT, EXAMPLES = 16, 90


@st.composite
def norms(draw: st.DrawFn) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """An operator, a shape, and everything that decides its numbers."""
    op = draw(
        st.sampled_from(
            ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization")
        )
    )
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
    attributes: dict[str, Any] = {"epsilon": draw(st.sampled_from((1e-5, 1e-12, 1e-3, 1.0)))}
    if op in ("LayerNormalization", "RMSNormalization"):
        attributes["last"] = draw(st.integers(1, len(shape)))
    if op == "GroupNormalization":
        groups = draw(st.integers(1, 3))
        shape = (groups * shape[0], *shape[1:])
        attributes |= {"num_groups": groups, "channels": shape[0]}
    spread = draw(st.sampled_from((1e-3, 1.0, 40.0)))
    return op, shape, {"attributes": attributes, "spread": spread, "seed": draw(st.integers(0, 99))}


def graph_of(name: str, norm: tuple[str, tuple[int, ...], dict[str, Any]]) -> Graph:
    op, shape, more = norm
    a, rng = more["attributes"], np.random.default_rng(more["seed"])
    size = shape[len(shape) - a["last"] :] if "last" in a else shape[:1]
    constants: dict[str, Array] = {f"{name}_g": rng.normal(1, 0.5, size).astype(np.float32)}
    if op != "RMSNormalization":
        constants[f"{name}_b"] = rng.normal(0, 0.5, size).astype(np.float32)
    node = Node(op, f"{name}_node", (f"{name}_x", *constants), (f"{name}_y",), a)
    tensors = {f"{name}_x": Tensor(f"{name}_x", shape), f"{name}_y": Tensor(f"{name}_y", shape)}
    return Graph(name, (tensors[f"{name}_x"],), (f"{name}_y",), (node,), constants, tensors)


def program_of(name: str, norm: tuple[str, tuple[int, ...], dict[str, Any]]) -> IntegerProgram:
    spread = norm[2]["spread"]
    return lower(
        graph_of(name, norm), {f"{name}_x": (-spread, 0.7 * spread), f"{name}_y": (-3.0, 3.5)}
    ).program


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])  # fmt: skip
@given(cases=st.lists(norms(), min_size=COUNT, max_size=COUNT), seed=st.integers(0, 999))
def test_any_normalisation_in_c_equals_numpy(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Any], seed: int
) -> None:
    """8 files of 16 networks of 90 examples: 11,520 random cases."""
    ran_in_c(
        [program_of(f"n{i}", case) for i, case in enumerate(cases)],
        tmp_path_factory.mktemp("n"),
        EXAMPLES,
        seed,
    )


def test_it_is_the_rounded_real_rule_but_next_to_ties() -> None:
    """400 layers of 40 examples against float64: at most one step apart, and only next to a tie."""
    differing, values, rng = 0, 0, np.random.default_rng(0)
    for number in range(400):
        op = ("LayerNormalization", "RMSNormalization")[number % 2]
        length = int(rng.integers(2, 200))
        more = {
            "attributes": {"epsilon": 1e-5, "last": 1},
            "spread": float(rng.uniform(0.01, 30)),
            "seed": number,
        }
        graph, program = graph_of("n", (op, (3, length), more)), program_of("n", (op, (3, length), more))
        x, y = program.tensors["n_x"], program.tensors["n_y"]
        codes = drawn(program, 40, number)
        real = (codes["n_x"].astype(np.float64) - x.zero_point) * float(x.scale)
        parameters = [value.astype(np.float64) for value in graph.constants.values()]
        beta = parameters[1] if len(parameters) > 1 else None
        wanted = normalised(real, parameters[0], beta, runs_of(graph.nodes[0], (3, length))) / float(y.scale)
        rounded = np.clip(np.rint(wanted) + y.zero_point, -128, 127)
        steps = np.abs(program.run(codes)["n_y"] - rounded)
        tie = np.abs(np.abs(wanted - np.floor(wanted)) - 0.5)
        assert steps.max() <= 1
        assert (tie[steps > 0] < 1e-4).all()
        differing, values = differing + int((steps > 0).sum()), values + steps.size
    assert values > 4e6
    assert differing <= 20, (differing, values)  # 2 of 4,936,080 when written


@pytest.mark.parametrize("number", range(4))
def test_onnxruntime_differs_by_at_most_one_step(number: int) -> None:
    op = ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization")[number]
    attributes: dict[str, Any] = {"epsilon": 1e-5}
    attributes |= {"last": 1} if number < 2 else {"num_groups": 4, "channels": 32} if number == 3 else {}
    program = program_of("n", (op, (32, 96), {"attributes": attributes, "spread": 2.0, "seed": number}))
    codes = drawn(program, 40, number)
    feed = {"n_x": program.tensors["n_x"].dequantize(codes["n_x"])}
    steps = np.abs(run_qdq(to_qdq(program), program, feed)["n_y"].astype(int) - program.run(codes)["n_y"])
    assert steps.max() <= 1
    assert (steps > 0).sum() <= 3, int((steps > 0).sum())  # of 122,880; 0 when written


def test_the_reciprocal_root_is_good_to_27_bits() -> None:
    rng = np.random.default_rng(0)
    ends = np.concatenate([np.arange(2**30, 2**30 + 5000), np.arange(2**32 - 5000, 2**32)])
    m = np.concatenate([ends, rng.integers(2**30, 2**32, 2_000_000)]).astype(np.uint64)
    error = reciprocal_root(m).astype(np.float64) * np.sqrt(m.astype(np.float64)) / 2.0**46 - 1
    assert np.abs(error).max() < 2.0**-27


@given(st.lists(st.integers(1, 2**62), min_size=1, max_size=20))
def test_a_mantissa_and_an_even_exponent_make_the_number(values: list[int]) -> None:
    m, e = mantissa(np.array(values, np.uint64))
    for value, part, exponent in zip(values, m.tolist(), e.tolist(), strict=True):
        assert 2**30 <= part < 2**32
        assert exponent % 2 == 0
        assert part == (value >> exponent if exponent >= 0 else value << -exponent)


def test_the_largest_and_smallest_inputs_stay_inside_their_integers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The longest run that is tried, all at one end but one value; an epsilon that dwarfs the variance."""
    programs = []
    for number, (spread, epsilon) in enumerate(((1e-6, 1.0), (1e4, 1e-12), (1.0, 1e-5))):
        more = {"attributes": {"epsilon": epsilon, "last": 1}, "spread": spread, "seed": number}
        programs.append(program_of(f"n{number}", ("LayerNormalization", (1, 2**15), more)))
    ran_in_c(programs, tmp_path_factory.mktemp("ends"), 4, 0)


def test_too_long_a_run_is_refused() -> None:
    program = program_of("n", ("RMSNormalization", (1, 4), {"attributes": {"epsilon": 1e-5, "last": 1}, "spread": 1.0,
                                                            "seed": 0}))  # fmt: skip
    node = Node("RMSNormalization", "n", ("x",), ("y",), {"epsilon": 1e-5, "last": 1})
    for kind, longest in LONGEST.items():
        runs, (x, y) = (
            runs_of(node, (1, 2 * longest)),
            (replace(program.tensors[n], dtype=kind) for n in ("n_x", "n_y")),
        )
        with pytest.raises(ValueError, match=f"{longest} of {kind} keep its sums inside 64 bits"):
            rule_of(runs, np.ones(2 * longest, np.float32), None, x, y)
