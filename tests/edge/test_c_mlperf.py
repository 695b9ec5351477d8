"""The three networks of MLPerf Tiny at hand: C equals the integer program, which is as near to float as
the reference."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from program_samples import Job, run_on_host

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.quantize import quantize
from trine.edge.quantize.quantize import Quantized

DATA = (
    Path(os.environ.get("TRINE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "models_mlperf_tiny"
)
NETWORKS = ["ad01_fp32", "kws_ref_model_float32", "pretrainedResnet"]
SHORTFALL_DB = 1.0  # the reference was quantised by TensorFlow Lite with calibration data of its own
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}; set TRINE_DATA")


@cache
def quantized(name: str) -> tuple[Graph, dict[str, Any], Quantized]:
    """The network, its stored examples and outputs, and our int8 program calibrated on those examples."""
    graph = read_onnx(DATA / f"{name}.onnx")
    with np.load(DATA / f"{name}.npz") as file:
        stored = {key: file[key] for key in file.files}
    return graph, stored, quantize(graph, Examples.open(DATA / f"{name}.npz", graph.inputs))


def sqnr(exact: NDArray[Any], found: NDArray[Any]) -> float:
    """Signal to quantisation noise in dB."""
    exact, error = exact.astype(np.float64), found.astype(np.float64) - exact
    return float(10 * np.log10((exact**2).sum() / (error**2).sum()))


@pytest.mark.parametrize("name", NETWORKS)
def test_as_near_to_float_as_the_reference(name: str) -> None:
    graph, stored, result = quantized(name)
    output = graph.outputs[0]
    ours = sqnr(stored["y"], result.program.run_float({graph.inputs[0].name: stored["x"]})[output])
    reference = (stored["y_int8"].astype(np.float64) - stored["y_int8_zero"]) * stored["y_int8_scale"]
    theirs = sqnr(stored["y"], reference)
    print(f"{name}: {ours:.2f} dB, the int8 TFLite reference {theirs:.2f} dB")
    assert ours >= theirs - SHORTFALL_DB


@pytest.mark.parametrize("name", NETWORKS)
def test_c_equals_the_integer_program(name: str, tmp_path: Path) -> None:
    graph, stored, result = quantized(name)
    inputs = result.program.quantize({graph.inputs[0].name: stored["x"][:8]})
    job = Job(result.program, emit_c(result.program, "cortex-m4f"), inputs)
    (found,) = run_on_host([job], tmp_path, ("-O2",))
    for output, values in result.program.run(inputs).items():
        np.testing.assert_array_equal(found[output], values)
