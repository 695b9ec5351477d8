"""`trine simulate` and `trine verify` for deployed streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.deployment import Deployment, check_hashes
from trine.compilers.examples import Examples
from trine.compilers.graph import Tensor
from trine.compilers.onnx_reader import read_onnx
from trine.compilers.report import Parity
from trine.compilers.target import Progress, silent
from trine.devices import EdgeDevice
from trine.devices.errors import AnswerIsNo, InputError
from trine.edge.accuracy import accuracy
from trine.edge.c.emit import CSources
from trine.edge.c.stream import emit_stream
from trine.edge.parity import all_ok
from trine.edge.program_file import load_program
from trine.edge.qdq import to_qdq
from trine.edge.streaming.choose import stream
from trine.edge.streaming.costing import StreamOptions, cost_of, fit_of
from trine.edge.streaming.program import StreamProgram
from trine.edge.streaming.proving import Signals, draw_signals
from trine.edge.streaming.target import prove_prints


def opened(deployment: Deployment, device: EdgeDevice) -> tuple[StreamProgram, CSources]:
    """The stream of a deployment, printed again and compared with its files. Raises AnswerIsNo."""
    program = load_program(deployment.artifact("integer_program"))
    try:
        record = json.loads(deployment.artifact("stream").read_text(encoding="utf-8"))
        hop = int(record["hop"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{deployment.folder}: stream.json cannot be read ({error}); compile the model again"
        ) from None
    made = stream(program, hop)
    sources = emit_stream(made, device.core)
    prints = {
        "c_source": [sources.source.encode()],
        "c_header": [sources.header.encode()],
        "qdq_onnx": [to_qdq(program, kind) for kind in ("int8", "uint8")],
    }
    wrong = [
        deployment.artifact(role).name
        for role, texts in prints.items()
        if deployment.artifact(role).read_bytes() not in texts
    ]
    if wrong:
        raise AnswerIsNo(
            f"{', '.join(wrong)}: not what this Trine prints from the program; compile the model again"
        )
    return made, sources


def simulate(
    deployment: Deployment,
    device: EdgeDevice,
    data: Path,
    options: StreamOptions,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Stream examples through a deployment: parity, exact counts, cost; accuracy of the program it equals.

    Returns the deployment's record with `results`, and `cost`, `fit`, `missing` made anew. Raises AnswerIsNo where a
    print differs.
    """
    made, sources = opened(deployment, device)
    program = made.program
    graph = read_onnx(deployment.artifact("float_onnx"))
    inputs = tuple(Tensor(name, program.tensors[name].shape) for name in program.inputs)
    examples = Examples.open(data, inputs)
    signals, definition = draw_signals(made, examples)
    proved = prove_prints(made, sources, signals, device, options)
    refuse_broken([definition, *proved.parities])
    fit = fit_of(device, made, sources, proved.emulated)
    cost = cost_of(device, made, proved.emulated, fit, options)
    results = {
        "data": data.name,
        "examples": examples.count,
        "steps": int(next(iter(signals.outputs.values())).shape[1] * signals.count),
        "parity": [p.as_json() for p in (definition, *proved.parities)],
        "accuracy": accuracy(graph, program, examples, progress),
        "instructions_by_layer": dict(proved.emulated.by_layer) if proved.emulated else None,
    }
    return {
        **deployment.record,
        "fit": [f.as_json() for f in fit],
        "cost": cost.as_json(),
        "missing": dict(cost.missing),
        "warnings": [*proved.warnings, *cost.notes, *(str(check) for check in cost.heat)],
        "results": results,
    }


def refuse_broken(parities: list[Parity]) -> None:
    """Raise AnswerIsNo naming what differs."""
    if not all_ok(parities):
        raise AnswerIsNo(
            "parity broken: "
            + "; ".join(
                f"{p.against}: {p.differing} of {p.values} values differ" for p in parities if not p.ok
            )
        )


def verify(deployment: Deployment, device: EdgeDevice, options: StreamOptions) -> dict[str, Any]:
    """Prove a deployed stream again: hashes, prints, stored hops here and on the core, fit. Raises AnswerIsNo."""
    files = check_hashes(deployment)
    made, sources = opened(deployment, device)
    with np.load(deployment.artifact("vectors"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    signals = stored_signals(made, arrays)
    found, _ = made.run(signals.inputs)
    if any(not np.array_equal(found[n], signals.outputs[n]) for n in made.program.outputs):
        raise AnswerIsNo("the stored vectors are not what the stream computes")
    proved = prove_prints(made, sources, signals, device, options)
    refuse_broken(proved.parities)
    fit = fit_of(device, made, sources, proved.emulated)
    if not all(f.ok for f in fit):
        raise AnswerIsNo(
            "does not fit any more: " + "; ".join(f"{f.limit} {f.used} of {f.available}" for f in fit)
        )
    return {
        "files": files,
        "reprinted": ["c_header", "c_source", "qdq_onnx"],
        "parity": [p.as_json() for p in proved.parities],
        "fit": [f.as_json() for f in fit],
        "warnings": proved.warnings,
    }


def stored_signals(made: StreamProgram, arrays: dict[str, Any]) -> Signals:
    """One stream from stored hops."""
    inputs = {}
    for name in made.program.inputs:
        hops = arrays[f"in_{name}"]
        if made.along_time(name):
            axis = made.timed[name].axis
            hops = np.concatenate(list(hops), axis=axis)
        inputs[name] = hops[None]
    return Signals(inputs, {name: arrays[f"out_{name}"][None] for name in made.program.outputs})
