"""Moments, sequential MSE, AdaRound and sensitivities: each against what it is defined by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_samples import ranges_of
from quantize_samples import Builder, depthwise, normal, plain, residual

from trine.compilers.graph import Array, Graph, Node
from trine.compilers.operators import operators
from trine.edge.fusing import observed
from trine.edge.lowbit import are_codes, scales_of, to_codes
from trine.edge.lower import lower
from trine.edge.quantize import quantize
from trine.edge.quantize.adaround import Levels, adapt, adaround, descend
from trine.edge.quantize.bias import channel_means, with_biases
from trine.edge.quantize.layers import by_channel, least_error_clips, packable, rounded_weights
from trine.edge.quantize.moments import Layer, layer_of, patches
from trine.edge.quantize.replay import Reference, output_noise
from trine.edge.quantize.sensitivity import sensitivity
from trine.edge.quantize.sequential import best_clip, fractions, sequential_mse
from trine.edge.weights import quantize_weight

LOW = [4, 2]


def random_conv(seed: int, rank: int, group: int) -> tuple[Node, Array, Array]:
    """(node, weight, input [n, channels, *spatial]) of a drawn geometry."""
    rng = np.random.default_rng(seed)
    kernel = tuple(int(k) for k in rng.integers(1, 4, rank))
    attributes = {
        "group": group, "strides": tuple(int(s) for s in rng.integers(1, 3, rank)),
        "dilations": tuple(int(d) for d in rng.integers(1, 3, rank)),
        "pads": tuple(int(p) for p in rng.integers(0, 3, 2 * rank)),
    }  # fmt: skip
    weight = rng.normal(size=(2 * group, 3, *kernel)).astype(np.float32)
    x = rng.normal(size=(4, 3 * group, *([9] * rank))).astype(np.float32)
    return Node("Conv", "c", ("x", "w"), ("y",), attributes), weight, x


@given(seed=st.integers(0, 500), rank=st.integers(1, 2), group=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_patches_times_weights_are_the_convolution(seed: int, rank: int, group: int) -> None:
    node, weight, x = random_conv(seed, rank, group)
    (wanted,) = operators()["Conv"].run(node, [x, weight])
    windows = patches(node, x, weight)
    rows = weight.reshape(group, 2, -1)
    made = np.einsum("wgt,got->wgo", windows, rows).reshape(len(x), -1, 2 * group)
    np.testing.assert_allclose(made, wanted.reshape(*wanted.shape[:2], -1).swapaxes(1, 2), atol=1e-4)


def a_layer(seed: int = 0, taps: int = 12, channels: int = 6) -> tuple[Layer, Array, Array, Array]:
    """A dense layer with correlated inputs: (layer, weight, exact inputs, quantised inputs)."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(500, taps)) @ rng.normal(size=(taps, taps))).astype(np.float32)
    z = (np.rint(x * 4) / 4).astype(np.float32)
    weight = rng.normal(0, 0.5, (channels, taps)).astype(np.float32)
    return layer_of(Node("Gemm", "g", ("x", "w", "b"), ("y",)), weight, x, z, True), weight, x, z


def output_error(weight: Array, rounded: Array, x: Array, z: Array) -> float:
    """Mean squared error of the centred outputs, summed over channels."""
    off = x @ weight.T - z @ rounded.T
    return float(((off - off.mean(axis=0)) ** 2).mean(axis=0).sum())


@given(seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_moments_give_the_error_of_the_output(seed: int) -> None:
    layer, weight, x, z = a_layer(seed)
    rng = np.random.default_rng(seed)
    errors, predicted = [], []
    for _ in range(3):
        v = (weight + rng.normal(0, 0.1, weight.shape)).astype(np.float64)
        errors.append(output_error(weight, v, x, z))
        predicted.append(float(np.trace(v @ layer.own[0] @ v.T) - 2 * (layer.aim[0] * v).sum()))
    # Equal up to a constant, and the damping of a thousandth.
    np.testing.assert_allclose(np.diff(predicted), np.diff(errors), rtol=0.05, atol=0.02 * max(errors))


def objective(layer: Layer, real: Array) -> float:
    """What rounding minimises."""
    return float(((real @ layer.own) * real).sum() - 2 * (layer.aim * real).sum())


@pytest.mark.parametrize("bits", LOW)
@given(seed=st.integers(0, 60))
@settings(max_examples=8, deadline=None)
def test_descent_never_harms_and_ends_where_no_single_move_helps(bits: int, seed: int) -> None:
    layer, *_ = a_layer(seed, taps=6, channels=2)
    clip, real = best_clip(layer, bits)
    levels = Levels.of(layer, clip, bits)
    nearest = np.rint(real / levels.step - levels.offset)
    np.testing.assert_allclose(levels.real(nearest), real, rtol=1e-5, atol=1e-7)
    found = descend(layer, levels, nearest)
    assert objective(layer, levels.real(found)) <= objective(layer, real) + 1e-9
    for i in range(found.size):
        for level in range(levels.least, levels.most + 1):
            other = found.copy()
            other.flat[i] = level
            assert objective(layer, levels.real(other)) >= objective(layer, levels.real(found)) - 1e-9


@pytest.mark.parametrize("bits", LOW)
def test_adaptive_rounding_beats_the_nearest(bits: int) -> None:
    better = []
    for seed in range(6):
        _, weight, x, _ = a_layer(seed, taps=24, channels=8)
        layer = layer_of(Node("Gemm", "g", ("x", "w", "b"), ("y",)), weight, x, x, True)
        clip, nearest = best_clip(layer, bits)
        levels = Levels.of(layer, clip, bits)
        level = adapt(layer, levels)
        up_or_down = np.abs(level - (layer.weight / levels.step - levels.offset))
        inside = (level > levels.least) & (level < levels.most)
        assert (up_or_down[inside] < 1).all(), "every weight goes to one of its neighbours"
        better.append(
            output_error(weight, nearest[0], x, x) / output_error(weight, levels.real(level)[0], x, x)
        )
    assert np.median(better) > 1.3


@pytest.mark.parametrize("bits", LOW)
def test_the_clip_is_the_best_of_those_tried(bits: int) -> None:
    layer, weight, _, _ = a_layer(3)
    clip, real = best_clip(layer, bits)
    least = layer.error(real)[0]
    for fraction in fractions(bits):
        tried = (np.abs(weight).max(axis=1) * fraction).astype(np.float32)
        scale = scales_of(weight, bits, tried)[:, None]
        assert (least <= layer.error((to_codes(weight / scale, bits) * scale)[None])[0] * 1.0001).all()
    np.testing.assert_allclose(
        quantize_weight(weight, clip, bits)[0] * scales_of(weight, bits, clip)[:, None], real[0], rtol=1e-5
    )


def parts(
    graph: Graph, bits: int, seed: int = 1
) -> tuple[Reference, dict[str, tuple[float, float]], dict[str, int]]:
    """(the float network on examples, its ranges, the width of each weight)."""
    graph = with_biases(graph)
    x = normal(graph, 200, seed).data
    reference = Reference.of(graph, x)
    widths = {node.inputs[1]: bits for node in packable(graph)}
    return reference, {n: r for n, r in ranges_of(graph, x).items() if n in observed(graph)}, widths


@pytest.mark.parametrize("make", [plain, depthwise, residual])
@pytest.mark.parametrize("bits", LOW)
def test_what_is_recovered_lies_on_the_grid_and_is_nearer(make: Callable[[int], Graph], bits: int) -> None:
    reference, ranges, widths = parts(make(2), bits)
    graph, chosen = reference.graph, frozenset(widths)
    clips = least_error_clips(graph, widths)
    first = lower(graph, ranges, weight_clip=clips, weight_bits=widths).program
    weights = rounded_weights(graph, clips, widths)
    found, better = sequential_mse(reference, first, weights, widths, chosen)
    made = adaround(reference, first, weights, better, widths, chosen)
    last = lower(made, ranges, weight_clip=better, weight_bits=widths)
    fresh = normal(graph, 200, 7).data  # of the same kind, not those it was derived from
    exact = graph.run(fresh)
    before, between, after = (
        output_noise(exact, program.run_float(fresh))
        for program in (
            first,
            lower(found, ranges, weight_clip=better, weight_bits=widths).program,
            last.program,
        )
    )
    assert after < before
    assert after < 1.1 * between
    rounded = rounded_weights(made, better, widths)
    for node in packable(made):
        name = node.inputs[1]
        np.testing.assert_allclose(rounded[name], made.constants[name], rtol=1e-4, atol=1e-7)
    assert all(are_codes(s.constants["weight"], bits) for s in last.program.steps if "weight" in s.constants)


def test_layers_between_keep_their_weights() -> None:
    reference, ranges, widths = parts(plain(), 4)
    one = frozenset(sorted(widths)[:1])
    only = dict.fromkeys(one, 4)
    clips = least_error_clips(reference.graph, only)
    program = lower(reference.graph, ranges, weight_clip=clips, weight_bits=only).program
    weights = rounded_weights(reference.graph, clips, only)
    made = adaround(reference, program, weights, clips, only, one)
    for node in packable(made):
        same = np.array_equal(made.constants[node.inputs[1]], reference.graph.constants[node.inputs[1]])
        assert same == (node.inputs[1] not in one)


def test_the_bias_takes_the_mean_of_the_error() -> None:
    b = Builder((5,))
    graph = with_biases(b.graph(b.gemm("x", 4)))
    reference, ranges, widths = parts(graph, 2)
    clips = least_error_clips(graph, widths)
    program = lower(graph, ranges, weight_clip=clips, weight_bits=widths).program
    made = adaround(reference, program, {}, clips, widths, frozenset(widths))
    x = {
        n: program.tensors[n].dequantize(program.tensors[n].quantize(v)) for n, v in reference.samples.items()
    }
    exact, found = reference.outputs, made.run(x)
    for name in exact:
        np.testing.assert_allclose(channel_means(found[name]), channel_means(exact[name]), atol=1e-4)


@pytest.mark.parametrize("bits", LOW)
def test_quantize_judges_recovery_like_every_refinement(bits: int) -> None:
    graph = plain(4)
    examples = normal(graph, 400)
    widths = {node.inputs[1]: bits for node in packable(graph)}
    made = quantize(graph, examples, weight_bits=widths)
    names = [d.name for d in made.decisions]
    assert {"sequential MSE", "AdaRound"} <= set(names)
    assert all(d.kept == (d.with_db > d.without_db) for d in made.decisions)
    assert made.sqnr_db > quantize_without_recovery(graph, widths)
    assert {r.weight_bits for r in made.receipts if r.weight_bits is not None} == {bits}
    again = quantize(graph, examples, weight_bits=widths)
    for a, b in zip(made.program.steps, again.program.steps, strict=True):
        for name, value in a.constants.items():
            np.testing.assert_array_equal(value, b.constants[name])


def quantize_without_recovery(graph: Graph, widths: dict[str, int]) -> float:
    """dB of rounding to the nearest with the clips of least weight error."""
    x = normal(graph, 400).data
    ranges = {n: r for n, r in ranges_of(graph, x).items() if n in observed(graph)}
    program = lower(graph, ranges, weight_clip=least_error_clips(graph, widths), weight_bits=widths).program
    return float(-10 * np.log10(output_noise(graph.run(x), program.run_float(x))))


def test_sensitivity_falls_with_bits_and_is_that_of_one_layer() -> None:
    graph = residual(3)
    found = sensitivity(graph, normal(graph, 300), (8, 4, 2))
    assert set(found) == {node.inputs[1] for node in packable(graph)}
    for noises in found.values():
        assert noises[8] < noises[4] < noises[2]
    eight = [noises[8] for noises in found.values()]
    assert max(eight) < 1e-3


def test_shared_and_stored_weights_keep_8_bits() -> None:
    b = Builder((4, 16))
    x = b.add("Relu", b.conv("x", 4))
    shared = b.nodes[0].inputs[1:]
    y = b.add("Conv", x, *shared, strides=(1,), dilations=(1,), pads=(1, 1), group=1)
    graph = b.graph(b.conv(b.add("Relu", y), 4))
    assert [node.name for node in packable(graph)] == [graph.nodes[-1].name]
    weight = graph.constants[graph.nodes[-1].inputs[1]]
    assert by_channel(graph.nodes[-1], weight).shape == weight.shape
