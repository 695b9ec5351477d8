"""The edge target: int8 C for microcontrollers, int8 ONNX for processors that run onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.report import Artifact, Fit, Parity, PassReceipt
from trine.compilers.target import Job, NetworkTarget, Pass, Proof
from trine.devices import Device, EdgeDevice
from trine.devices.errors import InputError, MissingExtra
from trine.edge.accuracy import accuracy
from trine.edge.cost import Size, estimate_cost
from trine.edge.fit import certain_misfit, fit_of, static_fit
from trine.edge.float32 import writers
from trine.edge.fusing import mixtures
from trine.edge.int16 import every_activation, missing_int16
from trine.edge.operators import kernel_for
from trine.edge.parity import Sample, draw, entry_of, in_onnxruntime, on_host, vectors
from trine.edge.passes import (
    EdgeOptions,
    EdgeProgram,
    Precision,
    fine_tune_pass,
    finite,
    options_of,
    patch_pass,
    print_pass,
    print_receipt,
    quantize_pass,
)
from trine.edge.program_file import save_program
from trine.edge.qdq import to_qdq
from trine.edge.remedies import remedies_for
from trine.edge.running import Emulated, emulate, emulation_missing
from trine.edge.simplify import simplify
from trine.edge.stated import is_quantised, problems, strip
from trine.edge.widths import check_energy, limited

SCORED_EXAMPLES = 8192  # of the calibration data, while compiling; `simulate` scores all it is given


class EdgeTarget(NetworkTarget):
    """The edge pillar's `Target`, for one precision."""

    name = "edge"
    needs_data = True
    passes: Sequence[Pass] = (
        Pass("quantize", quantize_pass),
        Pass("fine_tune", fine_tune_pass),
        Pass("patches", patch_pass),
        Pass("print_c", print_pass),
    )

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
        if floats:
            return missing
        wide = missing_int16(graph, every_activation(graph)) if self.precision == "int8x16" else []
        return [*missing, *mixtures(graph), *wide]

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
        receipts = {"quantize": quantize_receipt(program).details, "print_c": {}}
        if program.sources is not None:
            receipts["print_c"] = print_receipt(program.sources).details
        (folder / "receipts.json").write_text(
            json.dumps(receipts, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        if program.fine_tuning is not None:
            text = json.dumps(program.fine_tuning, indent=1, sort_keys=True) + "\n"
            (folder / "fine_tuning.json").write_text(text, encoding="utf-8")
            artifacts.append(Artifact("fine_tuning.json", "fine_tuning"))
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
        return Proof(
            parities,
            fit,
            cost.estimates,
            cost.missing,
            scores,
            notes,
            program.found.record if program.found else None,
        )

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
