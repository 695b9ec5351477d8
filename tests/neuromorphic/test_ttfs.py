"""Time to first spike: one spike a neuron at most, and its time is the quantised network's count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from converted_nets import KINDS, beat_like, pooled_by_maximum
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.devices.errors import InputError
from trine.neuromorphic.backends import lava, lava_environment
from trine.neuromorphic.conversion.code import first_counts, first_spikes
from trine.neuromorphic.conversion.convert import ConversionOptions, Converted, quantise, spike
from trine.neuromorphic.conversion.running import Run, run_spiking
from trine.neuromorphic.engine.definition import define
from trine.neuromorphic.net import INPUT, Population, Projection, SpikingNet

pytest.importorskip("numba", reason="the native engine needs numba: pip install 'trine[neuromorphic]'")


def convert(kind: str, seed: int = 0, **options: Any) -> Converted:
    graph, samples = KINDS[kind](seed)
    return spike(quantise(graph, samples, ConversionOptions(scheme="ttfs", **options)))


def ran(made: Converted) -> Run:
    assert made.spiking is not None
    return run_spiking(made.spiking, made.network, made.network.encode(made.samples))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_no_count_differs_and_no_neuron_spikes_twice(kind: str, steps: int) -> None:
    made = convert(kind, steps, steps=steps)
    found = ran(made)
    assert found.differing == 0
    examples = found.events.examples
    for layer in made.network.layers[:-1]:
        spikes = found.events.populations[layer.name].spikes_by_neuron
        assert spikes is not None
        assert spikes.max() <= examples
    assert any(found.events.populations[x.name].spikes for x in made.network.layers[:-1])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 8), st.sampled_from(sorted(KINDS)))
def test_exact_for_inputs_never_seen_in_calibration(seed: int, steps: int, bits: int, kind: str) -> None:
    made = convert(kind, seed % 5, steps=steps, input_bits=bits)
    assert made.spiking is not None
    rng = np.random.default_rng(seed)
    whole = {
        code.name: rng.integers(code.low, code.high + 1, (4, *made.network.input_shapes[code.name]))
        for code in made.network.inputs
    }
    assert run_spiking(made.spiking, made.network, whole).differing == 0


@pytest.mark.parametrize("steps", [(5, 9, 3, 7), (2, 8, 8, 1)])
def test_windows_of_different_length_end_together(steps: tuple[int, ...]) -> None:
    for kind in ("beat_like", "residual"):
        assert ran(convert(kind, 1, steps=steps)).differing == 0


def test_engine_and_definition_agree() -> None:
    made = convert("beat_like", 5, steps=4)
    assert made.spiking is not None
    whole = {k: v[:6] for k, v in made.network.encode(made.samples).items()}
    a = run_spiking(made.spiking, made.network, whole)
    b = run_spiking(made.spiking, made.network, whole, simulator=define)
    assert (a.membrane == b.membrane).all()
    assert a.events.spikes == b.events.spikes


def test_fewer_spikes_than_counts() -> None:
    graph, samples = beat_like(2)
    exact = spike(quantise(graph, samples, ConversionOptions(steps=8)))
    assert ran(convert("beat_like", 2)).events.spikes < 0.7 * ran(exact).events.spikes


@given(st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_time_of_a_spike_is_its_count(steps: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, steps + 1, (3, 5))
    trains = first_spikes(counts, steps)
    assert (trains.sum(axis=1) == (counts > 0)).all()
    assert (first_counts(trains) == counts).all()


def test_a_second_spike_is_seen() -> None:
    trains = first_spikes(np.array([[3, 0]]), 5)
    trains[0, 4, 0] = 1
    assert first_counts(trains).tolist() == [[-1, 0]]


def test_a_spike_out_of_its_window_counts_as_a_difference() -> None:
    made = convert("beat_like", 3)
    assert made.spiking is not None

    def late(*args: Any, **kwargs: Any) -> Any:
        from trine.neuromorphic.engine import run

        result = run(*args, **kwargs)
        result.probes[made.network.layers[0].name]["spikes"][:, -1, 0, 0] = 1
        return result

    whole = made.network.encode(made.samples)
    assert run_spiking(made.spiking, made.network, whole, simulator=late).differing == len(
        made.samples["beat"]
    )


def test_long_pools_are_refused_by_name() -> None:
    graph, samples = pooled_by_maximum(0)
    with pytest.raises(InputError, match=r"node_maxpool2.*at most 63"):
        quantise(graph, samples, ConversionOptions(scheme="ttfs", steps=64))


@pytest.mark.skipif(
    not lava_environment.doctor()["ok"], reason="lava's environment is absent: trine lava setup"
)
def test_lavas_slowest_current_adds_weight_times_time_left() -> None:
    """lava has no current without decay; with its slowest (1/4096 a step) a membrane comes as close as that allows."""
    steps, rng = 8, np.random.default_rng(3)
    weight = 2 * rng.integers(-60, 60, (5, 12))
    net = SpikingNet(
        "held", 1e-3,
        (Population("in", INPUT, (12,)), Population("out", "LI", (5,), {"du": 0, "dv": 0}, "none")),
        (Projection("w", "in", "out", "dense", weight.astype(np.int32)),), ("in",), ("out",), "lava",
    )  # fmt: skip
    counts = rng.integers(0, steps + 1, (1, 12))
    trains = first_spikes(counts, steps)
    found = lava.run(net, {"in": trains}, steps + 1, {"out": ("v",)}).probes["out"]["v"][:, -1]
    assert (found == define(net, {"in": trains}, steps + 1, {"out": ("v",)}).probes["out"]["v"][:, -1]).all()
    whole = (counts @ weight.T) << 6
    lost = steps * (steps + 1) // 2 * (1 + (np.abs(weight).sum(axis=1) << 6) / 4096)
    assert (np.abs(found - whole) <= lost).all()
    assert (found != whole).any()
