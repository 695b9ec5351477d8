"""Receipts of a conversion: for each layer, what each lowering step did to it.

Steps: float -> levels (T levels, real weights) -> spikes of real weights (timing alone) -> whole numbers -> spikes of
the chip's net. For each layer and step the network is also run with everything up to that layer lowered and the rest as
it was trained: so a network that has gone wrong, one that answers a single class say, shows at which layer and in which
step it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trine.compilers.graph import Array
from trine.compilers.metrics import score
from trine.neuromorphic.conversion.convert import Converted
from trine.neuromorphic.conversion.float_spikes import FloatSpikes
from trine.neuromorphic.conversion.layers import FIRE, READOUT, LayerNet
from trine.neuromorphic.conversion.levels import summed
from trine.neuromorphic.conversion.running import run_spiking
from trine.neuromorphic.conversion.walk import layers_of

STAGES = ("float", "levels", "spiking_float", "integers", "spiking")
FALLS = (
    0.05  # share of examples that change class at one layer in one step, above which it is worth a warning
)
SATURATED = 0.2  # share of counts at T, the same


@dataclass(frozen=True)
class Outcome:
    """Classes of a network that is lowered so far. agreement: share of examples with the float network's class;
    accuracy, macro_f1: against labels, None without. classes: how many different ones it answers."""

    agreement: float
    accuracy: float | None
    macro_f1: float | None
    classes: int


@dataclass(frozen=True)
class LayerReceipt:
    """One layer after one step. rate: mean activation as a share of the largest count (spikes a neuron and step where
    counts are spikes); for float, of T counts. active: share of activations above zero. at_top: share at T. error: root
    mean square distance to the float activations, as a share of their own; differing: share of counts unlike those of
    the step before (levels have none before them); mean_shift: mean count less that of the step before. outcome: of the
    network lowered up to this layer, the rest float."""

    layer: str
    stage: str
    rate: float
    active: float
    at_top: float
    error: float
    differing: float | None = None
    mean_shift: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class StageReceipt:
    """A whole step: share of examples with the float network's class, and with the right one where it is known."""

    stage: str
    agreement: float
    accuracy: float | None
    macro_f1: float | None = None


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
    trained = converted.levels.trained or layers_of(converted.graph)
    names = [layer.name for layer in trained.layers if layer.role != READOUT]
    output = trained.output.name
    fine = run_float(trained, samples)
    judge = _Judge(fine[output], labels)
    counts, answers = _stages(converted, samples, names, output)
    rows: list[LayerReceipt] = []
    before: Mapping[str, Array] | None = None
    for stage in STAGES:
        if stage != "float" and stage not in counts:
            continue
        lowered: dict[str, Array] = {}
        for name in names:
            row = _row(
                converted, name, stage, fine[name], counts.get(stage, {}).get(name), (before or {}).get(name)
            )
            if stage != "float":
                lowered[name] = (counts[stage][name] * _scale(converted, name, stage)).astype(np.float32)
                row = replace(row, outcome=judge(run_float(trained, samples, lowered)[output]))
            rows.append(row)
        before = counts.get(stage)
    outcomes = {"float": judge(fine[output])} | {
        stage: judge(answers[stage]) for stage in STAGES if stage in answers
    }
    stages = tuple(StageReceipt(k, o.agreement, o.accuracy, o.macro_f1) for k, o in outcomes.items())
    return Receipts(len(fine[output]), stages, tuple(rows), tuple(_warnings(rows, outcomes)))


class _Judge:
    """Classes against the float network's and the right ones."""

    def __init__(self, answer: Array, labels: Array | None) -> None:
        size = answer.reshape(len(answer), -1).shape[1]
        usable = labels is not None and size > 1 and labels.min() >= 0 and labels.max() < size
        self.wanted, self.labels = _classes(answer), labels if usable else None
        self.names = [str(i) for i in range(size)]

    def __call__(self, answer: Array) -> Outcome:
        found = _classes(answer)
        agreement, different = float((found == self.wanted).mean()), len(np.unique(found))
        if self.labels is None:
            return Outcome(agreement, None, None, different)
        scored = score(self.labels, found, self.names, draws=1)
        return Outcome(agreement, scored.accuracy, scored.macro_f1, different)


def _classes(answer: Array) -> Array:
    return np.asarray(answer.reshape(len(answer), -1).argmax(axis=1))


def run_float(
    net: LayerNet, samples: Mapping[str, Array], given: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Activations of the trained layers by name; `given` ones stand in for their own."""
    values = {t.name: np.asarray(samples[t.name], np.float32) for t in net.inputs}
    for layer in net.layers:
        if given is not None and layer.name in given:
            values[layer.name] = given[layer.name]
            continue
        z = summed(layer, values)
        values[layer.name] = np.clip(z, 0, layer.ceiling).astype(np.float32) if layer.role == FIRE else z
    return values


def _stages(
    converted: Converted, samples: Mapping[str, Array], names: list[str], output: str
) -> tuple[dict[str, dict[str, Array]], dict[str, Array]]:
    """Counts by step and layer, and the answer of each step."""
    network, levels = converted.network, converted.levels
    coarse = levels.run(samples)
    counts = {"levels": {name: np.rint(coarse[name] / levels.scales[name]) for name in names}}
    answers = {"levels": coarse[output]}
    if network.levels is not None:
        found = float_spikes(converted, samples)
        counts["spiking_float"] = {name: np.rint(found[name] / levels.scales[name]) for name in names}
        answers["spiking_float"] = found[output]
    whole = network.trace(network.encode(samples))
    counts["integers"], answers["integers"] = {name: whole[name] for name in names}, whole[output]
    if converted.spiking is not None:
        ran = run_spiking(converted.spiking, network, network.encode(samples), keep=True)
        counts["spiking"], answers["spiking"] = {name: ran.counts[name] for name in names}, ran.membrane
    return counts, answers


def float_spikes(converted: Converted, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Activations of the net with real weights, simulated in the scheme's timetable; sums of the readout."""
    levels, o = converted.levels, converted.options
    simulated = FloatSpikes.of(levels.net, levels.inputs, levels.levels, o.input_steps, o.scheme, o.lag)
    for name, code in levels.inputs.items():
        simulated.feed(code, samples[name])
    return {
        layer.name: simulated.run(layer, levels.scales.get(layer.name, 1.0), levels.levels.get(layer.name))
        for layer in levels.net.layers
    }


def _scale(converted: Converted, name: str, stage: str) -> float:
    """Real value of one count in a step."""
    layer = next(x for x in converted.network.layers if x.name == name)
    return layer.scale if stage in ("integers", "spiking") else converted.levels.scales[name]


def _row(
    converted: Converted, name: str, stage: str, fine: Array, counts: Array | None, before: Array | None
) -> LayerReceipt:
    """One layer after one step."""
    layer = next(x for x in converted.network.layers if x.name == name)
    scale, real = _scale(converted, name, stage), fine.astype(np.float64)
    found = real / scale if counts is None else counts.astype(np.float64)
    top = float(layer.levels or max(found.max(), 1.0))
    size = float(np.sqrt(np.square(real).mean())) or 1.0
    error = float(np.sqrt(np.square(found * scale - real).mean())) / size
    shares = float(found.mean()) / top, float((found > 0).mean()), float((found >= top).mean()), error
    graded = (
        layer.levels is None and stage == "integers"
    )  # its whole numbers count in other steps than the levels
    if before is None or graded:
        return LayerReceipt(name, stage, *shares)
    apart = found - before
    return LayerReceipt(name, stage, *shares, float((apart != 0).mean()), float(apart.mean()))


def _warnings(rows: list[LayerReceipt], outcomes: Mapping[str, Outcome]) -> list[str]:
    """Where something begins to go wrong: the first silent or saturated layer, and for each step the first layer that
    changes many classes or leaves only one."""
    found = []
    silent = next((r for r in rows if r.active == 0), None)
    full = next((r for r in rows if r.at_top > SATURATED and r.stage != "float"), None)
    if silent is not None:
        found.append(f"layer {silent.layer} is silent, no neuron spikes: first in step {silent.stage}")
    if full is not None:
        found.append(
            f"layer {full.layer} is saturated, {full.at_top:.0%} of its counts at T: first in step {full.stage}"
        )
    reached: dict[str, float] = {}  # agreement of the step before, by layer: what this step has not caused
    for stage in STAGES[1:]:
        last = 1.0
        for row in (r for r in rows if r.stage == stage and r.outcome is not None):
            outcome = row.outcome
            assert outcome is not None
            usual = reached.get(row.layer, 1.0)
            if last - outcome.agreement > FALLS and usual - outcome.agreement > FALLS:
                found.append(_fall(row.layer, stage, last, outcome, outcomes["float"].classes))
                break
            last = min(last, outcome.agreement)
        reached = {r.layer: r.outcome.agreement for r in rows if r.stage == stage and r.outcome is not None}
        if stage in outcomes and outcomes[stage].classes == 1 < outcomes["float"].classes:
            found.append(f"step {stage} puts every example in one class")
    return found


def _fall(layer: str, stage: str, before: float, outcome: Outcome, classes: int) -> str:
    """A warning that says where classes begin to change."""
    said = f"layer {layer} in step {stage} moves {before - outcome.agreement:.1%} of the examples to another class"
    if outcome.accuracy is not None:
        said += f" (accuracy {outcome.accuracy:.1%} with the layers behind it in float)"
    if outcome.classes == 1 < classes:
        said += "; from here on every example is in one class"
    return said
