"""From a float network and calibration examples to the integer program, keeping only what helps.

Order, as in the standard post-training pipeline of Nagel et al. 2021 (arXiv 2106.08295) but with the ranges
chosen before the biases are corrected, because the correction needs them: equalise, choose activation ranges,
clip weights, recover what weights of fewer than 8 bits lost (sequential MSE, AdaRound), correct biases. Whether one
helps is measured on the *integer program's* output (before a closing Softmax or Sigmoid, see `scored`), on examples
it was not derived from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.compilers.recurrent import watched
from trine.compilers.state_space import watched_states
from trine.devices.errors import InputError
from trine.edge.fusing import observed
from trine.edge.int16 import ActivationBits, widths_of
from trine.edge.lowbit import WeightBits
from trine.edge.lower import Lowered, lower
from trine.edge.program import IntegerProgram
from trine.edge.quantize.adaround import adaround
from trine.edge.quantize.bias import correct_biases, with_biases
from trine.edge.quantize.choose import Choice, WeightChoice, choose_ranges, choose_weight_clips
from trine.edge.quantize.equalize import Equalized, equalize
from trine.edge.quantize.histogram import SAMPLE, Extremes, extremes, histograms, outermost
from trine.edge.quantize.layers import EIGHT, least_error_clips, rounded_weights
from trine.edge.quantize.ranges import METHODS, Range
from trine.edge.quantize.receipt import Findings, LayerReceipt, receipts
from trine.edge.quantize.replay import Reference, decibels, output_noise, scored
from trine.edge.quantize.samples import (
    LEAST_HELD_OUT,
    Batches,
    Progress,
    affordable,
    every,
    gather,
    in_batches,
    joined,
    silent,
    size_of,
    split,
)
from trine.edge.quantize.sequential import sequential_mse
from trine.edge.requantize import Certificate

CLOSE_LOOK = 256  # at most so many examples to derive refinements from, and as many held out
DEEP_LOOK = 2048  # at most so many to round low-bit weights on, which fit what they are given closely
DEEP_RUNS = 8  # runs of the network that rounding low-bit weights takes
TRIALS = 6  # programs that are measured on the held-out examples
CLEAR_GAIN_DB = 1.0  # a gain of one tensor's range, at the output, that is taken when not all gains add up
BUDGET_MACS = 4e10  # for choosing ranges; a few seconds of one core


@dataclass(frozen=True)
class Decision:
    """One refinement: SQNR of the scores in dB without and with it, on held-out examples, and the verdict."""

    name: str
    without_db: float
    with_db: float
    kept: bool
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Plain values; None for an infinite ratio."""
        return {
            k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()
        }


@dataclass(frozen=True)
class Quantized:
    """The integer program, a receipt a layer, the exactness certificates by step, and every decision taken.

    graph: the float network that was lowered last (equalised, biases corrected, where that was kept).
    scores_db: SQNR of the scores (see `scored`), by which was decided; sqnr_db: of the network's outputs.
    Both of the integer program against the original float network, on held-out examples.
    """

    program: IntegerProgram
    receipts: tuple[LayerReceipt, ...]
    certificates: Mapping[str, Certificate]
    decisions: tuple[Decision, ...]
    graph: Graph
    scores_db: float
    sqnr_db: float
    notes: tuple[str, ...]
    plan: Plan | None = None  # what the program was lowered from, to train on from there

    def as_json(self) -> dict[str, Any]:
        """Everything but the program and the graph, as plain values."""
        return {
            "scores_db": self.scores_db if np.isfinite(self.scores_db) else None,
            "sqnr_db": self.sqnr_db if np.isfinite(self.sqnr_db) else None,
            "decisions": [decision.as_json() for decision in self.decisions],
            "layers": [receipt.as_json() for receipt in self.receipts],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Plan:
    """A way to quantise: an equal float network, its activations' ranges, its weights' clips and bits, and the widths
    of activations that have another than 8 bits."""

    graph: Graph
    ranges: Mapping[str, Range]
    clips: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    bits: WeightBits = field(default_factory=dict)
    activations: ActivationBits = field(default_factory=dict)

    def lower(self, requantize: str) -> Lowered:
        """The integer program of this plan. Raises ValueError where sums or scales leave int32."""
        return lower(
            self.graph,
            self.ranges,
            requantize,
            self.clips,
            weight_bits=self.bits,
            activation_bits=self.activations,
        )

    @property
    def weights(self) -> dict[str, Array]:
        """Every weight as the plan rounds it."""
        return rounded_weights(self.graph, self.clips, self.bits)


@dataclass
class Trials:
    """The best plan so far, and how it was come to. `held`: examples that nothing was derived from."""

    plan: Plan
    lowered: Lowered
    noise: float
    requantize: str
    held: Mapping[str, Array]
    exact: Mapping[str, Array]
    decisions: list[Decision] = field(default_factory=list)

    @staticmethod
    def start(plan: Plan, requantize: str, held: Mapping[str, Array]) -> Trials:
        """Lower the first plan and measure it."""
        exact = in_batches(plan.graph.run, held)
        lowered = plan.lower(requantize)
        noise = output_noise(exact, in_batches(lowered.program.run_float, held))
        return Trials(plan, lowered, noise, requantize, held, exact)

    def consider(self, name: str, plan: Plan, detail: str) -> bool:
        """Lower another plan and keep it if the integer program's output comes nearer to the float output."""
        try:
            lowered = plan.lower(self.requantize)
        except ValueError as error:  # the refinement asks for sums or scales that int32 cannot hold
            self.decisions.append(Decision(name, decibels(self.noise), -np.inf, False, f"{detail}; {error}"))
            return False
        noise = output_noise(self.exact, in_batches(lowered.program.run_float, self.held))
        kept = noise < self.noise
        self.decisions.append(Decision(name, decibels(self.noise), decibels(noise), kept, detail))
        if kept:
            self.plan, self.lowered, self.noise = plan, lowered, noise
        return kept


def quantize(
    graph: Graph,
    examples: Batches,
    *,
    requantize: str = "exact",
    progress: Progress | None = None,
    batch: int = 64,
    weight_bits: WeightBits | None = None,
    activation_bits: ActivationBits | None = None,
) -> Quantized:
    """Quantise a float network to int8, or activations to int16 where asked, with calibration examples.

    requantize: "exact" (ONNX's float rule, integer rule proved equal) or "tflite". progress(stage, done,
    total). batch: examples run at once; memory does not depend on how many examples there are. weight_bits: {weight
    name: 8, 4 or 2}, 8 for all others. activation_bits: {activation: 16 or 8}, 8 for all others (`int16.widest`); 16
    bits need no choice of ranges: they hold all that calibration saw, and as much again. Deterministic.
    Raises InputError for calibration data that cannot be used, for a layer whose sums leave int32, and for nodes that
    are to have 16 bits and cannot.
    """
    wide_names = activation_bits or {}
    bits = {name: width for name, width in (weight_bits or EIGHT).items() if width != 8}
    report = progress or silent
    graph = watched_states(watched(graph))
    names = observed(graph)
    found = extremes(graph, names, examples, batch, report)
    close = affordable(graph, len(names) * len(METHODS), CLOSE_LOOK, BUDGET_MACS)
    judges = max(affordable(graph, TRIALS, CLOSE_LOOK, BUDGET_MACS), LEAST_HELD_OUT)
    deep = max(affordable(graph, DEEP_RUNS, DEEP_LOOK, BUDGET_MACS), judges) if bits else judges
    many, others = split(gather(examples, batch, 2 * deep), deep)
    derive, held = every(many, close), every(others, judges)
    # Clipping harms rare examples, and an even spread of a large set hardly holds any: add the outermost.
    derive = joined(derive, outermost(found))
    first = Plan(scored(graph), _minmax(found), least_error_clips(graph, bits), bits, wide_names)
    try:
        trials = Trials.start(first, requantize, held)
    except ValueError as error:
        raise InputError(f"cannot quantise {graph.name}: {error}") from error
    found = _try_equalization(trials, found)
    equal = trials.plan.graph  # the float function; bias correction departs from it on purpose
    reference = Reference.of(equal, derive)
    widths = widths_of(equal, wide_names)
    narrow = {name: extreme for name, extreme in found.items() if widths[name] == 8}
    choices = choose_ranges(reference, histograms(equal, narrow, examples, batch, report), report)
    methods = dict.fromkeys(found, "minmax") | _try_ranges(trials, choices)
    weights = choose_weight_clips(reference, bits)
    _try_clips(trials, weights)
    if bits:
        _recover(trials, Reference.of(with_biases(equal), many), report)
    _try_biases(trials, reference)
    findings = Findings(
        reference, trials.lowered, choices, methods, weights, trials.plan.clips, trials.plan.weights
    )
    program = replace(trials.lowered.program, outputs=graph.outputs)
    return Quantized(
        program=program,
        receipts=receipts(findings),
        certificates=trials.lowered.certificates,
        decisions=tuple(trials.decisions),
        graph=replace(trials.plan.graph, outputs=graph.outputs),
        scores_db=decibels(trials.noise),
        sqnr_db=decibels(output_noise(in_batches(graph.run, held), in_batches(program.run_float, held))),
        plan=trials.plan,
        notes=_notes(examples.count, size_of(derive), size_of(held), size_of(many) if bits else 0),
    )


def _minmax(found: Mapping[str, Extremes]) -> dict[str, Range]:
    return {name: extreme.range for name, extreme in found.items()}


def _try_equalization(trials: Trials, found: dict[str, Extremes]) -> dict[str, Extremes]:
    """Equalise if it helps; returns the extremes of the activations of the plan that stands."""
    equal: Equalized = equalize(trials.plan.graph)
    if not equal.divisors:
        return found
    moved = {
        name: extreme.divided(equal.divisors[name]) if name in equal.divisors else extreme
        for name, extreme in found.items()
    }
    clips = least_error_clips(equal.graph, trials.plan.bits)
    plan = replace(trials.plan, graph=equal.graph, ranges=_minmax(moved), clips=clips)
    detail = f"{len(equal.divisors)} activations rescaled, by up to {equal.spread:.3g} between channels"
    return moved if trials.consider("cross-layer equalisation", plan, detail) else found


def _try_ranges(trials: Trials, choices: Mapping[str, Choice]) -> dict[str, str]:
    """Use the chosen ranges if they help together, else only the clear gains; returns the methods kept."""
    clear = [name for name, choice in choices.items() if choice.gain_db >= CLEAR_GAIN_DB]
    every = [name for name, choice in choices.items() if choice.method != "minmax"]
    methods = dict.fromkeys(choices, "minmax")
    for names, what in ((every, "chosen one by one"), (clear, f"only gains of {CLEAR_GAIN_DB:g} dB or more")):
        if not names or (names == every and what.startswith("only")):
            continue
        plan = replace(trials.plan, ranges={**trials.plan.ranges, **{n: choices[n].range for n in names}})
        detail = f"{len(names)} of {len(choices)} activations not by min-max, {what}"
        if trials.consider("activation ranges", plan, detail):
            return methods | {name: choices[name].method for name in names}
    return methods


def _try_clips(trials: Trials, weights: Mapping[str, WeightChoice]) -> None:
    """Clip the weights of the layers that each gain by it, if they gain together."""
    clips = {name: choice.clip for name, choice in weights.items() if choice.clip is not None}
    if clips:
        detail = f"{len(clips)} of {len(weights)} layers by least squared error"
        plan = replace(trials.plan, clips={**trials.plan.clips, **clips})
        trials.consider("weight clipping", plan, detail)


def _recover(trials: Trials, reference: Reference, report: Progress) -> None:
    """Find scales, then roundings, of the low-bit weights by their layers' output error."""
    bits, chosen = trials.plan.bits, frozenset(trials.plan.bits)
    detail = f"{len(chosen)} layers of fewer than 8 bits, on {size_of(reference.samples)} examples"
    program, weights = trials.lowered.program, trials.plan.weights
    graph, clips = sequential_mse(reference, program, weights, bits, chosen, report)
    plan = replace(trials.plan, graph=graph, clips={**trials.plan.clips, **clips})
    trials.consider("sequential MSE", plan, detail)
    plan = trials.plan
    graph = adaround(reference, trials.lowered.program, plan.weights, plan.clips, bits, chosen, report)
    trials.consider("AdaRound", replace(plan, graph=graph), detail)


def _try_biases(trials: Trials, reference: Reference) -> None:
    """Correct the biases if it helps."""
    corrected = correct_biases(reference, trials.lowered.program, trials.plan.weights)
    before = reference.graph.constants
    changed = {
        n: x for n, x in corrected.constants.items() if n not in before or not np.array_equal(x, before[n])
    }
    if changed:
        plan = replace(trials.plan, graph=with_biases(trials.plan.graph).with_constants(changed))
        trials.consider("bias correction", plan, f"{len(changed)} layers' biases")


def _notes(count: int, derived: int, held: int, rounded: int) -> tuple[str, ...]:
    """How the calibration examples were used, for the receipt."""
    which = "others" if count >= 2 * LEAST_HELD_OUT else f"all {held} of them, being too few to hold any back"
    counted = f"the least and greatest values are those of all {count} calibration examples"
    if count > SAMPLE:
        counted += f"; the histograms count {SAMPLE} of them, evenly spread"
    derivation = f"refinements derived on {derived} examples, spread evenly and those of the extreme values"
    if rounded:
        derivation += f", low-bit weights on {rounded}"
    return counted, f"{derivation}; decided on {held}: {which}"
