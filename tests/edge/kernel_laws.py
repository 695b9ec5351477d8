"""The law that C equals NumPy on random networks and stored values, many of them to one C file; onnxruntime too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from program_samples import Job, ranges_of, run_on_host, together

from trine.compilers.cases import folded, interval
from trine.compilers.graph import Array, Graph, Shape
from trine.compilers.movement import clipped
from trine.edge.c.emit import emit_c
from trine.edge.lower import Lowered, lower
from trine.edge.program import LIMITS, IntegerProgram
from trine.edge.qdq import run_qdq, to_qdq


def drawn(program: IntegerProgram, count: int, seed: int) -> dict[str, Array]:
    """Random codes over their whole range, three examples constant; -9 to 9 where no code is meant."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        least, greatest = LIMITS.get(tensor.dtype, (-9, 9))
        x = rng.integers(least, greatest + 1, (count, *tensor.shape)).astype(tensor.dtype)
        if tensor.quantized:
            ends = np.array([least, greatest, tensor.zero_point], tensor.dtype)
            x[:3] = ends.reshape(3, *(1,) * len(tensor.shape))
        inputs[name] = x
    return inputs


def ran_in_c(
    programs: Sequence[IntegerProgram], folder: Path, count: int, seed: int, core: str = "cortex-m4f"
) -> list[str]:
    """Compile all programs together and run `count` examples of each: C must equal NumPy; returns the C."""
    named = [replace(program, name=f"law{i}") for i, program in enumerate(programs)]
    jobs = [Job(program, emit_c(program, core), drawn(program, count, seed)) for program in named]
    wrong = {}
    for job, found in zip(jobs, run_on_host(jobs, folder, ("-O0",)), strict=True):
        for name, values in job.program.run(job.inputs).items():
            if (found[name] != values).any():
                wrong[f"{job.program.name} {name}"] = int((found[name] != values).sum())
    assert not wrong, wrong
    return [job.sources.source for job in jobs]


def reals(graph: Graph, name: str, rng: np.random.Generator, n: int) -> Array:
    """Values of an input between two random ends, inside what its operator is defined on."""
    tensor = graph.tensors[name]
    if tensor.dtype == "bool":
        return rng.random((n, *tensor.shape)) < 0.5
    if tensor.dtype != "float32":
        return rng.integers(-40, 40, (n, *tensor.shape)).astype(tensor.dtype)
    ends = np.sort(rng.uniform(-3, 3, 2)) * 10.0 ** rng.integers(-2, 1)
    low, high = interval(graph, name)
    if np.isfinite(low) or np.isfinite(high):
        ends = np.sort(rng.uniform(-3, 3, 2))
    return np.asarray(folded(rng.uniform(*ends, (n, *tensor.shape)), low, high), np.float32)


def lowered(graph: Graph, seed: int) -> Lowered:
    """The network quantised, ranges from a few random values of every input."""
    rng = np.random.default_rng(seed)
    feed = {tensor.name: reals(graph, tensor.name, rng, 8) for tensor in graph.inputs}
    return lower(graph, ranges_of(graph, feed))


def stored_inputs(graph: Graph, found: Lowered, seed: int, n: int) -> dict[str, Array]:
    """Random stored values of every input: all codes, and reals of the other types."""
    rng, program = np.random.default_rng(seed), found.program
    inputs: dict[str, Array] = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        if tensor.quantized:
            least, greatest = LIMITS[tensor.dtype]
            inputs[name] = rng.integers(least, greatest + 1, (n, *tensor.shape)).astype(tensor.dtype)
        else:
            inputs[name] = reals(graph, name, rng, n)
    return inputs


def in_their_axes(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs with indices as the device takes them: onnxruntime fails on those that leave their axes."""
    fitting = dict(inputs)
    for node in graph.nodes:
        data, a = graph.shape(node.inputs[0]), node.attributes
        if node.op == "ExpertGemm":
            most: Shape = graph.shape(node.inputs[2])[:1]
        elif node.op in ("GatherND", "ScatterND"):
            first = a.get("batch_dims", 0)
            most = data[first : first + graph.shape(node.inputs[1])[-1]]
        elif node.op in ("Gather", "GatherElements", "ScatterElements"):
            most = (data[a["axis"]],)
        else:
            continue
        given = inputs[node.inputs[1]]
        fitting[node.inputs[1]] = np.stack(
            [
                clipped(one, size)
                for one, size in zip(np.moveaxis(given, -1, 0), most * given.shape[-1], strict=False)
            ],
            -1,
        ).astype(given.dtype)
    return fitting


@dataclass(frozen=True)
class Law:
    """Networks quantised as one program, stored inputs of it, and the same with indices that onnxruntime takes."""

    program: IntegerProgram
    inputs: Mapping[str, Array]
    wanted: Mapping[str, Array]
    fitting: Mapping[str, Array]


def law_of(graphs: Sequence[Graph], cases: int) -> Law:
    """The networks on `cases` random examples in all."""
    whole = together("law", graphs)
    found = lowered(whole, len(graphs))
    program = replace(found.program, name="law")
    inputs = stored_inputs(whole, found, 7, -(-cases // len(graphs)))
    return Law(program, inputs, program.run(inputs), in_their_axes(whole, inputs))


def differing(law: Law, folder: Path) -> int:
    """How many values of all networks differ between C and NumPy."""
    (results,) = run_on_host([Job(law.program, emit_c(law.program), dict(law.inputs))], folder)
    return int(sum((results[name] != values).sum() for name, values in law.wanted.items()))


def apart(law: Law, count: int, optimize: bool = False) -> tuple[int, float]:
    """Greatest difference from onnxruntime on the first examples, and the share of values that differ."""
    program = law.program
    feed = {name: program.tensors[name].dequantize(values[:count]) for name, values in law.fitting.items()}
    found = run_qdq(to_qdq(program), program, feed, optimize)
    gaps = [
        np.abs(found[name].astype(np.int64) - values[:count].astype(np.int64)).ravel()
        for name, values in law.wanted.items()
    ]
    gap = np.concatenate(gaps)
    return int(gap.max(initial=0)), float((gap > 0).mean())


def fused_operators(program: IntegerProgram) -> set[str]:
    """The operators that onnxruntime makes of the QDQ print before it runs it."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "fused.onnx")
        onnxruntime.InferenceSession(to_qdq(program), options, providers=["CPUExecutionProvider"])
        return {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
