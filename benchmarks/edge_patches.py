"""What patch-wise execution saves and costs, and what lies in a fast bank: four networks on an emulated Cortex-M4F.

    python benchmarks/edge_patches.py [--examples 32] [--tcm 4096]

For each network, every point of the front of RAM against extra multiply-accumulates: arena, flash and stack of the
linked program, exact instructions, and values that differ from the whole network's (C on the emulated core). Then the
share of the bytes read and written, modelled, that a bank of --tcm bytes takes. Writes
benchmarks/results/edge_patches.json. Needs the data folder named by TRINE_DATA (default ../shared/data). The network
for person detection has the shape of MLPerf Tiny's (MobileNetV1, a quarter of the channels, 96 x 96) and random
weights: its trained file is not at hand.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from record import ECG, MLPERF, keep, machine

from trine.compilers import datasets
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph, Node, Tensor
from trine.compilers.onnx_reader import read_onnx
from trine.compilers.operators import operators
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.emulate import emulator_for
from trine.edge.memory import Bank
from trine.edge.parity import Sample, difference, draw, entry_of, run_machine
from trine.edge.patches import Point, front, patched
from trine.edge.program import IntegerProgram
from trine.edge.quantize import quantize
from trine.edge.simplify import simplify

CORE = "cortex-m4f"
BLOCKS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1))


def person_shape(folder: Path) -> tuple[Graph, Path]:
    """MobileNetV1 at a quarter of its channels on 96 x 96 x 3, random weights, and random smooth images."""
    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {}
    nodes: list[Node] = []

    def conv(name: str, source: str, weight: tuple[int, ...], stride: int, group: int = 1) -> str:
        fan_in, end = int(np.prod(weight[1:])), weight[-1] // 2
        constants[f"w_{name}"] = rng.normal(0, (2 / fan_in) ** 0.5, weight).astype(np.float32)
        constants[f"b_{name}"] = rng.normal(0, 0.05, weight[0]).astype(np.float32)
        begin = 0 if stride == 2 else end
        window = {
            "strides": (stride,) * 2,
            "dilations": (1, 1),
            "pads": (begin, begin, end, end),
            "group": group,
        }
        nodes.append(Node("Conv", name, (source, f"w_{name}", f"b_{name}"), (f"{name}_sum",), window))
        nodes.append(Node("Relu", f"{name}_relu", (f"{name}_sum",), (name,)))
        return name

    last, channels = conv("first", "x", (8, 3, 3, 3), 2), 8
    for i, (out, stride) in enumerate(BLOCKS):
        last = conv(f"depthwise{i}", last, (channels, 1, 3, 3), stride, channels)
        last, channels = conv(f"pointwise{i}", last, (out, channels, 1, 1), 1), out
    constants |= {"w": rng.normal(0, 0.1, (2, channels)).astype(np.float32), "b": np.zeros(2, np.float32)}
    nodes.append(Node("GlobalAveragePool", "mean", (last,), ("mean",)))
    nodes.append(Node("Reshape", "flat", ("mean",), ("flat",), {"shape": (channels,)}))
    nodes.append(Node("Gemm", "scores", ("flat", "w", "b"), ("y",)))
    x = Tensor("x", (3, 96, 96))
    tensors = {"x": x}
    for node in nodes:
        known = [tensors[n].shape if n in tensors else constants[n].shape for n in node.inputs]
        shape = operators()[node.op].shapes(node, known)[0]
        tensors[node.outputs[0]] = Tensor(node.outputs[0], shape)
    images = rng.normal(0, 1, (64, 3, 12, 12)).repeat(8, 2).repeat(8, 3).astype(np.float32)
    np.savez(folder / "person.npz", x=images)
    return Graph("person_shape", (x,), ("y",), tuple(nodes), constants, tensors), folder / "person.npz"


def networks(folder: Path) -> Iterator[tuple[Graph, Path]]:
    """(network, examples)."""
    datasets.write("mitbih", folder)
    yield load_source(ECG), folder / "calib.npz"
    for name in ("kws_ref_model_float32", "pretrainedResnet"):
        yield read_onnx(MLPERF / f"{name}.onnx"), MLPERF / f"{name}.npz"
    yield person_shape(folder)


def measure(made: IntegerProgram, sample: Sample) -> dict[str, Any]:
    """The C of a program on the emulated core: sizes, instructions, differences from the whole network's answers."""
    sources = emit_c(made, CORE)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{sources.name}.h").write_text(sources.header)
        (Path(folder) / f"{sources.name}.c").write_text(sources.source)
        with emulator_for(CORE).load(Path(folder), entry_of(made, sources.name)) as core:
            parity = difference(CORE, made, sample, run_machine(core, made, sample))
            one = sample.head(1)
            profile = core.profile([one.codes[n].reshape(1, -1) for n in made.inputs])
            return {
                "arena_bytes": sources.plan.arena_bytes, "flash_bytes": core.sizes.flash_bytes,
                "stack_bytes": profile.stack_bytes, "instructions": profile.instructions,
                "examples": parity.examples, "differing": parity.differing,
            }  # fmt: skip


def rows(program: IntegerProgram, sample: Sample) -> Iterator[dict[str, Any]]:
    """One row for each point of the front, the whole network first."""
    whole: dict[str, Any] = {}
    for point in front(program, CORE):
        made = patched(program, point.cut, point.count) if point.cut else program
        row = {"network": program.name, **asdict(point), **measure(made, sample)}
        whole = whole or row
        row["extra_instructions"] = row["instructions"] / whole["instructions"] - 1
        yield row


def bank_row(program: IntegerProgram, tcm: int) -> dict[str, Any]:
    """What a small fast bank takes of a network that lies in a large one."""
    whole = emit_c(program, CORE).plan.arena_bytes
    fast, slow = emit_c(program, CORE, [Bank("tcm", tcm), Bank("sram", whole)]).banks
    share = fast.traffic_bytes / (fast.traffic_bytes + slow.traffic_bytes)
    return {
        "network": program.name,
        "tcm_bytes": tcm,
        "used_bytes": fast.used_bytes,
        "share_of_traffic": share,
    }


def line(row: dict[str, Any]) -> str:
    """A row as it is printed."""
    point = Point(row["cut"], row["count"], row["arena_bytes"], row["extra_macs"])
    where = f"{point.cut} in {point.count}" if point.cut else "whole"
    return (
        f"{row['network']:24}{where:22}{row['arena_bytes']:>8,} B arena {row['flash_bytes']:>8,} B flash "
        f"{row['instructions']:>11,} instructions ({row['extra_instructions']:+.1%}; MACs {point.extra_macs:+.1%}) "
        f"{row['differing']} values differ in {row['examples']} examples"
    )


def main() -> None:
    """Measure all networks and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--tcm", type=int, default=4096)
    arguments = parser.parse_args()
    found, banked = [], []
    with tempfile.TemporaryDirectory() as folder:
        for source, data in networks(Path(folder)):
            graph = simplify(source)
            examples = Examples.open(data, graph.inputs)
            program = quantize(graph, examples).program
            sample = draw(program, examples, arguments.examples)
            for row in rows(program, sample):
                print(line(row), flush=True)
                found.append(row)
            banked.append(bank_row(program, arguments.tcm))
    for row in banked:
        print(
            f"{row['network']:24}{row['used_bytes']:>6,} of {row['tcm_bytes']:,} B in the fast bank take "
            f"{row['share_of_traffic']:.0%} of the bytes read and written"
        )
    keep("edge_patches", {"machine": machine(), "patches": found, "banks": banked})


if __name__ == "__main__":
    main()
