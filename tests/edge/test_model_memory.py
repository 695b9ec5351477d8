"""The arena of whole networks: within 5 % of the bound of its order, and below TFLM's published arenas.

Ranges come from a few examples, of the examples' networks random ones: a plan depends on shapes alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.float32 import float_program
from trine.edge.memory.planning import ROUNDING
from trine.edge.program import IntegerProgram
from trine.edge.quantize import quantize

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data")) / "models_mlperf_tiny"
EXAMPLES = sorted((ROOT / "examples").glob("*/*.onnx"))
FLOATS = ("neural_ode",)  # examples that are compiled in float32
# Silicon Labs MLTK (github SiliconLabs/mltk @ 01a8b7b, mltk/models/tinyml/*.py, `runtime_memory_size`): the TFLM arena
# of its MLPerf Tiny networks, of the same layers and multiply-accumulates. The reference submissions (github
# mlcommons/tiny, benchmark/reference_submissions/*/submitter_implemented.cpp) reserve 204,800, 102,400 and 10,240.
PUBLISHED = {"kws_ref_model_float32": 21_424, "pretrainedResnet": 53_972, "ad01_fp32": 9_396}


def int8(graph: Graph, folder: Path, inputs: Mapping[str, Array]) -> IntegerProgram:
    np.savez(folder / "calib.npz", **inputs)  # type: ignore[arg-type]  # NumPy's stub gives every keyword to one option
    return quantize(graph, Examples.open(folder / "calib.npz", graph.inputs)).program


def within_a_twentieth(program: IntegerProgram, core: str) -> bool:
    """Places are multiples of words: a few numbers of a byte or two take up to ROUNDING bytes more."""
    plan = emit_c(program, core).plan
    return plan.arena_bytes <= max(1.05 * plan.lower_bound_bytes, plan.lower_bound_bytes + ROUNDING)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}_{path.stem}")
def test_every_example_is_within_a_twentieth_of_its_bound(path: Path, tmp_path: Path) -> None:
    graph = load_source(path)
    rng = np.random.default_rng(0)
    drawn = {tensor.name: rng.normal(size=(4, *tensor.shape)).astype(np.float32) for tensor in graph.inputs}
    program = float_program(graph) if path.parent.name in FLOATS else int8(graph, tmp_path, drawn)
    assert within_a_twentieth(program, "cortex-m4f")
    assert within_a_twentieth(program, "cortex-m0plus")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs models_mlperf_tiny in the folder that TRINE_DATA names")
@pytest.mark.parametrize("stem", PUBLISHED)
def test_mlperf_tiny_needs_less_than_the_arena_tflm_publishes(stem: str, tmp_path: Path) -> None:
    """TFLM's arena holds the input and the output too; ours are the caller's, and counted here."""
    graph = load_source(DATA / f"{stem}.onnx")
    with np.load(DATA / f"{stem}.npz") as stored:
        program = int8(graph, tmp_path, {graph.inputs[0].name: stored["x"][:4]})
    outside = sum(program.tensors[name].bytes for name in (*program.inputs, *program.outputs))
    for core in ("cortex-m4f", "cortex-m0plus", "cortex-m55"):
        assert within_a_twentieth(program, core)
        assert emit_c(program, core).plan.arena_bytes + outside <= PUBLISHED[stem]
