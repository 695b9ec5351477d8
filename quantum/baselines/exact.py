"""The optimum, where it can be reached."""

from __future__ import annotations

import numpy as np

from trine.quantum.baselines.record import Baseline, Case, Drawn, repeated


def run(case: Case) -> Drawn | None:
    """By the problem's own exact method."""
    best = case.problem.exact(case.instance)
    if best is None:
        return None
    how = best.method if best.proved else f"{best.method}; not proved"
    return Drawn(BASELINE.name, repeated(np.array(best.bits, np.uint8), case.shots), how, best)


BASELINE = Baseline("exact", "the optimum", run)
