"""The widths of weights that a precision stands for, and the network quantised with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.report import Fit
from trine.compilers.target import Progress
from trine.devices import Device, EdgeDevice
from trine.devices.errors import AnswerIsNo, InputError
from trine.edge.budget.limits import Limits
from trine.edge.budget.search import Found, Wide, search
from trine.edge.budget.ways import Ways
from trine.edge.cost import Cost
from trine.edge.fit import runs_onnx
from trine.edge.int16 import every_activation
from trine.edge.lowbit import bits_of
from trine.edge.program import IntegerProgram
from trine.edge.quantize import Quantized, quantize
from trine.edge.quantize.layers import packable
from trine.edge.running import Compiler

WIDTHS: Mapping[str, tuple[int, ...]] = {
    "int8": (8,), "int8x16": (8,), "int4": (4,), "int2": (2,), "mixed": (8, 4, 2),
}  # fmt: skip

WIDE: Mapping[str, Wide] = {"mixed": "at need", "int8x16": "always"}


@dataclass(frozen=True)
class Request:
    """How a network is to be quantised. ways: to run it, for a search under limits to choose from."""

    device: Device
    precision: str
    limits: Limits
    requantize: Literal["exact", "tflite"]
    compiler: Compiler
    ways: Ways


def quantize_to(
    graph: Graph, examples: Examples, request: Request, progress: Progress
) -> tuple[Quantized, Found | None]:
    """(the network in a precision, what the search under a budget found or None).

    "int4" and "int2" are the width of every weight that can have it, the first and the last layer's too; "int8x16" is
    16 bits for every activation; "mixed", or any precision with limits, chooses among its widths layer by layer. Raises
    InputError and AnswerIsNo as `search`.
    """
    widths, device, precision = WIDTHS[request.precision], request.device, request.precision
    if request.limits.any or len(widths) > 1:
        if not isinstance(device, EdgeDevice) or runs_onnx(device):
            raise InputError(
                f"{device.name} runs the ONNX in onnxruntime: limits and mixed widths are for devices that run the C"
            )
        wide = WIDE.get(precision, "never")
        found = search(
            graph, device, examples, request.limits, widths, request.requantize, request.compiler, progress,
            request.ways, wide,
        )  # fmt: skip
        return found.quantized, found
    weights = {node.inputs[1]: widths[0] for node in packable(graph)}
    activations = every_activation(graph) if precision == "int8x16" else {}
    made = quantize(
        graph, examples, requantize=request.requantize, progress=progress, weight_bits=weights,
        activation_bits=activations,
    )  # fmt: skip
    return made, None


def kind_of(program: IntegerProgram) -> str:
    """What its layers compute in: "int8", "int8x16", or both."""
    found = {program.tensors[step.output].dtype for step in program.steps} & {"int8", "int16"}
    return {"int16": "int8x16", "int8 int16": "int8 and int8x16"}.get(
        " ".join(sorted(found, reverse=True)), "int8"
    )


def described(program: IntegerProgram) -> str:
    """`; weights: 3 layers of 8 bits, 4 of 2`, or "" where all have 8."""
    counted = Counter(bits_of(step) for step in program.steps if "weight_scale" in step.constants)
    if set(counted) <= {8}:
        return ""
    return "; weights: " + ", ".join(
        f"{counted[bits]} of {bits} bits" for bits in sorted(counted, reverse=True)
    )


def limited(fit: Sequence[Fit], limits: Limits) -> list[Fit]:
    """The fit with what the user allows where that is less than what the device has."""
    allowed = {"ram": limits.ram_bytes, "flash": limits.flash_bytes}

    def lesser(there: int | None, most: int | None) -> int | None:
        return there if most is None else most if there is None else min(there, most)

    return [replace(f, available=lesser(f.available, allowed.get(f.limit))) for f in fit]


def check_energy(cost: Cost, limits: Limits) -> None:
    """Raise AnswerIsNo where an inference takes more energy than allowed, InputError where nobody can say."""
    if limits.energy_j is None:
        return
    energy = cost.get("energy_j")
    if energy is None:
        raise InputError(f"--max-energy-per-inference: {cost.missing.get('energy_j', 'energy is not known')}")
    if energy.value > limits.energy_j:
        raise AnswerIsNo(
            f"one inference takes {energy.value * 1e6:,.4g} uJ, {limits.energy_j * 1e6:,.4g} uJ are allowed"
        )
