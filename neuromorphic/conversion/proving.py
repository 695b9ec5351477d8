"""What a run proves: parity, fit, cost and accuracy, as a deployment records them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trine.compilers.battery_life import Duty
from trine.compilers.estimate import Estimate
from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.report import Fit, Parity
from trine.devices import NeuroChip
from trine.neuromorphic.conversion.running import Run
from trine.neuromorphic.conversion.spiking import Spiking
from trine.neuromorphic.energy import side_by_side
from trine.neuromorphic.mapping import Mapping


def parities(made: Spiking, ran: Run) -> list[Parity]:
    """Spike counts (graded sums) and the readout's membrane against the quantised network."""
    largest = max(layer.largest for layer in ran.layers.values())
    against = f"native engine, scheme {made.scheme}: spike counts and readout of all layers"
    if made.scheme != "rate":
        return [Parity(against, ran.events.examples, ran.values, ran.differing, largest)]
    agree = float((ran.spiking == ran.quantised).mean())
    note = f"spikes come in time, so counts may differ; {agree:.2%} of the examples get the quantised network's class"
    return [Parity(against, ran.events.examples, ran.values, ran.differing, largest, False, note)]


def fit_of(mapping: Mapping, chip: NeuroChip) -> list[Fit]:
    """Cores against the chip's, and every violated limit."""
    broken = [
        Fit(f"{v.where}: {v.limit}", int(np.ceil(1 if v.used is None else v.used)),
            0 if v.available is None else int(v.available), v.unit, "modelled")
        for v in mapping.violations
    ]  # fmt: skip
    if broken:
        return broken
    cores = chip.figure("limits.cores")
    available = None if cores is None else int(cores.si_value) * mapping.chips
    return [Fit("cores", mapping.cores, available, "cores", "modelled")]


def priced(
    made: Spiking, mapping: Mapping, ran: Run, chip: NeuroChip, duty: Duty | None
) -> tuple[list[Estimate], dict[str, str], list[str]]:
    """Cost on every profile of the chip: the first as it is, others under `profile: name`."""
    cost: list[Estimate] = []
    missing: dict[str, str] = {}
    notes: list[str] = []
    for i, analysis in enumerate(side_by_side(made.net, mapping, ran.events, chip, duty)):
        known = {e.name: e for e in cost}
        for e in analysis.estimates:
            if i == 0:
                cost.append(e)
            elif known.get(e.name) != e:
                cost.append(replace(e, name=f"{analysis.profile}: {e.name}"))
        for name, why in analysis.missing.items():
            missing.setdefault(name if i == 0 else f"{analysis.profile}: {name}", why)
        notes += [note for note in analysis.notes if note not in notes]
    return cost, missing, notes


def scored(
    graph: Graph, sample: dict[str, Array], predicted: Array, examples: Examples, chosen: Array
) -> dict[str, Any] | None:
    """Accuracy of the float network and of the spiking net on labelled examples, or None without usable labels."""
    from trine.compilers.metrics import score

    labels = examples.labels
    name = graph.outputs[0]
    size = graph.tensors[name].size
    usable = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu" and size > 1
    if labels is None or not usable or int(labels.min()) < 0 or int(labels.max()) >= size:
        return None
    source = np.concatenate([
        graph.run({k: v[at : at + 256] for k, v in sample.items()})[name].reshape(-1, size).argmax(axis=1)
        for at in range(0, len(chosen), 256)
    ])  # fmt: skip
    group = examples.group
    classes = examples.classes or tuple(str(i) for i in range(size))

    def one(found: Array) -> dict[str, Any]:
        return score(labels[chosen], found, classes, None if group is None else group[chosen]).as_json()

    return {
        "source": one(source), "deployed": one(predicted), "examples": len(chosen),
        "disagreements": int((source != predicted).sum()), "agreement": float((source == predicted).mean()),
    }  # fmt: skip
