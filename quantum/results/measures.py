"""Numbers of a set of samples: costs, feasibility, chance of the optimum, shots to a solution."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trine.quantum.plan.shots import to_see
from trine.quantum.polynomial import Float
from trine.quantum.problem import Encoding, Exact, Problem
from trine.quantum.samples import Samples

CLOSE = 1e-9


@dataclass(frozen=True)
class Measures:
    """Of one sampler. Costs in the problem's unit.

    best, mean: of feasible samples, None where there is none. feasible: share of samples. optimum: share of samples at
    the known optimum, with a 95 % interval (Wilson 1927). ratio: mean / optimum, where both are below zero.
    shots_to_solution: samples to meet the optimum with 99 %, from `optimum`.
    """

    sampler: str
    method: str
    shots: int
    best: float | None
    mean: float | None
    feasible: float
    optimum: float | None
    optimum_low: float | None
    optimum_high: float | None
    ratio: float | None
    shots_to_solution: int | None

    def as_json(self) -> dict[str, Any]:
        """The object of `results.samplers`."""
        return asdict(self)


def measure(
    sampler: str,
    method: str,
    samples: Samples,
    problem: Problem,
    instance: Any,
    encoding: Encoding,
    exact: Exact | None,
) -> Measures:
    """Of samples, by the problem's own rules of feasibility."""
    good = np.array([not problem.violations(instance, row) for row in samples.bits], bool)
    costs = encoding.polynomial.energy(samples.bits)
    shots = samples.shots
    kept, weights = costs[good], samples.counts[good]
    best = float(kept.min()) if len(kept) else None
    mean = float(np.average(kept, weights=weights)) if len(kept) else None
    hits = low = high = chance = ratio = needed = None
    if exact is not None:
        near = kept <= exact.cost + CLOSE * max(1.0, abs(exact.cost))
        hits = int(weights[near].sum())
        chance = hits / shots
        low, high = wilson(hits, shots)
        needed = to_see(chance)
        if mean is not None and exact.cost < 0:
            ratio = mean / exact.cost
    share = float(weights.sum()) / shots
    return Measures(sampler, method, shots, best, mean, share, chance, low, high, ratio, needed)


def wilson(hits: int, shots: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, 10.1080/01621459.1927.10502953)."""
    p = hits / shots
    centre = p + z * z / (2 * shots)
    spread = z * float(np.sqrt(p * (1 - p) / shots + z * z / (4 * shots * shots)))
    base = 1 + z * z / shots
    return max(0.0, (centre - spread) / base), min(1.0, (centre + spread) / base)


def verdict(found: Measures, rivals: list[Measures]) -> str:
    """One honest sentence: what the quantum samples did beside the baselines at the same number of samples."""
    random = next((r for r in rivals if r.sampler == "random"), None)
    better = [
        r.sampler
        for r in rivals
        if r.best is not None and (found.best is None or r.best < found.best - CLOSE)
    ]
    if found.best is None:
        return "no feasible sample: worse than random feasible strings"
    if random is not None and no_better(found, random):
        return "no better than random feasible strings" + (
            f"; {', '.join(better)} found lower costs" if better else ""
        )
    if better:
        return f"better than random, and beaten by {', '.join(better)}"
    equal = [r.sampler for r in rivals if r.best is not None and abs(r.best - found.best) <= CLOSE]
    return (
        f"better than random; as good as {', '.join(equal)}" if equal else "better than every baseline here"
    )


def no_better(found: Measures, random: Measures) -> bool:
    """Whether the chance of the optimum is not surely higher; by mean cost where nobody met it or it is not known."""
    if found.optimum is not None and random.optimum is not None and (found.optimum > 0 or random.optimum > 0):
        assert found.optimum_low is not None
        assert random.optimum_high is not None
        return found.optimum_low <= random.optimum_high
    return random.mean is not None and (found.mean is None or found.mean >= random.mean)


def lowest(samples: Samples, costs: Float, good: Float) -> int | None:
    """Index of the best feasible sample, the first among equals; None where there is none."""
    places = np.flatnonzero(good)
    return int(places[np.argmin(costs[places])]) if len(places) else None
