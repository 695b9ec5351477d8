"""Streams against whole programs: the definition on random networks, the C on this machine and on emulated cores."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_samples import chain, conv, lowered
from streaming_networks import sequences, windows
from streaming_samples import assert_sequence, assert_windows, networks, normal, signals, tcn

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph, Node
from trine.compilers.source import load_source
from trine.devices import EdgeDevice, load_device
from trine.devices.errors import InputError
from trine.edge.c.stream import emit_stream
from trine.edge.emulate import missing
from trine.edge.streaming import stream
from trine.edge.streaming.machine import HostStream, hops_of
from trine.edge.streaming.proving import draw_signals, on_core, on_host, run_signals
from trine.edge.streaming.state import HEAD, state_bytes, to_bytes

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
NETWORKS = {graph.name: graph for graph in networks()}


@LAW
@given(sequences(), st.integers(1, 3), st.integers(0, 99))
def test_every_column_of_a_sequence_is_the_whole_programs(graph: Graph, times: int, seed: int) -> None:
    program = lowered(graph).program
    made = stream(program, stream(program).hop * times)
    x = np.random.default_rng(seed).integers(-128, 128, (2, *program.tensors["x"].shape)).astype(np.int8)
    assert assert_sequence(program, made, {"x": x}) > 0


@LAW
@given(sequences(causal=True))
def test_a_causal_network_has_no_delay(graph: Graph) -> None:
    made = stream(lowered(graph).program)
    assert (made.kind, made.latency) == ("sequence", 0)


@LAW
@given(windows(), st.integers(1, 2), st.integers(0, 99))
def test_every_window_is_answered_as_whole(graph: Graph, times: int, seed: int) -> None:
    program = lowered(graph).program
    made = stream(program, stream(program).hop * times)
    assert made.kind == "window"
    assert_windows(program, made, signals(made, 24, 2, seed), 24)


@pytest.mark.parametrize(
    ("name", "core"), [*((name, "host") for name in NETWORKS), ("tcn", "cortex-m0"), ("flat", "cortex-m4f")]
)
def test_c_is_the_definition_hop_by_hop(name: str, core: str) -> None:
    """Thousands of samples; outputs, and the state to its last byte."""
    made = stream(lowered(NETWORKS[name]).program)
    inputs = signals(made, (4000 if made.kind == "sequence" else 1500) // made.hop)
    outputs, state = made.run(inputs)
    hops = hops_of(made, {n: x[0] for n, x in inputs.items()})
    with HostStream(made, emit_stream(made, core)) as host:
        held = host.fresh()
        assert held.tobytes() == to_bytes(made, made.reset())
        found = host.run(held, hops)
        assert held.tobytes() == to_bytes(made, state)
        for n in made.program.outputs:
            assert np.array_equal(found[n], outputs[n][0])
        host.run(again := host.fresh(), hops)  # a reset forgets everything
        assert again.tobytes() == held.tobytes()


def test_a_state_goes_through_save_and_restore() -> None:
    made = stream(lowered(NETWORKS["mean"]).program)
    run = run_signals(made, signals(made, 600))
    hops = run.hops(made, 0)
    sources = emit_stream(made)
    assert on_host(made, sources, run).differing == 0
    with HostStream(made, sources) as host:
        host.run(state := host.fresh(), {n: x[:300] for n, x in hops.items()})
        saved = host.save(state)
        other = host.fresh()
        assert host.restore(other, saved) == 0
        for n, x in host.run(other, {n: x[300:] for n, x in hops.items()}).items():
            assert np.array_equal(x, run.outputs[n][0][300:])
        before = other.copy()
        for place in (HEAD, HEAD + 9, state_bytes(made) - 1):
            damaged = saved.copy()
            damaged[place] ^= 64
            assert host.restore(other, damaged) == 2
        for place in (0, 4):
            damaged = saved.copy()
            damaged[place] ^= 1
            assert host.restore(other, damaged) == 1
        assert np.array_equal(other, before)
        with pytest.raises(InputError, match="returned 1"):
            host.run(np.zeros_like(state), hops)


def test_states_of_programs_differ_in_their_word() -> None:
    """A state means nothing to the same network with other weights."""
    rng = np.random.default_rng(5)
    words = set()
    for _ in range(2):
        graph = chain("n", [("x", (1, 30))], [conv("c", "x", "y", "w", "b", pads=(2, 0))],
                      {"w": normal(rng, 2, 1, 3), "b": normal(rng, 2)})  # fmt: skip
        made = stream(lowered(graph).program)
        words.add(to_bytes(made, made.reset())[4:8])
    assert len(words) == 2


def needs(core: str) -> None:
    absent = missing(core)
    if absent and os.environ.get("CI") != "true":
        pytest.skip(f"{', '.join(absent)} missing")
    assert not absent


def test_a_step_on_the_core_is_exact_and_costs_a_twentieth() -> None:
    needs("cortex-m4f")
    device = load_device("stm32l4r5")
    assert isinstance(device, EdgeDevice)
    made = stream(lowered(tcn(length=256)).program)
    run = run_signals(made, signals(made, 300))
    found = on_core(device, made, emit_stream(made, device.core), run, "zig", 40)
    assert found.parity.differing == 0
    assert found.parity.values > 40 * state_bytes(made)
    assert found.whole is not None
    assert 20 * found.instructions <= found.whole
    assert sum(found.by_layer.values()) <= found.instructions


@pytest.mark.skipif(
    not (DATA / "mitbih").is_dir(), reason="needs the mitbih beats in the folder that TRINE_DATA names"
)
def test_the_ecg_network_over_thousands_of_samples(tmp_path: Path) -> None:
    """Real beats one behind the other: every window, on this machine and on the core; a sample costs a twentieth."""
    from trine.compilers import datasets
    from trine.edge.quantize import quantize

    needs("cortex-m4f")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRINE_DATA", str(DATA))
        datasets.write("mitbih", tmp_path)
    graph = load_source(ROOT / "examples" / "ecg" / "ecg.onnx")
    calibration = Examples.open(tmp_path / "calib.npz", graph.inputs)
    made = stream(quantize(graph, calibration).program)
    assert (made.kind, made.hop, made.window) == ("window", 32, 128)
    run, definition = draw_signals(made, Examples.open(tmp_path / "test.npz", graph.inputs), 20_000)
    assert (definition.differing, definition.examples) == (0, 624)
    device = load_device("stm32l4r5")
    assert isinstance(device, EdgeDevice)
    sources = emit_stream(made, device.core)
    assert on_host(made, sources, run).differing == 0
    found = on_core(device, made, sources, run, "zig", 24)
    assert found.parity.differing == 0
    assert found.whole is not None
    assert 20 * found.instructions / made.hop <= found.whole  # the window anew for each sample
    assert found.instructions < found.whole  # and for each hop


def refusal(graph: Graph, hop: int | None = None) -> str:
    with pytest.raises(InputError) as error:
        stream(lowered(graph).program, hop)
    return str(error.value)


def test_layers_that_need_all_of_time_are_named() -> None:
    w = {"w": np.ones((2, 1, 3), np.float32), "b": np.zeros(2, np.float32)}
    first = conv("c", "x", "a", "w", "b", pads=(2, 0))
    inputs = [("x", (1, 20))]
    over_time = Node("Softmax", "soft", ("a",), ("y",), {"axis": 1})
    text = refusal(chain("s", inputs, [first, over_time], w))
    assert "layer soft (softmax): it normalises over all of time" in text
    assert "causal" in text
    reversed_rows = [first, Node("MatMul", "flip", ("a", "m"), ("y",))]
    flip = {**w, "m": np.eye(20, dtype=np.float32)[::-1]}
    assert "layer flip (dense): it mixes all of time" in refusal(chain("f", inputs, reversed_rows, flip))
    ramp = [first, Node("Add", "place", ("a", "k"), ("y",))]
    ramps = {**w, "k": np.arange(20, dtype=np.float32)[None]}
    assert "layer place (add): its constant changes along time" in refusal(chain("r", inputs, ramp, ramps))
    attention = [
        first,
        Node("Transpose", "t", ("a",), ("t",), {"perm": (1, 0)}),
        Node("MatMul", "scores", ("t", "a"), ("y",)),
    ]
    assert "layer scores (matmul): it multiplies all of time with all of time" in refusal(
        chain("m", inputs, attention, w)
    )
    pool = {
        "kernel_shape": (3,),
        "strides": (1,),
        "dilations": (1,),
        "pads": (2, 0),
        "count_include_pad": 0,
        "uncounted": (0,),
    }
    early = [Node("AveragePool", "p", ("x",), ("y",), pool)]
    assert "layer p (mean): its first windows hold fewer values" in refusal(chain("p", inputs, early))


def test_wrong_hops_and_inputs_are_refused() -> None:
    strided = chain("s", [("x", (1, 40))], [conv("c", "x", "y", "w", "b", strides=(4,))],
                    {"w": np.ones((2, 1, 4), np.float32), "b": np.zeros(2, np.float32)})  # fmt: skip
    assert "give a multiple of 4" in refusal(strided, 6)
    dense = chain("d", [("x", ())], [Node("Relu", "r", ("x",), ("y",))])
    assert "needs an input with a time axis" in refusal(dense)
