"""Receipts of a conversion: for each layer, what each lowering step did to it.

Steps: float -> levels (T levels, real weights) -> whole numbers -> spikes. What changes between two rows is the
doing of that step alone, so a network that has gone wrong shows at which layer and in which step it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.neuromorphic.conversion.convert import Converted
from trine.neuromorphic.conversion.layers import FIRE, READOUT
from trine.neuromorphic.conversion.running import run_spiking

STAGES = ("float", "levels", "integers", "spiking")


@dataclass(frozen=True)
class LayerReceipt:
    """One layer after one step. rate: mean activation as a share of the largest count (spikes a neuron and step);
    for float, of T counts. active: share of activations above zero. at_top: share at T. error: root mean square
    distance to the float activations, as a share of their own; differing: share of counts unlike those of the step
    before (integers: unlike the levels'; spiking: unlike the integers'). mean_shift: mean count less that of the step
    before."""

    layer: str
    stage: str
    rate: float
    active: float
    at_top: float
    error: float
    differing: float | None = None
    mean_shift: float | None = None


@dataclass(frozen=True)
class StageReceipt:
    """A whole step: share of examples with the float network's class, and with the right one where it is known."""

    stage: str
    agreement: float
    accuracy: float | None


@dataclass(frozen=True)
class Receipts:
    """All steps and layers, on `examples` examples; `warnings` name where something goes wrong first."""

    examples: int
    stages: tuple[StageReceipt, ...]
    layers: tuple[LayerReceipt, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For `receipts.json`."""
        return {
            "examples": self.examples,
            "stages": [asdict(s) for s in self.stages],
            "layers": [asdict(x) for x in self.layers],
            "warnings": list(self.warnings),
        }


def receipts(converted: Converted, samples: Mapping[str, Array], labels: Array | None = None) -> Receipts:
    """Run all steps on samples {input: [n, *shape]} and compare them layer by layer. labels: [n] class numbers."""
    network, net = converted.network, converted.levels.net
    fine = fine_values(converted, samples)
    counts: dict[str, dict[str, Array]] = {"levels": {}, "integers": {}, "spiking": {}}
    coarse = converted.levels.run(samples)
    whole = network.trace(network.encode(samples))
    names = [layer.name for layer in net.layers if layer.role != READOUT]
    for name in names:
        counts["levels"][name] = np.rint(coarse[name] / converted.levels.scales[name])
        counts["integers"][name] = whole[name]
    output = net.output.name
    answers = {"float": fine[output], "levels": coarse[output], "integers": whole[output]}
    if converted.spiking is not None:
        spiking_counts, answers["spiking"] = spiking_values(converted, samples)
        counts["spiking"] = spiking_counts
    rows = [
        _row(converted, name, stage, fine, counts) for stage in STAGES if stage in answers for name in names
    ]
    classes = {stage: x.reshape(len(x), -1).argmax(axis=1) for stage, x in answers.items()}
    stages = tuple(
        StageReceipt(
            stage,
            float((found == classes["float"]).mean()),
            None if labels is None else float((found == labels).mean()),
        )
        for stage, found in classes.items()
    )
    return Receipts(len(fine[output]), stages, tuple(rows), tuple(_warnings(rows, stages, classes)))


def fine_values(converted: Converted, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Float activations of the trained network by layer."""
    wanted = {layer.tensor: layer.name for layer in converted.levels.net.layers}
    found: dict[str, Array] = {}
    for node, results in converted.graph.trace(samples):
        for tensor, x in zip(node.outputs, results, strict=True):
            if tensor in wanted:
                found[wanted[tensor]] = x
    return found


def spiking_values(converted: Converted, samples: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
    """Counts of the spiking net by layer, and the readout's membrane."""
    made = converted.spiking
    assert made is not None
    kept: dict[str, list[Array]] = {}

    def listening(net: Any, inputs: Any, steps: int, probes: Any) -> Any:
        from trine.neuromorphic.engine import run

        result = run(net, inputs, steps, probes)
        for name, probe in result.probes.items():
            if "counts" in probe:
                kept.setdefault(name, []).append(probe["counts"])
            elif "spikes" in probe:
                kept.setdefault(name, []).append(probe["spikes"].sum(axis=1))
        return result

    ran = run_spiking(made, converted.network, converted.network.encode(samples), listening)
    return {name: np.concatenate(parts) for name, parts in kept.items()}, ran.membrane


def _row(
    converted: Converted,
    name: str,
    stage: str,
    fine: Mapping[str, Array],
    counts: Mapping[str, Mapping[str, Array]],
) -> LayerReceipt:
    """One layer after one step."""
    layer = next(x for x in converted.network.layers if x.name == name)
    scale = layer.scale if stage in ("integers", "spiking") else converted.levels.scales[name]
    real = fine[name].astype(np.float64)
    found = real / scale if stage == "float" else counts[stage][name].astype(np.float64)
    top = float(layer.levels or max(found.max(), 1.0))
    size = float(np.sqrt(np.square(real).mean())) or 1.0
    error = float(np.sqrt(np.square(found * scale - real).mean())) / size
    rate = float(found.mean()) / top
    before = {"integers": "levels", "spiking": "integers"}.get(stage)
    at_top = float((found >= top).mean())
    graded = (
        layer.levels is None and stage == "integers"
    )  # its whole numbers count in other steps than the levels
    if before is None or graded:
        return LayerReceipt(name, stage, rate, float((found > 0).mean()), at_top, error)
    apart = found - counts[before][name]
    return LayerReceipt(
        name,
        stage,
        rate,
        float((found > 0).mean()),
        at_top,
        error,
        float((apart != 0).mean()),
        float(apart.mean()),
    )


def _warnings(
    rows: list[LayerReceipt], stages: tuple[StageReceipt, ...], classes: Mapping[str, Array]
) -> list[str]:
    """Where something begins to go wrong: the first silent, saturated or shifted layer, and one-class answers."""
    found = []
    silent = next((r for r in rows if r.active == 0), None)
    full = next((r for r in rows if r.at_top > 0.2 and r.stage != "float"), None)
    if silent is not None:
        found.append(f"layer {silent.layer} is silent, no neuron spikes: first in step {silent.stage}")
    if full is not None:
        found.append(
            f"layer {full.layer} is saturated, {full.at_top:.0%} of its counts at T: first in step {full.stage}"
        )
    for stage, answer in classes.items():
        if len(np.unique(answer)) == 1 and len(np.unique(classes["float"])) > 1:
            found.append(
                f"step {stage} puts every example in one class; see the first layer whose error jumps there"
            )
    for before, after in pairwise(stages):
        if before.agreement - after.agreement > 0.05:
            found.append(
                f"step {after.stage} moves {before.agreement - after.agreement:.1%} of the examples to another class"
            )
    return found


__all__ = ["FIRE", "LayerReceipt", "Receipts", "StageReceipt", "receipts"]
