"""Fine-tuning through the integers: the torch network is the program, and training brings it nearer to float."""

from __future__ import annotations

import numpy as np
import pytest
from program_samples import ranges_of
from quantize_samples import Builder, depthwise, normal, plain, residual

from trine.compilers.graph import Graph
from trine.devices.errors import InputError
from trine.edge.fusing import observed
from trine.edge.qat import Tuning, fine_tune
from trine.edge.qat.network import FakeQuantized
from trine.edge.qat.train import with_all_clips
from trine.edge.quantize import quantize
from trine.edge.quantize.bias import with_biases
from trine.edge.quantize.layers import least_error_clips, packable
from trine.edge.quantize.quantize import Plan

torch = pytest.importorskip("torch")


def planned(graph: Graph, bits: int, count: int = 400) -> tuple[Plan, dict[str, np.ndarray]]:
    """(how the quantiser would have it, the examples)."""
    examples = normal(graph, count)
    widths = {node.inputs[1]: bits for node in packable(graph)}
    plan = quantize(graph, examples, weight_bits=widths).plan
    assert plan is not None
    return plan, examples.data


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("make", [plain, depthwise, residual])
def test_the_torch_network_is_the_program(make: object, bits: int) -> None:
    """The same value but where float32 sums fall on the other side of a tie: one step, seldom."""
    plan, x = planned(make(1), bits, 200)  # type: ignore[operator]
    plan = with_all_clips(plan)
    program = plan.lower("exact").program
    network = FakeQuantized(plan.graph, program.tensors, plan.clips, plan.bits)
    with torch.no_grad():
        found = network.run({n: torch.from_numpy(v) for n, v in x.items()})
    for name, wanted in program.run_float(x).items():
        steps = np.abs(found[name].numpy() - wanted) / program.tensors[name].scale
        assert steps.max() <= 3.01
        assert (steps > 0.01).mean() < 0.03


def test_gradients_pass_inside_the_range_and_stop_outside() -> None:
    plan, x = planned(plain(1), 4, 200)
    plan = with_all_clips(plan)
    network = FakeQuantized(plan.graph, plan.lower("exact").program.tensors, plan.clips, plan.bits)
    answers = network.run({n: torch.from_numpy(v[:32]) for n, v in x.items()})
    next(iter(answers.values())).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters.values())
    assert all(p.grad.abs().sum() > 0 for p in network.parameters.values())


def test_training_brings_two_bits_nearer_and_repeats() -> None:
    graph = with_biases(plain(3))
    x = normal(graph, 400).data
    widths = {node.inputs[1]: 2 for node in packable(graph)}
    ranges = {n: r for n, r in ranges_of(graph, x).items() if n in observed(graph)}
    plan = Plan(graph, ranges, least_error_clips(graph, widths), widths)  # to the nearest, nothing recovered
    tuning = Tuning(epochs=8, batch=32, rate=0.02)
    first = fine_tune(graph, plan, x, tuning=tuning)
    assert first.kept
    assert first.after < 0.8 * first.before
    again = fine_tune(graph, plan, x, tuning=tuning)
    for a, b in zip(first.lowered.program.steps, again.lowered.program.steps, strict=True):
        for name, value in a.constants.items():
            np.testing.assert_array_equal(value, b.constants[name])


def test_training_that_harms_is_not_kept() -> None:
    graph = plain(3)
    plan, x = planned(graph, 8, 200)
    tuned = fine_tune(graph, plan, x, tuning=Tuning(epochs=1, rate=50.0))
    assert not tuned.kept
    assert tuned.plan.graph is plan.graph


def test_what_cannot_be_trained_is_named() -> None:
    b = Builder((4, 16))
    graph = b.graph(
        b.add("MaxPool", b.conv("x", 4), kernel_shape=(3,), strides=(1,), dilations=(1,), pads=(1, 1))
    )
    plan, x = planned(graph, 8, 100)
    with pytest.raises(InputError, match="MaxPool"):
        fine_tune(graph, plan, x)
    with pytest.raises(InputError, match="labels"):
        fine_tune(graph, plan, x, tuning=Tuning(labelled=0.5))
