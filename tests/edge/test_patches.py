"""Laws of patch-wise execution: the same bits as the whole program in every print, less RAM, weights stored once."""

from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from patch_networks import early_layers
from program_samples import Job, chain, conv, hard_inputs, lowered, ranges_of, run_on_host

from trine.compilers.graph import Graph, Node
from trine.compilers.onnx_reader import read_onnx
from trine.devices.errors import InputError
from trine.edge.c.emit import emit_c
from trine.edge.float32 import float_program
from trine.edge.lower import lower
from trine.edge.patches import best, cuts, front, patched
from trine.edge.patches.build import multiply_accumulates
from trine.edge.patches.front import at_count, choose
from trine.edge.patches.region import regions
from trine.edge.program import IntegerProgram
from trine.edge.program_file import load_program, save_program
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.simplify import simplify

DATA = (
    Path(os.environ.get("TRINE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "models_mlperf_tiny"
)
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def drawn(graph: Graph, data: st.DataObject) -> tuple[IntegerProgram, IntegerProgram]:
    """The program of a network, and the same with one of its cuts in a number of patches."""
    program = lowered(graph, n=8).program
    assume(known := regions(program))
    cut = data.draw(st.sampled_from(list(known)), "cut")
    count = data.draw(st.integers(2, program.tensors[cut].shape[known[cut].axes[cut]]), "patches")
    return program, patched(program, cut, count)


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(graph=early_layers(), data=st.data())
def test_the_same_bits_whatever_the_network_the_cut_and_the_count(graph: Graph, data: st.DataObject) -> None:
    program, made = drawn(graph, data)
    made.check()
    inputs = hard_inputs(program, 6)
    for name, wanted in program.run(inputs).items():
        np.testing.assert_array_equal(made.run(inputs)[name], wanted)
    assert multiply_accumulates(made) >= 0


def test_c_and_onnx_print_the_same_bits(tmp_path: Path) -> None:
    jobs: list[Job] = []
    wanted = []

    @settings(
        max_examples=26, deadline=None, derandomize=True, suppress_health_check=SLOW, phases=(Phase.generate,)
    )
    @given(graph=early_layers(), data=st.data())
    def collect(graph: Graph, data: st.DataObject) -> None:
        program, made = drawn(graph, data)
        assume(len(made.steps) > len(program.steps))
        inputs = hard_inputs(program, 6)
        sources = emit_c(
            IntegerProgram(
                f"net{len(jobs)}", *(getattr(made, n) for n in ("inputs", "outputs", "steps", "tensors"))
            ),
            "cortex-m4f",
        )
        jobs.append(Job(made, sources, inputs))
        wanted.append(program.run(inputs))

    collect()
    assert len(jobs) >= 15
    for found, whole in zip(run_on_host(jobs, tmp_path), wanted, strict=True):
        for name, values in whole.items():
            np.testing.assert_array_equal(found[name], values)
    for job, whole in list(zip(jobs, wanted, strict=True))[:6]:
        real = {n: job.program.tensors[n].dequantize(q) for n, q in job.inputs.items()}
        optimised = run_qdq(to_qdq(job.program), job.program, real)
        for name, values in whole.items():
            np.testing.assert_array_equal(optimised[name], values)


def stem(height: int = 24, width: int = 16) -> Graph:
    """A network whose first layers need most of the RAM: 8 channels of the full image, then a quarter of it."""
    rng = np.random.default_rng(5)
    shapes = {"w1": (8, 1, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,), "w3": (3, 8), "b3": (3,)}
    constants = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        conv("c1", "x", "a", "w1", "b1", rank=2, pads=(1, 1, 1, 1)),
        Node("Relu", "r1", ("a",), ("r",)),
        conv("c2", "r", "b", "w2", "b2", rank=2, pads=(1, 1, 1, 1)),
        Node("Add", "s", ("r", "b"), ("c",)),
        Node(
            "MaxPool", "p", ("c",), ("d",),
            {"kernel_shape": (4, 4), "strides": (4, 4), "dilations": (1, 1), "pads": (0, 0, 0, 0)},
        ),
        Node("GlobalAveragePool", "g", ("d",), ("e",)),
        Node("Reshape", "f", ("e",), ("h",), {"shape": (8,)}),
        Node("Gemm", "m", ("h", "w3", "b3"), ("y",)),
    ]  # fmt: skip
    return chain("stem", [("x", (1, height, width))], nodes, constants)


@cache
def stem_program() -> IntegerProgram:
    return lowered(stem()).program


def test_a_band_needs_its_rows_and_their_halo_and_no_more() -> None:
    made = patched(stem_program(), "d", 6)
    shapes = {t.name: t.shape for t in made.tensors.values()}
    # One row of the pool is four of the sum; each 3 x 3 window needs one more on either side, none beyond the image.
    assert [shapes[f"d@{i}"][1] for i in range(6)] == [1] * 6
    assert [shapes[f"b@{i}"][1] for i in range(6)] == [4] * 6
    assert [shapes[f"r@{i}"][1] for i in range(6)] == [5, 6, 6, 6, 6, 5]
    assert [step.attributes["pads"] for step in made.steps if step.name.startswith("c2@")] == [
        (1, 1, 0, 1), *[(0, 1, 0, 1)] * 4, (0, 1, 1, 1),
    ]  # fmt: skip
    whole = multiply_accumulates(stem_program())
    halo = 2 * 5 * 16 * 8 * 9  # rows of c1 computed once more at each of five seams
    assert multiply_accumulates(made) == whole + halo


def test_rows_are_whole_words_where_that_is_possible() -> None:
    """Bands lie straight in the cut: it is not stored twice, and the concatenation copies nothing."""
    made = patched(stem_program(), "d", 6)
    sources = emit_c(made, "cortex-m4f")
    assert len(sources.plan.placed) == 6
    assert "d_patches" not in sources.source
    # Views of what a band reads of another tensor are not copied either.
    assert len([pair for pair in sources.plan.aliased if "rows" not in pair[1]]) >= 6


def test_weights_tables_and_functions_are_stored_once() -> None:
    whole, made = stem_program(), patched(stem_program(), "d", 6)
    one, six = emit_c(whole, "cortex-m4f"), emit_c(made, "cortex-m4f")
    for kind in ("int8_t TRINE_ALIGNED", "trine_channel", "trine_linear"):
        assert six.source.count(f"static const {kind}") == one.source.count(f"static const {kind}")
    assert len(six.layers) <= len(one.layers) + 3
    weights = [
        {i.name for i in onnx.load_from_string(to_qdq(p)).graph.initializer if "weight_quantized" in i.name}
        for p in (whole, made)
    ]
    assert len(weights[0]) == len(weights[1]) == 3


def test_a_saved_program_stores_equal_arrays_once(tmp_path: Path) -> None:
    made = patched(stem_program(), "d", 6)
    save_program(stem_program(), tmp_path / "whole.npz")
    save_program(made, tmp_path / "made.npz")
    assert (tmp_path / "made.npz").stat().st_size < 2 * (tmp_path / "whole.npz").stat().st_size
    again, inputs = load_program(tmp_path / "made.npz"), hard_inputs(made)
    np.testing.assert_array_equal(again.run(inputs)["y"], made.run(inputs)["y"])


def test_the_front_falls_in_ram_and_rises_in_work() -> None:
    program = stem_program()
    points = front(program, "cortex-m4f")
    assert (points[0].cut, points[0].count, points[0].extra_macs) == ("", 1, 0.0)
    assert points[0].arena_bytes == emit_c(program, "cortex-m4f").plan.arena_bytes
    assert points[-1].arena_bytes < points[0].arena_bytes / 2
    for before, after in pairwise(points):
        assert before.arena_bytes > after.arena_bytes
        assert before.extra_macs <= after.extra_macs + 1e-3  # as much work as makes no difference
    for point in points[1:]:
        made = patched(program, point.cut, point.count)
        assert emit_c(made, "cortex-m4f").plan.arena_bytes == point.arena_bytes
        assert multiply_accumulates(made) / multiply_accumulates(program) - 1 == pytest.approx(
            point.extra_macs
        )


def test_best_is_the_cheapest_that_fits() -> None:
    program = stem_program()
    points = front(program)
    assert best(program, points[0].arena_bytes) == points[0]
    assert best(program, points[0].arena_bytes - 1) == points[1]
    assert best(program, points[-1].arena_bytes) == points[-1]
    assert best(program, points[-1].arena_bytes - 1) is None
    assert choose(points, points[1].arena_bytes) == points[1]


def test_a_count_that_the_user_names() -> None:
    program = stem_program()
    point = at_count(program, 2)
    assert point.count == 2
    others = [patched(program, cut, 2) for cut in cuts(program)]
    assert point.arena_bytes == min(emit_c(p).plan.arena_bytes for p in others)
    with pytest.raises(InputError, match=r"no first layers that run in 25 patches; cuts there are: r"):
        at_count(program, 25)


@pytest.mark.parametrize(
    ("cut", "count", "said"),
    [
        ("q", 2, "has no tensor 'q'; known"),
        ("x", 2, "x is no cut of stem: x is an input"),
        ("e", 2, r"e is no cut of stem: g \(mean\) does not work on a band; cuts there are: r, c, d"),
        ("d", 7, "d has 6 rows: choose from 1 to 6 patches, not 7"),
        ("d", 0, "choose from 1 to 6 patches, not 0"),
    ],
)
def test_refusals(cut: str, count: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        patched(stem_program(), cut, count)


def test_what_is_read_behind_the_cut_forbids_it() -> None:
    nodes = [
        Node("Relu", "r", ("x",), ("a",)),
        Node("Sigmoid", "s", ("a",), ("b",)),
        Node("Tanh", "t", ("b",), ("c",)),
        Node("Add", "j", ("a", "c"), ("y",)),
    ]
    program = lowered(chain("skip", [("x", (2, 8))], nodes)).program
    assert cuts(program) == ["a", "y"]
    with pytest.raises(InputError, match="a, from before it, is read behind it"):
        patched(program, "b", 2)


def test_one_patch_is_the_program_and_floats_have_no_cut() -> None:
    program = stem_program()
    assert patched(program, "d", 1) is program
    floats = float_program(stem())
    assert cuts(floats) == []
    assert [point.cut for point in front(floats)] == [""]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}; set TRINE_DATA")
@pytest.mark.parametrize(
    ("name", "cut", "count", "saved", "extra"),
    [("pretrainedResnet", "relu_2", 2, 0.31, 0.02), ("kws_ref_model_float32", "relu_8", 3, 0.23, 0.29)],
)
def test_networks_of_mlperf_tiny(
    name: str, cut: str, count: int, saved: float, extra: float, tmp_path: Path
) -> None:
    graph = simplify(read_onnx(DATA / f"{name}.onnx"))
    with np.load(DATA / f"{name}.npz") as file:
        feed = {graph.inputs[0].name: file["x"][:6]}
    program = lower(graph, ranges_of(graph, feed)).program
    made, inputs = patched(program, cut, count), program.quantize(feed)
    sources = emit_c(made, "cortex-m4f")
    (found,) = run_on_host([Job(made, sources, inputs)], tmp_path, ("-O2",))
    for output, values in program.run(inputs).items():
        np.testing.assert_array_equal(found[output], values)
    assert sources.plan.arena_bytes <= (1 - saved) * emit_c(program, "cortex-m4f").plan.arena_bytes
    assert multiply_accumulates(made) <= (1 + extra) * multiply_accumulates(program)
