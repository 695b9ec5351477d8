"""The ECG network over 3,000 real beats: host C, onnxruntime and every emulated core against the program."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trine.compilers import datasets
from trine.compilers.examples import Examples
from trine.compilers.source import load_source
from trine.edge.accuracy import accuracy
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for, missing
from trine.edge.parity import Sample, difference, draw, entry_of, in_onnxruntime, on_host, run_machine
from trine.edge.program import IntegerProgram
from trine.edge.qdq import to_qdq
from trine.edge.quantize import quantize

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TRINE_DATA", ROOT.parent / "shared" / "data"))
BEATS = 3000
ROUTES = (
    ("cortex-m0", "zig", "unicorn", None),
    ("cortex-m3", "zig", "unicorn", 3.0),
    ("cortex-m4f", "zig", "unicorn", 2.0),
    ("cortex-m7", "zig", "unicorn", None),
    ("cortex-m33", "zig", "unicorn", None),
    ("rv32imc", "zig", "unicorn", 4.5),
    ("cortex-m55", "zig", "qemu", 0.4),
    ("cortex-m3", "gcc", "qemu", 3.0),
    ("cortex-m4f", "gcc", "qemu", 2.0),
    ("cortex-m7", "gcc", "qemu", None),
    ("cortex-m33", "gcc", "qemu", None),
    ("cortex-m55", "gcc", "qemu", 0.4),
)  # core, compiler, emulator, most instructions per multiply-accumulate that may be

pytestmark = pytest.mark.skipif(
    not (DATA / "mitbih").is_dir(), reason="needs the mitbih beats in the folder that TRINE_DATA names"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mitbih")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRINE_DATA", str(DATA))
        assert not datasets.write("mitbih", place).synthetic
    return place


@pytest.fixture(scope="module")
def program(folder: Path) -> IntegerProgram:
    graph = load_source(ROOT / "examples" / "ecg" / "ecg.onnx")
    return quantize(graph, Examples.open(folder / "calib.npz", graph.inputs)).program


@pytest.fixture(scope="module")
def sample(folder: Path, program: IntegerProgram) -> Sample:
    graph = load_source(ROOT / "examples" / "ecg" / "ecg.onnx")
    drawn = draw(program, Examples.open(folder / "test.npz", graph.inputs), BEATS)
    assert drawn.count == BEATS
    return drawn


def test_host_and_onnxruntime(tmp_path: Path, program: IntegerProgram, sample: Sample) -> None:
    sources = emit_c(program, "cortex-m4f")
    (tmp_path / f"{sources.name}.h").write_text(sources.header)
    (tmp_path / f"{sources.name}.c").write_text(sources.source)
    assert on_host(program, sample, tmp_path, entry_of(program, sources.name)).differing == 0
    optimised, plain = in_onnxruntime(program, sample, to_qdq(program))
    assert optimised.differing == 0
    # Without optimisations onnxruntime sums in float32 and may round a tie to the other side: each is listed.
    assert plain.ok
    assert plain.max_abs_diff <= 2
    assert plain.differing <= 0.002 * plain.values
    assert plain.differing == 0 or "ties" in plain.note


@pytest.mark.parametrize(
    ("core", "compiler", "emulator", "most"), ROUTES, ids=["-".join(map(str, r[:3])) for r in ROUTES]
)
def test_core(
    tmp_path: Path,
    program: IntegerProgram,
    sample: Sample,
    core: str,
    compiler: str,
    emulator: str,
    most: float | None,
) -> None:
    absent = missing(core, compiler, emulator)  # type: ignore[arg-type]
    if absent and os.environ.get("CI") != "true":
        pytest.skip(f"{', '.join(absent)} missing")
    assert not absent
    sources = emit_c(program, core)
    (tmp_path / f"{sources.name}.h").write_text(sources.header)
    (tmp_path / f"{sources.name}.c").write_text(sources.source)
    assert sources.plan.arena_bytes <= 1.05 * sources.plan.lower_bound_bytes
    chosen = emulator_for(core, compiler, emulator)  # type: ignore[arg-type]
    with chosen.load(tmp_path, entry_of(program, sources.name)) as machine:
        assert difference(core, program, sample, run_machine(machine, program, sample)).differing == 0
        one = sample.head(1)
        profile = machine.profile([one.codes[name].reshape(1, -1) for name in program.inputs])
    macs = load_source(ROOT / "examples" / "ecg" / "ecg.onnx").macs()
    assert most is None or profile.instructions <= most * macs


def test_int8_keeps_the_accuracy_of_float(folder: Path, program: IntegerProgram) -> None:
    graph = load_source(ROOT / "examples" / "ecg" / "ecg.onnx")
    scores = accuracy(graph, program, Examples.open(folder / "test.npz", graph.inputs))
    assert scores is not None
    assert scores["examples"] == 49_691
    gap = {key: abs(scores["source"][key] - scores["deployed"][key]) for key in ("accuracy", "macro_f1")}
    assert gap["accuracy"] <= 0.001
    assert gap["macro_f1"] <= 0.003
    assert np.isfinite(scores["deployed"]["macro_f1_low"])
