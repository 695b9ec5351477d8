"""Conversion: counts provably those of the quantised network, in every scheme that claims it, on many networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted_nets import KINDS, Builder, beat_like, pooled_by_maximum
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.compilers.graph import Graph
from trine.devices.errors import InputError
from trine.neuromorphic.conversion.code import at_once, evenly, lines_of
from trine.neuromorphic.conversion.convert import (
    ConversionOptions,
    Converted,
    quantise,
    spike,
    whole_numbers,
)
from trine.neuromorphic.conversion.fix import Limits, worst
from trine.neuromorphic.conversion.layers import apply
from trine.neuromorphic.conversion.levels import InputLevels
from trine.neuromorphic.conversion.network_file import load_network, save_network
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork, Synapses
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.conversion.spiking import spiking
from trine.neuromorphic.conversion.walk import layers_of
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.mapping.words import weight_format


def convert(kind: str, seed: int = 0, **options: Any) -> Converted:
    graph, samples = KINDS[kind](seed)
    return spike(quantise(graph, samples, ConversionOptions(**options)))


@pytest.mark.parametrize("kind", KINDS)
def test_layers_compute_what_the_graph_computes(kind: str) -> None:
    graph, samples = KINDS[kind](3)
    net = layers_of(graph)
    values = {k: v.astype(np.float64) for k, v in samples.items()}
    for layer in net.layers:
        if layer.role == "maximum":
            from trine.neuromorphic.conversion.layers import pooled

            values[layer.name] = pooled(layer.terms[0], values[layer.terms[0].source]).max(axis=-1)
            continue
        z = sum(apply(t, values[t.source], layer.shape) for t in layer.terms) + layer.bias
        values[layer.name] = z if layer.role == "readout" else np.clip(z, 0, layer.ceiling)
    np.testing.assert_allclose(values[net.output.name], graph.run(samples)[graph.outputs[0]], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_exact_has_no_differing_count(kind: str, steps: int) -> None:
    made = convert(kind, steps, steps=steps)
    assert made.spiking is not None
    ran = run_spiking(made.spiking, made.network, made.network.encode(made.samples))
    assert ran.differing == 0
    assert ran.values > 0
    assert (ran.spiking == ran.quantised).all()
    fired = [x for x in made.network.layers if x.role == "fire" and ran.layers[x.name].spikes]
    assert fired, "a net without spikes proves nothing"


def test_a_sum_right_on_the_threshold_counts_as_the_formula_says() -> None:
    """S + theta/2 = k theta: floor gives k, and a chip that spikes above the threshold only must give k too."""
    one = np.ones((1, 1), np.int32)
    zero = np.zeros(1, np.int64)
    fire = CountLayer("fire", "a", (1,), (Synapses("x", "dense", 4 * one),), zero, 8, 3, 1.0, "fire")
    read = CountLayer("read", "b", (1,), (Synapses("fire", "dense", one),), zero, 1, None, 1.0, "readout")
    network = QuantisedNetwork("ties", (InputLevels("x", 1.0, 0, 7),), {"x": (1,)}, (fire, read), 3, 8)
    whole = {"x": np.arange(8).reshape(8, 1)}
    assert network.trace(whole)["fire"].ravel().tolist() == [0, 1, 1, 2, 2, 3, 3, 3]
    for scheme, lag in (("exact", 0), ("rate", 2)):
        assert run_spiking(spiking(network, scheme, lag), network, whole).differing == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 8), st.sampled_from(sorted(KINDS)))
def test_exact_is_exact_for_inputs_never_seen_in_calibration(
    seed: int, steps: int, bits: int, kind: str
) -> None:
    made = convert(kind, seed % 7, steps=steps, input_bits=bits)
    assert made.spiking is not None
    rng = np.random.default_rng(seed)
    whole = {
        code.name: rng.integers(code.low, code.high + 1, (4, *made.network.input_shapes[code.name]))
        for code in made.network.inputs
    }
    assert run_spiking(made.spiking, made.network, whole).differing == 0


@pytest.mark.parametrize("kind", ["beat_like", "residual", "image"])
def test_sigma_delta_equals_the_integer_network_and_sends_each_value_once(kind: str) -> None:
    made = convert(kind, 1, scheme="sigma_delta")
    assert made.spiking is not None
    whole = {k: v[:12] for k, v in made.network.encode(made.samples).items()}
    ran = run_spiking(made.spiking, made.network, whole, simulator=define)
    assert ran.differing == 0
    counts = made.network.trace(whole)
    for layer in made.network.layers[:-1]:
        assert ran.events.populations[layer.name].spikes == int((counts[layer.name] != 0).sum())
        assert layer.theta & (layer.theta - 1) == 0


def test_a_rate_net_with_the_longest_lag_is_exact_but_for_rounded_inputs() -> None:
    """With lag T - 1 every spike of a layer waits for all its input: only what comes in counts."""
    made = convert("beat_like", 2, scheme="rate", steps=6, lag=5)
    assert made.spiking is not None
    assert run_spiking(made.spiking, made.network, made.network.encode(made.samples)).differing == 0


def test_rate_comes_closer_with_lag_and_never_fires_more_than_t() -> None:
    shares = []
    for lag in (0, 2, 4):
        made = convert("beat_like", 4, scheme="rate", steps=8, lag=lag)
        assert made.spiking is not None
        whole = made.network.encode(made.samples)
        ran = run_spiking(made.spiking, made.network, whole)
        shares.append(ran.differing / ran.values)
        for layer in made.network.layers[:-1]:
            counted = ran.events.populations[layer.name].spikes_by_neuron
            assert counted is not None
            assert counted.max() <= 8 * len(made.samples["beat"])
    assert shares[0] > shares[1] > shares[2]


def test_the_engine_and_the_definition_agree_on_a_rate_net() -> None:
    made = convert("beat_like", 5, scheme="rate", steps=4)
    assert made.spiking is not None
    whole = {k: v[:6] for k, v in made.network.encode(made.samples).items()}
    a = run_spiking(made.spiking, made.network, whole)
    b = run_spiking(made.spiking, made.network, whole, simulator=define)
    assert (a.membrane == b.membrane).all()
    assert a.events.spikes == b.events.spikes


@given(st.integers(1, 40), st.integers(1, 10), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_lines_carry_every_number_and_trains_have_as_many_spikes(steps: int, bits: int, seed: int) -> None:
    most = (1 << bits) - 1
    code = InputLevels("x", 0.1, -most, most)
    whole = np.random.default_rng(seed).integers(-most, most + 1, (3, 5))
    lines = lines_of(code, steps)
    total = sum(line.sign * (line.digits(whole) << line.shift) for line in lines)
    assert (total == whole).all()
    for line in lines:
        digits = line.digits(whole)
        assert digits.max() <= steps
        for train in (at_once(digits, steps), evenly(digits, steps)):
            assert train.shape == (3, steps, 5)
            assert (train.sum(axis=1) == digits).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_membrane_can_leave_the_chips_bits(kind: str) -> None:
    schemes: tuple[Any, ...] = ("exact", "rate")
    for scheme in schemes:
        if scheme == "rate" and kind == "pooled_by_maximum":
            continue
        options = ConversionOptions(scheme=scheme, steps=8)
        graph, samples = KINDS[kind](6)
        made = quantise(graph, samples, options)
        largest: dict[str, float] = {c.name: float(max(c.high, -c.low)) for c in made.network.inputs}
        for layer in made.network.layers:
            if layer.role != "maximum":
                assert worst(layer, largest) <= options.limits.room
            largest[layer.name] = 8.0
            for s in layer.synapses:
                assert np.abs(s.weight).max() <= 127
                assert 0 <= s.exponent <= 7
    assert Limits(membrane_bits=24).room == 131071


def test_refit_brings_coarse_activations_closer_to_the_trained_ones() -> None:
    errors = {False: 0.0, True: 0.0}
    for seed in range(4):
        graph, samples = beat_like(seed)
        float_answer = graph.run(samples)[graph.outputs[0]]
        for refit in errors:
            made = quantise(graph, samples, ConversionOptions(steps=3, refit=refit))
            answer = made.network.readout(samples) / 64 * made.network.output.unit
            errors[refit] += float(np.square(answer - float_answer).mean() / float_answer.var())
    assert errors[True] < 0.9 * errors[False]


def unsupported() -> Graph:
    b = Builder(0, x=(2, 8))
    x = b.add("Tanh", b.conv("x", 3))
    y = b.add("Sigmoid", b.conv(x, 3))  # behind the other obstacle
    return b.graph(b.gemm(b.flat(b.add("Concat", x, y, axis=0)), 2))


def test_all_unsupported_nodes_are_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        layers_of(unsupported())
    assert "Tanh" in str(error.value)
    assert "Sigmoid" in str(error.value)


def test_weights_that_are_no_numbers_are_refused() -> None:
    graph, _ = beat_like(0)
    name = next(iter(graph.constants))
    bad = graph.constants[name].copy()
    bad.flat[0] = np.nan
    with pytest.raises(InputError, match=f"{name}.*NaN"):
        layers_of(graph.with_constants({name: bad}))


def test_a_layer_that_never_answers_would_have_a_threshold_of_zero() -> None:
    graph, samples = beat_like(0)
    bias = graph.nodes[0].inputs[2]
    with pytest.raises(InputError, match="threshold would be zero"):
        quantise(graph.with_constants({bias: np.full(4, -1e6, np.float32)}), samples, ConversionOptions())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "T is 0"),
        ({"steps": -3}, "T is -3"),
        ({"scheme": "rat"}, "rate"),
        ({"scheme": "rate", "steps": 4, "lag": 4}, "lag is 4"),
        ({"input_bits": 0}, "input_bits"),
        ({"steps": ()}, "T is empty"),
        ({"steps": (8, 0, 4, 4)}, "T is 0"),
        ({"weight_bits": 1}, "0 and -1 only"),
        ({"weight_bits": 10}, "weight_bits is 10"),
        ({"scheme": "sigma_delta", "weight_bits": 9}, "weight_bits is 9"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: str) -> None:
    graph, samples = beat_like(0)
    with pytest.raises(InputError, match=said):
        quantise(graph, samples, ConversionOptions(**options))


@pytest.mark.parametrize("scheme", ["rate", "sigma_delta"])
def test_maximum_pools_are_refused_by_name_before_any_work(scheme: Any) -> None:
    graph, samples = pooled_by_maximum(0)
    with pytest.raises(InputError, match=r"node_maxpool2.*MaxPool.*exact or ttfs"):
        quantise(graph, samples, ConversionOptions(scheme=scheme))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["exact", "rate"])
def test_layers_may_have_a_number_of_steps_each(kind: str, scheme: Any) -> None:
    """*rate* with the longest lag waits for all input, and then has no count wrong either."""
    graph, samples = KINDS[kind](1)
    if scheme == "rate" and kind == "pooled_by_maximum":
        return
    firing = sum(x.role == "fire" for x in layers_of(graph).layers)
    steps = (5, 9, 3, 7)[:firing]
    made = spike(quantise(graph, samples, ConversionOptions(scheme=scheme, steps=steps, lag=max(steps) - 1)))
    assert made.spiking is not None
    assert run_spiking(made.spiking, made.network, made.network.encode(samples)).differing == 0
    levels = [x.levels for x in made.network.layers if x.role == "fire"]
    assert levels == list(steps)


def test_the_wrong_number_of_steps_names_the_layers() -> None:
    graph, samples = beat_like(0)
    with pytest.raises(InputError, match=r"2 numbers.*4 layers that spike: node_conv0, node_conv2"):
        quantise(graph, samples, ConversionOptions(steps=(8, 4)))


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 9])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_of_few_and_of_nine_bits(bits: int, per_channel: bool) -> None:
    for kind in ("beat_like", "residual"):
        made = convert(kind, 2, weight_bits=bits, per_channel=per_channel, input_bits=4)
        assert made.spiking is not None
        most = max(int(np.abs(s.weight).max()) for x in made.network.layers for s in x.synapses)
        assert most <= (1 << (bits - 1)) - 1
        assert made.network.weight_bits == bits
        for (
            p
        ) in made.spiking.net.projections:  # what Loihi holds: even 8 bits of mixed sign, or 8 bits of one
            assert weight_format(p).bits is not None
        assert run_spiking(made.spiking, made.network, made.network.encode(made.samples)).differing == 0


def test_more_weight_bits_come_closer_to_the_levels() -> None:
    errors = []
    for bits in (3, 5, 8):
        graph, samples = beat_like(3)
        made = quantise(graph, samples, ConversionOptions(weight_bits=bits))
        answer = made.network.readout(samples) / 64 * made.network.output.unit
        errors.append(float(np.square(answer - made.levels.run(samples)[made.network.output.name]).mean()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_few_bits_are_rounded_together() -> None:
    """What one weight loses the others make up for: at 4 bits sums stay much nearer than with plain rounding."""
    graph, samples = beat_like(3)
    made = quantise(graph, samples, ConversionOptions(weight_bits=4))
    alone = whole_numbers(replace(made.levels, grams={}), made.options)
    wanted = made.levels.run(samples)[made.network.output.name]
    errors = [
        float(np.square(n.readout(samples) / 64 * n.output.unit - wanted).mean())
        for n in (made.network, alone)
    ]
    assert errors[0] < 0.6 * errors[1]


def uneven(seed: int) -> tuple[Graph, dict[str, Any]]:
    """A network whose channels differ a hundredfold in size, the same function as one whose channels do not."""
    graph, samples = beat_like(seed)
    first, second = graph.nodes[0].inputs[1:3], graph.nodes[2].inputs[1]
    factor = np.array([1.0, 0.3, 0.1, 0.01], np.float32)
    c = graph.constants
    return graph.with_constants({
        first[0]: c[first[0]] * factor[:, None, None], first[1]: c[first[1]] * factor,
        second: c[second] / factor[None, :, None],
    }), samples  # fmt: skip


def test_scales_of_channels_save_channels_of_different_size() -> None:
    errors = {False: 0.0, True: 0.0}
    for seed in (5, 6, 7):
        graph, samples = uneven(seed)
        wanted = graph.run(samples)[graph.outputs[0]]
        for per_channel in errors:
            made = quantise(graph, samples, ConversionOptions(per_channel=per_channel, refit=False))
            answer = made.network.readout(samples) / 64 * made.network.output.unit
            errors[per_channel] += float(np.square(answer - wanted).mean() / wanted.var())
    assert errors[True] < 0.6 * errors[False]


@pytest.mark.parametrize("scheme", ["exact", "rate", "sigma_delta"])
def test_a_layer_has_at_most_eight_thresholds(scheme: Any) -> None:
    graph, samples = uneven(5)
    made = spike(quantise(graph, samples, ConversionOptions(scheme=scheme, per_channel=True)))
    assert made.spiking is not None
    ran = run_spiking(made.spiking, made.network, made.network.encode(samples))
    assert scheme == "rate" or ran.differing == 0
    different = [len(np.unique(x.thresholds)) for x in made.network.layers if x.role == "fire"]
    assert 1 < max(different) <= 8


def test_a_network_with_octaves_is_kept_whole_in_its_file(tmp_path: Path) -> None:
    graph, samples = uneven(5)
    made = quantise(graph, samples, ConversionOptions(per_channel=True, steps=(5, 4, 6, 3)))
    save_network(made.network, tmp_path / "quantised.npz")
    again = load_network(tmp_path / "quantised.npz")
    assert any(x.octaves for x in again.layers)
    assert [x.octaves for x in again.layers] == [x.octaves for x in made.network.layers]
    assert [x.levels for x in again.layers] == [x.levels for x in made.network.layers]
    assert (again.readout(made.samples) == made.network.readout(made.samples)).all()
