"""The emitted C on emulated cores: every kernel, both compilers, the same bits as NumPy and as the host."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from emulate_samples import load
from hypothesis import HealthCheck, given, settings
from program_samples import (
    catalogue,
    entry_of,
    hard_inputs,
    job_of,
    lowered,
    ranges_of,
    run_on_host,
    together,
    write_sources,
)
from random_networks import networks

from trine.compilers.cases import draw
from trine.compilers.graph import Graph
from trine.edge.c.emit import emit_c
from trine.edge.c.layout import lay_out, permute_dense
from trine.edge.emulate import CORES
from trine.edge.emulate.cores import CompilerName
from trine.edge.int16 import widest
from trine.edge.lower import lower
from trine.edge.parity import as_bytes
from trine.edge.program import IntegerProgram

# What has code of its own for a core; the rest is loops that look the same everywhere.
BLOCKED = ("Conv_", "Gemm_", "MatMul_", "Add_", "Mul_", "AveragePool_", "GlobalAveragePool_", "MaxPool_")
RARE = ("LSTM_", "GRU_", "RNN_", "RowAttention_", "LayerNormalization_", "Div_")
SPECIAL = (
    "residual_depthwise",
    "squeeze_excite",
    "attention",
    "concat_axis_2",
    "softmax_1",
    "flatten_gemm",
    "constant_on_image",
    "dead_channels",
)
BUILDS = [(core.id, compiler) for core in CORES.values() for compiler in core.compilers]


@cache
def everything(bits: int) -> IntegerProgram:
    """Every case with a kernel of its own, alone and fused with a Clip, and some small networks, as one
    program; of 16 bits wherever they can be, and the rarer layers."""
    names = [n for n in catalogue() if (n.startswith(BLOCKED) and n.endswith("_clip")) or n in SPECIAL]
    names += [n for n in catalogue() if n.startswith(RARE)] if bits == 16 else []
    whole = together("everything", [catalogue()[n] for n in names])
    ranges = ranges_of(whole, draw(whole, 64, 0))
    return lower(whole, ranges, activation_bits=widest(whole) if bits == 16 else {}).program


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("core", "compiler"), BUILDS)
def test_every_kernel_gives_the_same_bits_on_every_core(
    core: str, compiler: CompilerName, bits: int, tmp_path: Path
) -> None:
    program = everything(bits)
    inputs = hard_inputs(program, n=6)
    wanted = program.run(inputs)
    sources = emit_c(program, core)
    write_sources(sources, tmp_path)
    emulator = CORES[core].emulators[0]
    with load(core, compiler, emulator, tmp_path, entry_of(program, sources.name)) as machine:
        found = machine.run([as_bytes(inputs[n]) for n in program.inputs])
    for name, values in zip(program.outputs, found, strict=True):
        np.testing.assert_array_equal(values, as_bytes(wanted[name]), err_msg=name)


def assert_same(program: IntegerProgram, other: IntegerProgram) -> None:
    inputs = hard_inputs(program)
    for name, values in program.run(inputs).items():
        np.testing.assert_array_equal(other.run(inputs)[name], values)


@given(networks())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_laying_out_keeps_the_meaning(graph: Graph) -> None:
    program = lowered(graph, n=8).program
    assert_same(program, permute_dense(program))
    assert_same(program, lay_out(program).program)


@pytest.mark.parametrize("core", ["cortex-m4f", "cortex-m55"])
@given(graph=networks())
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_networks_on_the_host(
    core: str, graph: Graph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    job = job_of(lowered(graph, n=8).program, core)
    (found,) = run_on_host([job], tmp_path_factory.mktemp("random"))
    for name, values in job.program.run(job.inputs).items():
        np.testing.assert_array_equal(found[name], values)
