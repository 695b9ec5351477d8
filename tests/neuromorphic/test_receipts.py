"""Receipts: what each lowering step did to each layer, and where a network begins to go wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from converted_nets import KINDS, beat_like

from trine.neuromorphic.conversion.convert import ConversionOptions, Converted, quantise, spike
from trine.neuromorphic.conversion.receipts import STAGES, Receipts, receipts

pytest.importorskip("numba", reason="the native engine needs numba: pip install 'trine[neuromorphic]'")


def convert(kind: str, seed: int, **options: Any) -> Converted:
    graph, samples = KINDS[kind](seed)
    return spike(quantise(graph, samples, ConversionOptions(**options)))


def receipts_of(made: Converted) -> Receipts:
    labels = made.graph.run(made.samples)[made.graph.outputs[0]].argmax(axis=1)
    return receipts(made, made.samples, labels)


def broken(made: Converted, layer: int, **changes: Any) -> Converted:
    """The same network with one layer of whole numbers changed."""
    layers = list(made.network.layers)
    layers[layer] = replace(layers[layer], **changes)
    return spike(replace(made, network=replace(made.network, layers=tuple(layers))))


@pytest.mark.parametrize("at", range(4))
def test_a_threshold_far_too_high_is_found_at_its_layer(at: int) -> None:
    graph, samples = beat_like(9)
    made = quantise(graph, samples, ConversionOptions())
    layer = made.network.layers[at]
    found = receipts_of(broken(made, at, theta=40 * layer.theta))
    falls = [w for w in found.warnings if "to another class" in w]
    assert len(falls) == 1, found.warnings
    assert f"layer {layer.name} in step integers" in falls[0]
    assert any(w.startswith(f"layer {layer.name} is silent") for w in found.warnings)


def test_one_class_is_found_at_the_layer_where_it_begins() -> None:
    graph, samples = beat_like(9)
    made = quantise(graph, samples, ConversionOptions())
    layer = made.network.layers[3]
    found = receipts_of(broken(made, 3, theta=40 * layer.theta)).warnings
    assert any(
        f"layer {layer.name}" in w and "from here on every example is in one class" in w for w in found
    )
    assert "step integers puts every example in one class" in found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["exact", "ttfs"])
def test_spikes_of_real_weights_are_the_levels_where_time_costs_nothing(kind: str, scheme: str) -> None:
    found = receipts_of(convert(kind, 4, scheme=scheme, steps=5))
    rows = [r for r in found.layers if r.stage == "spiking_float"]
    assert rows
    assert all(r.differing is not None and r.differing < 0.005 for r in rows)  # float sums in another order


def test_rate_loses_to_timing_in_the_step_that_has_it() -> None:
    apart = {}
    for lag in (0, 5):
        found = receipts_of(convert("beat_like", 8, scheme="rate", steps=6, lag=lag))
        by = {(r.layer, r.stage): r for r in found.layers}
        deep = found.layers[-1].layer
        apart[lag] = by[deep, "spiking_float"].differing or 0.0
    assert apart[0] > 0.02 > apart[5]


def test_outcomes_are_those_of_the_network_lowered_so_far() -> None:
    found = receipts_of(convert("beat_like", 8, scheme="rate", steps=6))
    assert [s.stage for s in found.stages] == list(STAGES)
    assert found.stages[0].accuracy == 1.0
    by = {(r.layer, r.stage): r.outcome for r in found.layers}
    for stage in found.stages[1:]:
        last = by[found.layers[-1].layer, stage.stage]
        assert last is not None
        assert stage.accuracy == pytest.approx(stage.agreement)  # the labels are the float network's classes
        assert last.agreement == pytest.approx(
            stage.agreement, abs=0.05
        )  # only the readout is still in float
        assert last.accuracy == last.agreement
    assert by[found.layers[0].layer, "float"] is None


def test_labels_are_optional_and_a_sound_network_gets_no_warning() -> None:
    made = convert("beat_like", 9)
    found = receipts(made, made.samples)
    assert found.stages[-1].accuracy is None
    assert found.warnings == ()


def test_graded_messages_have_no_timing_step() -> None:
    found = receipts_of(convert("beat_like", 8, scheme="sigma_delta"))
    assert [s.stage for s in found.stages] == ["float", "levels", "integers", "spiking"]


def test_channels_with_scales_of_their_own_are_compared_with_the_same_activations() -> None:
    found = receipts_of(convert("beat_like", 2, per_channel=True))
    assert max(r.error for r in found.layers if r.stage == "levels") < 0.3
    assert found.stages[-1].agreement > 0.9
