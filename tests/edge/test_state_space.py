"""Selective state-space models: Scans that are recognised and Scans that are not, integers, C, streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from program_samples import chain, hard_inputs, job_of, ranges_of, run_on_host
from streaming_samples import assert_sequence, signals

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph, Node
from trine.compilers.onnx_reader import read_onnx
from trine.compilers.onnx_writer import write_onnx
from trine.compilers.state_space import watched_states
from trine.edge.c.stream import emit_stream
from trine.edge.lower import lower
from trine.edge.operators.selective_scan import DECAY_BITS, decays
from trine.edge.program import IntegerProgram
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.streaming import stream
from trine.edge.streaming.machine import HostStream, hops_of
from trine.edge.streaming.state import to_bytes

LAYERS, EXAMPLES = 40, 256
Edit = Callable[[Any], None]


def layer(seed: int, time: int = 12, softplus: int = 1, slow: float = 0.0, name: str = "scan") -> Graph:
    """A random layer; slow: added to the log of a, negative for states that remember long."""
    rng = np.random.default_rng(seed)
    channels, states = int(rng.integers(1, 7)), int(rng.integers(1, 10))
    a = -np.exp(rng.uniform(-3, 3, (channels, states)) + slow).astype(np.float32)
    a[rng.random(a.shape) < 0.1] = 0.0
    d = (rng.normal(0, 1, channels) * rng.integers(0, 2)).astype(np.float32)
    shapes = [(time, channels)] * 2 + [(time, states)] * 2
    inputs = [(f"{name}_{role}", shape) for role, shape in zip(("x", "delta", "b", "c"), shapes, strict=True)]
    node = Node(
        "SelectiveScan", name, (*(n for n, _ in inputs), f"{name}_a", f"{name}_d"), (f"{name}_y",),
        {"softplus": softplus},
    )  # fmt: skip
    return chain(name, inputs, [node], {f"{name}_a": a, f"{name}_d": d})


def program_of(graph: Graph, seed: int = 0, spread: float = 1.0) -> IntegerProgram:
    graph = watched_states(graph)
    feed = {name: x * np.float32(spread) for name, x in draw(graph, 32, seed).items()}
    return replace(lower(graph, ranges_of(graph, feed)).program, outputs=graph.outputs)


def scan_model(edit: Edit | None = None, batch_axis: int = 0) -> Any:
    """An ONNX file whose Scan is a state-space model; edit: changes its body or its node first."""
    graph = layer(7)
    model = write_onnx(graph, 18)
    model.graph.node[0].op_type = "Softplus"
    scan = next(node for node in model.graph.node if node.op_type == "Scan")
    if edit is not None:
        edit(scan)
    return model


def body_of(scan: Any) -> Any:
    return next(a.g for a in scan.attribute if a.name == "body")


def swap_factors(scan: Any) -> None:
    for node in body_of(scan).node:
        if node.op_type in ("Mul", "Add"):
            node.input[:] = list(node.input)[::-1]


def shuffle_inputs(scan: Any) -> None:
    body, order = body_of(scan), (0, 3, 1, 4, 2)
    inputs = [body.input[i].name for i in order]
    scan.input[:] = [scan.input[i] for i in order]
    del body.input[:]
    body.input.extend([helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in inputs])


def weight_b_first(scan: Any) -> None:
    """(delta b) x in place of (delta x) b."""
    for node in body_of(scan).node:
        node.input[:] = [{"x_column": "b_row", "b_row": "x_column"}.get(n, n) for n in node.input]


def no_skip(scan: Any) -> None:
    body = body_of(scan)
    kept = [n for n in body.node if n.output[0] not in ("skip", "y")]
    del body.node[:]
    body.node.extend(kept)
    body.output[1].name = "sum"


def positive_axes(scan: Any) -> None:
    for tensor in body_of(scan).initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 3, tensor.name))


def backwards(scan: Any) -> None:
    scan.attribute.append(helper.make_attribute("scan_input_directions", [1] * 4))
    scan.attribute.append(helper.make_attribute("scan_output_directions", [1]))


def no_decay(scan: Any) -> None:
    """exp(delta a) is not applied to h."""
    for node in body_of(scan).node:
        node.input[:] = ["rate" if n == "decay" and node.op_type == "Mul" else n for n in node.input]


def late_read(scan: Any) -> None:
    """y reads the state before this step."""
    for node in body_of(scan).node:
        node.input[:] = ["h" if n == "h_next" else n for n in node.input]


def wrong_axis(scan: Any) -> None:
    """Sum over channels would need another shape; here c multiplies as b does, b is read as c."""
    body = body_of(scan)
    for node in body.node:
        node.input[:] = [{"kept": "given", "given": "given"}.get(n, n) for n in node.input]


def reads(model: Any, folder: Path) -> tuple[Graph, float]:
    """The graph of a file, and how far its answer is from onnxruntime's on five examples."""
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    graph = read_onnx(path)
    feed = draw(graph, 5)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, feed)[0]
    return graph, float(np.abs(graph.run(feed)[graph.outputs[0]] - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("edit", [None, swap_factors, shuffle_inputs, weight_b_first, no_skip, positive_axes])
def test_a_scan_with_this_body_is_one_operator(edit: Edit | None, tmp_path: Path) -> None:
    graph, gap = reads(scan_model(edit), tmp_path)
    assert [node.op for node in graph.nodes] == ["SelectiveScan"]
    assert graph.nodes[0].attributes == {"softplus": 1}
    assert gap < 1e-5


@pytest.mark.parametrize("edit", [backwards, no_decay, late_read, wrong_axis])
def test_any_other_scan_is_unrolled_and_means_what_onnxruntime_says(edit: Edit, tmp_path: Path) -> None:
    graph, gap = reads(scan_model(edit), tmp_path)
    assert "SelectiveScan" not in {node.op for node in graph.nodes}
    assert gap < 1e-5


def test_a_scan_whose_last_state_is_read_is_unrolled(tmp_path: Path) -> None:
    model = scan_model()
    scan = next(node for node in model.graph.node if node.op_type == "Scan")
    model.graph.output.append(helper.make_tensor_value_info(scan.output[0], TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "m.onnx")
    assert "SelectiveScan" not in {node.op for node in read_onnx(tmp_path / "m.onnx").nodes}


def test_a_softplus_that_others_read_stays(tmp_path: Path) -> None:
    model = scan_model()
    name = next(node for node in model.graph.node if node.op_type == "Softplus").output[0]
    model.graph.node.append(helper.make_node("Neg", [name], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "m.onnx")
    graph = read_onnx(tmp_path / "m.onnx")
    assert [node.attributes for node in graph.nodes if node.op == "SelectiveScan"] == [{"softplus": 0}]


def test_c_is_the_definition_on_random_layers(tmp_path: Path) -> None:
    """40 layers of 256 random examples each, -128 and 127 throughout among them; sanitizers watch."""
    programs = [
        program_of(layer(seed, 5, seed % 2, (seed % 5 - 3) * 1.5, f"scan{seed}"), seed, 4.0 ** (seed % 3 - 1))
        for seed in range(LAYERS)
    ]
    jobs = [job_of(program) for program in programs]
    jobs = [replace(job, inputs=hard_inputs(p, EXAMPLES)) for job, p in zip(jobs, programs, strict=True)]
    for job, program, found in zip(jobs, programs, run_on_host(jobs, tmp_path), strict=True):
        wanted = program.run(job.inputs)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted), program.name


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), softplus=st.integers(0, 1), slow=st.floats(-4, 1), time=st.integers(1, 40)
)
def test_it_is_near_float_and_onnxruntime(seed: int, softplus: int, slow: float, time: int) -> None:
    graph = layer(seed, time, softplus, slow)
    program = program_of(graph, seed)
    inputs = {n: program.tensors[n].quantize(x) for n, x in draw(graph, 32, seed).items()}
    feed = {n: program.tensors[n].dequantize(q) for n, q in inputs.items()}
    found, exact = program.run(inputs), graph.run(feed)
    printed = run_qdq(to_qdq(program), program, feed)
    for name in program.outputs:
        scale = float(program.tensors[name].scale)
        real = program.tensors[name].dequantize(found[name])
        assert np.abs(real - exact[name]).max() <= 3 * scale + 0.06 * np.abs(exact[name]).max()
        assert np.abs(printed[name].astype(int) - found[name]).max() <= 2


def test_decays_are_those_of_exp_to_20_bits() -> None:
    """All 256 step sizes on rates from 1e-3 to 30."""
    step = program_of(layer(3, slow=1.0)).steps[0]
    delta = step.constants["delta"].astype(np.int64)[None]
    rate = step.constants["rate"].reshape(-1)[:1]
    row = replace(step, constants={**step.constants, "rate": np.broadcast_to(rate, (256, 1))})
    bits = step.attributes["rate_shift"] + 48
    exact = np.exp2(-(delta[0].astype(np.float64) * float(rate[0])) * 2.0**-bits)
    assert np.abs(decays(row, delta)[0, :, 0] * 2.0**-DECAY_BITS - exact).max() < 2.0**-16


def test_a_state_of_16_bits_remembers_over_thousands_of_steps() -> None:
    """A slow leak fed by a constant: after 3,000 steps it is within 2 % of where float32 is."""
    time = 3_000
    names = [("x", (time, 1)), ("delta", (time, 1)), ("b", (time, 1)), ("c", (time, 1))]
    constants: dict[str, Array] = {"a": np.array([[-0.003]], np.float32), "d": np.zeros(1, np.float32)}
    node = Node("SelectiveScan", "s", ("x", "delta", "b", "c", "a", "d"), ("y",), {"softplus": 0})
    graph = chain("leak", names, [node], constants)
    feed = {name: np.ones((1, *shape), np.float32) for name, shape in names}
    watched = watched_states(graph)
    program = replace(lower(watched, ranges_of(watched, feed)).program, outputs=("y",))
    exact, found = graph.run(feed)["y"][0, :, 0], program.run_float(feed)["y"][0, :, 0]
    assert np.abs(found - exact).max() <= 0.02 * exact.max()


@pytest.mark.parametrize("a", [0.5, -1e9])
def test_what_int8_cannot_hold_is_refused_by_name(a: float) -> None:
    graph = layer(1)
    graph = replace(
        graph, constants={**graph.constants, "scan_a": np.full_like(graph.constants["scan_a"], a)}
    )
    with pytest.raises(ValueError, match=r"node scan \(SelectiveScan\)"):
        program_of(graph)


def stacked() -> Graph:
    """Projections of a signal [2, time] and the scan of them, as a deployed network has them."""
    rng = np.random.default_rng(0)
    nodes, weights = [], dict[str, Array]()
    for role, rows in (("x", 4), ("delta", 4), ("b", 3), ("c", 3)):
        weights[f"{role}_w"] = rng.normal(0, 0.5, (rows, 2, 1)).astype(np.float32)
        weights[f"{role}_b"] = rng.normal(0, 0.5, rows).astype(np.float32)
        full = {"strides": (1,), "dilations": (1,), "pads": (0, 0), "group": 1}
        nodes.append(Node("Conv", role, ("s", f"{role}_w", f"{role}_b"), (role,), full))
        nodes.append(Node("Transpose", f"{role}_t", (role,), (f"{role}_r",), {"perm": (1, 0)}))
    weights |= {"a": -np.exp(rng.normal(0, 1, (4, 3))).astype(np.float32), "d": np.ones(4, np.float32)}
    inputs = ("x_r", "delta_r", "b_r", "c_r", "a", "d")
    nodes.append(Node("SelectiveScan", "scan", inputs, ("y",), {"softplus": 1}))
    return chain("stacked", [("s", (2, 64))], nodes, weights)


@pytest.mark.parametrize("hop", [1, 4])
def test_a_stream_is_the_whole_sequence_and_c_keeps_its_state(hop: int) -> None:
    program = program_of(stacked())
    made = stream(program, hop)
    assert (made.kind, made.latency) == ("sequence", 0)
    codes = np.random.default_rng(1).integers(-128, 128, (3, 2, 64)).astype(np.int8)
    assert assert_sequence(program, made, {"s": codes}) == 64
    inputs = signals(made, 200)
    outputs, state = made.run(inputs)
    with HostStream(made, emit_stream(made)) as host:
        held = host.fresh()
        found = host.run(held, hops_of(made, {n: x[0] for n, x in inputs.items()}))
        assert held.tobytes() == to_bytes(made, state)
        assert np.array_equal(found["y"], outputs["y"][0])
