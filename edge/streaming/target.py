"""`--stream`: the edge target that prints a step function instead of a whole run, proves and costs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.report import Artifact, Fit, Parity, PassReceipt
from trine.compilers.target import Job, Pass, Proof
from trine.devices import Device, EdgeDevice
from trine.devices.errors import InputError, MissingExtra
from trine.edge.accuracy import accuracy
from trine.edge.c.emit import CSources
from trine.edge.c.stream import emit_stream
from trine.edge.fit import runs_onnx
from trine.edge.parity import draw, in_onnxruntime
from trine.edge.passes import EdgeOptions, EdgeProgram, fine_tune_pass, quantize_pass
from trine.edge.running import emulation_missing
from trine.edge.streaming.choose import stream
from trine.edge.streaming.costing import StreamOptions, certain_misfit, cost_of, fit_of
from trine.edge.streaming.program import StreamProgram
from trine.edge.streaming.proving import EmulatedStream, Signals, draw_signals, on_core, on_host
from trine.edge.streaming.state import state_bytes
from trine.edge.target import SCORED_EXAMPLES, EdgeTarget
from trine.edge.widths import check_energy, limited

ONNX_EXAMPLES = 64
STORED_HOPS = 256


@dataclass(frozen=True)
class StreamedProgram(EdgeProgram):
    """A network on its way to a step function."""

    stream: StreamProgram | None = None

    @property
    def streamed(self) -> StreamProgram:
        """The step function. Raises ValueError before the pass that makes it."""
        if self.stream is None:
            raise ValueError("not streamed yet")
        return self.stream


def stream_options(job: Job) -> StreamOptions:
    """The job's options, or the defaults."""
    return job.options if isinstance(job.options, StreamOptions) else StreamOptions()


def stream_pass(
    program: EdgeProgram, job: Job, examples: Examples | None
) -> tuple[StreamedProgram, PassReceipt]:
    """The whole program as a step function."""
    made = stream(program.quantized.program, stream_options(job).hop)
    given = {field.name: getattr(program, field.name) for field in fields(EdgeProgram)}
    return StreamedProgram(**given, stream=made), PassReceipt("stream", in_a_line(made), summary(made))


def print_stream(
    program: StreamedProgram, job: Job, examples: Examples | None
) -> tuple[StreamedProgram, PassReceipt]:
    """Print C for the core."""
    if not isinstance(job.device, EdgeDevice):
        raise InputError(f"{job.device.name} is not an edge device")
    sources = emit_stream(program.streamed, job.device.core)
    changed = (
        f"state {state_bytes(program.streamed)} B, work memory {sources.plan.arena_bytes} B; "
        f"{len(sources.layers)} layers a step"
    )
    return replace(program, sources=sources), PassReceipt("print_c", changed, print_details(sources))


def print_details(sources: CSources) -> dict[str, Any]:
    """The receipt of the print."""
    plan = sources.plan
    return {
        "arena_bytes": plan.arena_bytes, "lower_bound_bytes": plan.lower_bound_bytes, "offsets": dict(plan.offsets),
        "scratch": dict(plan.scratch_offsets), "layers": [list(pair) for pair in sources.layers],
    }  # fmt: skip


def in_a_line(made: StreamProgram) -> str:
    """What streaming made."""
    count = len(made.program.steps) - (len(made.head.steps) if made.head else 0)
    if made.kind == "sequence":
        late = f"{made.latency} samples behind the signal" if made.latency else "causal, no delay"
        return f"a step every {made.hop} samples; outputs {late}; all {count} layers make new columns only"
    rest = len(made.program.steps) - count
    return (
        f"a step every {made.hop} samples answers for the last {made.window}; {count} layers make new columns only, "
        f"{rest} run whole"
    )


def summary(made: StreamProgram) -> dict[str, Any]:
    """The record of a stream: what `stream.json` holds."""
    return {
        "kind": made.kind, "hop": made.hop, "window": made.window, "latency": made.latency,
        "state_bytes": state_bytes(made),
        "rings": {n: {"columns": r.columns, "bytes": r.initial.nbytes * r.columns} for n, r in made.rings.items()},
        "tensors": {
            n: {"rate": t.rate, "delay": t.delay, "columns": t.length, "left": t.left, "right": t.right}
            for n, t in made.timed.items()
        },
        "whole": [s.name for s in made.head.steps] if made.head else [],
    }  # fmt: skip


class StreamTarget(EdgeTarget):
    """The edge target for streams."""

    passes: Sequence[Pass] = (
        Pass("quantize", quantize_pass),
        Pass("fine_tune", fine_tune_pass),
        Pass("stream", stream_pass),
        Pass("print_c", print_stream),
    )

    def obstacles(self, graph: Graph, device: Device) -> list[str]:
        """As of any edge program; and a stream is C."""
        found = super().obstacles(graph, device)
        if self.precision == "float32":
            found.append(
                "--precision float32: a stream is exact in integers only; leave one of the two options out"
            )
        if runs_onnx(device):
            found.append(
                f"{device.name} runs ONNX, which has no state: --stream prints C for microcontrollers"
            )
        return found

    def emit(self, program: EdgeProgram, job: Job, folder: Path) -> list[Artifact]:
        """As of any edge program, the C being the stream's; and what the stream is."""
        artifacts = super().emit(program, job, folder)
        made = streamed(program)
        receipts = json.loads((folder / "receipts.json").read_text(encoding="utf-8"))
        if program.sources is not None:
            receipts["print_c"] = print_details(program.sources)
        receipts["stream"] = summary(made)
        write_json(folder / "receipts.json", receipts)
        write_json(folder / "stream.json", summary(made))
        return [*artifacts, Artifact("stream.json", "stream")]

    def prove(self, program: EdgeProgram, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Stream calibration signals through every print; size, count and cost."""
        made, options, device = streamed(program), stream_options(job), job.device
        if examples is None:
            raise InputError("parity needs examples: give --data")
        if not isinstance(device, EdgeDevice) or program.sources is None:
            raise InputError(f"{device.name} is not an edge device that takes C")
        if misfit := certain_misfit(device, made, program.sources):
            return Proof((), misfit, ())
        job.progress("comparing prints", 0, 2)
        signals, definition = draw_signals(made, examples)
        write_vectors(made, signals, folder / "vectors.npz")
        proved = prove_prints(made, program.sources, signals, device, options)
        parities = [definition, *proved.parities]
        if options.requantize == "exact":
            sample = draw(made.program, examples, ONNX_EXAMPLES)
            parities += in_onnxruntime(made.program, sample, (folder / "model.onnx").read_bytes())
        job.progress("comparing prints", 1, 2)
        scores = accuracy(program.graph, made.program, examples, job.progress, SCORED_EXAMPLES)
        job.progress("comparing prints", 2, 2)
        fit = limited(fit_of(device, made, program.sources, proved.emulated), options.limits)
        cost = cost_of(device, made, proved.emulated, fit, options)
        check_energy(cost, options.limits)
        notes = [*proved.warnings, *cost.notes, *(str(check) for check in cost.heat)]
        return Proof(parities, fit, cost.estimates, cost.missing, scores, notes, program.budget)

    def remedies(self, program: EdgeProgram, job: Job, fit: Sequence[Fit]) -> list[str]:
        """What would make a stream fit: fewer columns to keep, or a larger device."""
        made = streamed(program)
        rings = sorted(made.rings.values(), key=lambda r: -r.initial.nbytes * r.columns)
        largest = [
            f"{r.tensor.name} ({r.columns} columns, {r.initial.nbytes * r.columns} B)" for r in rings[:3]
        ]
        return [
            f"keep fewer columns: the largest rings are of {', '.join(largest) or 'no tensor'}; smaller kernels, "
            "dilations or channels there",
            f"a smaller hop than {made.hop} (--hop): less work memory a step",
            "compile without --stream, if one whole window fits",
        ]


@dataclass(frozen=True)
class Proved:
    """What the prints of a stream showed."""

    parities: list[Parity]
    emulated: EmulatedStream | None
    warnings: list[str]


def prove_prints(
    made: StreamProgram, sources: CSources, signals: Signals, device: EdgeDevice, options: EdgeOptions
) -> Proved:
    """C on this machine and on the device's core against the definition; what cannot run is a warning."""
    parities: list[Parity] = []
    warnings: list[str] = []
    problem = emulation_missing(device, options.compiler)
    emulated = None
    with ThreadPoolExecutor(1) as beside:  # the emulator is a process of its own: use the second core
        running = (
            None if problem
            else beside.submit(on_core, device, made, sources, signals, options.compiler, options.emulated_examples)
        )  # fmt: skip
        try:
            parities.append(on_host(made, sources, signals))
        except MissingExtra as error:
            warnings.append(f"the C was not run on this machine: {error}")
        emulated = running.result() if running else None
    warnings += [problem] if problem else []
    parities += [emulated.parity] if emulated else []
    return Proved(parities, emulated, warnings)


def streamed(program: EdgeProgram) -> StreamProgram:
    """The stream of a program of this target."""
    if not isinstance(program, StreamedProgram):
        raise ValueError("not a streamed program")
    return program.streamed


def write_json(path: Path, value: Any) -> None:
    """Sorted JSON."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_vectors(made: StreamProgram, signals: Signals, path: Path) -> None:
    """Store the beginning of one stream with its answers, so that the deployment can be proved again without data."""
    hops = signals.hops(made, 0)
    stored: dict[str, Array] = {f"in_{n}": v[:STORED_HOPS] for n, v in hops.items()}
    stored.update({f"out_{n}": v[0][:STORED_HOPS] for n, v in signals.outputs.items()})
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **stored)
