"""Fine-tuning through the integers: the torch network is the program, and training brings it nearer to float."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import save
from program_samples import ranges_of
from quantize_samples import Builder, depthwise, normal, plain, residual

from trine.compilers.cases import case_graph, draw
from trine.compilers.graph import Graph
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.operators import operators
from trine.devices.errors import InputError
from trine.edge.fusing import observed
from trine.edge.program_file import load_program
from trine.edge.qat import Tuning, fine_tune, finetune_file
from trine.edge.qat.calls import CALLS, why_not
from trine.edge.qat.network import FakeQuantized
from trine.edge.qat.train import with_all_clips
from trine.edge.qdq import run_qdq
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


def test_what_cannot_be_trained_is_named_all_at_once() -> None:
    b = Builder((4, 16))
    x = b.add("Sign", b.conv("x", 4))
    pooled = b.add("AveragePool", x, kernel_shape=(3,), strides=(1,), dilations=(1,), pads=(1, 1),
                   count_include_pad=0, uncounted=(0,))  # fmt: skip
    graph = b.graph(b.add("CumSum", pooled, axis=1, exclusive=0, reverse=0))
    plan, x = planned(graph, 8, 100)
    with pytest.raises(InputError, match=r"(?s)Sign.*AveragePool\): with padding.*CumSum"):
        fine_tune(graph, plan, x)
    with pytest.raises(InputError, match=r"epochs is 0.*labels"):
        fine_tune(graph, plan, x, tuning=Tuning(labelled=0.5, epochs=0))


@pytest.mark.parametrize("operator", sorted(CALLS))
def test_every_operator_is_its_function_in_torch(operator: str) -> None:
    """All cases of the catalogue that are not refused, in float, against `Operator.run`."""
    for case in operators()[operator].cases:
        graph = case_graph(operator, case)
        (node,) = graph.nodes
        if why_not(node):
            continue
        feed = draw(graph, 5, 1)
        arguments = [torch.from_numpy(np.array({**graph.constants, **feed}[name])) for name in node.inputs]
        found, wanted = CALLS[operator](torch, node, arguments).numpy(), graph.run(feed)["y"]
        np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=2e-5, err_msg=node.name)


def labelled(folder: Path, count: int = 1000) -> tuple[Path, Path]:
    """(a float model, a file of examples whose labels are its own answers, of twenty patients)."""
    graph = depthwise(1)
    x, last = normal(graph, count).data, graph.nodes[-1].inputs[2]
    centre = graph.run(x)[graph.outputs[0]].mean(axis=0)
    graph = graph.with_constants({last: (graph.constants[last] - centre).astype(np.float32)})
    y = graph.run(x)[graph.outputs[0]].argmax(axis=1)
    save(write_onnx(graph, 18), folder / "net.onnx")
    np.savez(folder / "train.npz", **x, y=y, group=np.arange(count) // 50)
    np.savez(folder / "few.npz", x=x["x"][:12])
    return folder / "net.onnx", folder / "train.npz"


def test_a_file_is_fine_tuned_and_the_record_says_what_it_brought(tmp_path: Path) -> None:
    """Two bits, calibrated on twelve examples only, judged on patients that nothing was trained on."""
    model, data = labelled(tmp_path)
    tuning, few = Tuning(epochs=2, batch=32, rate=0.01), tmp_path / "few.npz"
    record = finetune_file(model, data, "int2", tmp_path / "out", few, tuning)
    assert record["kept"]
    assert "of 20 patients" in record["held_out"]
    assert record["after"]["sqnr_db"] > record["before"]["sqnr_db"] + 0.5
    assert record["float"] == {"sqnr_db": None, "agreement": 1.0, "accuracy": 1.0}
    assert record["losses"][record["epoch"]] == min(record["losses"])
    assert json.loads((tmp_path / "out" / "fine_tuning.json").read_text()) == record
    program = load_program(tmp_path / "out" / "program.npz")
    with np.load(data) as file:
        feed = {"x": file["x"][:200]}
    (name,) = program.outputs
    printed = run_qdq((tmp_path / "out" / "quantized.onnx").read_bytes(), program, feed)[name]
    np.testing.assert_array_equal(printed, program.run(program.quantize(feed))[name])
    assert finetune_file(model, data, "int2", tmp_path / "again", few, tuning) == record
    files = [(tmp_path / folder / "program.npz").read_bytes() for folder in ("out", "again")]
    assert files[0] == files[1]


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    model, data = labelled(tmp_path, 100)
    with pytest.raises(InputError, match=r"int3.*int2"):
        finetune_file(model, data, "int3")
    with pytest.raises(InputError, match=r"epochs is 0.*rate is -1.*held_out is 2"):
        finetune_file(model, data, "int4", tuning=Tuning(epochs=0, rate=-1), held_out=2)
    with np.load(data) as file:
        np.savez(tmp_path / "bare.npz", x=file["x"])
    assert "accuracy" not in finetune_file(model, tmp_path / "bare.npz", tuning=Tuning(epochs=1))["after"]
    with pytest.raises(InputError, match="no array y"):
        finetune_file(model, tmp_path / "bare.npz", tuning=Tuning(labelled=0.5))
