"""What each precision takes and loses: four networks on an emulated Cortex-M4F, the ECG network on all beats of DS2.

    python benchmarks/edge_precision.py [--precisions int8 int8x16 int4]

For each network and precision: signal to quantisation noise against the float outputs (on the examples that it was
calibrated on, and for the ECG network on DS2, with accuracy and the beats in another class than the float network's),
flash and RAM of the linked program without the caller's buffers, exact instructions, and values in which the C on the
core differs from the program. Writes benchmarks/results/edge_precision.json. Needs the data folder named by TRINE_DATA
(default ../shared/data).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from record import ECG, MLPERF, keep, machine

from trine.compilers import datasets
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.source import load_source
from trine.devices import EdgeDevice, load_device
from trine.edge.budget import Limits
from trine.edge.budget.measure import measure
from trine.edge.budget.ways import whole_only
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for
from trine.edge.parity import as_bytes, draw, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.quantize.replay import decibels, noise_ratio
from trine.edge.simplify import simplify
from trine.edge.widths import Request, quantize_to

DEVICE = "nrf52840"
COMPARED = 2
NETWORKS = ("kws_ref_model_float32", "pretrainedResnet", "ad01_fp32")
BATCH = 2048


def networks(beats: Path) -> Iterator[tuple[str, Graph, Path]]:
    """(name, network, its examples)."""
    yield "ecg", simplify(load_source(ECG)), beats / "calib.npz"
    for name in NETWORKS:
        yield name, simplify(load_source(MLPERF / f"{name}.onnx")), MLPERF / f"{name}.npz"


def differing(program: IntegerProgram, examples: Examples) -> int:
    """Values in which the C on the emulated core differs from the program."""
    sample, sources, core = draw(program, examples, COMPARED), emit_c(program, "cortex-m4f"), "cortex-m4f"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{sources.name}.h").write_text(sources.header)
        (Path(folder) / f"{sources.name}.c").write_text(sources.source)
        with emulator_for(core).load(Path(folder), entry_of(program, sources.name)) as machine_:
            found = machine_.run([as_bytes(sample.codes[name]) for name in program.inputs])
    wanted = [as_bytes(sample.outputs[name]) for name in program.outputs]
    return sum(int((a != b).sum()) for a, b in zip(wanted, found, strict=True))


def on_test_set(graph: Graph, program: IntegerProgram, path: Path) -> dict[str, Any]:
    """The program on beats that it was not made with."""
    examples = Examples.open(path, graph.inputs)
    (output,) = graph.outputs
    reals, found, wanted = [], [], examples.labels
    for batch in examples.batches(BATCH):
        reals.append(graph.run(batch)[output])
        found.append(program.run_float(batch)[output])
    real, given = np.concatenate(reals), np.concatenate(found)
    assert wanted is not None
    return {
        "beats": len(wanted), "sqnr_db": round(decibels(noise_ratio(real, given)), 1),
        "accuracy_float": round(float((real.argmax(1) == wanted).mean()), 4),
        "accuracy": round(float((given.argmax(1) == wanted).mean()), 4),
        "in_another_class": int((real.argmax(1) != given.argmax(1)).sum()),
    }  # fmt: skip


def row(
    graph: Graph, data: Path, precision: str, device: EdgeDevice
) -> tuple[dict[str, Any], IntegerProgram]:
    """One network in one precision."""
    examples = Examples.open(data, graph.inputs)
    request = Request(device, precision, Limits(), "exact", "zig", whole_only)
    made, _ = quantize_to(graph, examples, request, lambda *_: None)
    taken = measure(made.program, device, "zig")
    callers = sum(made.program.tensors[n].bytes for n in (*made.program.inputs, *made.program.outputs))
    return {
        "sqnr_db": round(made.sqnr_db, 1), "instructions": taken.instructions, "flash_bytes": taken.flash_bytes,
        "ram_bytes": taken.ram_bytes - callers, "differing": differing(made.program, examples),
    }, made.program  # fmt: skip


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precisions", nargs="+", default=["int8", "int8x16", "int4"])
    chosen = parser.parse_args()
    device = load_device(DEVICE)
    assert isinstance(device, EdgeDevice)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        datasets.write("mitbih", Path(folder))
        for name, graph, data in networks(Path(folder)):
            for precision in chosen.precisions:
                found, program = row(graph, data, precision, device)
                if name == "ecg":
                    found["ds2"] = on_test_set(graph, program, Path(folder) / "test.npz")
                rows[f"{name}, {precision}"] = found
                print(f"{name}, {precision}: {found}", flush=True)
    print(f"written to {keep('edge_precision', {'rows': rows, 'machine': machine('ziglang', 'unicorn')})}")


if __name__ == "__main__":
    main()
