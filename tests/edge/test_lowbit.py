"""Weights of 4 and 2 bits: codes, packing, and C = NumPy = onnxruntime bit for bit on layers that Hypothesis draws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from program_samples import chain, conv, entry_of, job_of, ranges_of, run_on_host, together, write_sources

from trine.compilers.cases import draw
from trine.compilers.graph import Array, Graph, Node
from trine.devices.errors import InputError
from trine.edge.c.linear import pack_rows
from trine.edge.c.packing import granule, pack, padded
from trine.edge.emulate import emulator_for, missing
from trine.edge.fit import constant_bytes
from trine.edge.lowbit import LARGEST, LEAST, RAISED, are_codes, scales_of, to_codes
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram
from trine.edge.program_file import load_program, save_program
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.quantize.layers import packable
from trine.edge.weights import quantize_weight

LOW = [4, 2]
LAYERS = 24  # of each width, in one C file
EXAMPLES = 220  # of each layer: more than 10,000 cases of each width in all
CORES = ["host", "cortex-m4f", "cortex-m55"]  # portable in pairs, wide in pairs, single rows


def levels(bits: int) -> list[int]:
    """Every code of a width."""
    return [q for q in range(LEAST[bits], LARGEST[bits] + 1) if bits != 2 or q % 2]


@pytest.mark.parametrize("bits", [8, *LOW])
@given(value=st.floats(-1e3, 1e3, width=32))
def test_the_nearest_code_is_taken(bits: int, value: float) -> None:
    code = int(to_codes(np.array([value]), bits)[0])
    assert abs(code - value) == min(abs(q - value) for q in levels(bits))
    assert are_codes(np.array([code]), bits)


def test_what_is_no_code_is_seen() -> None:
    assert not are_codes(np.array([8]), 4)
    assert not are_codes(np.array([2]), 2)
    assert not are_codes(np.array([0]), 2)


def unpacked(packed: Array, bits: int, paired: bool) -> Array:
    """The codes that packed bytes stand for, in the order of the int8 kernels, read as the header of packed.c says."""
    words, count = packed.view(np.uint8).reshape(-1, 1 + paired, 4), 8 // bits
    fields = np.stack([words >> np.uint8(bits * i) & np.uint8(2**bits - 1) for i in range(count)], axis=1)
    signed = fields.astype(np.int64)
    signed = np.where(signed >= 2 ** (bits - 1), signed - 2**bits, signed)
    return (2 * signed + 1 if bits == 2 else signed).ravel()


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("bits", LOW)
@given(rows=st.integers(1, 5), taps=st.integers(1, 40), seed=st.integers(0, 99))
def test_packing_loses_nothing(bits: int, paired: bool, rows: int, taps: int, seed: int) -> None:
    codes = np.random.default_rng(seed).choice(levels(bits), (rows, taps)).astype(np.int8)
    stream = pack_rows(codes, 1, paired, bits)
    packed = pack(stream, bits, paired)
    assert packed.size * 8 // bits == stream.size, "two or four codes to a byte"
    found = unpacked(packed, bits, paired)
    real = stream.ravel() != 0 if bits == 2 else np.full(stream.size, True)  # padding of 2 bits is any code
    np.testing.assert_array_equal(found[real], stream.ravel()[real])
    assert padded(taps, bits) % granule(bits) == 0


@pytest.mark.parametrize("bits", LOW)
def test_codes_too_large_are_refused(bits: int) -> None:
    with pytest.raises(InputError, match=f"{bits} bit"):
        pack(np.array([9, 1, 1, 1], np.int8), bits, False)


def one_layer(data: st.DataObject, number: int) -> Graph:
    """A conv of one or two dimensions (dense, grouped, depthwise), a Gemm or a MatMul, of a drawn size."""
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    out, inner = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    relu = [Node("Relu", "r", ("y",), ("z",))] * data.draw(st.booleans())

    def normal(*shape: int) -> Array:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    kind = data.draw(st.sampled_from(["conv", "depthwise", "grouped", "image", "gemm", "rows"]))
    constants = {"b": normal(out)}
    if kind == "gemm":
        wide = data.draw(st.integers(1, 70))
        node = Node("Gemm", "g", ("x", "w", "b"), ("y",))
        return chain(f"l{number}", [("x", (wide,))], [node, *relu], {"w": normal(out, wide), **constants})
    if kind == "rows":
        length, wide = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
        node = Node("MatMul", "m", ("x", "w"), ("y",))
        return chain(f"l{number}", [("x", (length, wide))], [node, *relu], {"w": normal(wide, out)})
    rank = 2 if kind == "image" else 1
    group = {"depthwise": out, "grouped": 2}.get(kind, 1)
    channels, filters = (out, out) if kind == "depthwise" else (inner * group, out * group)
    kernel = tuple(data.draw(st.integers(1, 4)) for _ in range(rank))
    dilations = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    size = tuple(
        (k - 1) * d + 1 + data.draw(st.integers(0, 6)) for k, d in zip(kernel, dilations, strict=True)
    )
    node = conv(
        "c", "x", "y", "w", "b", rank=rank, group=group, dilations=dilations,
        strides=tuple(data.draw(st.integers(1, 2)) for _ in range(rank)),
        pads=tuple(data.draw(st.integers(0, 2)) for _ in range(2 * rank)),
    )  # fmt: skip
    constants = {"w": normal(filters, channels // group, *kernel), "b": normal(filters)}
    if data.draw(st.booleans()):
        constants["w"][0] = 0  # a channel without weights
    return chain(f"l{number}", [("x", (channels, *size))], [node, *relu], constants)


@cache
def layers() -> Graph:
    """LAYERS drawn layers as one network, so that one compilation serves them all."""
    found: list[Graph] = []

    @given(data=st.data())
    @settings(max_examples=LAYERS, derandomize=True, phases=[Phase.generate], database=None,
              suppress_health_check=list(HealthCheck), deadline=None)  # fmt: skip
    def collect(data: st.DataObject) -> None:
        found.append(one_layer(data, len(found)))

    collect()
    return together("layers", found[:LAYERS])


@cache
def program(bits: int, requantize: str = "exact") -> IntegerProgram:
    graph = layers()
    widths = {node.inputs[1]: bits for node in packable(graph)}
    return lower(graph, ranges_of(graph, draw(graph, 32)), requantize, weight_bits=widths).program


@cache
def answers(bits: int, requantize: str = "exact") -> tuple[dict[str, Array], dict[str, Array]]:
    """Random int8 inputs, the extremes among them, and the definition's answers."""
    inputs = job_of(program(bits, requantize)).inputs
    rng = np.random.default_rng(bits)
    many = {
        name: np.concatenate([x, rng.integers(-128, 128, (EXAMPLES - len(x), *x.shape[1:])).astype(np.int8)])
        for name, x in inputs.items()
    }
    return many, program(bits, requantize).run(many)


@pytest.mark.parametrize("bits", LOW)
def test_every_layer_has_the_width_asked_for(bits: int) -> None:
    steps = [step for step in program(bits).steps if "weight" in step.constants]
    assert len(steps) >= LAYERS
    assert {step.attributes["weight_bits"] for step in steps} == {bits}
    assert all(are_codes(step.constants["weight"], bits) for step in steps)
    assert {step.kernel for step in steps} == {"conv", "dense"}


@pytest.mark.parametrize("requantize", ["exact", "tflite"])
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("bits", LOW)
def test_c_equals_numpy_and_is_clean(bits: int, core: str, requantize: str, tmp_path: Path) -> None:
    """Under the sanitizers; LAYERS x EXAMPLES layer runs a core."""
    if requantize == "tflite" and core != "host":
        pytest.skip("the rounding is apart from the packing: one core suffices")
    inputs, wanted = answers(bits, requantize)
    (found,) = run_on_host([replace(job_of(program(bits, requantize), core), inputs=inputs)], tmp_path)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


ROUTES = [("cortex-m0", "zig", "unicorn"), ("cortex-m3", "zig", "unicorn"), ("cortex-m4f", "zig", "unicorn"),
          ("cortex-m55", "zig", "qemu")]  # fmt: skip


@pytest.mark.parametrize(("core", "compiler", "emulator"), ROUTES, ids=["-".join(r) for r in ROUTES])
@pytest.mark.parametrize("bits", LOW)
def test_emulated_cores_equal_numpy(
    bits: int, core: str, compiler: str, emulator: str, tmp_path: Path
) -> None:
    absent = missing(core, compiler, emulator)  # type: ignore[arg-type]
    if absent:
        pytest.skip(f"{', '.join(absent)} missing")
    job, (inputs, wanted) = job_of(program(bits), core), answers(bits)
    write_sources(job.sources, tmp_path)
    rows = [inputs[name][:4].reshape(4, -1) for name in job.program.inputs]
    chosen = emulator_for(core, compiler, emulator)  # type: ignore[arg-type]
    with chosen.load(tmp_path, entry_of(job.program, "layers")) as machine:
        found = machine.run(rows)
    for name, values in zip(job.program.outputs, found, strict=True):
        np.testing.assert_array_equal(values, wanted[name][:4].reshape(4, -1), err_msg=name)


@pytest.mark.parametrize("bits", LOW)
def test_onnxruntime_equals_numpy(bits: int) -> None:
    made, (inputs, wanted) = program(bits), answers(bits)
    feed = {name: made.tensors[name].dequantize(x) for name, x in inputs.items()}
    found = run_qdq(to_qdq(made), made, feed)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("bits", LOW)
def test_a_program_file_keeps_the_width(bits: int, tmp_path: Path) -> None:
    save_program(program(bits), tmp_path / "p.npz")
    again = load_program(tmp_path / "p.npz")
    assert [s.attributes.get("weight_bits") for s in again.steps] == [
        s.attributes.get("weight_bits") for s in program(bits).steps
    ]
    inputs, wanted = answers(bits)
    for name, values in again.run(inputs).items():
        np.testing.assert_array_equal(values, wanted[name])


def test_packed_weights_take_their_share_of_flash() -> None:
    graph = chain(
        "n", [("x", (64,))], [Node("Gemm", "g", ("x", "w"), ("y",))], {"w": np.ones((32, 64), np.float32)}
    )
    ranges = ranges_of(graph, draw(graph, 8))
    sizes = {b: constant_bytes(lower(graph, ranges, weight_bits={"w": b}).program) for b in (8, 4, 2)}
    assert sizes[8] - sizes[4] == 32 * 64 // 2
    assert sizes[4] - sizes[2] == 32 * 64 // 4


@pytest.mark.parametrize("bits", [8, *LOW])
@given(seed=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_a_weight_is_off_by_half_a_step_at_most(bits: int, seed: int) -> None:
    weight = np.random.default_rng(seed).normal(0, 1, (5, 7)).astype(np.float32)
    q, scale = quantize_weight(weight, None, bits)
    step = scale * (2 if bits == 2 else 1)
    assert (np.abs(q * scale[:, None] - weight) <= step[:, None] * 0.5001).all()
    np.testing.assert_array_equal(scale, scales_of(weight, bits))


@pytest.mark.parametrize("bits", LOW)
def test_a_layer_whose_raised_sums_leave_32_bits_is_refused(bits: int) -> None:
    wide = 2**31 // (128 * RAISED[bits] * LARGEST[bits]) + 8
    graph = chain(
        "n", [("x", (wide,))], [Node("Gemm", "g", ("x", "w"), ("y",))], {"w": np.ones((1, wide), np.float32)}
    )
    ranges = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
    with pytest.raises(ValueError, match="leave it at 8"):
        lower(graph, ranges, weight_bits={"w": bits})
