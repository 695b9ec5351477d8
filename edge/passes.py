"""The passes of the edge target: quantise, fine-tune, patch, print; what a user may choose of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.report import PassReceipt
from trine.compilers.target import Job
from trine.devices import EdgeDevice
from trine.devices.errors import InputError
from trine.edge.budget.limits import Limits
from trine.edge.budget.search import Found
from trine.edge.budget.ways import Patched, Way, Ways, Whole
from trine.edge.c.emit import CSources, emit_c
from trine.edge.cost import Duty
from trine.edge.fit import STACK_ALLOWANCE, io_bytes, runs_onnx
from trine.edge.float32 import float_program
from trine.edge.fusing import observed
from trine.edge.lower import lower
from trine.edge.memory import BankUse, banks_of
from trine.edge.patches import patched
from trine.edge.patches.choose import Wanted, in_a_line, point_for, points_for
from trine.edge.program import IntegerProgram
from trine.edge.qat import FineTuning, fine_tuned, summary
from trine.edge.quantize import Quantized
from trine.edge.running import Compiler
from trine.edge.stated import is_quantised, strip
from trine.edge.widths import Request, described, kind_of, quantize_to

Precision = Literal["int8", "int8x16", "int4", "int2", "mixed", "float32"]
PARITY_EXAMPLES = 3000


@dataclass(frozen=True)
class EdgeOptions:
    """What a user may choose.

    precision: "int8"; "int8x16" for activations of 16 bits; "int4" or "int2" weights, or a "mixed" choice of widths;
    "float32" for a core with floats. limits: what the deployment may take, which widths are chosen by. fine_tune: with
    quantisation in the loop. requantize: "exact" or "tflite".
    activation_type: of the QDQ print. parity_examples: how many each print is compared on; emulated_examples: how many
    of them on the emulated core, by default what 2e9 instructions allow. patches: in how many the first layers run;
    "auto": as many as it takes to fit, none where the whole network does. banks: whether the arena is planned over the
    device's two banks of RAM.
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
    patches: Wanted = "auto"
    banks: bool = False
    fine_tune: FineTuning | None = None

    @property
    def ways(self) -> Ways:
        """Ways to run the network that a search under limits may choose from."""
        return self.whole_or_patched

    def whole_or_patched(self, program: IntegerProgram, device: EdgeDevice) -> Sequence[Way]:
        """Whole, and in patches where RAM is limited."""
        points = points_for(program, device, self.patches, self.limits.ram_bytes)
        return [Patched(p.cut, p.count) if p.cut else Whole() for p in points] or [Whole()]


@dataclass(frozen=True)
class EdgeProgram:
    """A network on its way to an edge device: the float graph, what quantisation made of it, the C.

    found: by a search under limits. fine_tuning: its record.
    """

    graph: Graph
    quantized: Quantized
    sources: CSources | None = None
    found: Found | None = None
    fine_tuning: Mapping[str, Any] | None = None

    @property
    def budget(self) -> Mapping[str, Any] | None:
        """What `deployment.json` holds of the search."""
        return self.found.record if self.found else None


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
    request = Request(job.device, o.precision, o.limits, o.requantize, o.compiler, o.ways)
    made, found = quantize_to(program, examples, request, job.progress)
    kept = [d.name for d in made.decisions if d.kept]
    channels = sum(c.channels for c in made.certificates.values())
    nudged = sum(c.nudged for c in made.certificates.values())
    rounding = "tflite rounding" if o.requantize == "tflite" else "integer rounding is the definition"
    if o.requantize == "exact" and kind_of(made.program) == "int8":
        rounding = f"{nudged} of {channels} scales nudged so that integer rounding is exact"
    changed = (
        f"{len(made.program.steps)} {kind_of(made.program)} layers, {made.sqnr_db:.1f} dB to the float outputs; kept: "
        f"{', '.join(kept) or 'plain min-max'}; {rounding}{described(made.program)}"
    )
    details = {
        "layers": [r.as_json() for r in made.receipts],
        "decisions": [vars(d) for d in made.decisions],
        "channels": channels, "nudged": nudged, "sqnr_db": finite(made.sqnr_db), "notes": list(made.notes),
    }  # fmt: skip
    return EdgeProgram(program, made, found=found), PassReceipt("quantize", changed, details)


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


def fine_tune_pass(
    program: EdgeProgram, job: Job, examples: Examples | None
) -> tuple[EdgeProgram, PassReceipt | None]:
    """Train on through the rounding, where that is asked for: the widths and the activations' scales stay."""
    options = options_of(job)
    if options.fine_tune is None:
        return program, None
    made, record = fine_tuned(
        program.graph, program.quantized, options.fine_tune, options.requantize, job.progress
    )
    return replace(program, quantized=made, fine_tuning=record), PassReceipt(
        "fine_tune", summary(record), record
    )


def patch_pass(
    program: EdgeProgram, job: Job, examples: Examples | None
) -> tuple[EdgeProgram, PassReceipt | None]:
    """The first layers in patches where that is asked for, or takes what fits no device otherwise."""
    device, options, whole = job.device, options_of(job), program.quantized.program
    if not isinstance(device, EdgeDevice):
        return program, None
    if runs_onnx(device):
        asked = ["--patches"] if isinstance(options.patches, int) else []
        asked += ["--banks"] if options.banks else []
        if asked:
            raise InputError(
                f"{' and '.join(asked)}: {device.name} runs the ONNX, and onnxruntime has its own memory plan"
            )
        return program, None
    if program.found is not None:
        shaped = program.found.way.shape(whole)
        changed = f"{program.found.way.name}, chosen by the search"
        receipt = PassReceipt("patches", changed) if shaped is not whole else None
        return replace(program, quantized=replace(program.quantized, program=shaped)), receipt
    point = point_for(whole, device, options.patches, options.limits.ram_bytes)
    if point is None:
        return program, None
    shaped = patched(whole, point.cut, point.count)
    receipt = PassReceipt("patches", in_a_line(whole, device, point), vars(point))
    return replace(program, quantized=replace(program.quantized, program=shaped)), receipt


def print_pass(program: EdgeProgram, job: Job, examples: Examples | None) -> tuple[EdgeProgram, PassReceipt]:
    """Lay tensors out for the core, plan the arena, print C."""
    device = job.device
    if not isinstance(device, EdgeDevice) or runs_onnx(device):
        return program, PassReceipt("print_c", "nothing: this processor runs the int8 ONNX")
    integer = program.quantized.program
    reserved = io_bytes(integer) + STACK_ALLOWANCE
    banks = banks_of(device, reserved) if options_of(job).banks else ()
    sources = emit_c(integer, device.core, banks)
    return replace(program, sources=sources), print_receipt(sources)


def print_receipt(sources: CSources) -> PassReceipt:
    """Where everything lies in the printed C."""
    plan = sources.plan
    changed = (
        f"arena {plan.arena_bytes} B, liveness bound {plan.lower_bound_bytes} B"
        f"{', optimal' if plan.optimal else ''}; order {plan.order_searched}; {len(plan.in_place)} tensors in place"
        + "".join(f"; {bank.name}: {bank.used_bytes} of {bank.size_bytes} B" for bank in sources.banks)
        + traffic(sources.banks)
    )
    details = {
        "arena_bytes": plan.arena_bytes, "lower_bound_bytes": plan.lower_bound_bytes, "optimal": plan.optimal,
        "order_searched": plan.order_searched, "offsets": dict(plan.offsets), "scratch": dict(plan.scratch_offsets),
        "in_place": [list(pair) for pair in plan.in_place], "layers": [list(pair) for pair in sources.layers],
        "banks": [vars(bank) for bank in sources.banks],
    }  # fmt: skip
    return PassReceipt("print_c", changed, details)


def traffic(banks: Sequence[BankUse]) -> str:
    """What the first bank saves the others."""
    total = sum(bank.traffic_bytes for bank in banks)
    return f", where {banks[0].traffic_bytes / total:.0%} of all bytes are read and written" if total else ""
