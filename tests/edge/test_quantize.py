"""The quantiser from end to end: quality, decisions, receipts, determinism."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from quantize_samples import (
    Builder,
    InMemory,
    badly_scaled,
    branches,
    depthwise,
    normal,
    plain,
    residual,
)

from trine.compilers.graph import Graph
from trine.devices.errors import InputError
from trine.edge.quantize import LayerReceipt, Quantized, quantize
from trine.edge.quantize.quantize import Plan, Trials
from trine.edge.quantize.receipt import suggestion
from trine.edge.quantize.replay import decibels, output_noise

# dB of the network's output on fresh examples; 8-bit weights and activations give about 30 to 40.
MAKERS = [(plain, 28), (depthwise, 26), (residual, 26), (branches, 26)]


def fresh_sqnr(graph: Graph, quantized: Quantized) -> float:
    x = normal(graph, 256, seed=99).data
    return decibels(output_noise(graph.run(x), quantized.program.run_float(x)))


@pytest.mark.parametrize(("make", "least_db"), MAKERS)
def test_the_program_is_near_the_network_on_fresh_examples(
    make: Callable[[int], Graph], least_db: int
) -> None:
    graph = make(0)
    quantized = quantize(graph, normal(graph, 300))
    assert quantized.program.outputs == graph.outputs
    assert fresh_sqnr(graph, quantized) > least_db
    assert quantized.sqnr_db == pytest.approx(fresh_sqnr(graph, quantized), abs=3)


def test_equalisation_is_kept_when_it_rescues() -> None:
    graph = badly_scaled(depthwise(1), 1000)
    decision = next(
        d for d in quantize(graph, normal(graph, 200)).decisions if d.name == "cross-layer equalisation"
    )
    assert decision.kept
    assert decision.with_db - decision.without_db > 10


def test_every_decision_is_by_its_two_numbers_and_some_are_refusals() -> None:
    kept, refused = 0, 0
    for make, _ in MAKERS:
        for seed in range(2):
            quantized = quantize(make(seed), normal(make(seed), 140))
            assert quantized.decisions
            standing = quantized.decisions[0].without_db
            for decision in quantized.decisions:
                assert decision.kept == (decision.with_db > decision.without_db)
                assert decision.without_db == standing
                standing = decision.with_db if decision.kept else standing
            assert quantized.scores_db == standing
            kept += sum(d.kept for d in quantized.decisions)
            refused += sum(not d.kept for d in quantized.decisions)
    assert kept > 0
    assert refused > 0


def test_a_refinement_that_does_harm_is_refused() -> None:
    """Biases corrected for other data than the network meets: the held-out examples tell."""
    graph = plain()
    held = normal(graph, 100).data
    ranges = dict.fromkeys(("x", "relu_1.y", "relu_3.y", "globalaveragepool_4.y", "gemm_6.y"), (-8.0, 8.0))
    trials = Trials.start(Plan(graph, ranges), "exact", held)
    before = trials.lowered
    bias = graph.nodes[0].inputs[2]
    harmful = graph.with_constants({bias: graph.constants[bias] + np.float32(0.3)})
    assert not trials.consider("bias correction", replace(trials.plan, graph=harmful), "shifted")
    assert trials.lowered is before
    assert trials.decisions[0].with_db < trials.decisions[0].without_db


def test_a_refinement_that_cannot_be_lowered_is_refused_with_the_reason() -> None:
    graph = plain()
    held = normal(graph, 8).data
    ranges = dict.fromkeys(("x", "relu_1.y", "relu_3.y", "globalaveragepool_4.y", "gemm_6.y"), (-8.0, 8.0))
    trials = Trials.start(Plan(graph, ranges), "exact", held)
    impossible = {**ranges, "relu_1.y": (0.0, 1e-20)}
    assert not trials.consider("ranges", replace(trials.plan, ranges=impossible), "far too narrow")
    assert "int32" in trials.decisions[0].detail


def test_two_runs_and_two_batch_sizes_agree_bit_for_bit() -> None:
    graph = residual()
    first, second = (quantize(graph, normal(graph, 150)) for _ in range(2))
    other = quantize(graph, normal(graph, 150), batch=150)
    text = json.dumps(first.as_json())
    assert text == json.dumps(second.as_json())
    for one in (second, other):
        for a, b in zip(first.program.steps, one.program.steps, strict=True):
            for name, value in a.constants.items():
                np.testing.assert_array_equal(value, b.constants[name])
        assert first.program.tensors == one.program.tensors


@pytest.mark.parametrize(("make", "least_db"), MAKERS)
def test_receipts_cover_every_step_and_share_out_the_error(
    make: Callable[[int], Graph], least_db: int
) -> None:
    graph = make(1)
    quantized = quantize(graph, normal(graph, 150))
    steps = [step.name for step in quantized.program.steps]
    assert [r.layer for r in quantized.receipts] == [*quantized.program.inputs, *steps]
    assert sum(r.share for r in quantized.receipts) == pytest.approx(1)
    for receipt in quantized.receipts:
        tensor = quantized.program.tensors[receipt.output]
        assert receipt.low <= 0 <= receipt.high
        assert (receipt.scale, receipt.zero_point) == (float(tensor.scale), tensor.zero_point)
        assert receipt.own_sqnr_db > least_db
        assert 0 <= receipt.clipped < 0.02
        assert receipt.nudged <= receipt.channels
    by_name = {r.layer: r for r in quantized.receipts}
    assert by_name["conv_0"].weight_scale_min is not None
    json.dumps(quantized.as_json(), allow_nan=False)


def test_the_receipt_points_at_the_layer_that_does_the_damage() -> None:
    """Weights of one layer that eight bits hold badly: one huge weight a channel, on an input that is always
    small.
    """
    graph = plain()
    name = graph.nodes[2].inputs[1]
    weight = graph.constants[name].copy()
    weight[:, 0, 0] *= 400
    wide = graph.with_constants({name: weight, graph.nodes[0].inputs[1]: damped(graph)})
    quantized = quantize(wide, normal(graph, 150))
    worst = max(quantized.receipts, key=lambda r: r.share)
    assert worst.layer in ("conv_2", "conv_0")
    assert worst.share > 0.5
    assert worst.suggestion is not None
    assert worst.layer in worst.suggestion


def damped(graph: Graph) -> np.ndarray:
    weight = graph.constants[graph.nodes[0].inputs[1]].copy()
    weight[0] *= 1e-3
    return weight


def test_suggestions_follow_the_cause() -> None:
    graph = plain()
    receipt = next(r for r in quantize(graph, normal(graph, 130)).receipts if r.kernel == "conv")
    assert "5.00% of its values exceed" in suggestion(replace(receipt, clipped=0.05))
    uneven = replace(receipt, clipped=0.0, weight_scale_min=1e-4, weight_scale_max=1.0)
    assert "10000 times" in suggestion(uneven)
    assert "fine-tune" in suggestion(
        replace(receipt, clipped=0.0, weight_scale_min=1.0, weight_scale_max=1.0)
    )
    assert "input" in suggestion(replace(receipt, kernel="quantize"))


def test_infinite_ratios_are_plain_in_json() -> None:
    receipt = LayerReceipt(
        "a", "reshape", "a", 0, 1, "shared", 0.1, 0, None, None, None, 30.0, np.inf, 0, 0, 0, 0
    )
    assert receipt.as_json()["own_sqnr_db"] is None


def test_tflite_rounding_is_quantised_too() -> None:
    graph = plain()
    quantized = quantize(graph, normal(graph, 150), requantize="tflite")
    assert quantized.program.requantize == "tflite"
    assert fresh_sqnr(graph, quantized) > 28


def test_few_examples_serve_both_ways_and_the_note_says_so() -> None:
    graph = plain()
    assert "too few to hold any back" in quantize(graph, normal(graph, 20)).notes[1]
    assert "others" in quantize(graph, normal(graph, 200)).notes[1]


def test_progress_ends_at_the_number_of_examples() -> None:
    graph = plain()
    seen: list[tuple[str, int, int]] = []
    quantize(graph, normal(graph, 130), progress=lambda *step: seen.append(step))
    assert {stage for stage, _, _ in seen} == {"ranges", "histograms", "choosing"}
    assert [done for stage, done, _ in seen if stage == "ranges"] == [64, 128, 130]


def test_bad_calibration_data_is_an_input_error() -> None:
    graph = plain()
    with pytest.raises(InputError, match="empty"):
        quantize(graph, InMemory({"x": np.zeros((0, 3, 32), np.float32)}))


def test_a_network_with_a_dead_layer_is_quantised() -> None:
    """All-zero weights, and a Relu that never opens: ranges of nothing."""
    b = Builder((3, 16))
    x = b.conv("x", 4)
    dead = b.add("Relu", b.conv(b.add("Relu", x), 4))
    graph = b.graph(b.gemm(b.flatten(dead), 3))
    names = graph.nodes[2].inputs
    graph = graph.with_constants(
        {names[1]: graph.constants[names[1]] * 0, names[2]: np.full(4, -1, np.float32)}
    )
    quantized = quantize(graph, normal(graph, 130))
    x = normal(graph, 8).data
    for name, y in quantized.program.run_float(x).items():
        np.testing.assert_allclose(y, graph.run(x)[name], atol=0.02)
