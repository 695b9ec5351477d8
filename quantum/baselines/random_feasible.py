"""Random strings that break no constraint, uniformly where that can be done: the null hypothesis of every sampler."""

from __future__ import annotations

from itertools import islice

import numpy as np

from trine.quantum.baselines.record import Baseline, Case, Drawn
from trine.quantum.feasible import IndependentSets
from trine.quantum.polynomial import Bits
from trine.quantum.samples import Samples

UNIFORM = "uniform over feasible strings"
LISTED = 200_000  # sets that are listed to draw from them uniformly
PATIENCE = 100  # draws for each sample wanted, where drawn strings can still break a constraint
HOPELESS = 10  # draws for each sample wanted without a single one that breaks none


def listed(sets: IndependentSets) -> Bits | None:
    """All sets as strings [k, n]; None for more than `LISTED`."""
    found = list(islice(sets.sets(), LISTED + 1))
    if len(found) > LISTED:
        return None
    return np.array([[s >> i & 1 for i in range(sets.qubits)] for s in found], np.uint8)


def run(case: Case) -> Drawn | None:
    """Uniform over all feasible strings; for sets too many to list, sets grown in random order, which says so."""
    generator = np.random.default_rng(case.seed)
    if case.problem.draw is not None:
        rows = case.problem.draw(case.instance, generator, case.shots)
        return Drawn(BASELINE.name, Samples.of(rows), UNIFORM)
    feasible, how = case.encoding.feasible, UNIFORM
    everything = listed(feasible) if isinstance(feasible, IndependentSets) else None
    if isinstance(feasible, IndependentSets) and everything is None:
        how = f"sets grown in random order to a random size; not uniform, there are more than {LISTED:,} sets"
    kept: list[Bits] = []
    for rounds in range(PATIENCE):
        if everything is None:
            rows = feasible.draw(generator, case.shots)
        else:
            rows = everything[generator.integers(0, len(everything), case.shots)]
        kept += [row for row in rows if case.feasible(row)]
        if len(kept) >= case.shots or (rounds + 1 >= HOPELESS and not kept):
            break
    if not kept:
        return None
    if len(kept) < case.shots:
        how += f"; only {len(kept):,} found in {PATIENCE * case.shots:,} draws"
    return Drawn(BASELINE.name, Samples.of(np.array(kept[: case.shots])), how)


BASELINE = Baseline("random", "random feasible strings", run)
