"""Trine's C beside that of emx-onnx-cgen (pip) on the ECG network: instructions, flash, RAM; same compiler
and core.

    python benchmarks/edge_codegen.py        # prints the table and writes
    benchmarks/results/edge_codegen.json

What is compared, for Cortex-M4F at -O2 in the same emulator:
- trine: the int8 program, as `trine compile` emits it;
- emx int8: emx-onnx-cgen on the QDQ ONNX print of that very program. It has no integer kernels for QDQ:
every weight
  is dequantised into a float array on the stack in each run and the layers run in float;
- emx float: emx-onnx-cgen on the float ONNX.
In emx's favour: fused multiply-adds are allowed; nearbyintf, fminf and fmaxf are a few inline instructions
instead of a libm's; `--large-temp-threshold 0` puts all temporaries on the stack, so that there is neither
malloc nor a heap.
RAM = static data + deepest stack, the caller's buffers of input and output not counted on either side.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.compilers.onnx_reader import read_onnx
from trine.edge.c.emit import emit_c
from trine.edge.emulate import Entry, emulator_for, unicorn_machine
from trine.edge.emulate.cores import PLAIN, CompilerName
from trine.edge.lower import lower
from trine.edge.program import IntegerProgram
from trine.edge.qdq import to_qdq

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "ecg" / "ecg.onnx"
RESULT = Path(__file__).parent / "results" / "edge_codegen.json"
CORE = "cortex-m4f"
COMPILERS: tuple[CompilerName, ...] = ("gcc", "zig")
EXAMPLES = 8
STACK_BYTES = 1 << 20  # emx keeps all its temporaries there; the emulator's usual 64 KiB are too few

MATH_H = """#pragma once
static inline float nearbyintf(float x) { float m = x < 0 ? -12582912.0f : 12582912.0f;
  return x > 4194304.0f || x < -4194304.0f ? x : (x + m) - m; }
static inline float fmaxf(float a, float b) { return a > b ? a : b; }
static inline float fminf(float a, float b) { return a < b ? a : b; }
"""
STRING_H = (
    "#pragma once\n#include <stddef.h>\n"
    "void *memcpy(void *restrict to, const void *restrict from, size_t n);\n"
)
# nearbyintf's trick of adding and taking away a large number must stay as written; the rest may be
# contracted.
EMX_FLAGS = ("-I.", "-ffp-contract=fast", "-Wno-error", "-Wno-all", "-Wno-extra", "-Wno-shadow")


@dataclass(frozen=True)
class Row:
    """One generator with one compiler. `differing`: output codes (int8) or None where the output is float."""

    generator: str
    compiler: str
    instructions: int
    instructions_per_mac: float
    flash_bytes: int
    static_ram_bytes: int
    stack_bytes: int
    ram_bytes: int
    differing: int | None
    largest_error: float


def calibrated(graph: Graph) -> tuple[IntegerProgram, dict[str, Array]]:
    """The program with min-max ranges of seeded standard normal inputs; what it costs does not depend on
    them."""
    rng = np.random.default_rng(0)
    feed = {t.name: rng.normal(0, 1, (64, *t.shape)).astype(np.float32) for t in graph.inputs}
    ranges = {name: (float(x.min()), float(x.max())) for name, x in feed.items()}
    for node, results in graph.trace(feed):
        for name, values in zip(node.outputs, results, strict=True):
            ranges[name] = (float(values.min()), float(values.max()))
    return lower(graph, ranges).program, {name: x[:EXAMPLES] for name, x in feed.items()}


def rows_of(arrays: Sequence[Array]) -> list[NDArray[np.int8]]:
    """Any arrays [n, ...] as the bytes of each example, int8 [n, bytes]."""
    return [np.ascontiguousarray(a).reshape(len(a), -1).view(np.int8) for a in arrays]


def measure(
    folder: Path,
    entry: Entry,
    compiler: CompilerName,
    inputs: list[NDArray[np.int8]],
    flags: Sequence[str] = (),
) -> tuple[list[NDArray[np.int8]], dict[str, int]]:
    """Outputs and figures of the C in `folder`."""
    with emulator_for(CORE, compiler).load(folder, entry, flags) as machine:
        outputs, profile, sizes = machine.run(inputs), machine.profile(inputs), machine.sizes
    ram = sizes.ram_bytes + profile.stack_bytes
    figures = {
        "instructions": profile.instructions,
        "flash_bytes": sizes.flash_bytes,
        "static_ram_bytes": sizes.ram_bytes,
        "stack_bytes": profile.stack_bytes,
        "ram_bytes": ram,
    }
    return outputs, figures


def emx_source(model: Path, folder: Path, graph: Graph) -> Entry:
    """Run emx-onnx-cgen and wrap what it wrote in a function that the emulator can call with bytes."""
    generated = folder / "emx_model.h"
    command = [
        str(Path(sys.executable).parent / "emx-onnx-cgen"),
        "compile",
        "--model-name",
        "emx_model",
        "--large-temp-threshold",
        "0",
        "--large-weight-threshold",
        "0",
        "--input-dim",
        "batch=1",
        str(model),
        str(folder / "emx_model.c"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "emx_model.c").rename(generated)  # included below, so that there is one translation unit
    (folder / "math.h").write_text(MATH_H)
    (folder / "string.h").write_text(STRING_H)
    names = [t.name for t in graph.inputs] + list(graph.outputs)
    count = len(graph.inputs)
    parameters = ", ".join(f"{'const ' * (i < count)}int8_t *b{i}" for i in range(len(names)))
    arguments = ", ".join(f"(void *)b{i}" for i in range(len(names)))
    (folder / "emx.c").write_text(
        f'#include "emx_model.h"\nint trine_emx_run({parameters});\n'
        f"int trine_emx_run({parameters})\n{{\n    emx_model({arguments});\n    return 0;\n}}\n"
    )
    sizes = [4 * graph.tensors[name].size for name in names]
    return Entry("trine_emx_run", tuple(sizes[:count]), tuple(sizes[count:]))


def compare(graph: Graph, compiler: CompilerName) -> Iterator[Row]:
    """The three rows of one compiler."""
    program, feed = calibrated(graph)
    macs, (output,) = graph.macs(), graph.outputs
    codes = program.quantize(feed)
    wanted, exact = program.run(codes)[output], graph.run(feed)[output]
    scale = float(program.tensors[output].scale)

    def row(generator: str, figures: dict[str, int], differing: int | None, error: float) -> Row:
        return Row(
            generator,
            compiler,
            instructions_per_mac=figures["instructions"] / macs,
            differing=differing,
            largest_error=error,
            **figures,
        )

    with TemporaryDirectory() as place:
        folder = Path(place)
        sources = emit_c(program, CORE)
        (folder / f"{sources.name}.h").write_text(sources.header)
        (folder / f"{sources.name}.c").write_text(sources.source)
        sizes = [tuple(program.tensors[n].size for n in names) for names in (program.inputs, program.outputs)]
        entry = Entry(f"trine_{sources.name}_run", sizes[0], sizes[1])
        (found,), figures = measure(folder, entry, compiler, rows_of([codes[n] for n in program.inputs]))
        real = program.tensors[output].dequantize(found.reshape(wanted.shape))
        yield row(
            "trine",
            figures,
            int((found != wanted.reshape(found.shape)).sum()),
            float(np.abs(real - exact).max()),
        )
    for name in ("emx int8", "emx float"):
        with TemporaryDirectory() as place:
            folder, model = Path(place), MODEL
            if name == "emx int8":
                model = folder / "qdq.onnx"
                model.write_bytes(to_qdq(program))
            entry = emx_source(model, folder, graph)
            (raw,), figures = measure(
                folder, entry, compiler, rows_of([feed[n] for n in program.inputs]), EMX_FLAGS
            )
            real = raw.view(np.float32).reshape(exact.shape)
            differing = None
            if name == "emx int8":
                differing = int((np.rint(real / scale) + program.tensors[output].zero_point != wanted).sum())
            yield row(name, figures, differing, float(np.abs(real - exact).max()))


def main() -> None:
    """Print the table and write the result file."""
    vars(unicorn_machine)["PLAIN"] = replace(PLAIN, stack_bytes=STACK_BYTES)
    graph = read_onnx(MODEL)
    rows = [row for compiler in COMPILERS for row in compare(graph, compiler)]
    head = (
        "generator",
        "compiler",
        "instructions",
        "per MAC",
        "flash B",
        "static B",
        "stack B",
        "RAM B",
        "differ",
    )
    print(f"{MODEL.name}: {graph.macs()} MAC, {CORE}, -O2")
    print("{:<10} {:<8} {:>12} {:>8} {:>9} {:>9} {:>9} {:>9} {:>7}".format(*head))
    for r in rows:
        values = (r.flash_bytes, r.static_ram_bytes, r.stack_bytes, r.ram_bytes)
        numbers = " ".join(f"{v:>9}" for v in values)
        differing = "-" if r.differing is None else r.differing
        print(
            f"{r.generator:<10} {r.compiler:<8} {r.instructions:>12} {r.instructions_per_mac:>8.2f} "
            f"{numbers} {differing:>7}"
        )
    ratios = {}
    for ours in (r for r in rows if r.generator == "trine"):
        for other in (r for r in rows if r.compiler == ours.compiler and r.generator != "trine"):
            key = f"{other.generator} / trine, {ours.compiler}"
            ratios[key] = {
                "instructions": round(other.instructions / ours.instructions, 2),
                "ram": round(other.ram_bytes / ours.ram_bytes, 2),
                "flash": round(other.flash_bytes / ours.flash_bytes, 2),
            }
            print(f"{key}: {ratios[key]}")
    provenance = {compiler: emulator_for(CORE, compiler).provenance for compiler in COMPILERS}
    RESULT.parent.mkdir(exist_ok=True)
    result = {
        "model": MODEL.name,
        "macs": graph.macs(),
        "core": CORE,
        "machine": platform.machine(),
        "emx-onnx-cgen": version("emx-onnx-cgen"),
        "provenance": provenance,
        "examples": EXAMPLES,
        "rows": [asdict(r) for r in rows],
        "ratios": ratios,
    }
    RESULT.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
