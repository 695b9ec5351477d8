"""The edge target: int8 C for microcontrollers, int8 ONNX for processors that run onnxruntime."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.report import Artifact, Fit, Parity, PassReceipt
from trine.compilers.target import Job, NetworkTarget, Pass, Proof
from trine.devices import Device, EdgeDevice
from trine.devices.errors import InputError, MissingExtra
from trine.edge.accuracy import accuracy
from trine.edge.budget.limits import Limits
from trine.edge.budget.ways import Ways, whole_only
from trine.edge.c.emit import CSources, emit_c
from trine.edge.cost import Duty, Size, estimate_cost
from trine.edge.fit import certain_misfit, fit_of, runs_onnx, static_fit
from trine.edge.float32 import float_program, writers
from trine.edge.fusing import mixtures, observed
from trine.edge.lower import lower
from trine.edge.operators import kernel_for
from trine.edge.parity import Sample, draw, entry_of, in_onnxruntime, on_host, vectors
from trine.edge.program_file import save_program
from trine.edge.qdq import to_qdq
from trine.edge.quantize import Quantized
from trine.edge.remedies import remedies_for
from trine.edge.running import Compiler, Emulated, emulate, emulation_missing
from trine.edge.simplify import simplify
from trine.edge.stated import is_quantised, problems, strip
from trine.edge.widths import check_energy, described, limited, quantize_to

Precision = Literal["int8", "int4", "int2", "mixed", "float32"]
PARITY_EXAMPLES = 3000
SCORED_EXAMPLES = 8192  # of the calibration data, while compiling; `simulate` scores all it is given


@dataclass(frozen=True)
class EdgeOptions:
    """What a user may choose.

    precision: "int8"; "int4" or "int2" weights, or a "mixed" choice of them; "float32" for a core with floats. limits:
    what the deployment may take, which the widths of weights are chosen by. requantize: "exact" or "tflite".
    activation_type: of the QDQ print. parity_examples: how many each print is compared on; emulated_examples: how many
    of them on the emulated core, by default what 2e9 instructions allow.
    """

    precision: Precision = "int8"
    limits: Limits = field(default_factory=Limits)
    requantize: Literal["exact", "tflite"] = "exact"
    activation_type: Literal["int8", "uint8"] = "int8"
    compiler: Compiler = "zig"
    duty: Duty = field(default_factory=Duty)
    implant: bool = False
    parity_examples: int = PARITY_EXAMPLES
    emulated_examples: int | None = None

    @property
    def ways(self) -> Ways:
        """Ways to run the network that a search under limits may choose from."""
        return whole_only


@dataclass(frozen=True)
class EdgeProgram:
    """A network on its way to an edge device: the float graph, what quantisation made of it, the C."""

    graph: Graph
    quantized: Quantized
    sources: CSources | None = None
    budget: Mapping[str, Any] | None = None


def options_of(job: Job) -> EdgeOptions:
    """The job's options, or the defaults."""
    return job.options if isinstance(job.options, EdgeOptions) else EdgeOptions()


def quantize_pass(program: Graph, job: Job, examples: Examples | None) -> tuple[EdgeProgram, PassReceipt]:
    """float32 -> int8: calibrate, equalise, choose ranges, correct biases, make every rounding exact."""
    if options_of(job).precision == "float32":
        return as_it_is(program)
    if is_quantised(program):
        return as_stated(program, options_of(job))
    if not observed(program):
        return without_scales(program)
    if examples is None:
        raise InputError("int8 needs calibration examples: give --data CALIB.npz")
    o = options_of(job)
    made, budget = quantize_to(
        program, job.device, examples, o.precision, o.limits, o.requantize, o.compiler, job.progress, o.ways
    )
    kept = [d.name for d in made.decisions if d.kept]
    channels = sum(c.channels for c in made.certificates.values())
    nudged = sum(c.nudged for c in made.certificates.values())
    exact = options_of(job).requantize == "exact"
    rounding = (
        f"{nudged} of {channels} scales nudged so that integer rounding is exact"
        if exact
        else "tflite rounding"
    )
    changed = (
        f"{len(made.program.steps)} int8 layers, {made.sqnr_db:.1f} dB to the float outputs; kept: "
        f"{', '.join(kept) or 'plain min-max'}; {rounding}{described(made.program)}"
    )
    details = {
        "layers": [r.as_json() for r in made.receipts],
        "decisions": [vars(d) for d in made.decisions],
        "channels": channels, "nudged": nudged, "sqnr_db": finite(made.sqnr_db), "notes": list(made.notes),
    }  # fmt: skip
    return EdgeProgram(program, made, budget=budget), PassReceipt("quantize", changed, details)


def finite(decibels: float) -> float | None:
    """A number that JSON can hold; None for no noise at all."""
    return decibels if math.isfinite(decibels) else None


def as_it_is(graph: Graph) -> tuple[EdgeProgram, PassReceipt]:
    """The network in float32."""
    made = Quantized(
        float_program(graph), (), {}, (), graph, math.inf, math.inf, ("float32: nothing quantised",)
    )
    changed = f"nothing: {len(graph.nodes)} layers in float32"
    return EdgeProgram(graph, made), PassReceipt("quantize", changed, {"notes": list(made.notes)})


def without_scales(graph: Graph) -> tuple[EdgeProgram, PassReceipt]:
    """A network without a tensor that has a scale: trees, which read features as they are."""
    try:
        program = lower(graph, {}).program
    except ValueError as error:
        raise InputError(f"{graph.name}: {error}") from error
    note = "no tensor has a scale: nothing to calibrate"
    made = Quantized(program, (), {}, (), graph, math.inf, math.inf, (note,))
    changed = f"{len(program.steps)} layers in integers; {note}"
    return EdgeProgram(graph, made), PassReceipt("quantize", changed, {"notes": [note]})


def as_stated(graph: Graph, options: EdgeOptions) -> tuple[EdgeProgram, PassReceipt]:
    """A network that arrives quantised, by its own scales and integers. InputError where the options ask for others."""
    if options.precision != "int8" or options.requantize != "exact" or options.limits != EdgeOptions().limits:
        raise InputError(
            f"{graph.name} arrives quantised and is taken as it is: --precision, --requantize and --max-* are for the "
            "float model it was made from"
        )
    stripped = strip(graph)
    try:
        lowered = lower(stripped.graph, {}, stated=stripped.stated)
    except ValueError as error:
        raise InputError(f"{graph.name}: the quantised network cannot be taken as it is: {error}") from error
    by_float = sum(c.by_float for c in lowered.certificates.values())
    channels = sum(c.channels for c in lowered.certificates.values())
    note = (
        f"scales and weights are the model's own; {by_float} of {channels} channels have no integer rounding "
        "that equals ONNX's and are rounded in float32"
    )
    made = Quantized(lowered.program, (), lowered.certificates, (), graph, math.inf, math.inf, (note,))
    changed = f"nothing: {len(lowered.program.steps)} layers arrive quantised; {note}"
    return EdgeProgram(graph, made), PassReceipt("quantize", changed, {"notes": [note], "by_float": by_float})


def print_pass(program: EdgeProgram, job: Job, examples: Examples | None) -> tuple[EdgeProgram, PassReceipt]:
    """Lay tensors out for the core, plan the arena, print C."""
    device = job.device
    if not isinstance(device, EdgeDevice) or runs_onnx(device):
        return program, PassReceipt("print_c", "nothing: this processor runs the int8 ONNX")
    sources = emit_c(program.quantized.program, device.core)
    plan = sources.plan
    changed = (
        f"arena {plan.arena_bytes} B, liveness bound {plan.lower_bound_bytes} B"
        f"{', optimal' if plan.optimal else ''}; order {plan.order_searched}; {len(plan.in_place)} tensors in place"
    )
    details = {
        "arena_bytes": plan.arena_bytes, "lower_bound_bytes": plan.lower_bound_bytes, "optimal": plan.optimal,
        "order_searched": plan.order_searched, "offsets": dict(plan.offsets), "scratch": dict(plan.scratch_offsets),
        "in_place": [list(pair) for pair in plan.in_place], "layers": [list(pair) for pair in sources.layers],
    }  # fmt: skip
    return replace(program, sources=sources), PassReceipt("print_c", changed, details)


class EdgeTarget(NetworkTarget):
    """The edge pillar's `Target`, for one precision."""

    name = "edge"
    needs_data = True
    passes: Sequence[Pass] = (Pass("quantize", quantize_pass), Pass("print_c", print_pass))

    def __init__(self, precision: Precision = "int8") -> None:
        self.precision = precision

    def load(self, job: Job) -> Graph:
        """The network of a file in as few operators as it has a meaning for; one that arrives quantised as it is."""
        graph = super().load(job)
        return graph if is_quantised(graph) else simplify(graph)

    def obstacles(self, graph: Graph, device: Device) -> list[str]:
        """Operators that have no kernel in this precision, and what a quantised model leaves open."""
        if self.precision != "float32" and is_quantised(graph):
            if found := problems(graph):
                return found
            graph = strip(graph).graph
        floats = self.precision == "float32"
        what = "no float32 C" if floats else "no int8 kernel"
        missing = [
            f"node {node.name} ({node.op}): {what} for this operator"
            + ("; --precision float32 has it" if node.op in writers() else "")
            for node in graph.nodes
            if (node.op not in writers() if floats else kernel_for(graph, node) is None)
        ]
        return missing if self.precision == "float32" else [*missing, *mixtures(graph)]

    def emit(self, program: EdgeProgram, job: Job, folder: Path) -> list[Artifact]:
        """Write the QDQ ONNX, the C, the program, the float graph and the receipts."""
        from trine.compilers.onnx_writer import write_onnx

        integer = program.quantized.program
        options = options_of(job)
        (folder / "model.onnx").write_bytes(to_qdq(integer, options.activation_type))
        (folder / "float.onnx").write_bytes(write_onnx(program.graph).SerializeToString(deterministic=True))
        save_program(integer, folder / "program.npz")
        artifacts = [
            Artifact("model.onnx", "qdq_onnx"),
            Artifact("float.onnx", "float_onnx"),
            Artifact("program.npz", "integer_program"),
        ]
        if program.sources is not None:
            place = folder / "c"
            place.mkdir()
            name = program.sources.name
            (place / f"{name}.h").write_text(program.sources.header, encoding="utf-8")
            (place / f"{name}.c").write_text(program.sources.source, encoding="utf-8")
            artifacts += [Artifact(f"c/{name}.c", "c_source"), Artifact(f"c/{name}.h", "c_header")]
        receipts = {
            receipt.name: receipt.details
            for receipt in (
                quantize_receipt(program),
                print_pass(program, job, None)[1],
            )
        }
        (folder / "receipts.json").write_text(
            json.dumps(receipts, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        (folder / "vectors.npz").write_bytes(b"")
        return [*artifacts, Artifact("receipts.json", "receipts"), Artifact("vectors.npz", "vectors")]

    def prove(self, program: EdgeProgram, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Run every print on calibration examples; size, count and cost."""
        if examples is None:
            raise InputError("parity needs examples: give --data")
        integer, options = program.quantized.program, options_of(job)
        if misfit := certain_misfit(job.device, program.sources, integer):
            return Proof((), misfit, ())
        sample = draw(integer, examples, options.parity_examples)
        write_vectors(integer, sample, folder / "vectors.npz")
        device = job.device
        if not isinstance(device, EdgeDevice):
            raise InputError(f"{device.name} is not an edge device")
        job.progress("comparing prints", 0, 3)
        with ThreadPoolExecutor(1) as beside:  # the emulator is a process of its own: use the second core
            running = beside.submit(try_emulation, device, program, sample, folder, options)
            parities, warnings = compare(program, sample, folder, options)
            job.progress("comparing prints", 1, 3)
            scores = accuracy(program.graph, integer, examples, job.progress, SCORED_EXAMPLES)
            job.progress("comparing prints", 2, 3)
            emulated, problem = running.result()
        job.progress("comparing prints", 3, 3)
        warnings += [problem] if problem else []
        parities += [emulated.parity] if emulated else []
        fit = limited(fit_of(device, program.sources, emulated, folder, integer), options.limits)
        cost = cost_of(device, emulated, fit, options)
        check_energy(cost, options.limits)
        notes = [*warnings, *cost.notes, *(str(check) for check in cost.heat)]
        return Proof(parities, fit, cost.estimates, cost.missing, scores, notes, program.budget)

    def remedies(self, program: EdgeProgram, job: Job, fit: Sequence[Fit]) -> list[str]:
        """Three changes that would make the program fit."""
        return remedies_for(program.quantized.program, program.sources, job.device, fit)


def quantize_receipt(program: EdgeProgram) -> PassReceipt:
    """The receipt of quantisation once more, from what it made."""
    made = program.quantized
    details = {
        "layers": [r.as_json() for r in made.receipts],
        "decisions": [vars(d) for d in made.decisions],
        "certificates": {name: vars(c) for name, c in made.certificates.items()},
        "sqnr_db": finite(made.sqnr_db),
        "notes": list(made.notes),
    }
    return PassReceipt("quantize", "", details)


def write_vectors(program: Any, sample: Sample, path: Path) -> None:
    """Store int8 examples with their answers, so that the deployment can be proved again without the data."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **vectors(sample, program))


def compare(
    program: EdgeProgram, sample: Sample, folder: Path, options: EdgeOptions
) -> tuple[list[Parity], list[str]]:
    """Host C and onnxruntime against the definition; what could not be run is a warning."""
    integer = program.quantized.program
    parities, warnings = [], []
    if program.sources is not None:
        entry = entry_of(integer, program.sources.name)
        try:
            parities.append(on_host(integer, sample, folder / "c", entry))
        except MissingExtra as error:
            warnings.append(f"the C was not run on this machine: {error}")
    if options.requantize == "exact":
        parities += in_onnxruntime(integer, sample, (folder / "model.onnx").read_bytes())
    else:
        warnings.append("onnxruntime rounds by another rule than tflite: the QDQ print is not compared")
    return parities, warnings


def try_emulation(
    device: EdgeDevice, program: EdgeProgram, sample: Sample, folder: Path, options: EdgeOptions
) -> tuple[Emulated | None, str]:
    """Run on the emulated core where there is one and its tools are installed; else say why not."""
    if program.sources is None:
        return None, ""
    problem = emulation_missing(device, options.compiler)
    if problem or program.sources is None:
        return None, problem
    integer, name = program.quantized.program, program.sources.name
    return emulate(
        device, integer, name, sample, folder / "c", options.compiler, options.emulated_examples
    ), ""


def cost_of(device: EdgeDevice, emulated: Emulated | None, fit: Sequence[Fit], options: EdgeOptions) -> Any:
    """Latency, energy and battery life from the exact count."""
    used: Mapping[str, int] = {f.limit: f.used for f in fit if f.how == "measured"}
    size = Size(used.get("ram"), used.get("flash"), emulated.stack_bytes if emulated else None)
    instructions = emulated.instructions if emulated else None
    return estimate_cost(device, instructions, size, options.duty, implant=options.implant)


TARGET = EdgeTarget()

__all__ = ["TARGET", "EdgeOptions", "EdgeProgram", "EdgeTarget", "static_fit"]
