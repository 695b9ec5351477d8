"""The laws of requantisation: what the compiler decides by bisection is what every single sum shows."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_samples import chain, conv, hard_inputs, job_of, run_on_host

from trine.compilers.graph import Graph, Node
from trine.edge.c.writer import kernel_text
from trine.edge.emulate import HostCompiler
from trine.edge.lower import lower
from trine.edge.requantize import (
    MAX_NUDGE,
    certify,
    equal_on_range,
    make_requantizer,
    split_ratio_tflite,
    tflite_rule,
)
from trine.edge.weights import linear_sum_bounds

ratios = st.floats(2.0**-18, 0.875, width=32)
reaches = st.integers(1, 1 << 14)
zero_points = st.integers(-128, 127)


def bounds_of(zero_point: int, fused: bool) -> tuple[int, int]:
    return (zero_point, 127) if fused else (-128, 127)


def every_sum(low: int, high: int) -> NDArray[np.int64]:
    return np.arange(low, high + 1, dtype=np.int64)


@given(ratio=ratios, low=reaches, high=reaches, zero_point=zero_points, fused=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_decision_is_what_every_sum_shows(
    ratio: float, low: int, high: int, zero_point: int, fused: bool
) -> None:
    ends = np.array([-low]), np.array([high])
    r = make_requantizer(np.array([ratio], np.float32), *ends, zero_point, bounds_of(zero_point, fused))
    sums = every_sum(-low, high)[None]
    by_float, by_integer = r.apply(sums, axis=0), r.apply_integer(sums, axis=0)
    assert equal_on_range(r, *ends)[0] == np.array_equal(by_float, by_integer)
    definition = np.rint(sums.astype(np.float32) * np.float32(ratio)) + zero_point
    np.testing.assert_array_equal(by_float, np.clip(definition, r.low, r.high))


def test_the_decision_finds_a_single_wrong_sum() -> None:
    """Half of all random ratios differ somewhere on a wide range (facts: 243 of 400 equal); both kinds
    occur here."""
    rng = np.random.default_rng(0)
    ratio = rng.uniform(2e-4, 2e-3, 60).astype(np.float32)
    ends = np.full(60, -(2**18)), np.full(60, 2**18)
    r = make_requantizer(ratio, *ends, 0, (-128, 127))
    decided = equal_on_range(r, *ends)
    sums = every_sum(-(2**18), 2**18)[None]
    one = [r.part(np.array([i])) for i in range(60)]
    shown = [np.array_equal(part.apply(sums, 0), part.apply_integer(sums, 0)) for part in one]
    np.testing.assert_array_equal(decided, shown)
    assert 5 < decided.sum() < 55


@given(
    scale=st.floats(2.0**-13, 0.25, width=32),
    weights=st.lists(st.floats(2.0**-13, 0.5, width=32), min_size=1, max_size=3),
    output=st.floats(2.0**-7, 1, width=32),
    reach=reaches,
    zero_point=zero_points,
    fused=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_a_certificate_holds_on_every_sum(
    scale: float, weights: list[float], output: float, reach: int, zero_point: int, fused: bool
) -> None:
    given_scale = np.array(weights, np.float32)
    low, high = np.full(len(weights), -reach), np.full(len(weights), reach)
    sx, sy = np.float32(scale), np.float32(output)
    if float(sx * given_scale.max() / sy) * reach >= 2**29:
        return
    r, found, certificate = certify(sx, given_scale, sy, low, high, zero_point, bounds_of(zero_point, fused))
    np.testing.assert_array_equal(r.ratio, (sx * found) / sy)
    sums = np.broadcast_to(every_sum(-reach, reach), (len(weights), 2 * reach + 1))
    np.testing.assert_array_equal(r.apply(sums, axis=0), r.apply_integer(sums, axis=0))
    moved = np.abs(found.view(np.int32) - given_scale.view(np.int32))
    assert moved.max() <= MAX_NUDGE // 2 + 1
    assert certificate.nudged == (moved > 0).sum()
    assert certificate.channels == len(weights)


def gemmlowp(x: int, multiplier: int, right: int) -> int:
    """The reference in whole numbers: RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(x, m), right)."""
    x <<= max(-right, 0)
    product = x * multiplier
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)
    right = max(right, 0)
    rest = high & (2**right - 1)
    return (high >> right) + (rest > ((2**right - 1) >> 1) + (high < 0))


@given(st.integers(-(2**31), 2**31 - 1), st.integers(2**30, 2**31 - 1), st.integers(0, 31))
@settings(max_examples=400)
def test_the_tflite_rule_is_gemmlowps(x: int, multiplier: int, right: int) -> None:
    found = tflite_rule(np.array([x]), np.array([multiplier]), np.array([right]))
    assert found[0] == gemmlowp(x, multiplier, right)


@given(st.floats(2.0**-20, 8, width=32))
def test_the_tflite_split_is_near(ratio: float) -> None:
    multiplier, right = split_ratio_tflite(np.array([ratio]))
    assert 2**30 <= multiplier[0] < 2**31
    assert float(multiplier[0]) * 2.0 ** (-31 - int(right[0])) == pytest.approx(ratio, rel=2**-31)


def test_the_tflite_rule_in_c_equals_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n = 20000
    sums = rng.integers(-(2**31), 2**31, n).astype(np.int32)
    sums[: n // 2] >>= rng.integers(0, 30, n // 2)
    multipliers = rng.integers(2**30, 2**31, n).astype(np.int32)
    shifts = rng.integers(0, 32, n).astype(np.int32)
    shifts[::50], sums[::50] = -2, sums[::50] >> 4
    text = (
        "#include <stdint.h>\n#define TRINE_PAIRED 1\n#define TRINE_WIDE 0\n"
        + kernel_text("common")
        + kernel_text("tflite")
    )
    text += (
        "void many(const int32_t *x, const int32_t *m, const int32_t *s, int32_t *y, int32_t n)\n"
        "{ for (int32_t i = 0; i < n; i++) y[i] = trine_tflite(x[i], m[i], s[i]); }\n"
    )
    (tmp_path / "rule.c").write_text(text)
    library = tmp_path / "rule.so"
    subprocess.run(
        [*HostCompiler().command, "-O1", "-std=c99", "-shared", "-fPIC", tmp_path / "rule.c", "-o", library],
        check=True,
    )
    found = np.empty(n, np.int32)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (sums, multipliers, shifts, found)]
    ctypes.CDLL(str(library)).many(*pointers, n)
    np.testing.assert_array_equal(found, tflite_rule(sums, multipliers, shifts))


@given(
    rows=st.lists(st.lists(st.integers(-127, 127), min_size=1, max_size=4), min_size=1, max_size=3),
    bias=st.integers(-(2**20), 2**20),
    zero_point=zero_points,
)
def test_sum_bounds_are_reached_and_not_passed(rows: list[list[int]], bias: int, zero_point: int) -> None:
    width = max(map(len, rows))
    weight = np.array([row + [0] * (width - len(row)) for row in rows], np.int8)
    biases = np.full(len(rows), bias, np.int64)
    low, high = linear_sum_bounds(weight, biases, zero_point)
    corners = np.stack(np.meshgrid(*[[-128, 127]] * width, indexing="ij"), -1).reshape(-1, width)
    sums = biases + (corners.astype(np.int64) - zero_point) @ weight.T.astype(np.int64)
    np.testing.assert_array_equal(sums.min(axis=0), low)
    np.testing.assert_array_equal(sums.max(axis=0), high)


def test_a_layer_that_could_overflow_is_refused() -> None:
    weight = np.full((1, 70000), 127, np.int8)
    with pytest.raises(ValueError, match="int32"):
        linear_sum_bounds(np.concatenate([weight, weight], axis=1), np.zeros(1, np.int64), -128)
    with pytest.raises(ValueError, match="int32"):
        linear_sum_bounds(np.ones((1, 3), np.int8), np.array([2**31 - 300], np.int64), 0)


def extreme_network(size: int, bias: float) -> Graph:
    """A dense and a conv layer whose weights are all of the same size and whose biases are as large as
    they may be."""
    rng = np.random.default_rng(size)
    signs = rng.choice([-1.0, 1.0], (3, size)).astype(np.float32)
    signs[0] = 1
    constants = {
        "w": signs,
        "b": np.array([bias, -bias, bias], np.float32),
        "k": np.sign(rng.normal(size=(2, 1, 3))).astype(np.float32),
        "kb": np.array([bias, -bias], np.float32),
    }
    nodes = [
        conv("c", "x", "a", "k", "kb", pads=(1, 1)),
        Node("Reshape", "f", ("a",), ("f",), {"shape": (2 * size // 2,)}),
        Node("Gemm", "g", ("f", "w", "b"), ("y",)),
    ]
    return chain("extreme", [("x", (1, size // 2))], nodes, constants)


@pytest.mark.parametrize("bias", [0.0, 3.0, 1e3, 1e7])
@pytest.mark.parametrize("requantize", ["exact", "tflite"])
def test_extreme_layers_do_not_overflow_in_c(bias: float, requantize: str, tmp_path: Path) -> None:
    """Whatever the compiler accepts runs without undefined behaviour and equals NumPy, on the greatest
    sums too."""
    graph = extreme_network(2048, bias)
    ranges = {
        "x": (-1.0, 1.0),
        "a": (-3.0 - bias, 3.0 + bias),
        "f": (-3.0 - bias, 3.0 + bias),
        "y": (-4.0 - bias, 4.0 + bias),
    }
    program = lower(graph, ranges, requantize).program
    job = job_of(program)
    weight = program.steps[-1].constants["weight"][0]
    assert np.abs(weight).max() == 127
    (found,) = run_on_host([job], tmp_path)
    np.testing.assert_array_equal(found["y"], program.run(hard_inputs(program))["y"])
