"""What a new sample costs: streams against the same networks run whole, counted on an emulated Cortex-M4F.

Five networks: the ECG network of examples/ecg (a window of 128 samples, padded at both ends); the trained one of
examples/causal_ecg, which looks back only, against its own window of 128 samples; the recurrent one of
examples/recurrent_ecg as it is, a window, and with its padding moved before the signal, so that the GRU goes on from
sample to sample; and a causal network over continuous ECG (six dilated convolutions of 16 channels, receptive field 127
samples, random weights: cost does not depend on them). Two comparisons each: with the whole window
anew for every sample, and only for every hop, when a stream has a new answer too. RAM is state, work memory and buffers
against arena and buffers. Prints a table and writes benchmarks/results/streaming.json. About two minutes:

    OMP_NUM_THREADS=1 python benchmarks/streaming.py
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import ECG, ROOT, keep, machine

from trine.compilers.graph import Array, Graph, Node, Tensor
from trine.compilers.source import load_source
from trine.edge.c.emit import emit_c
from trine.edge.c.stream import emit_stream
from trine.edge.emulate import emulator_for
from trine.edge.fit import io_bytes
from trine.edge.fusing import observed
from trine.edge.lower import lower
from trine.edge.parity import as_bytes, entry_of
from trine.edge.program import IntegerProgram
from trine.edge.streaming import StreamProgram, stream
from trine.edge.streaming.costing import io_bytes as hop_bytes
from trine.edge.streaming.machine import CoreStream, as_array, write_sources
from trine.edge.streaming.state import state_bytes, to_bytes

CORE = "cortex-m4f"
RATES = {
    "ecg": 180,
    "causal ecg": 180,
    "gru": 180,
    "causal gru": 180,
    "causal": 250,
}  # samples a second, of the signals they are for
HOPS = {"ecg": (8, 16, 32), "causal ecg": (8, 16, 32), "gru": (4,), "causal gru": (4,), "causal": (1, 4, 16)}


def causal(channels: int = 16, layers: int = 6, length: int = 256) -> Graph:
    """Dilated causal convolutions, each with a Relu."""
    rng = np.random.default_rng(0)
    x, tensors = "x", {"x": Tensor("x", (1, length))}
    nodes, constants = list[Node](), dict[str, Array]()
    for i in range(layers):
        inputs = tensors[x].shape[0]
        constants[f"w{i}"] = rng.normal(0, (3 * inputs) ** -0.5, (channels, inputs, 3)).astype(np.float32)
        constants[f"b{i}"] = np.zeros(channels, np.float32)
        geometry = {"strides": (1,), "dilations": (2**i,), "pads": (2 * 2**i, 0), "group": 1}
        nodes.append(Node("Conv", f"conv{i}", (x, f"w{i}", f"b{i}"), (f"c{i}",), geometry))
        nodes.append(Node("Relu", f"relu{i}", (f"c{i}",), (f"y{i}",)))
        x = f"y{i}"
        tensors |= {name: Tensor(name, (channels, length)) for name in (f"c{i}", x)}
    return Graph("causal", (tensors["x"],), (x,), tuple(nodes), constants, tensors)


def padding_first(graph: Graph) -> Graph:
    """The same network with all padding of its convolutions before the signal."""
    nodes = []
    for node in graph.nodes:
        if node.op == "Conv":
            reach = graph.shape(node.inputs[1])[2] - node.attributes["strides"][0]
            node = replace(node, attributes={**node.attributes, "pads": (reach, 0)})
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def quantised(graph: Graph) -> IntegerProgram:
    """The graph in int8 with the ranges of standard normal inputs: what it costs does not depend on them."""
    rng = np.random.default_rng(0)
    feed = {t.name: rng.normal(0, 1, (32, *t.shape)).astype(np.float32) for t in graph.inputs}
    values = dict(feed)
    for node, results in graph.trace(feed):
        values.update(zip(node.outputs, results, strict=True))
    ranges = {n: (float(values[n].min()), float(values[n].max())) for n in observed(graph) if n in values}
    return lower(graph, ranges).program


def whole(program: IntegerProgram) -> tuple[int, int]:
    """(instructions, RAM in bytes) of one run of the whole program."""
    sources = emit_c(program, CORE)
    zeros = [np.zeros((1, program.tensors[n].bytes), np.int8) for n in program.inputs]
    with tempfile.TemporaryDirectory() as folder:
        write_sources(sources, Path(folder))
        with emulator_for(CORE).load(Path(folder), entry_of(program, sources.name)) as core:
            profile = core.profile([as_bytes(z) for z in zeros])
            ram = core.sizes.ram_bytes + profile.stack_bytes + io_bytes(program)
            return profile.instructions, ram


def step(made: StreamProgram) -> tuple[int, int]:
    """(instructions, RAM in bytes) of one step."""
    zeros = {n: np.zeros((1, *made.piece(n).shape), made.piece(n).dtype) for n in made.program.inputs}
    with CoreStream(made, emit_stream(made, CORE), emulator_for(CORE)) as core:
        profile = core.profile(as_array([to_bytes(made, made.reset())]), zeros)
    ram = state_bytes(made) + profile.sizes.ram_bytes + profile.stack_bytes + hop_bytes(made)
    return profile.instructions, ram


def rows_of(name: str, program: IntegerProgram, window: IntegerProgram) -> list[dict[str, Any]]:
    """One row a hop. window: what would be run anew otherwise."""
    all_at_once, ram = whole(window)
    samples = window.tensors[window.inputs[0]].shape[-1]
    rows = []
    for hop in HOPS[name]:
        made = stream(program, hop)
        instructions, state_ram = step(made)
        rows.append(
            {
                "network": name, "kind": made.kind, "hop": hop, "samples": samples,
                "whole_instructions": all_at_once, "step_instructions": instructions,
                "instructions_per_sample": instructions / hop, "whole_ram_bytes": ram, "stream_ram_bytes": state_ram,
                "against_every_sample": all_at_once * hop / instructions,
                "against_every_hop": all_at_once / instructions,
                "instructions_per_s": instructions / hop * RATES[name],
            }
        )  # fmt: skip
    return rows


def shown(row: dict[str, Any]) -> str:
    """A line of the Markdown table."""
    return (
        f"| {row['network']} ({row['kind']}, {row['samples']}) | {row['hop']} | {row['whole_instructions']:,} "
        f"| {row['step_instructions']:,} | {row['instructions_per_sample']:,.0f} | {row['against_every_sample']:.1f}x "
        f"| {row['against_every_hop']:.1f}x | {row['whole_ram_bytes']:,} | {row['stream_ram_bytes']:,} |"
    )


def main() -> None:
    """Count, print, keep."""
    print(
        "| network (samples) | hop | whole | step | a sample | fewer than whole a sample | than whole a hop "
        "| RAM whole | RAM stream |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        flush=True,
    )
    recurrent = load_source(ROOT / "examples" / "recurrent_ecg" / "gru.onnx")
    causal_ecg = ROOT / "examples" / "causal_ecg"
    graphs = {
        "ecg": load_source(ECG),
        "causal ecg": load_source(causal_ecg / "causal_stream.onnx"),
        "gru": recurrent,
        "causal gru": padding_first(recurrent),
        "causal": causal(),
    }
    windows = {**graphs, "causal ecg": load_source(causal_ecg / "causal.onnx")}
    rows = []
    for name, graph in graphs.items():
        for row in rows_of(name, quantised(graph), quantised(windows[name])):
            rows.append(row)
            print(shown(row), flush=True)
    keep("streaming", {"machine": machine("unicorn", "ziglang"), "core": CORE, "rows": rows})


if __name__ == "__main__":
    main()
