"""`trine simulate` and `trine verify` for edge deployments: run what was emitted, not what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.deployment import Deployment, check_hashes
from trine.compilers.examples import Examples
from trine.compilers.graph import Tensor
from trine.compilers.ml_models import gaps_of
from trine.compilers.onnx_reader import read_onnx
from trine.compilers.report import Fit, Parity
from trine.compilers.target import Progress, silent
from trine.devices import EdgeDevice
from trine.devices.errors import AnswerIsNo
from trine.edge.accuracy import accuracy
from trine.edge.c.emit import CSources, emit_c
from trine.edge.fit import fit_of
from trine.edge.memory import Bank
from trine.edge.parity import Sample, draw, entry_of, in_onnxruntime, on_host, stored_sample
from trine.edge.passes import EdgeOptions
from trine.edge.program import IntegerProgram
from trine.edge.program_file import load_program
from trine.edge.qdq import to_qdq
from trine.edge.running import Emulated, emulate, emulation_missing
from trine.edge.target import cost_of


def simulate(
    deployment: Deployment,
    device: EdgeDevice,
    data: Path,
    options: EdgeOptions,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run a deployment on examples: accuracy on all of them, parity and exact counts on the emulated core.

    Returns the deployment's record with `results`, and `cost`, `fit`, `missing` made anew for the given options.
    """
    program = load_program(deployment.artifact("integer_program"))
    check_prints(deployment, device, program)
    graph = read_onnx(deployment.artifact("float_onnx"))
    inputs = tuple(Tensor(name, program.tensors[name].shape) for name in program.inputs)
    opened = Examples.open(data, inputs, gaps=gaps_of(graph))
    sample = draw(program, opened, options.parity_examples)
    progress("comparing prints", 0, 2)
    with ThreadPoolExecutor(1) as beside:  # the emulator is a process of its own: use the second core
        running = beside.submit(run_prints, deployment, device, program, sample, options)
        scores = accuracy(graph, program, opened, progress)
        parities, emulated, warnings = running.result()
    progress("comparing prints", 2, 2)
    sources = printed(deployment, device, program)
    fit = fit_of(device, sources, emulated, deployment.folder, program)
    cost = cost_of(device, emulated, fit, options)
    results = {
        "data": data.name,
        "examples": opened.count,
        "parity": [p.as_json() for p in parities],
        "accuracy": scores,
        "instructions_by_layer": dict(emulated.by_layer) if emulated else None,
    }
    return {
        **deployment.record,
        "fit": [f.as_json() for f in fit],
        "cost": [e.as_json() for e in cost.estimates],
        "missing": dict(cost.missing),
        "warnings": [*warnings, *cost.notes, *(str(check) for check in cost.heat)],
        "results": results,
    }


def run_prints(
    deployment: Deployment,
    device: EdgeDevice,
    program: IntegerProgram,
    sample: Sample,
    options: EdgeOptions,
) -> tuple[list[Parity], Emulated | None, list[str]]:
    """Host C, onnxruntime and the emulated core on a sample; raises AnswerIsNo where one of them differs."""
    parities: list[Parity] = []
    warnings: list[str] = []
    emulated = None
    if deployment.has("c_source"):
        source = deployment.artifact("c_source")
        entry = entry_of(program, source.stem)
        parities.append(on_host(program, sample, source.parent, entry))
        problem = emulation_missing(device, options.compiler)
        if problem:
            warnings.append(problem)
        else:
            emulated = emulate(
                device,
                program,
                source.stem,
                sample,
                source.parent,
                options.compiler,
                options.emulated_examples,
            )
            parities.append(emulated.parity)
    if program.requantize == "exact":
        parities += in_onnxruntime(program, sample, deployment.artifact("qdq_onnx").read_bytes())
    broken = [p for p in parities if not p.ok]
    if broken:
        raise AnswerIsNo(
            "parity broken: "
            + "; ".join(f"{p.against}: {p.differing} of {p.values} values differ" for p in broken)
        )
    return parities, emulated, warnings


def verify(deployment: Deployment, device: EdgeDevice, options: EdgeOptions) -> dict[str, Any]:
    """Prove a deployment again: hashes, prints against the program, stored vectors, fit. Raises AnswerIsNo.

    C and ONNX are printed anew from the program and compared byte for byte before anything is compiled, so that a
    folder from elsewhere cannot bring code of its own.
    """
    files = check_hashes(deployment)
    program = load_program(deployment.artifact("integer_program"))
    reprinted = check_prints(deployment, device, program)
    with np.load(deployment.artifact("vectors"), allow_pickle=False) as file:
        sample = stored_sample(program, {name: file[name] for name in file.files})
    found = program.run(dict(sample.codes))
    if any(not np.array_equal(found[name], sample.outputs[name]) for name in program.outputs):
        raise AnswerIsNo("the stored vectors are not what the program computes")
    parities, emulated, warnings = run_prints(deployment, device, program, sample, options)
    sources = printed(deployment, device, program)
    fit: list[Fit] = fit_of(device, sources, emulated, deployment.folder, program)
    if not all(f.ok for f in fit):
        raise AnswerIsNo(
            "does not fit any more: " + "; ".join(f"{f.limit} {f.used} of {f.available}" for f in fit)
        )
    return {
        "files": files,
        "reprinted": reprinted,
        "parity": [p.as_json() for p in parities],
        "fit": [f.as_json() for f in fit],
        "warnings": warnings,
    }


def check_prints(deployment: Deployment, device: EdgeDevice, program: IntegerProgram) -> list[str]:
    """Print the program again and compare with the files. Returns what was compared; raises AnswerIsNo."""
    same: Mapping[str, list[bytes]] = {"qdq_onnx": [to_qdq(program, kind) for kind in ("int8", "uint8")]}
    sources = printed(deployment, device, program)
    if sources is not None:
        same = {**same, "c_source": [sources.source.encode()], "c_header": [sources.header.encode()]}
    wrong = [
        deployment.artifact(role).name
        for role, prints in same.items()
        if deployment.artifact(role).read_bytes() not in prints
    ]
    if wrong:
        raise AnswerIsNo(
            f"{', '.join(wrong)}: not what this Trine prints from the program (made by "
            f"{deployment.record['trine_version']}); compile the model again"
        )
    return sorted(same)


def printed(deployment: Deployment, device: EdgeDevice, program: IntegerProgram) -> CSources | None:
    """The C as this Trine prints it from the program, over the banks of RAM that it was compiled for."""
    if not deployment.has("c_source"):
        return None
    banks = receipts_of(deployment)["print_c"].get("banks", ())
    return emit_c(program, device.core, [Bank(bank["name"], bank["size_bytes"]) for bank in banks])


def receipts_of(deployment: Deployment) -> Mapping[str, Any]:
    """The per-layer receipts."""
    record: Mapping[str, Any] = json.loads(deployment.artifact("receipts").read_text(encoding="utf-8"))
    return record
