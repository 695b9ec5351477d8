"""int16 activations: C = NumPy on 10,000 random cases of each kernel, onnxruntime within its float sums, borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernel_laws import Law, apart, differing, in_their_axes, reals, stored_inputs
from law_layers import NETWORKS_OF
from program_samples import Job, catalogue, chain, conv, ranges_of, run_on_host, together
from quantize_samples import InMemory

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.c.linear16 import sums_64
from trine.edge.int16 import chunk_of, every_activation, missing_int16, rescaled, widest
from trine.edge.lowbit import bits_of
from trine.edge.lower import Lowered, lower
from trine.edge.operators import kernel_of, kernels
from trine.edge.program import IntegerProgram, QuantizedTensor
from trine.edge.program_file import load_program, save_program
from trine.edge.quantize.layers import packable
from trine.edge.quantize.replay import decibels, noise_ratio
from trine.edge.quantize.sensitivity import activation_sensitivity

CASES, NETWORKS, EXAMPLES = 3500, 10, 3
QUIETLY = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    phases=(Phase.generate,),
)  # fmt: skip
HERE = sorted(name for name, kernel in kernels().items() if kernel.int16 and name in NETWORKS_OF)
IN_ONNXRUNTIME, MOST_APART = 60, 0.25
# Steps of 2^-15 of a range by which float32 in onnxruntime may differ, and the share of values that may: of sums their
# rounding at ties, of tables the lines between their values.
APART: Mapping[str, tuple[int, float]] = {"softmax": (2, 0.5), "table": (2, 1.0), "resize": (2, 0.5)}
# Kernels whose networks are the catalogue's: every case of every operator.
LISTED = ("channel_scale", "conv_transpose", "move", "normalise", "resize")


def lowered_16(graph: Graph, seed: int, core_bits: int = 16) -> Lowered:
    """The network with int16 wherever it can be, ranges from a few random values of every input."""
    rng = np.random.default_rng(seed)
    feed = {tensor.name: reals(graph, tensor.name, rng, 8) for tensor in graph.inputs}
    return lower(graph, ranges_of(graph, feed), activation_bits=widest(graph))


def law_of_16(graphs: Sequence[Graph], cases: int) -> Law:
    """The networks on `cases` random examples in all."""
    whole = together("law", graphs)
    found = lowered_16(whole, len(graphs))
    program = replace(found.program, name="law")
    inputs = stored_inputs(whole, found, 7, -(-cases // len(graphs)))
    return Law(program, inputs, program.run(inputs), in_their_axes(whole, inputs))


@pytest.mark.parametrize("kernel", HERE)
def test_c_equals_numpy_on_any_network(kernel: str) -> None:
    cases, seen = 0, set[str]()

    @QUIETLY
    @given(graphs=st.lists(NETWORKS_OF[kernel], min_size=NETWORKS, max_size=NETWORKS))
    def law(graphs: list[Graph]) -> None:
        nonlocal cases
        networks = law_of_16(graphs, CASES)
        with TemporaryDirectory() as folder:
            assert differing(networks, Path(folder)) == 0
        cases += len(graphs) * len(next(iter(networks.inputs.values())))
        seen.update(t.dtype for t in networks.program.tensors.values())
        most, share = APART.get(kernel, (1, MOST_APART))
        off = max([int(s.attributes.get("off", 0)) for s in networks.program.steps], default=0)
        gap, differ = apart(networks, IN_ONNXRUNTIME)
        assert gap <= max(most, off + 1)
        assert differ <= share

    law()
    assert cases >= 10_000
    assert "int16" in seen


@pytest.mark.parametrize("kernel", LISTED)
def test_c_equals_numpy_on_the_catalogue(kernel: str, tmp_path: Path) -> None:
    ops = set(kernels()[kernel].ops)
    graphs = [
        graph
        for graph in catalogue().values()
        if graph.nodes[0].op in ops and all(t.dtype == "float32" for t in graph.tensors.values())
    ]
    networks = law_of_16(graphs, 10_000)
    assert differing(networks, tmp_path) == 0
    steps = [s for s in networks.program.steps if s.kernel == kernel]
    assert {networks.program.tensors[s.output].dtype for s in steps} == {"int16"}
    most, share = APART.get(kernel, (1, MOST_APART))
    gap, differ = apart(networks, IN_ONNXRUNTIME)
    assert gap <= most
    assert differ <= share


def test_every_int16_kernel_has_a_law() -> None:
    made_where_widths_differ, in_test_recurrent = {"relayout", "rescale"}, {"gru", "lstm", "rnn"}
    assert {name for name, kernel in kernels().items() if kernel.int16} == {
        *HERE,
        *LISTED,
        *made_where_widths_differ,
        *in_test_recurrent,
    }
    assert all(kernel_of()[op] for name in HERE for op in kernels()[name].ops)


def long_dense(taps: int, seed: int) -> Graph:
    """A matrix of the largest weights, whose sums of int16 leave 32 bits."""
    rng = np.random.default_rng(seed)
    weight = (rng.choice([-1.0, 1.0], (5, taps)) * rng.uniform(0.9, 1, (5, taps))).astype(np.float32)
    gemm = Node("Gemm", "g", ("x", "w", "b"), ("y",))
    return chain("long", [("x", (taps,))], [gemm], {"w": weight, "b": rng.normal(0, 9, 5).astype(np.float32)})


@pytest.mark.parametrize("rule", ["exact", "tflite"])
@pytest.mark.parametrize("core", ["cortex-m4f", "cortex-m0plus"])
def test_sums_of_more_than_32_bits(core: str, rule: str, tmp_path: Path) -> None:
    graphs = [long_dense(taps, taps) for taps in (515, 620, 2001)]
    feed = [
        {"x": np.random.default_rng(1).uniform(-1, 1, (50, *g.shape("x"))).astype(np.float32)} for g in graphs
    ]
    programs = [
        replace(lower(g, ranges_of(g, x), rule, activation_bits=every_activation(g)).program, name=f"long{i}")
        for i, (g, x) in enumerate(zip(graphs, feed, strict=True))
    ]
    assert [sums_64(p.steps[0]) for p in programs] == [False, True, True]
    jobs = []
    for program in programs:
        ends = np.array([-32768, 32767], np.int16)[:, None]
        signs = np.where(program.steps[0].constants["weight"][0] < 0, -32768, 32767).astype(np.int16)
        x = np.concatenate([np.repeat(ends, len(signs), 1), signs[None], -1 - signs[None]])
        jobs.append(Job(program, emit_c(program, core), {"x": x}))
    for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True):
        wanted = job.program.run(job.inputs)["y"]
        np.testing.assert_array_equal(found["y"], wanted)
        assert {-32768, 32767} <= set(wanted[2:, 0].tolist()), "the longest sums saturate"


def test_chunks_are_proven() -> None:
    rng = np.random.default_rng(0)
    for taps in (3, 516, 1000, 3001):
        rows = rng.integers(-127, 128, (4, taps)).astype(np.int8)
        rows[0] = 127
        chunk = chunk_of(rows)
        assert chunk % 4 == 0
        parts = [np.abs(rows[:, i : i + chunk].astype(int)).sum(axis=1).max() for i in range(0, taps, chunk)]
        assert max(parts) * 32768 <= 2**31 - 1
        assert chunk in (taps + -taps % 4, 516)


def mixed_network() -> tuple[Graph, dict[str, Array]]:
    """Two branches, one of them wide in the middle, joined and scored; and inputs."""
    rng = np.random.default_rng(3)
    weights = {
        "w1": rng.normal(0, 0.4, (6, 2, 3)),
        "w2": rng.normal(0, 0.4, (6, 6, 3)),
        "w3": rng.normal(0, 0.2, (3, 96)),
    }
    same = {"rank": 1, "pads": (1, 1)}
    pool = {"kernel_shape": (2,), "strides": (2,), "dilations": (1,), "pads": (0, 0)}
    nodes = [
        replace(conv("c1", "x", "a", "w1", "", **same), inputs=("x", "w1")), Node("Relu", "r", ("a",), ("ra",)),
        replace(conv("c2", "ra", "b", "w2", "", **same), inputs=("ra", "w2")),
        Node("Add", "s", ("ra", "b"), ("c",)), Node("Concat", "j", ("c", "ra"), ("d",), {"axis": 0}),
        Node("MaxPool", "p", ("d",), ("e",), pool),
        Node("Reshape", "f", ("e",), ("g",), {"shape": (96,)}), Node("Gemm", "o", ("g", "w3"), ("h",)),
        Node("Softmax", "q", ("h",), ("y",), {"axis": 0}),
    ]  # fmt: skip
    stored = {name: value.astype(np.float32) for name, value in weights.items()}
    return chain("mixed", [("x", (2, 16))], nodes, stored), {
        "x": rng.normal(0, 1, (64, 2, 16)).astype(np.float32)
    }


def test_widths_of_single_activations(tmp_path: Path) -> None:
    """Every subset that is tried lowers, rescales at its borders alone, and its C is NumPy's."""
    graph, feed = mixed_network()
    ranges = ranges_of(graph, feed)
    wanted = graph.run(feed)["y"]
    chosen: list[dict[str, int]] = [
        {},
        {"x": 16},
        {"ra": 16},
        {"b": 16, "c": 16},
        {"y": 16},
        every_activation(graph),
    ]
    programs = [
        replace(lower(graph, ranges, activation_bits=bits).program, name=f"m{i}")
        for i, bits in enumerate(chosen)
    ]
    borders = [
        sorted(s.output for s in p.steps if s.kernel == "rescale" and s.output.endswith(("_int8", "_int16")))
        for p in programs
    ]
    assert borders == [
        [], ["x_int8"], ["ra_int8", "x_int16"], ["c_int8", "ra_int16"], ["h_int16"], [],
    ]  # fmt: skip
    assert programs[4].tensors["y"] == QuantizedTensor("y", (3,), np.float32(2.0**-15), 0, "int16")
    jobs = [Job(p, emit_c(p, "cortex-m4f"), p.quantize(feed)) for p in programs]
    noises = []
    for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True):
        values = job.program.run(job.inputs)["y"]
        np.testing.assert_array_equal(found["y"], values)
        noises.append(decibels(noise_ratio(wanted, job.program.tensors["y"].dequantize(values))))
    assert noises[-1] == max(noises) > noises[0] + 3
    assert "const int16_t *in, int16_t *out" in jobs[-1].sources.header
    assert "const int8_t *in, int16_t *out" in jobs[4].sources.header
    save_program(programs[-1], tmp_path / "p.npz")
    again = load_program(tmp_path / "p.npz")
    np.testing.assert_array_equal(again.run(jobs[-1].inputs)["y"], programs[-1].run(jobs[-1].inputs)["y"])


def test_layers_without_a_kernel_are_named_at_once_or_left_at_8_bits(tmp_path: Path) -> None:
    nodes = [
        Node("Pow", "d", ("x", "z"), ("a",)), Node("Relu", "r", ("a",), ("b",)),
        Node("Pow", "p", ("b", "z"), ("c",)), Node("Greater", "g", ("c", "x"), ("y",)),
    ]  # fmt: skip
    graph = chain("lacking", [("x", (5,)), ("z", (5,))], nodes)
    graph = replace(graph, tensors={**graph.tensors, "y": Tensor("y", (5,), "bool")})
    every = every_activation(graph)
    assert [line.split(":")[0] for line in missing_int16(graph, every)] == [
        "node d (Pow)", "node p (Pow)", "node g (Greater)",
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    feed = {name: rng.uniform(0.5, 2, (20, 5)).astype(np.float32) for name in ("x", "z")}
    with pytest.raises(InputError, match=r"(?s)node d \(Pow\).*node p \(Pow\).*node g \(Greater\)"):
        lower(graph, ranges_of(graph, feed), activation_bits=every)
    program = lower(graph, ranges_of(graph, feed), activation_bits=widest(graph)).program
    assert {program.tensors[n].dtype for n in ("x", "z", "b")} == {"int16"}
    assert {program.tensors[n].dtype for n in ("a", "c")} == {"int8"}
    job = Job(program, emit_c(program, "cortex-m4f"), program.quantize(feed))
    (found,) = run_on_host([job], tmp_path)
    np.testing.assert_array_equal(found["y"], program.run(job.inputs)["y"].astype(found["y"].dtype))


def test_activations_are_ranked_by_what_8_bits_do_to_them() -> None:
    graph, feed = mixed_network()
    found = activation_sensitivity(graph, InMemory(feed))
    assert set(found) == {"x", "ra", "b", "c", "d", "h"}
    for noise in found.values():
        assert 0 < noise[16] < noise[8] / 1000


@pytest.mark.parametrize(
    ("op", "reach"), [("Sigmoid", 12.0), ("Tanh", 5.0), ("Gelu", 8.0), ("Exp", 3.0), ("Erf", 4.0)]
)
def test_tables_keep_the_distance_they_state(op: str, reach: float) -> None:
    attributes = {"approximate": "none"} if op == "Gelu" else {}
    graph = chain("t", [("x", (1,))], [Node(op, "n", ("x",), ("y",), attributes)])
    x = np.linspace(-reach, reach, 4001, dtype=np.float32)[:, None]
    program = lower(graph, ranges_of(graph, {"x": x}), activation_bits=every_activation(graph)).program
    (step,) = program.steps
    every = np.arange(-32768, 32768).astype(np.int16)[:, None]
    y = program.tensors["y"]
    exact = graph.run({"x": program.tensors["x"].dequantize(every)})["y"].astype(np.float64) / float(y.scale)
    gap = np.abs(program.run({"x": every})["y"] - np.clip(np.rint(exact), -32768, 32767))
    assert gap.max() <= step.attributes["off"] <= 64
    inside = np.abs(every) <= 16384
    assert gap[inside].max() <= (1 if len(step.constants["table"]) <= 513 else 8)


def test_a_softmax_is_within_a_step() -> None:
    graph = chain("s", [("x", (300,))], [Node("Softmax", "n", ("x",), ("y",), {"axis": 0})])
    x = np.random.default_rng(0).normal(0, 3, (200, 300)).astype(np.float32)
    x[0] = 0
    program = lower(graph, ranges_of(graph, {"x": x}), activation_bits=every_activation(graph)).program
    codes = program.quantize({"x": x})
    real = program.tensors["x"].dequantize(codes["x"]).astype(np.float64)
    exact = np.exp(real - real.max(axis=1, keepdims=True))
    exact = 32768 * exact / exact.sum(axis=1, keepdims=True)
    assert np.abs(program.run(codes)["y"] - np.minimum(exact, 32767)).max() <= 1


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("kernel", ["conv", "dense"])
def test_packed_weights(kernel: str, bits: int) -> None:
    """Weights of 4 and 2 bits: C = NumPy where rows lie in pairs, in pairs by halfwords, and alone."""
    cores, stored = iter(("host", "cortex-m4f", "cortex-m55")), list[int]()

    @QUIETLY
    @given(graphs=st.lists(NETWORKS_OF[kernel], min_size=NETWORKS, max_size=NETWORKS))
    def law(graphs: list[Graph]) -> None:
        whole = together("law", graphs)
        rng = np.random.default_rng(0)
        feed = {tensor.name: reals(whole, tensor.name, rng, 8) for tensor in whole.inputs}
        low = {node.inputs[1]: bits for node in packable(whole)}
        found = lower(whole, ranges_of(whole, feed), weight_bits=low, activation_bits=every_activation(whole))
        program = replace(found.program, name="law")
        stored.append(sum(bits_of(s) == bits for s in program.steps if s.kernel == kernel))
        job = Job(program, emit_c(program, next(cores)), stored_inputs(whole, found, 7, 30))
        with TemporaryDirectory() as folder:
            (result,) = run_on_host([job], Path(folder))
        for name, values in program.run(job.inputs).items():
            np.testing.assert_array_equal(result[name], values)

    law()
    assert len(stored) == EXAMPLES == 3
    assert min(stored) > 0


@given(seed=st.integers(0, 9999), factor=st.floats(-2, 2), offset=st.floats(-1, 1))
@settings(QUIETLY, max_examples=6)
def test_rescaling_of_every_code(seed: int, factor: float, offset: float) -> None:
    """int8 to int16 and back, and a factor and an offset in int16: C = NumPy, within half a step of the real value."""
    rng = np.random.default_rng(seed)
    scales, zeros = 10.0 ** rng.uniform(-4, 4, 12), rng.integers(-128, 128, 12).tolist()
    jobs, kinds = [], [("int8", "int16"), ("int16", "int8"), ("int16", "int16")] * 2
    for i, (before, after) in enumerate(kinds):
        x, y = (
            QuantizedTensor(n, (256,), np.float32(s), z if kind == "int8" else 0, kind)
            for n, s, z, kind in zip(
                ("x", "y"), scales[2 * i :], zeros[2 * i :], (before, after), strict=False
            )
        )
        numbers = (factor, offset * float(y.scale) * 9) if before == after else (1.0, 0.0)
        step = rescaled("r", x, y, *numbers)
        program = IntegerProgram(f"r{i}", ("x",), ("y",), (step,), {"x": x, "y": y})
        codes = np.arange(x.limits[0], x.limits[1] + 1).astype(before).reshape(-1, 256)
        exact = (
            (codes.astype(np.float64) - x.zero_point) * float(x.scale) * numbers[0] + numbers[1]
        ) / float(y.scale)
        wanted = np.clip(exact + y.zero_point, *y.limits)
        assert np.abs(program.run({"x": codes})["y"] - wanted).max() <= 0.51
        jobs.append(Job(program, emit_c(program), {"x": codes}))
    with TemporaryDirectory() as folder:
        for job, found in zip(jobs, run_on_host(jobs, Path(folder)), strict=True):
            np.testing.assert_array_equal(found["y"], job.program.run(job.inputs)["y"])
