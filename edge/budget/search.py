"""From limits to a program: sensitivities, the front of choices, the chosen one really compiled and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.target import Progress, silent
from trine.devices import EdgeDevice
from trine.devices.errors import AnswerIsNo, InputError
from trine.edge.accuracy import accuracy
from trine.edge.budget.limits import Limits
from trine.edge.budget.measure import Measured
from trine.edge.budget.point import NAMES, Point, amount, over, shown, summary
from trine.edge.budget.record import record_of
from trine.edge.budget.solve import front, solve
from trine.edge.budget.space import Choice, Space, Widths, widths_chosen
from trine.edge.budget.survey import Noises, Survey, lowered
from trine.edge.budget.ways import Way, Ways, whole_only
from trine.edge.fusing import observed
from trine.edge.quantize import Quantized, quantize
from trine.edge.quantize.histogram import extremes
from trine.edge.quantize.sensitivity import activation_sensitivity, sensitivity
from trine.edge.running import Compiler, emulation_missing

Wide = Literal["never", "at need", "always"]
DEFAULT_DROP = 0.5  # points, where `mixed` is asked for and nothing is limited
MEASURED = 12  # choices that are compiled to see whether they fit, at most
SCORED = 4096


class TooInaccurate(AnswerIsNo):
    """The resources suffice, the accuracy does not."""


@dataclass(frozen=True)
class Found:
    """The network that was chosen and the way to run it, the record for `deployment.json`, and one sentence why."""

    quantized: Quantized
    way: Way
    record: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Search:
    """One request. widths: of weights that may be used, the widest first. wide: whether activations may have 16 bits.
    find_ways: in which the network could run."""

    graph: Graph
    device: EdgeDevice
    examples: Examples
    limits: Limits
    widths: tuple[int, ...] = (8, 4, 2)
    wide: bool = False
    requantize: Literal["exact", "tflite"] = "exact"
    compiler: Compiler = "zig"
    progress: Progress = silent
    find_ways: Ways = whole_only
    points: dict[tuple[Way, Choice], Point] = field(default_factory=dict)
    spaces: dict[Way, Space] = field(default_factory=dict)

    @cached_property
    def noises(self) -> Noises:
        """Of each weight and activation at each width. Raises InputError where there is nothing to choose."""
        weights = sensitivity(self.graph, self.examples, self.widths, self.progress)
        if not weights:
            raise InputError(f"{self.graph.name}: no layer has weights whose width could be chosen")
        if not self.wide:
            return Noises(weights)
        return Noises(weights, activation_sensitivity(self.graph, self.examples, self.progress))

    @cached_property
    def ways(self) -> Sequence[Way]:
        """Ways to run the network, cheapest first."""
        return self.find_ways(lowered(self.graph, self.ranges, Widths()), self.device)

    def space(self, way: Way | None = None) -> Space:
        """Every alternative with its costs, in one way, by default the first."""
        way = way or self.ways[0]
        if way not in self.spaces:
            survey = Survey(
                self.graph, self.ranges, self.noises, self.device, self.compiler, self.progress, way
            )
            self.spaces[way] = survey.space()
        return self.spaces[way]

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Least and greatest value of each activation."""
        found = extremes(self.graph, observed(self.graph), self.examples, 64, self.progress)
        return {name: extreme.range for name, extreme in found.items()}

    def realise(self, way: Way, choice: Choice) -> Point:
        """Quantise, recover, compile, run and score a choice, once."""
        if (way, choice) not in self.points:
            widths = widths_chosen(choice)
            made = quantize(
                self.graph,
                self.examples,
                requantize=self.requantize,
                progress=self.progress,
                weight_bits=widths.weights,
                activation_bits=widths.activations,
            )
            measured = way.measure(made.program, self.device, self.compiler)
            self.points[way, choice] = Point(way, choice, made, measured, self.drop_of(made))
        return self.points[way, choice]

    def drop_of(self, made: Quantized) -> float | None:
        """Points of accuracy lost on labelled examples; None without usable labels."""
        scores = accuracy(self.graph, made.program, self.examples, self.progress, SCORED)
        return (
            None if scores is None else 100 * (scores["source"]["accuracy"] - scores["deployed"]["accuracy"])
        )

    @property
    def most_drop(self) -> float | None:
        """The accuracy that may be lost; a usual value where nothing else is limited."""
        return self.limits.accuracy_drop if self.limits.any else DEFAULT_DROP

    def refuse(self) -> None:
        """Raise InputError for limits that nothing here can check."""
        problems = []
        if self.limits.energy_j is not None and not self.space().has_energy:
            why = (
                emulation_missing(self.device, self.compiler)
                or f"no power of {self.device.name} is published"
            )
            problems.append(f"--max-energy-per-inference: energy cannot be estimated: {why}")
        labels = self.examples.labels
        usable = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu"
        if self.most_drop is not None and not usable:
            problems.append(
                "--max-accuracy-drop (or mixed without a limit) needs labels: add y, one class number an example, "
                "to the calibration file, or limit flash, RAM or energy instead"
            )
        if problems:
            raise InputError("\n  ".join(problems))

    def sized(self, way: Way, choice: Choice) -> Measured:
        """What a choice takes: its sizes and counts do not depend on how well its weights are rounded."""
        program = lowered(self.graph, self.ranges, widths_chosen(choice))
        return way.measure(program, self.device, self.compiler)

    def fitting(self) -> tuple[Way, Choice] | None:
        """The way and the choice of least noise that fit when they are really compiled; of equals the first way's.

        Ways that need less RAM cost instructions: they are looked at while more RAM would make the answer better.
        """
        others = {name: most for name, most in self.limits.resources.items() if name != "ram_bytes"}
        ideal = solve(self.space(), others)
        found: tuple[Way, Choice] | None = None
        for way in self.ways:
            choice = self.fitting_in(way)
            if choice is not None and (found is None or self.noise(choice) < self.noise(found[1])):
                found = way, choice
            if ideal is None or (found and self.noise(found[1]) <= self.noise(ideal)):
                break
        return found

    def fitting_in(self, way: Way) -> Choice | None:
        """The choice of least noise that fits, run in one way.

        The prediction misses some bytes of code. The limits are widened by the most that it was seen to be too high,
        and the best choices within them are measured one by one until the next cannot beat the best that fits.
        """
        limits, best = self.limits.resources, None
        slack = dict.fromkeys(limits, 0.0)
        tried: list[Choice] = []
        space = self.space(way)
        extremes = [solve(space, {}, name) for name in limits]
        while len(tried) < MEASURED:
            within = {n: most + slack[n] for n, most in limits.items()}
            choice = solve(space, within, "noise", tried)
            if choice is None and not best:  # the prediction may be too high even for the least there is
                choice = next((c for c in extremes if c is not None and c not in tried), None)
            if choice is None or (best and self.noise(choice) >= self.noise(best)):
                break
            tried.append(choice)
            self.progress("measuring choices", len(tried), MEASURED)
            used, predicted = self.sized(way, choice), space.total(choice)
            slack = {n: max(s, predicted[n] - getattr(used, n)) for n, s in slack.items()}
            if not over(used, limits):
                best = choice
        return best

    def noise(self, choice: Choice) -> float:
        """What a choice adds to the noise of the scores, as predicted; the same in every way."""
        return sum(a.noise for a in choice)

    def found(self) -> Found:
        """The answer. Raises InputError and AnswerIsNo as `search`."""
        self.refuse()
        point, why = self.within() if self.limits.resources else self.cheapest()
        record = record_of(self.spaces, self.limits, point.way, point.choice, point.as_json(), why)
        return Found(point.quantized, point.way, record, why)

    def within(self) -> tuple[Point, str]:
        """The most accurate choice within the resources that are limited."""
        limits, found = self.limits.resources, self.fitting()
        if found is None:
            raise AnswerIsNo(self.infeasible())
        point = self.realise(*found)
        if self.most_drop is not None and point.drop is not None and point.drop > self.most_drop:
            raise TooInaccurate(self.too_inaccurate(point))
        return point, f"least noise of {self.combinations():,} combinations within {shown(limits)}"

    def combinations(self) -> int:
        """How many there are in the ways that were looked at."""
        return sum(space.count for space in self.spaces.values())

    def cheapest(self) -> tuple[Point, str]:
        """The choice of the front with least flash whose accuracy is kept; bisection, for noise orders the front."""
        way, most = self.ways[0], self.most_drop
        choices = front(self.space(way), {})
        assert most is not None
        low, high, best = 0, len(choices) - 1, None
        while low <= high:
            middle = (low + high) // 2
            point = self.realise(way, choices[middle])
            if point.drop is not None and point.drop <= most:
                best, high = point, middle - 1
            else:
                low = middle + 1
        if best is None:
            raise TooInaccurate(self.too_inaccurate(self.realise(way, choices[-1])))
        return best, f"least flash of the front whose accuracy falls by at most {most:g} points"

    def least(self, name: str, limits: Mapping[str, float]) -> tuple[Way, Choice] | None:
        """The way and the choice that take least of something within limits, as predicted."""
        found = [(w, c) for w in self.ways if (c := solve(self.space(w), limits, name)) is not None]
        return min(found, key=lambda wc: self.space(wc[0]).total(wc[1])[name]) if found else None

    def too_inaccurate(self, point: Point) -> str:
        """What binds when the resources suffice and the accuracy does not."""
        asked = self.most_drop or 0.0
        drop = point.drop or 0.0
        limits = self.limits.resources
        where = f"within {shown(limits)} the most accurate choice" if limits else "the most accurate choice"
        return (
            f"{self.graph.name} for {self.device.name}: accuracy binds: {where} ({summary(point)}) falls by "
            f"{drop:.2f} points, {drop - asked:.2f} more than the {asked:g} allowed; allow more, or fine-tune with "
            "quantisation in the loop"
        )

    def infeasible(self) -> str:
        """Which limits bind, by how much, and what the least of each costs in accuracy; each really compiled."""
        limits = self.limits.resources
        lines = []
        for name, most in limits.items():
            others = {n: v for n, v in limits.items() if n != name}
            reached = self.least(name, others)
            alone = reached is None
            reached = reached or self.least(name, {})
            assert reached is not None
            point = self.realise(*reached)
            least = getattr(point.measured, name)
            if least <= most and not alone:
                continue
            excess = f"over by {amount(least - most, name)}" if least > most else "alone it could be met"
            lines.append(
                f"{NAMES[name]}: {amount(most, name)} allowed, at least {amount(least, name)} needed"
                f"{' whatever the others' if alone else ''}, {excess}; there {summary(point)}"
            )
        listed = "\n  ".join(lines) or "the limits can only be met one at a time"
        return f"{self.graph.name} for {self.device.name}: no choice of widths meets the limits\n  {listed}"


def search(
    graph: Graph,
    device: EdgeDevice,
    examples: Examples,
    limits: Limits,
    widths: Sequence[int] = (8, 4, 2),
    requantize: Literal["exact", "tflite"] = "exact",
    compiler: Compiler = "zig",
    progress: Progress = silent,
    find_ways: Ways = whole_only,
    wide: Wide = "at need",
) -> Found:
    """Choose each layer's widths, and the way to run the network, under limits.

    With limits of flash, RAM or energy: the least noise within them. With none: the least flash whose accuracy falls by
    at most `limits.accuracy_drop` points (0.5 where that is not given either). Accuracy is that on the calibration
    examples. wide: activations of 16 bits "never", among the choices "always", or "at need", where with 8 bits the
    accuracy asked for is not reached: they take RAM and instructions. Raises AnswerIsNo where nothing meets the limits,
    with what binds and by how much; InputError for limits that cannot be checked.
    """
    wanted = Search(
        graph,
        device,
        examples,
        limits,
        tuple(widths),
        wide == "always",
        requantize,
        compiler,
        progress,
        find_ways,
    )
    try:
        return wanted.found()
    except TooInaccurate:
        if wide != "at need":
            raise
        return replace(wanted, wide=True, points={}, spaces={}).found()
