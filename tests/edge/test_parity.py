"""Comparing prints with the program: what differs is counted, and excused only where rounding explains it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from program_samples import chain, conv, lowered, write_sources

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph, Node
from trine.edge.c.emit import emit_c
from trine.edge.parity import (
    Sample,
    all_ok,
    difference,
    draw,
    entry_of,
    in_onnxruntime,
    largest_gap,
    on_host,
    stored_sample,
    vectors,
)
from trine.edge.program import IntegerProgram
from trine.edge.qdq import to_qdq


def graph(last: str = "Relu") -> Graph:
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.normal(0, 0.4, (4, 2, 3)).astype(np.float32),
        "b": rng.normal(0, 1, 4).astype(np.float32),
    }
    attributes = {"axis": 0} if last == "Softmax" else {}
    return chain(
        "net",
        [("x", (2, 8))],
        [conv("c", "x", "a", "w", "b"), Node(last, "r", ("a",), ("y",), attributes)],
        constants,
    )


def sampled(program: IntegerProgram, folder: Path, count: int = 50, wanted: int = 30) -> Sample:
    x = np.random.default_rng(2).normal(0, 1, (count, *program.tensors["x"].shape)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    opened = Examples.open(folder / "x.npz", graph().inputs)
    return draw(program, opened, wanted)


@pytest.fixture
def program() -> IntegerProgram:
    return lowered(graph()).program


def test_a_sample_is_spread_over_the_file(program: IntegerProgram, tmp_path: Path) -> None:
    sample = sampled(program, tmp_path, 600, 7)
    with np.load(tmp_path / "x.npz") as file:
        x = file["x"]
    assert sample.count == 7
    np.testing.assert_array_equal(sample.inputs["x"], x[[0, 99, 199, 299, 399, 499, 599]])
    np.testing.assert_array_equal(sample.outputs["y"], program.run(program.quantize(sample.inputs))["y"])
    assert sampled(program, tmp_path, 5, 30).count == 5
    head = sample.head(3)
    np.testing.assert_array_equal(head.inputs["x"], x[[0, 299, 599]])
    np.testing.assert_array_equal(head.outputs["y"], sample.outputs["y"][[0, 3, 6]])


def test_differences_are_counted(program: IntegerProgram, tmp_path: Path) -> None:
    sample = sampled(program, tmp_path)
    same = difference("itself", program, sample, sample.outputs)
    assert (same.values, same.differing, same.max_abs_diff, same.ok) == (30 * 24, 0, 0, True)
    other = sample.outputs["y"].copy()
    other[0, 0, 0], other[3, 1, 2] = 127, -128
    expected = max(127 - int(sample.outputs["y"][0, 0, 0]), int(sample.outputs["y"][3, 1, 2]) + 128)
    found = difference("another", program, sample, {"y": other})
    assert found.differing == int((other != sample.outputs["y"]).sum())
    assert found.max_abs_diff == expected
    assert not found.ok
    assert not all_ok([same, found])
    assert largest_gap(program, sample, {"y": other}) == expected


def test_the_prints_agree(program: IntegerProgram, tmp_path: Path) -> None:
    sample = sampled(program, tmp_path)
    sources = emit_c(program, "cortex-m4f")
    folder = write_sources(sources, tmp_path / "c")
    host = on_host(program, sample, folder, entry_of(program, sources.name))
    assert (host.differing, host.values) == (0, 720)
    for kind in ("int8", "uint8"):
        parities = in_onnxruntime(program, sample, to_qdq(program, kind))
        assert [p.differing for p in parities] == [0, 0]
        assert ["all" in p.against for p in parities] == [True, False]


def test_a_wrong_c_is_noticed(program: IntegerProgram, tmp_path: Path) -> None:
    sample = sampled(program, tmp_path)
    sources = emit_c(program)
    wrong = sources.source.replace(
        "    return 0;\n}\n", "    out0[3] = (int8_t)(out0[3] + 1);\n    return 0;\n}\n"
    )
    assert wrong != sources.source
    folder = write_sources(replace(sources, source=wrong), tmp_path / "c")
    host = on_host(program, sample, folder, entry_of(program, sources.name))
    assert host.differing == sample.count
    assert not host.ok


@pytest.mark.parametrize("last", ["Relu", "Softmax", "Tanh"])
def test_a_wrong_onnx_is_not_excused(last: str, tmp_path: Path) -> None:
    program = lowered(graph(last)).program
    sample = sampled(program, tmp_path)
    (step, *rest) = program.steps
    weight = step.constants["weight"].copy()
    weight[:, 0, 0] = np.where(weight[:, 0, 0] > 0, -100, 100)
    wrong = program.with_steps((replace(step, constants={**step.constants, "weight": weight}), *rest))
    for parity in in_onnxruntime(program, sample, to_qdq(wrong)):
        assert parity.differing > 0
        assert not parity.ok, parity
        assert parity.note == ""


def test_vectors_prove_a_program_again(program: IntegerProgram, tmp_path: Path) -> None:
    sample = sampled(program, tmp_path)
    stored = vectors(sample, program, 8)
    assert stored.keys() == {"in_x", "out_y"}
    assert all(a.dtype == np.int8 and len(a) == 8 for a in stored.values())
    again = stored_sample(program, stored)
    np.testing.assert_array_equal(program.quantize(again.inputs)["x"], stored["in_x"])
    np.testing.assert_array_equal(program.run(dict(again.codes))["y"], stored["out_y"])
