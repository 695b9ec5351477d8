"""What a neuron is: an equation, a step in real numbers, a step in integers, and cases that check one by the other.

Each file of `neurons` exports one record named NEURON; packages outside Trine add theirs through the entry-point
group `trine.neurons`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from pkgutil import iter_modules
from typing import Any

import numpy as np

from trine.devices.errors import InputError, nearest
from trine.neuromorphic.arithmetic import VARIANTS, Variant
from trine.neuromorphic.net import Array

State = Mapping[str, Array]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One parameter: its default (None: must be given), its range (inclusive) and what it means, with unit."""

    name: str
    default: float | None
    meaning: str
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True)
class Moment:
    """What a step needs beside state, input and parameters. step: 0 for the first of a run."""

    step: int
    dt_s: float = 1e-3
    reset: str = "zero"
    variant: Variant = VARIANTS["lava"]


@dataclass(frozen=True)
class Case:
    """Real-valued parameters and an input that the integer step must follow.

    current: input of one neuron per step in real numbers. scale: integer weight units per real unit of the membrane.
    spikes_apart: by how many spikes the two may differ over the case; state_apart: largest distance of
    the membranes in real units while the spike trains agree.
    """

    parameters: Parameters
    current: tuple[float, ...]
    scale: float
    reset: str = "zero"
    spikes_apart: int = 0
    state_apart: float = 0.02


Step = Callable[[State, Array, Parameters, Moment], tuple[dict[str, Array], Array]]
Quantise = Callable[[Parameters, float, float], dict[str, Any]]


@dataclass(frozen=True)
class Neuron:
    """One neuron model.

    float_step, integer_step: (state, input, parameters, moment) -> (new state, message). Arrays are
    [batch, *shape]; parameters broadcast to shape; the message is 0 where nothing is sent. The integer step is the
    definition of what a chip computes (int64 arrays that stay within the chip's bits).
    initial: (integer parameters, shape) start values of states that do not start at zero.
    input_gain(parameters, dt_s): by how much one unit of input moves the membrane in one step; weights of an integer
    net carry it. quantise(parameters, dt_s, scale): integer parameters, `scale` integer weight units a real unit.
    graded: messages carry values. readout: sends only where a projection leaves it. resets: first is the default.
    state_bits: bits of the membrane below a unit of the weights, in an integer net made by `quantise`.
    compartments: compartments of Loihi 1 a neuron takes, by reset (NxTF: subtraction needs two).
    """

    name: str
    equation: str
    float_parameters: tuple[Parameter, ...]
    integer_parameters: tuple[Parameter, ...]
    states: tuple[str, ...]
    resets: tuple[str, ...]
    float_step: Step
    integer_step: Step
    input_gain: Callable[[Parameters, float], Any]
    quantise: Quantise
    cases: tuple[Case, ...]
    graded: bool = False
    state_bits: int = 6
    readout: bool = False
    compartments: Mapping[str, int] = field(default_factory=lambda: {"zero": 1, "subtraction": 2, "none": 1})

    def values(self, given: Parameters, integer: bool, dt_s: float) -> dict[str, Any]:
        """Parameters with defaults filled in. Raises InputError naming every unknown, missing or outlying one."""
        listed = self.integer_parameters if integer else self.float_parameters
        known = {p.name: p for p in listed}
        problems = [f"no parameter {k!r}: {nearest(k, known)}" for k in sorted(set(given) - set(known))]
        filled: dict[str, Any] = {}
        for p in listed:
            value = given.get(p.name, p.default)
            if value is None:
                problems.append(f"{p.name} must be given ({p.meaning})")
                continue
            value = np.asarray(value, np.float64)
            if not np.isfinite(value).all() or (value < p.low).any() or (value > p.high).any():
                problems.append(
                    f"{p.name} is {_extremes(value)}, allowed are {p.low:g} to {p.high:g} ({p.meaning})"
                )
            elif integer and (value != np.round(value)).any():
                problems.append(f"{p.name} is {_extremes(value)}, must be whole")
            filled[p.name] = value.astype(np.int64) if integer and not problems else value
        if problems:
            raise InputError(f"neuron {self.name}: " + "; ".join(problems))
        return filled


def _extremes(value: Array) -> str:
    """A value, or the range of an array of them."""
    return f"{value:g}" if value.ndim == 0 else f"{value.min():g} to {value.max():g}"


@cache
def neurons() -> Mapping[str, Neuron]:
    """All neurons by name: the files of the folder `neurons`, then entry points."""
    package = import_module("trine.neuromorphic.neurons")
    found: dict[str, Neuron] = {}
    for module in sorted(info.name for info in iter_modules(package.__path__)):
        record = import_module(f"{package.__name__}.{module}").NEURON
        found[record.name] = record
    for entry in sorted(metadata.entry_points(group="trine.neurons"), key=lambda e: e.name):
        record = entry.load()
        found[record.name] = record
    return found


def neuron(name: str) -> Neuron:
    """A neuron by name. Raises InputError for an unknown one."""
    if name not in neurons():
        raise InputError(f"neuron {name!r} is unknown: {nearest(name, neurons())}")
    return neurons()[name]
