"""Stating problems from files: `formulations()` by problem's name. One file each, exporting FORMULATIONS."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from trine.devices.errors import InputError, nearest
from trine.quantum.formulate.record import Formulation, Option

__all__ = ["Formulation", "Option", "formulation_named", "formulations"]


@cache
def formulations() -> Mapping[str, Formulation]:
    """All ways to state a problem, by the problem's name."""
    found: dict[str, Formulation] = {}
    for name in sorted(info.name for info in iter_modules(__path__)):
        module = import_module(f"trine.quantum.formulate.{name}")
        found.update({made.problem: made for made in getattr(module, "FORMULATIONS", ())})
    return dict(sorted(found.items()))


def formulation_named(problem: str) -> Formulation:
    """One way to state a problem. Raises InputError with the nearest names."""
    if problem not in formulations():
        raise InputError(f"no formulation is called {problem!r}: {nearest(problem, formulations())}")
    return formulations()[problem]
