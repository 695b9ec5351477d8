"""The plain rule a chemist would try first."""

from __future__ import annotations

from trine.quantum.baselines.record import Baseline, Case, Drawn, repeated


def run(case: Case) -> Drawn | None:
    """One string, counted as often as the others may sample."""
    bits = case.problem.greedy(case.instance)
    said = (case.problem.greedy.__doc__ or "the problem's greedy rule").splitlines()[0]
    return Drawn(BASELINE.name, repeated(bits, case.shots), said)


BASELINE = Baseline("greedy", "the problem's greedy rule", run)
