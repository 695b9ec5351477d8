"""The emitted C as a citizen: warnings, symbols, two programs in one, C++, levels of optimisation, wrong
cores."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from emulate_samples import need
from program_samples import Job, catalogue, hard_inputs, job_of, lowered, run_on_host, together, write_sources

from trine.edge.c.emit import emit_c
from trine.edge.c.schedule import SCHEDULE_OF_CORE
from trine.edge.emulate import CORES, HostCompiler
from trine.edge.emulate.cores import CompilerName
from trine.edge.emulate.toolchain import ArmGcc, Zig
from trine.edge.program import IntegerProgram

GRAPHS = (
    "residual_depthwise",
    "squeeze_excite",
    "flatten_gemm",
    "attention",
    "softmax_1",
    "Conv_1d_grouped",
    "MaxPool_2d",
    "AveragePool_1d_padding_not_counted",
    "Concat_channels",
    "Conv_2d_dilated_grouped_relu",
)
PICKY = (
    "-std=c99",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wcast-qual",
    "-Wwrite-strings",
    "-Wundef",
    "-Werror",
)
# What a compiler's own run-time library gives: 64-bit arithmetic and division on small cores, memory
# functions.
RUNTIME = re.compile(r"^(__aeabi_\w+|__clz\w+|__\w*(div|mul|mod|ash|lsh)\w*|memcpy|memset|memmove)$")
MEMORY = {
    "memcpy",
    "memset",
    "memmove",
    "__aeabi_memcpy",
    "__aeabi_memcpy4",
    "__aeabi_memset",
    "__aeabi_memclr4",
}


@cache
def sample(requantize: str = "exact") -> IntegerProgram:
    """A program that uses every kernel file."""
    return lowered(together("sample", [catalogue()[name] for name in GRAPHS]), requantize).program


def compile_object(
    folder: Path, core: str, compiler: CompilerName, name: str, *flags: str
) -> subprocess.CompletedProcess[str]:
    need(core, compiler)
    driver = (Zig() if compiler == "zig" else ArmGcc()).driver(CORES[core])
    command = [
        *driver.command,
        "-O2",
        *driver.target,
        "-ffreestanding",
        *flags,
        "-c",
        f"{name}.c",
        "-o",
        "out.o",
    ]
    import os

    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **driver.env}
    )


BUILDS = [(core.id, compiler) for core in CORES.values() for compiler in core.compilers]


@pytest.mark.parametrize(("core", "compiler"), BUILDS)
@pytest.mark.parametrize("requantize", ["exact", "tflite"])
def test_no_warning_and_no_library_symbol(
    core: str, compiler: CompilerName, requantize: str, tmp_path: Path
) -> None:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    write_sources(emit_c(sample(requantize), core), tmp_path)
    done = compile_object(tmp_path, core, compiler, "sample", *PICKY)
    assert done.returncode == 0, done.stderr[:3000]
    assert "warning" not in done.stderr, done.stderr[:3000]
    with (tmp_path / "out.o").open("rb") as file:
        tables = [s for s in ELFFile(file).iter_sections() if isinstance(s, SymbolTableSection)]
        symbols = [s for table in tables for s in table.iter_symbols() if s.name]
    undefined = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF"}
    assert all(RUNTIME.match(name) for name in undefined), undefined
    assert not undefined & MEMORY, "the copies are the file's own; GCC must not make calls of them"
    public = {s.name for s in symbols if s["st_info"]["bind"] == "STB_GLOBAL"} - undefined
    assert public == {"trine_sample_run"}


@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
def test_every_level_of_optimisation_gives_the_same_bits(level: str, tmp_path: Path) -> None:
    job = job_of(sample())
    (found,) = run_on_host([job], tmp_path, (level,))
    for name, values in job.program.run(job.inputs).items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4f"])
def test_a_core_too(level: str, core: str, tmp_path: Path) -> None:
    from program_samples import entry_of

    from trine.edge.emulate import emulator_for

    need(core)
    job = job_of(sample(), core)
    write_sources(job.sources, tmp_path)
    flags = ("-fno-sanitize=all",)  # zig adds calls of a sanitizer's library at -O0
    with emulator_for(core, optimise=level).load(tmp_path, entry_of(job.program, "sample"), flags) as machine:
        found = machine.run([job.inputs[n][:3].reshape(3, -1) for n in job.program.inputs])
    wanted = job.program.run(job.inputs)
    for name, values in zip(job.program.outputs, found, strict=True):
        np.testing.assert_array_equal(values, wanted[name][:3].reshape(3, -1), err_msg=name)


def test_two_models_in_one_program(tmp_path: Path) -> None:
    """Each with its own arena; neither disturbs the other in one executable."""
    jobs = []
    for name in ("one", "two"):
        program = lowered(
            together(name, [catalogue()["residual_depthwise"], catalogue()["flatten_gemm"]])
        ).program
        jobs.append(Job(program, emit_c(program), hard_inputs(program, seed=len(jobs))))
    for job, found in zip(jobs, run_on_host(jobs, tmp_path), strict=True):
        for name, values in job.program.run(job.inputs).items():
            np.testing.assert_array_equal(found[name], values)


def test_the_header_serves_c_plus_plus(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++")
    command = [compiler] if compiler else [*HostCompiler().command[:-1], "c++"]
    write_sources(emit_c(sample()), tmp_path)
    (tmp_path / "use.cpp").write_text('#include "sample.h"\nauto *entry = &trine_sample_run;\n')
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror", "-c", "use.cpp"], cwd=tmp_path, check=True)


def test_emission_is_deterministic() -> None:
    first, second = emit_c(sample(), "cortex-m4f"), emit_c(sample(), "cortex-m4f")
    assert (first.source, first.header) == (second.source, second.header)
    again = lowered(together("sample", [catalogue()[name] for name in GRAPHS])).program
    assert emit_c(again, "cortex-m4f").source == first.source


@pytest.mark.parametrize(
    ("made_for", "core"),
    [("cortex-m4f", "cortex-m3"), ("cortex-m33", "cortex-m0"), ("cortex-m55", "cortex-m4f")],
)
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
def test_the_wrong_core_is_refused(made_for: str, core: str, compiler: CompilerName, tmp_path: Path) -> None:
    write_sources(emit_c(sample(), made_for), tmp_path)
    done = compile_object(tmp_path, core, compiler, "sample")
    assert done.returncode != 0
    assert f"made for {made_for}" in done.stderr
    assert compile_object(tmp_path, made_for, compiler, "sample").returncode == 0


def test_a_stronger_core_is_welcome(tmp_path: Path) -> None:
    """What was made for a plain core compiles for one that has more, and means the same."""
    from program_samples import entry_of

    from trine.edge.emulate import emulator_for

    need("cortex-m7")
    for made_for in ("cortex-m0", "cortex-m3", "rv32imc"):
        job = job_of(sample(), made_for)
        write_sources(job.sources, tmp_path / made_for)
        with emulator_for("cortex-m7").load(tmp_path / made_for, entry_of(job.program, "sample")) as machine:
            found = machine.run([job.inputs[n][:2].reshape(2, -1) for n in job.program.inputs])
        wanted = job.program.run(job.inputs)
        for name, values in zip(job.program.outputs, found, strict=True):
            np.testing.assert_array_equal(values, wanted[name][:2].reshape(2, -1))


def test_every_scheduled_core_is_known() -> None:
    assert set(SCHEDULE_OF_CORE) - {"cortex-m85", "cortex-m0plus"} <= set(CORES)


def test_a_sum_too_large_for_32_bits_uses_64(tmp_path: Path) -> None:
    """The wide form of Add, which is rarely needed, on the same sums."""
    from dataclasses import replace

    from trine.edge.operators.add import wide_parameters

    program = lowered(catalogue()["Add_same_shape"]).program
    (step,) = program.steps
    tensors = [program.tensors[name] for name in (*step.inputs, step.output)]
    assert not step.attributes["wide"]
    wide = replace(step, attributes={**step.attributes, **wide_parameters(*tensors)})
    job = job_of(program.with_steps((wide,)))
    assert "trine_add_wide(" in job.sources.source
    (found,) = run_on_host([job], tmp_path)
    np.testing.assert_array_equal(found[step.output], program.run(job.inputs)[step.output])
