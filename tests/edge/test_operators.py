"""Every case of every operator, quantised: NumPy against onnxruntime, float and the emitted C; 0 values
differ."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from program_samples import Int8, bundle_graphs, bundles, catalogue, hard_inputs, job_of, run_on_host

from trine.compilers.cases import draw
from trine.compilers.operators import operators
from trine.edge.float32 import writers
from trine.edge.operators import kernel_for, kernel_of, kernels
from trine.edge.qdq import run_qdq, to_qdq
from trine.edge.quantize.replay import decibels, noise_ratio

BUNDLES = sorted(bundles())
# A float sum in onnxruntime's unfused path may fall on the other side of a tie: named here, and bounded.
TIES = {
    ("MatMul_constant_stack", False): 2, ("MatMul_constant_stack", True): 2,
    ("softmax_0", False): 1, ("softmax_0", True): 1,
}  # fmt: skip
# Kernels whose meaning is our own: so many steps from onnxruntime's float32 at most.
OWN = {name for name, kernel in kernels().items() if kernel.apart} - {"softmax", "table"}
QUIET_DB = 25.0  # of such a kernel's outputs against onnxruntime's, on inputs from -128 to 127
# One step of the input can be a whole step of what they compute.
STEPPING = {"Ceil", "Floor", "Mod", "ReduceProd", "Round", "Sign", "ThresholdedRelu"}
# A core for each layout of weights: rows in pairs, single rows.
LAYOUTS = ["cortex-m4f", "cortex-m55"]


@cache
def numpy_results(bundle: str) -> tuple[dict[str, Int8], dict[str, Int8]]:
    """Hard int8 inputs of a bundle and what `IntegerProgram.run` makes of them."""
    program = bundles()[bundle].program
    inputs = hard_inputs(program)
    return inputs, program.run(inputs)


def graph_name(bundle: str, tensor: str) -> str:
    """Which graph of the catalogue an output of a bundle belongs to."""
    return list(catalogue())[int(bundle.removeprefix("bundle")) + int(tensor.split("_")[0][1:])]


def graph_kernels(name: str) -> list[str]:
    """The kernels of all nodes of a graph of the catalogue."""
    graph = catalogue()[name]
    found = [kernel_for(graph, node) for node in graph.nodes]
    return [kernel.name for kernel in found if kernel is not None]


def noise_of(bundle: str, graph: str, found: dict[str, Int8], wanted: dict[str, Int8]) -> float:
    """dB of a graph's outputs, centred, against what the definition makes of them."""
    program = bundles()[bundle].program
    names = [name for name in wanted if graph_name(bundle, name) == graph and program.tensors[name].quantized]
    pairs = [
        (program.tensors[n].dequantize(wanted[n]), program.tensors[n].dequantize(found[n])) for n in names
    ]
    return min(decibels(noise_ratio(right, other)) for right, other in pairs)


def differing(bundle: str, found: dict[str, Int8], wanted: dict[str, Int8]) -> dict[str, tuple[int, int]]:
    """Graph -> (values that differ, greatest difference)."""
    wrong = {}
    for name, values in wanted.items():
        steps = np.abs(found[name].astype(int) - values.astype(int))
        if steps.any():
            wrong[graph_name(bundle, name)] = (int((steps > 0).sum()), int(steps.max()))
    return wrong


def test_every_operator_has_c_and_the_catalogue_reaches_every_kernel() -> None:
    standing = {op for op, record in operators().items() if record.cases}
    assert standing <= set(kernel_of()) | set(writers())
    reached = {step.kernel for lowered in bundles().values() for step in lowered.program.steps}
    # The C print alone makes the first; only networks that arrive quantised have the others.
    assert reached == set(kernels()) - {"relayout", "rescale", "mean_stated", "softmax_stated"}


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("optimize", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("activation_type", ["int8", "uint8"])
def test_onnxruntime_equals_numpy(bundle: str, optimize: bool, activation_type: str) -> None:
    program = bundles()[bundle].program
    inputs, wanted = numpy_results(bundle)
    feed = {name: program.tensors[name].dequantize(inputs[name]) for name in program.inputs}
    found = run_qdq(to_qdq(program, activation_type), program, feed, optimize)
    wrong = differing(bundle, found, wanted)
    for name, (count, step) in wrong.items():
        used = [kernels()[kernel] for kernel in graph_kernels(name)]
        own = any(kernel.name in OWN for kernel in used)
        near = own and step <= sum(kernel.apart for kernel in used)
        # States run on, and what follows a step may have smaller steps: there the noise decides.
        quiet = own and noise_of(bundle, name, found, wanted) >= QUIET_DB
        assert near or quiet or (step == 1 and count <= TIES.get((name, optimize), 0)), (name, wrong)


@pytest.mark.parametrize("core", LAYOUTS)
def test_c_equals_numpy_and_is_clean(core: str, tmp_path: Path) -> None:
    """Address and undefined-behaviour sanitizers watch; the caller's buffers are exact and lie at odd
    addresses."""
    jobs = [job_of(bundles()[bundle].program, core) for bundle in BUNDLES]
    results = run_on_host(jobs, tmp_path)
    wrong = {}
    for bundle, found in zip(BUNDLES, results, strict=True):
        wrong |= differing(bundle, found, numpy_results(bundle)[1])
    assert wrong == {}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_quantised_is_near_float(bundle: str) -> None:
    """Signal to quantisation noise of at least 20 dB on inputs like those the ranges were taken from.

    Outputs that a Clip flattens, or that are one value, may be all noise: there at most two steps are
    allowed.
    """
    program, graph = bundles()[bundle].program, bundle_graphs()[bundle]
    feed = draw(graph, 64)
    exact, found = graph.run(feed), program.run_float(feed)
    for name in program.outputs:
        operators_of = {node.op for node in catalogue()[graph_name(bundle, name)].nodes}
        if not program.tensors[name].quantized or operators_of & STEPPING:
            continue
        real = exact[name].astype(np.float64)
        error = found[name] - real
        noise = 10 * np.log10(np.mean(real**2) / max(np.mean(error**2), 1e-30)) if np.any(real) else np.inf
        steps = np.abs(error).max() / float(program.tensors[name].scale)
        assert noise >= 20 or steps <= 2, (graph_name(bundle, name), name, noise, steps)
