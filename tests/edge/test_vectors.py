"""The CMSIS-NN golden vectors (TensorFlow Lite's rounding) through an `IntegerProgram`: NumPy, host C,
emulated core.

int8 weights with int8 and with int16 activations. Left out: *_int4 (4 bits a weight as TensorFlow Lite packs
them), lstm, svdf; and add, mul, softmax (add_s16 and softmax_s8_s16 too) and the pools, which have integer
rules of their own in Trine (equal to the float operator, not to TensorFlow Lite's), whatever `requantize` says.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulate_samples import load
from program_samples import Int8, Job, entry_of, run_on_host, write_sources

from trine.edge.c.emit import emit_c
from trine.edge.parity import as_bytes
from trine.edge.program import IntegerProgram, QuantizedTensor, Step
from trine.edge.requantize import Requantizer, reduced_multiplier

DATA = Path(os.environ.get("TRINE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "cmsis_nn"
CASES = [
    "basic",
    "conv_1_x_n_1",
    "conv_2",
    "conv_3",
    "conv_out_activation",
    "depthwise_2",
    "depthwise_kernel_3x3",
    "depthwise_null_bias_0",
    "depthwise_out_activation",
    "fc_per_ch",
    "fully_connected",
    "fully_connected_null_bias_0",
    "fully_connected_out_activation",
    "fully_connected_int16",
    "grouped_conv",
    "int16xint8",
    "kernel1x1",
    "kernel1x1_stride_x",
    "requantize_s64",
    "stride2pad1",
]
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}; set TRINE_DATA")


def requantizer(config: dict[str, int], arrays: dict[str, Any], channels: int) -> Requantizer:
    """TensorFlow Lite's multipliers and shifts (theirs count to the left), one a channel or one for all."""
    if "OUTPUT_MULTIPLIER" in config:
        multiplier, shift = np.array([config["OUTPUT_MULTIPLIER"]]), np.array([config["OUTPUT_SHIFT"]])
    else:
        multiplier = arrays.get("output_mult", arrays.get("output_multiplier"))
        shift = arrays["output_shift"]
    assert len(multiplier) in (1, channels)
    bounds = config["OUT_ACTIVATION_MIN"], config["OUT_ACTIVATION_MAX"]
    if arrays["input"].dtype == np.int16:
        reduced, right = reduced_multiplier(multiplier), (15 - shift).astype(np.int32)
        return Requantizer(np.ones(len(reduced), np.float32), reduced, right, 0, 0, *bounds, "int16_tflite")
    return Requantizer(
        np.ones(len(multiplier), np.float32),
        multiplier.astype(np.int32),
        -shift.astype(np.int32),
        0,
        config["OUTPUT_OFFSET"],
        *bounds,
        "tflite",
    )


def conv_step(c: dict[str, int], arrays: dict[str, Any]) -> tuple[Step, tuple[int, ...], tuple[int, ...]]:
    """The conv step of a case, with input and output shape (channels, height, width)."""
    out, depthwise = c["OUT_CH"], "CH_MULT" in c
    kernel = (c["FILTER_Y"], c["FILTER_X"])
    if depthwise:  # [1, H, W, out] -> [out, 1, H, W]
        weight = arrays["weights"].reshape(*kernel, out).transpose(2, 0, 1)[:, None]
    else:  # OHWI -> OIHW
        weight = arrays["weights"].reshape(out, *kernel, -1).transpose(0, 3, 1, 2)
    size, positions = (c["INPUT_H"], c["INPUT_W"]), (c["OUTPUT_H"], c["OUTPUT_W"])
    strides, dilations = (c["STRIDE_Y"], c["STRIDE_X"]), (c["DILATION_Y"], c["DILATION_X"])
    begins = (c["PAD_Y"], c["PAD_X"])
    ends = [
        max((p - 1) * s + (k - 1) * d + 1 - n - b, 0)
        for p, s, k, d, n, b in zip(positions, strides, kernel, dilations, size, begins, strict=True)
    ]
    group = c["IN_CH"] if depthwise else c["IN_CH"] // weight.shape[1]
    attributes = {"strides": strides, "dilations": dilations, "pads": (*begins, *ends), "group": group}
    bias = arrays.get("biases", arrays.get("bias")).astype(np.int32)
    constants = {"weight": np.ascontiguousarray(weight), "bias": bias}
    step = Step(
        "conv",
        "step",
        ("x",),
        "y",
        constants,
        {**attributes, "largest_sum": 2**40 if arrays["input"].dtype == np.int16 else 2**31},
        requantizer(c, arrays, out),
    )
    return step, (c["IN_CH"], *size), (out, *positions)


def dense_step(c: dict[str, int], arrays: dict[str, Any]) -> tuple[Step, tuple[int, ...], tuple[int, ...]]:
    """The dense step of a case."""
    out, depth = c["OUT_CH"], c["ACCUMULATION_DEPTH"]
    constants = {
        "weight": arrays["weights"].reshape(out, depth),
        "bias": arrays.get("biases", arrays.get("bias")).astype(np.int32),
    }
    largest = {"largest_sum": 2**40 if arrays["input"].dtype == np.int16 else 2**31}
    step = Step("dense", "step", ("x",), "y", constants, largest, requantizer(c, arrays, out))
    return step, (depth,), (out,)


@cache
def case(name: str) -> tuple[IntegerProgram, Int8, Int8]:
    """The program, its input [n, *shape] and the golden output [n, *shape], channels first."""
    file = json.loads((DATA / f"{name}.json").read_text())
    arrays = {k: np.array(v["data"], v["dtype"]) for k, v in file["arrays"].items()}
    c = file["config"]
    dense = "ACCUMULATION_DEPTH" in c
    step, x_shape, y_shape = (dense_step if dense else conv_step)(c, arrays)
    wanted = arrays.get("output_ref", arrays.get("output"))
    x, y = (_channels_first(a, shape) for a, shape in ((arrays["input"], x_shape), (wanted, y_shape)))
    assert len(x) == len(y) == c["INPUT_BATCHES"]
    tensors = {
        "x": QuantizedTensor("x", x_shape, np.float32(1), -c["INPUT_OFFSET"], x.dtype.name),
        "y": QuantizedTensor("y", y_shape, np.float32(1), c["OUTPUT_OFFSET"], y.dtype.name),
    }
    program = IntegerProgram(name, ("x",), ("y",), (step,), tensors, "tflite")
    program.check()
    return program, x, y


def _channels_first(flat: Int8, shape: tuple[int, ...]) -> Int8:
    """NHWC as stored -> [n, *shape]."""
    if len(shape) == 1:
        return flat.reshape(-1, *shape)
    return np.ascontiguousarray(flat.reshape(-1, *shape[1:], shape[0]).transpose(0, 3, 1, 2))


def test_no_vector_of_a_layer_is_left_out() -> None:
    layers = ("int16xint8", "requantize_s64", "basic", "kernel1x1", "stride2pad1", "depthwise", "fc_")
    layers += ("conv", "fully_connected")
    there = {path.stem for path in DATA.glob("*.json") if any(word in path.stem for word in layers)}
    assert {name for name in there if not name.endswith("_int4")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_numpy_replays(name: str) -> None:
    program, x, wanted = case(name)
    np.testing.assert_array_equal(program.run({"x": x})["y"], wanted)


@pytest.mark.parametrize("core", ["cortex-m4f", "cortex-m55"])
def test_c_replays_on_the_host(core: str, tmp_path: Path) -> None:
    jobs = [Job(case(name)[0], emit_c(case(name)[0], core), {"x": case(name)[1]}) for name in CASES]
    for name, found in zip(CASES, run_on_host(jobs, tmp_path, ("-O1", "-fsanitize=undefined")), strict=True):
        np.testing.assert_array_equal(found["y"], case(name)[2], err_msg=name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("core", ["cortex-m4f"])
def test_c_replays_on_a_core(core: str, name: str, tmp_path: Path) -> None:
    program, x, wanted = case(name)
    sources = emit_c(program, core)
    write_sources(sources, tmp_path)
    with load(core, "zig", "unicorn", tmp_path, entry_of(program, sources.name)) as machine:
        (found,) = machine.run([as_bytes(x)])
    np.testing.assert_array_equal(found, as_bytes(wanted))
