"""Histograms and the ranges made from them, against brute force."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantize_samples import Drawn, InMemory, normal, plain

from trine.compilers.graph import Graph
from trine.devices.errors import InputError
from trine.edge.fusing import observed
from trine.edge.lower import parameters_of
from trine.edge.program import QuantizedTensor
from trine.edge.quantize.histogram import Histogram, extremes, histograms, outermost
from trine.edge.quantize.ranges import (
    METHODS,
    candidates,
    clip_points,
    divergence,
    entropy,
    expected_error,
    minmax,
    mse,
    percentile,
)
from trine.edge.quantize.replay import Reference
from trine.edge.quantize.samples import gather, spread_indices, stream


@st.composite
def drawn_histograms(draw: st.DrawFn, bins: int = 64) -> Histogram:
    low = draw(st.sampled_from([0.0, -1.0, -0.3, -5.0]))
    high = draw(st.sampled_from([1.0, 0.25, 40.0]) if low < 0 else st.sampled_from([1.0, 3.0]))
    counts = draw(st.lists(st.sampled_from([0, 0, 1, 3, 50, 1000]), min_size=bins, max_size=bins))
    return Histogram(low, high, np.array([*counts[:-1], counts[-1] + 1]))


@given(drawn_histograms())
@settings(max_examples=60, deadline=None)
def test_every_range_holds_zero_and_stays_within_the_values(h: Histogram) -> None:
    for name, (low, high) in {name: method(h) for name, method in METHODS.items()}.items():
        assert h.low <= low <= 0 <= high <= h.high, name
        scale, zero_point = parameters_of(low, high)
        tensor = QuantizedTensor("t", (1,), scale, zero_point)
        assert tensor.dequantize(tensor.quantize(np.zeros(1, np.float32)))[0] == 0


@given(drawn_histograms())
@settings(max_examples=60, deadline=None)
def test_mse_range_is_the_best_of_all_candidates_and_never_worse_than_minmax(h: Histogram) -> None:
    found = expected_error(h, *mse(h))
    assert found <= expected_error(h, *minmax(h)) * (1 + 1e-9)
    starts, stops = clip_points(h)
    brute = min(brute_error(h, h.edges[i], h.edges[j]) for i, j in product(starts, stops))
    assert found == pytest.approx(brute, rel=1e-6, abs=1e-9)


def brute_error(h: Histogram, low: float, high: float) -> float:
    total = 0.0
    for center, count in zip(h.centers, h.counts, strict=True):
        if center < low:
            total += count * (low - center) ** 2
        elif center > high:
            total += count * (center - high) ** 2
        else:
            total += count * ((high - low) / 255) ** 2 / 12
    return total


def test_expected_error_predicts_the_error_of_real_quantisation() -> None:
    x = np.random.default_rng(0).laplace(size=200_000).astype(np.float32)
    h = Histogram(float(x.min()), float(x.max()), np.histogram(x, 2048)[0])
    for low, high in (minmax(h), mse(h), percentile(h, 99)):
        tensor = QuantizedTensor("t", (1,), *parameters_of(low, high))
        real = float(np.square(tensor.dequantize(tensor.quantize(x)).astype(np.float64) - x).sum())
        assert expected_error(h, low, high) == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.9])
def test_percentile_cuts_half_of_the_rest_on_each_side(percent: float) -> None:
    x = np.random.default_rng(1).normal(0.2, 1, 100_000)
    h = Histogram(float(x.min()), float(x.max()), np.histogram(x, 2048)[0])
    tail = (100 - percent) / 2
    assert percentile(h, percent) == pytest.approx(np.percentile(x, [tail, 100 - tail]), abs=2 * h.width)


def brute_divergence(counts: list[int], start: int, stop: int) -> float:
    """Kullback-Leibler divergence written out bin by bin."""
    bins = stop - start
    level = [i * 256 // bins for i in range(bins)]
    p = [float(c) for c in counts[start:stop]]
    p[0] += sum(counts[:start])
    p[-1] += sum(counts[stop:])
    q = []
    for i in range(bins):
        members = [k for k in range(bins) if level[k] == level[i] and counts[start + k] > 0]
        mass = sum(counts[start + k] for k in members)
        q.append(mass / len(members) if counts[start + i] > 0 else 0.0)
    sum_p, sum_q = sum(p), sum(q)
    return sum(
        a / sum_p * np.log(a / sum_p / max(b / sum_q, 1e-7)) for a, b in zip(p, q, strict=True) if a > 0
    )


@given(st.lists(st.sampled_from([0, 1, 2, 9, 70]), min_size=300, max_size=300), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_divergence_is_what_its_definition_says(counts: list[int], start: int) -> None:
    counts[start] = 5
    expected = brute_divergence(counts, start, 290)
    assert divergence(np.array(counts), start, 290) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_entropy_finds_the_best_one_sided_range_of_all() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.exponential(1, 50_000), [60.0]])
    counts = np.histogram(x, 512, (0, x.max()))[0]
    h = Histogram(0.0, float(x.max()), counts)
    stops = [int(s) for s in clip_points(h)[1] if s >= 256]
    best = min(divergence(counts, 0, stop) for stop in stops)
    low, high = entropy(h)
    assert low == 0
    assert divergence(counts, 0, round(high / h.width)) == best
    assert high < 60.0, "one far value must not stretch the range"


def test_exact_zeros_do_not_draw_the_range_towards_zero() -> None:
    x = np.random.default_rng(3).exponential(1, 20_000)
    counts = np.histogram(x, 2048, (0, x.max()))[0]
    without = Histogram(0.0, float(x.max()), counts)
    zeros = counts.copy()
    zeros[0] += 500_000
    relu = Histogram(0.0, float(x.max()), zeros, 500_000)
    assert (entropy(relu), mse(relu)) == (entropy(without), mse(without))


def test_a_constant_activation_has_one_candidate() -> None:
    assert candidates(Histogram(0.0, 0.0, np.array([5, 0]))) == {"minmax": (0.0, 0.0)}


def test_histograms_count_every_value_between_the_true_extremes() -> None:
    graph, examples = plain(), normal(plain(), 300)
    names = observed(graph)
    found = extremes(graph, names, examples, 64)
    counted = histograms(graph, found, examples, 64)
    values = Reference.of(graph, examples.data).values
    for name in names:
        x, h = values[name], counted[name]
        assert found[name].range == (x.min(), x.max())
        per_channel = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
        np.testing.assert_array_equal(found[name].low, per_channel.min(axis=1))
        np.testing.assert_array_equal(found[name].high, per_channel.max(axis=1))
        expected = np.histogram(x, len(h.counts), (h.low, h.high))[0]
        assert h.total == x.size
        # float32 binning may put a value on a border into the neighbouring bin
        assert np.abs(np.cumsum(h.counts) - np.cumsum(expected)).max() <= 1e-3 * x.size
        assert h.zeros == int((x == 0).sum())


def test_extremes_see_every_example_though_histograms_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trine.edge.quantize.histogram.SAMPLE", 50)
    examples = normal(plain(), 1000)
    examples.data["x"][777, 0, 3] = 99.0
    found = extremes(plain(), ["x"], examples, 64)
    assert found["x"].range[1] == 99.0
    counted = histograms(plain(), found, examples, 64)["x"]
    assert counted.total == 50 * 3 * 32
    assert counted.high == 99.0


def test_the_examples_at_the_extremes_are_kept() -> None:
    graph, examples = plain(), normal(plain(), 500)
    examples.data["x"][123] *= 10
    examples.data["x"][321, 0, 0] = -77.0
    found = extremes(graph, observed(graph), examples, 64)
    kept = [example["x"] for example in outermost(found)]
    assert len(kept) <= 2 * len(found)
    for index in (123, 321):
        assert sum(np.array_equal(one, examples.data["x"][index]) for one in kept) == 1
    values = Reference.of(graph, {"x": np.stack(kept)}).values
    for name, extreme in found.items():
        np.testing.assert_allclose(
            (values[name].min(), values[name].max()), extreme.range, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_spread_examples_do_not_depend_on_the_batch_size(size: int) -> None:
    examples = InMemory({"x": np.arange(333, dtype=np.float32)[:, None]})
    picked = gather(examples, size, 40)["x"][:, 0]
    np.testing.assert_array_equal(picked, spread_indices(333, 40))
    seen = [n for n, _ in stream(examples, size, 40)]
    assert all(a < b for a, b in pairwise(seen))


def test_memory_does_not_grow_with_the_calibration_set() -> None:
    graph = plain()

    def peak(count: int) -> int:
        examples = Drawn(count, graph.inputs[0].shape)
        tracemalloc.start()
        try:
            histograms(graph, extremes(graph, observed(graph), examples, 64), examples, 64)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many, most = peak(1_000), peak(10_000), peak(20_000)
    assert many < few + 300_000, (
        "above SAMPLE examples, one batch is gathered from several: that much and no more"
    )
    assert most < 1.05 * many


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 3, 32), np.nan), "not finite"),
        (np.full((4, 3, 32), 2.5), "2.5 everywhere"),
        (np.zeros((0, 3, 32)), "empty"),
    ],
)
def test_unusable_calibration_data_is_refused(values: np.ndarray, message: str) -> None:
    graph: Graph = plain()
    with pytest.raises(InputError, match=message):
        extremes(graph, observed(graph), InMemory({"x": values.astype(np.float32)}), 64)
