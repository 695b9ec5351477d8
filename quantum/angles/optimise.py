"""Local optimisation of angles with the adjoint gradient, every evaluation on disk before the next one starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.engines.state import Gradient
from trine.quantum.polynomial import Float
from trine.quantum.samples import CONVENTION, Angles

SCHEMA = "trine.angles/1"


class Differentiable(Protocol):
    """An engine that gives derivatives. fingerprint: names the problem, so that a checkpoint finds its own."""

    def gradient(self, angles: Angles, alpha: float = 1.0) -> Gradient:
        """Value and derivatives of <C>, or of CVaR for alpha below 1."""
        ...

    def fingerprint(self) -> str:
        """Changes with the problem, the mixer and the precision."""
        ...


@dataclass(frozen=True)
class Optimised:
    """The best angles evaluated, their objective, and that of the start; `history` in order of evaluation."""

    angles: Angles
    value: float
    start: float
    history: tuple[float, ...] = field(repr=False)

    @property
    def evaluations(self) -> int:
        """How often value and gradient were asked for."""
        return len(self.history)


class Journal:
    """Evaluations as lines of a file, appended and synced one by one; a line cut off by a kill is dropped.

    A resumed optimiser asks for the same points in the same order, is answered from here, and then goes on: the
    result is that of a run never interrupted.
    """

    def __init__(self, path: Path | None, head: dict[str, Any]) -> None:
        """Open or begin. Raises InputError for a file of another optimisation or one that cannot be written."""
        self.path, self.head, self.at = path, head, 0
        self.known: list[dict[str, Any]] = []
        if path is None:
            return
        try:
            lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
            found = [json.loads(line) for line in lines]
            if found and found[0] != head:
                changed = sorted(k for k in head if found[0].get(k) != head[k])
                raise InputError(
                    f"{path}: is the checkpoint of another optimisation ({', '.join(changed)} differ); "
                    "name another file or remove it"
                )
            self.known = found[1:]
            self._rewrite()
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: no usable checkpoint ({error})") from None

    def _rewrite(self) -> None:
        """The file as it is known, beside its place, then renamed."""
        if self.path is None:
            return
        part = self.path.with_name(self.path.name + ".part")
        part.write_text("".join(json.dumps(entry) + "\n" for entry in (self.head, *self.known)))
        part.replace(self.path)

    def answer(self, x: Float) -> tuple[float, Float] | None:
        """The next stored evaluation if it is of x."""
        if self.at >= len(self.known):
            return None
        if self.known[self.at]["x"] != x.tolist():  # another version of scipy: what follows is of no use
            self.known = self.known[: self.at]
            self._rewrite()
            return None
        entry = self.known[self.at]
        self.at += 1
        return entry["value"], np.array(entry["gradient"])

    def keep(self, x: Float, value: float, gradient: Float) -> None:
        """Append; on disk when this returns."""
        if self.path is None:
            return
        line = json.dumps({"x": x.tolist(), "value": value, "gradient": gradient.tolist()})
        try:
            with self.path.open("ab") as file:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{self.path}: the checkpoint cannot be written ({error})") from None


def optimise(
    engine: Differentiable, start: Angles, *, alpha: float = 1.0, evaluations: int = 200,
    tolerance: float = 1e-6, checkpoint: Path | None = None, progress: Callable[[int, float], None] | None = None,
) -> Optimised:  # fmt: skip
    """Lower <C>, or CVaR for alpha below 1, from `start` by L-BFGS-B (Byrd et al. 1995, scipy's).

    evaluations: at most so many values with gradients. tolerance: stop where all derivatives, by angles in
    units of the start's largest, are below it. checkpoint: a file to write and to resume from; killed at
    any moment, a second call gives the same result. progress(k, value) after evaluation k.
    Raises InputError for a bad file, MissingExtra without scipy.
    """
    if find_spec("scipy") is None:
        raise MissingExtra("scipy", "quantum", "optimising angles")
    from scipy.optimize import minimize

    layers = start.layers
    # gamma's unit is the problem's: in units of the start's size all angles are about one
    unit = np.repeat([max(map(abs, values)) or 1.0 for values in (start.gammas, start.betas)], layers)
    head = {
        "schema": SCHEMA, "engine": engine.fingerprint(), "start": start.as_json(), "alpha": alpha,
        "tolerance": tolerance, "convention": CONVENTION,
    }  # fmt: skip
    journal = Journal(checkpoint, json.loads(json.dumps(head)))
    seen: list[tuple[float, Angles]] = []

    def objective(x: Float) -> tuple[float, Float]:
        stored = journal.answer(x)
        angles = _angles(x * unit, start.source)
        if stored is None:
            if len(seen) >= evaluations:
                raise StopIteration
            found = engine.gradient(angles, alpha)
            stored = found.value, found.flat * unit
            journal.keep(x, *stored)
        seen.append((stored[0], angles))
        if progress is not None:
            progress(len(seen), stored[0])
        return stored

    options = {"maxfun": evaluations, "maxiter": evaluations, "ftol": 1e-12, "gtol": tolerance}
    try:
        first = np.concatenate([start.gammas, start.betas]) / unit
        minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
    except StopIteration:
        pass
    value, best = min(seen, key=lambda entry: entry[0])
    return Optimised(best, value, seen[0][0], tuple(v for v, _ in seen))


def _angles(flat: Float, source: str) -> Angles:
    layers = len(flat) // 2
    grown = source if source.endswith("optimised") else f"{source}, optimised".lstrip(", ")
    return Angles(tuple(flat[:layers].tolist()), tuple(flat[layers:].tolist()), grown)
