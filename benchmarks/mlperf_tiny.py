"""The MLPerf Tiny networks at hand: against the reference int8 TFLite, and exact instruction counts on three cores.

    python benchmarks/mlperf_tiny.py [counts.json]

Prints signal-to-quantisation-noise of our int8 and of the reference int8 TFLite against the float output on the
stored inputs (half of them calibrate, the other half are scored), values that differ between C and the program,
instructions per core, and the arena beside TFLM's published ones; writes benchmarks/results/mlperf_tiny.json and,
where named, the counts for edge_cpi.py.
Needs the data folder named by TRINE_DATA (default ../shared/data).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import MLPERF, keep, machine

from trine.compilers.examples import Examples
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for
from trine.edge.parity import Sample, entry_of, on_host
from trine.edge.quantize import quantize

TASKS = {"kws": "kws_ref_model_float32", "ic": "pretrainedResnet", "ad": "ad01_fp32"}
CORES = ("cortex-m4f", "cortex-m33", "cortex-m7")
# Arena of TFLM for networks of the same layers and multiply-accumulates: Silicon Labs MLTK (github SiliconLabs/mltk
# @ 01a8b7b, mltk/models/tinyml/*.py, `runtime_memory_size`); and what the reference submissions reserve (github
# mlcommons/tiny, benchmark/reference_submissions/*/submitter_implemented.cpp, kTensorArenaSize). Inputs and outputs lie
# in it.
TFLM_ARENA = {"kws": 21_424, "ic": 53_972, "ad": 9_396}
TFLM_RESERVED = {"kws": 200 * 1024, "ic": 100 * 1024, "ad": 10 * 1024}


def sqnr_db(exact: np.ndarray, found: np.ndarray) -> float:
    """10 log10 of signal over squared error."""
    return float(10 * np.log10(np.sum(exact**2) / np.sum((exact - found) ** 2)))


def measure(stem: str) -> dict[str, Any]:
    """One network: quality beside the reference, parity, counts."""
    graph = load_source(MLPERF / f"{stem}.onnx")
    stored = np.load(MLPERF / f"{stem}.npz")
    x, exact = stored["x"], stored["y"]
    name, output = graph.inputs[0].name, graph.outputs[0]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "calib.npz", x=x[0::2])
        made = quantize(graph, Examples.open(Path(folder) / "calib.npz", graph.inputs))
    program = made.program
    inputs = {name: x}
    codes = program.quantize(inputs)
    answers = program.run(codes)
    held = slice(1, None, 2)
    reference = (stored["y_int8"].astype(np.float64) - stored["y_int8_zero"]) * stored["y_int8_scale"]
    ours = program.tensors[output].dequantize(answers[output])
    counts: dict[str, int] = {}
    sample = Sample(inputs, codes, answers)
    differing = 0
    for core in CORES:
        sources = emit_c(program, core)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"{sources.name}.h").write_text(sources.header)
            (Path(folder) / f"{sources.name}.c").write_text(sources.source)
            entry = entry_of(program, sources.name)
            differing += on_host(program, sample, Path(folder), entry).differing
            with emulator_for(core).load(Path(folder), entry) as core_machine:
                found = core_machine.run([codes[name][:4].reshape(4, -1)])[0]
                differing += int((found.reshape(answers[output][:4].shape) != answers[output][:4]).sum())
                counts[core] = core_machine.profile([codes[name][:1].reshape(1, -1)]).instructions
    return {
        "macs": graph.macs(), "instructions": counts, "differing": differing,
        "arena_bytes": sources.plan.arena_bytes, "liveness_bound_bytes": sources.plan.lower_bound_bytes,
        "input_output_bytes": sum(program.tensors[end].bytes for end in (name, output)),
        "sqnr_db": round(sqnr_db(exact[held], ours[held]), 2),
        "reference_sqnr_db": round(sqnr_db(exact[held], reference[held]), 2),
    }  # fmt: skip


def main() -> None:
    """All three networks."""
    rows = {task: measure(stem) for task, stem in TASKS.items()}
    print(f"{'task':5} {'ours dB':>8} {'TFLite dB':>9} {'differ':>7}  instructions per MAC")
    for task, row in rows.items():
        per_mac = ", ".join(
            f"{core} {count / row['macs']:.2f}" for core, count in row["instructions"].items()
        )
        print(
            f"{task:5} {row['sqnr_db']:8.2f} {row['reference_sqnr_db']:9.2f} {row['differing']:7}  {per_mac}"
        )
    print(f"{'task':5} {'arena':>7} {'bound':>7} {'with in and out':>15} {'TFLM':>7} {'reserved':>8}  bytes")
    for task, row in rows.items():
        row |= {"tflm_arena_bytes": TFLM_ARENA[task], "tflm_reserved_bytes": TFLM_RESERVED[task]}
        whole = row["arena_bytes"] + row["input_output_bytes"]
        sizes = f"{row['arena_bytes']:7} {row['liveness_bound_bytes']:7} {whole:15}"
        print(f"{task:5} {sizes} {TFLM_ARENA[task]:7} {TFLM_RESERVED[task]:8}")
    print(f"written to {keep('mlperf_tiny', {'rows': rows, 'machine': machine('ziglang', 'unicorn')})}")
    if len(sys.argv) > 1:
        instructions = {
            core: {task: row["instructions"][core] for task, row in rows.items()} for core in CORES
        }
        compiler = emulator_for(CORES[0]).compiler
        document = {
            "compiler": f"{compiler.name} {compiler.optimise} ({compiler.version})",
            "instructions": instructions,
        }
        Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
