"""Cross-layer equalisation, bias correction and weight clipping, each by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantize_samples import Builder, badly_scaled, branches, depthwise, normal, plain, residual

from trine.compilers.graph import Graph
from trine.edge.fusing import observed
from trine.edge.lower import Lowered, lower
from trine.edge.quantize.bias import correct_biases, mean_errors, with_biases
from trine.edge.quantize.choose import choose_ranges, choose_weight_clips
from trine.edge.quantize.equalize import equalize, in_view, out_ranges, pairs
from trine.edge.quantize.histogram import extremes, histograms
from trine.edge.quantize.layers import least_error_clip, rounded_weight, rounded_weights, weighted
from trine.edge.quantize.ranges import METHODS
from trine.edge.quantize.replay import Reference, noise_ratio, output_noise, scored

MAKERS = [plain, depthwise, residual, branches]


def min_max(graph: Graph, examples: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    values = Reference.of(graph, examples).values
    return {name: (float(values[name].min()), float(values[name].max())) for name in observed(graph)}


def program(graph: Graph, examples: dict[str, np.ndarray]) -> Lowered:
    return lower(graph, min_max(graph, examples))


@pytest.mark.parametrize("make", MAKERS)
@given(seed=st.integers(0, 50))
@settings(max_examples=5, deadline=None)
def test_equalisation_keeps_the_function(make: Callable[[int], Graph], seed: int) -> None:
    graph = make(seed)
    x = normal(graph, 16, seed).data
    equal = equalize(graph)
    equal.graph.check()
    exact, same = graph.run(x), equal.graph.run(x)
    for name in exact:
        scale = np.abs(exact[name]).max()
        assert np.abs(exact[name] - same[name]).max() < 1e-5 * scale


@pytest.mark.parametrize("make", MAKERS)
def test_divisors_are_what_the_activations_were_divided_by(make: Callable[[int], Graph]) -> None:
    graph = make(3)
    x = normal(graph, 16).data
    equal = equalize(graph)
    before, after = Reference.of(graph, x).values, Reference.of(equal.graph, x).values
    for name, value in before.items():
        by = equal.divisors.get(name, np.ones(value.shape[1], np.float32))
        expected = value / by.reshape(1, -1, *[1] * (value.ndim - 2))
        np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-5)


def test_equalisation_gives_both_layers_the_same_channel_ranges() -> None:
    equal = equalize(badly_scaled(plain(), 1000)).graph
    found = list(pairs(equal))
    assert [(p.first.name, p.second.name) for p in found] == [("conv_0", "conv_2"), ("conv_2", "gemm_6")]
    for pair in found:
        first = out_ranges(equal.constants[pair.first.inputs[1]])
        view = np.abs(in_view(pair.second, equal.constants[pair.second.inputs[1]]))
        np.testing.assert_allclose(first, view.max(axis=(1, 3)).ravel(), rtol=0.02)


def test_layers_through_a_residual_a_branch_or_a_relu6_are_not_paired() -> None:
    found = {(p.first.name, p.second.name) for p in pairs(residual())}
    assert found == {("conv_2", "conv_4")}, "the first conv is read twice, the last goes into the sum"
    assert {(p.first.name, p.second.name) for p in pairs(branches())} == {("conv_5", "gemm_9")}
    b = Builder((3, 16))
    x = b.add("Clip", b.conv("x", 4), min=0.0, max=6.0)
    assert not list(pairs(b.graph(b.conv(x, 4))))


def test_a_shared_weight_is_left_alone() -> None:
    b = Builder((4, 16))
    x = b.add("Relu", b.conv("x", 4))
    shared = b.nodes[0].inputs[1:]
    y = b.add("Conv", x, *shared, strides=(1,), dilations=(1,), pads=(1, 1), group=1)
    graph = b.graph(b.conv(b.add("Relu", y), 4))
    assert not equalize(graph).divisors


def test_equalisation_rescues_a_badly_scaled_network() -> None:
    graph = badly_scaled(depthwise(1), 1000)
    x = normal(graph, 64).data
    exact = graph.run(x)
    equal = equalize(graph).graph
    before = output_noise(exact, program(graph, x).program.run_float(x))
    after = output_noise(exact, program(equal, x).program.run_float(x))
    assert 10 * np.log10(before / after) > 10


@pytest.mark.parametrize("make", [plain, depthwise, residual])
def test_bias_correction_reduces_the_mean_error(make: Callable[[int], Graph]) -> None:
    graph = make(2)
    x = normal(graph, 400).data
    exact = graph.run(x)
    lowered = program(graph, x)
    corrected = correct_biases(Reference.of(graph, x), lowered.program, rounded_weights(graph, {}))
    again = lower(corrected, min_max(graph, x)).program
    before = mean_errors(exact, lowered.program.run_float(x))
    assert mean_errors(exact, again.run_float(x)) < 0.5 * before


def test_a_layer_without_a_bias_gets_one_for_correction() -> None:
    graph = depthwise()
    completed = with_biases(graph)
    x = normal(graph, 4).data
    assert [len(n.inputs) for n in completed.nodes if n.op == "Conv"] == [3, 3, 3]
    for name, y in graph.run(x).items():
        np.testing.assert_array_equal(completed.run(x)[name], y)


@given(st.integers(0, 1000), st.sampled_from(["normal", "laplace", "uniform"]))
@settings(max_examples=30, deadline=None)
def test_clipped_weights_err_no_more_than_whole_ones(seed: int, law: str) -> None:
    rng = np.random.default_rng(seed)
    weight = getattr(rng, law)(size=(4, 6, 5)).astype(np.float32)
    node = weighted(plain())[0]
    clip = least_error_clip(weight)
    whole, clipped = rounded_weight(node, weight), rounded_weight(node, weight, clip)
    for channel in range(4):
        left, right = (np.square(w[channel] - weight[channel]).sum() for w in (clipped, whole))
        assert left <= right * (1 + 1e-6)
    assert (clip <= np.abs(weight).reshape(4, -1).max(axis=1)).all()


def test_replaying_a_change_equals_running_the_whole_network() -> None:
    graph = residual()
    x = normal(graph, 8).data
    reference = Reference.of(graph, x)
    name = graph.nodes[1].output
    changed = reference.values[name] * np.float32(1.01)
    values = dict(x)
    from trine.edge.quantize.replay import evaluate

    for node in graph.nodes:
        for out, y in zip(node.outputs, evaluate(node, graph, values, {}), strict=True):
            values[out] = changed if out == name else y
    for output, y in reference.outputs_with({name: changed}).items():
        np.testing.assert_array_equal(y, values[output])
        assert noise_ratio(reference.values[output], y) > 0


def test_the_chosen_range_errs_least_of_all_candidates() -> None:
    graph = plain()
    examples = normal(graph, 200)
    examples.data["x"][5] *= 30  # one wild example, as an artefact in a recording
    found = extremes(graph, observed(graph), examples, 64)
    counted = histograms(graph, found, examples, 64)
    calm = {"x": examples.data["x"][100:]}
    choices = choose_ranges(Reference.of(graph, calm), counted)
    for name, choice in choices.items():
        assert choice.candidates[choice.method] == max(choice.candidates.values()), name
        assert choice.range == METHODS[choice.method](counted[name])
    assert choices["x"].method != "minmax"
    assert choices["x"].gain_db > 5


def test_weight_clipping_is_chosen_by_the_output() -> None:
    """Heavy tails gain by clipping, even weights do not."""
    b = Builder((48, 8))
    graph = b.graph(b.conv("x", 4, kernel=5))
    name = weighted(graph)[0].inputs[1]
    rng = np.random.default_rng(0)
    x = normal(graph, 64).data
    for weight, clipped in (
        (rng.standard_t(4, (4, 48, 5)), True),
        (rng.choice([-1, 0, 1], (4, 48, 5)), False),
    ):
        drawn = graph.with_constants({name: weight.astype(np.float32)})
        choice = choose_weight_clips(Reference.of(drawn, x))[name]
        assert (choice.mse_db > choice.max_db) == clipped
        assert (choice.clip is not None) == clipped
        if choice.clip is not None:
            np.testing.assert_array_equal(choice.clip, least_error_clip(drawn.constants[name]))


def test_error_is_judged_before_a_closing_softmax() -> None:
    graph = branches()
    softmax = graph.nodes[-1]
    assert scored(graph).outputs == (softmax.inputs[0],)
    assert scored(plain()).outputs == plain().outputs
