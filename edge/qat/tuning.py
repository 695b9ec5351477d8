"""Fine-tuning of what the quantiser made, from a file of examples: for `trine compile --fine-tune` and for Python."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.labelled import held_out, label_problems, picked
from trine.compilers.source import load_source, sha256
from trine.devices.errors import InputError, nearest
from trine.edge.fusing import observed
from trine.edge.program import IntegerProgram
from trine.edge.program_file import save_program
from trine.edge.qat.network import load_torch, refuse
from trine.edge.qat.options import Tuning
from trine.edge.qat.train import JUDGED, Tuned, fine_tune
from trine.edge.qdq import to_qdq
from trine.edge.quantize import Quantized, quantize
from trine.edge.quantize.layers import packable
from trine.edge.quantize.quantize import Decision
from trine.edge.quantize.replay import decibels, output_noise
from trine.edge.quantize.samples import Progress, in_batches, silent, spread_indices
from trine.edge.simplify import simplify
from trine.edge.stated import is_quantised

SCHEMA: Final = "trine.edge_fine_tuning/1"
WIDTHS: Final = {"int8": 8, "int4": 4, "int2": 2}


@dataclass(frozen=True)
class FineTuning:
    """What a user may choose.

    train: .npz with the network's inputs and, where known, labels `y` and patients `group`. held_out: share of the
    patients (without `group`: of the examples) that is not trained on; they choose the epoch, and whether it stands.
    """

    train: Path
    tuning: Tuning = field(default_factory=Tuning)
    held_out: float = 0.2

    def check(self) -> None:
        """Raise InputError naming every option out of range."""
        found = self.tuning.problems()
        if not 0 < self.held_out < 1:
            found.append(f"held_out is {self.held_out}: give a share above 0 and below 1")
        if found:
            raise InputError("fine-tuning: " + "; ".join(found))


@dataclass(frozen=True)
class Learnt:
    """Examples in memory: {input: [n, *shape]}, labels [n] or None, which are held out [n] and in words."""

    inputs: dict[str, Array]
    labels: Array | None
    held: Array
    words: str


def fine_tuned(
    graph: Graph,
    made: Quantized,
    options: FineTuning,
    requantize: str = "exact",
    progress: Progress = silent,
) -> tuple[Quantized, dict[str, Any]]:
    """(what the quantiser made with trained weights, the record for the deployment).

    graph: the float network that `made` is of. The program's outputs, widths and activation scales stay; weights,
    their scales and biases change. Where training does not bring the integer program nearer to the float network (or
    to the labels, with `labelled`) on the held-out examples, `made` stands, and the record says so. Raises InputError
    naming every operator that cannot be trained and all that is wrong with options and file; MissingExtra.
    """
    options.check()
    if made.plan is None:
        raise InputError(
            f"{graph.name}: nothing was quantised by calibration, so there is nothing to fine-tune"
        )
    refuse(made.plan.graph)
    load_torch()
    learnt = load_learnt(graph, made, options)
    tuned = fine_tune(
        graph, made.plan, learnt.inputs, learnt.labels, options.tuning, progress, learnt.held, requantize
    )
    after = with_tuned(graph, made, tuned) if tuned.kept else made
    rows = np.flatnonzero(learnt.held)
    rows = rows[spread_indices(len(rows), JUDGED)]
    inputs = {name: x[rows] for name, x in learnt.inputs.items()}
    labels = None if learnt.labels is None else learnt.labels[rows]
    exact = in_batches(graph.run, inputs)
    record = {
        "schema": SCHEMA,
        "options": {**asdict(options.tuning), "held_out": options.held_out},
        "train": {"file": options.train.name, "sha256": sha256(options.train), "examples": len(learnt.held)},
        "held_out": learnt.words,
        "judged_by": len(rows),
        "losses": list(tuned.losses),
        "epoch": tuned.epoch if tuned.kept else 0,
        "kept": tuned.kept,
        "float": figures(exact, exact, labels),
        "before": figures(exact, answers(made.program, inputs), labels),
        "after": figures(exact, answers(after.program, inputs), labels),
    }
    return after, record


def load_learnt(graph: Graph, made: Quantized, options: FineTuning) -> Learnt:
    """Read the examples. Raises InputError with everything that is wrong with the file."""
    examples = Examples.open(options.train, graph.inputs)
    assert made.plan is not None
    size = int(np.prod(made.plan.graph.shape(made.plan.graph.outputs[0])))
    wrong = label_problems(examples, size)
    if options.tuning.labelled and wrong:
        raise InputError(f"{examples.path.name}: fine-tuning cannot begin: " + "; ".join(wrong))
    if examples.count < 2:
        raise InputError(f"{examples.path.name}: one example is learnt from and one is held out at least")
    aside, words = held_out(examples, options.held_out, options.tuning.seed)
    labels = None if wrong else np.asarray(examples.labels, np.int64)
    return Learnt(picked(examples, np.arange(examples.count)), labels, aside, words)


def with_tuned(graph: Graph, made: Quantized, tuned: Tuned) -> Quantized:
    """The quantiser's answer with the trained plan in its place."""
    decision = Decision(
        "fine-tuning",
        decibels(tuned.before),
        decibels(tuned.after),
        True,
        f"epoch {tuned.epoch}, held-out loss",
    )
    return replace(
        made,
        program=replace(tuned.lowered.program, outputs=graph.outputs),
        certificates=tuned.lowered.certificates,
        decisions=(*made.decisions, decision),
        graph=replace(tuned.plan.graph, outputs=graph.outputs),
        notes=(*made.notes, "layer receipts and ratios in dB are those before fine-tuning"),
        plan=tuned.plan,
    )


def answers(program: IntegerProgram, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of an integer program as reals."""
    return in_batches(program.run_float, inputs)


def figures(exact: Mapping[str, Array], found: Mapping[str, Array], labels: Array | None) -> dict[str, Any]:
    """Noise in dB (None: no noise), the share with the float network's class, and accuracy where labels are known."""
    noise, name = output_noise(exact, found), next(iter(found))
    guess, wanted = (v[name].reshape(len(v[name]), -1).argmax(axis=1) for v in (found, exact))
    known = {} if labels is None else {"accuracy": float(np.mean(guess == labels))}
    ratio = decibels(noise)
    return {
        "sqnr_db": ratio if math.isfinite(ratio) else None,
        "agreement": float(np.mean(guess == wanted)),
        **known,
    }


def summary(record: Mapping[str, Any]) -> str:
    """A line for the pass."""
    before, after = record["before"], record["after"]
    parts = [f"{before['agreement']:.2%} -> {after['agreement']:.2%} of the float network's classes"]
    if "accuracy" in after:
        parts.append(f"accuracy {before['accuracy']:.2%} -> {after['accuracy']:.2%}")
    what = f"epoch {record['epoch']} of {len(record['losses']) - 1}" if record["kept"] else "nothing kept"
    return f"fine-tuned: {what}; {record['held_out']} held out: " + ", ".join(parts)


def finetune_file(
    model: Path,
    data: Path,
    precision: str = "int8",
    out: Path | None = None,
    calibration: Path | None = None,
    tuning: Tuning | None = None,
    held_out: float = 0.2,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Quantise a model (.onnx, .pt2) and fine-tune it on an .npz of inputs, and `y` and `group` where known.

    precision: "int8", "int4" or "int2", of every weight that can have it. calibration: examples for the ranges; `data`
    where there is none. out: a folder for program.npz (the integer program), quantized.onnx (its QDQ print) and
    fine_tuning.json. Returns the record that is in fine_tuning.json. Raises as `fine_tuned`.
    """
    if precision not in WIDTHS:
        raise InputError(
            f"precision {precision!r}: fine-tuning takes int8, int4 or int2; {nearest(precision, WIDTHS)}"
        )
    options = FineTuning(data, tuning or Tuning(), held_out)
    options.check()
    graph = load_source(model)
    if is_quantised(graph):
        raise InputError(f"{model.name} arrives quantised: fine-tune the float model that it was made from")
    graph = simplify(graph)
    refuse(graph)
    if not observed(graph):
        raise InputError(f"{model.name}: no tensor has a scale, so there is nothing to fine-tune")
    examples = Examples.open(calibration or data, graph.inputs, require_varied=True)
    bits = {node.inputs[1]: WIDTHS[precision] for node in packable(graph)}
    made, record = fine_tuned(
        graph, quantize(graph, examples, progress=progress, weight_bits=bits), options, progress=progress
    )
    record = {**record, "model": {"file": model.name, "sha256": sha256(model)}, "precision": precision}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        save_program(made.program, out / "program.npz")
        (out / "quantized.onnx").write_bytes(to_qdq(made.program))
        (out / "fine_tuning.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return record
