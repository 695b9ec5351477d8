"""What a quantum answer is measured against: random feasible strings, greedy, annealing, tabu, exact. One file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from trine.devices.errors import InputError, nearest
from trine.quantum.baselines.record import Baseline, Case, Drawn
from trine.quantum.problem import Problem

__all__ = ["Baseline", "Case", "Drawn", "all_baselines", "run"]


@cache
def all_baselines() -> Mapping[str, Baseline]:
    """By name."""
    found: dict[str, Baseline] = {}
    for name in sorted(info.name for info in iter_modules(__path__)):
        made = getattr(import_module(f"trine.quantum.baselines.{name}"), "BASELINE", None)
        if isinstance(made, Baseline):
            found[made.name] = made
    return found


def run(
    problem: Problem, instance: Any, shots: int, seed: int = 0, names: Sequence[str] | None = None
) -> dict[str, Drawn]:
    """Each baseline's samples; those that cannot reach the case are left out. Raises InputError."""
    if shots < 1:
        raise InputError(f"{shots} shots: give at least 1")
    wrong = [name for name in names or () if name not in all_baselines()]
    if wrong:
        raise InputError(f"no baseline is called {wrong[0]!r}: {nearest(wrong[0], all_baselines())}")
    case = Case.of(problem, instance, shots, seed)
    found = {name: all_baselines()[name].run(case) for name in names or all_baselines()}
    return {name: drawn for name, drawn in found.items() if drawn is not None}
