"""`SpikingNet`: populations and projections, in real numbers and in a chip's integers.

Shapes are those of one example in ONNX layout: (neurons,), (channels, length), (channels, height, width). Time is
counted in steps of `dt_s` seconds. A projection delivers what its source sent `1 + delay_steps` steps earlier, as on
Loihi (facts: lava-nc's order of events); inputs are populations whose spikes are given.
Names of neurons and their parameters are NIR's (Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError

Array = NDArray[Any]
Shape = tuple[int, ...]
INPUT = "Input"  # the neuron name of a population whose spikes are given


@dataclass(frozen=True)
class Population:
    """Neurons of one kind. parameters: numbers or arrays that broadcast to `shape` (channels first).

    In a real-valued net they are the neuron's equation's (tau_mem_s, v_threshold, ...), in an integer net its
    integer step's (du, dv, vth, bias_mant, bias_exp, ...); each file of `neurons` lists both.
    reset: "zero", "subtraction" or "none".
    """

    name: str
    neuron: str
    shape: Shape
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reset: str = "zero"

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Projection:
    """Synapses from one population to another (or the same: recurrence).

    kind: "dense" (weight (out, in) over flattened populations), "conv" (weight (out, in/group, *kernel); attributes
    strides, dilations, pads (begin..., end...), group, as ONNX Conv: cross-correlation), "pool" (sum of windows;
    attributes kernel_shape, strides, pads; weight a scalar array), "identity" (one to one, weight a scalar array or
    one a neuron).
    weight: float32, or integers with weight_exponent (the sum is shifted left by it, or right where negative).
    graded: messages carry integers; otherwise a message is a spike, whatever its value.
    delay_steps: whole steps beyond the one every connection takes.
    """

    name: str
    source: str
    target: str
    kind: str
    weight: Array
    attributes: Mapping[str, Any] = field(default_factory=dict)
    delay_steps: int = 0
    weight_exponent: int = 0
    graded: bool = False


@dataclass(frozen=True)
class SpikingNet:
    """A spiking network. inputs, outputs: population names.

    arithmetic: "float", or the name of an integer variant (see `fixed_point`), whose parameters the populations hold.
    """

    name: str
    dt_s: float
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    arithmetic: str = "float"

    def population(self, name: str) -> Population:
        """A population by name."""
        return self.by_name[name]

    @property
    def by_name(self) -> dict[str, Population]:
        """All populations by name."""
        return {p.name: p for p in self.populations}

    def into(self, name: str) -> tuple[Projection, ...]:
        """Projections that end in a population."""
        return tuple(p for p in self.projections if p.target == name)

    def out_of(self, name: str) -> tuple[Projection, ...]:
        """Projections that begin in a population."""
        return tuple(p for p in self.projections if p.source == name)

    @property
    def neurons(self) -> int:
        """Neurons that compute, inputs left out."""
        return sum(p.size for p in self.populations if p.neuron != INPUT)

    def check(self) -> None:
        """Raise InputError naming everything inconsistent: names, shapes, weights that are no numbers, thresholds."""
        known, problems = self.by_name, []
        if len(known) != len(self.populations):
            problems.append("two populations have one name")
        if not (np.isfinite(self.dt_s) and self.dt_s > 0):
            problems.append(f"dt_s is {self.dt_s}; give seconds a step")
        for what, names in (("input", self.inputs), ("output", self.outputs)):
            problems += [f"{what} {name}: no such population" for name in names if name not in known]
        for p in self.projections:
            where = f"projection {p.name} ({p.source} -> {p.target})"
            if p.source not in known or p.target not in known:
                problems.append(f"{where}: no such population")
                continue
            if not np.isfinite(np.asarray(p.weight, np.float64)).all():
                problems.append(f"{where}: weights hold NaN or infinity")
            if p.delay_steps < 0:
                problems.append(f"{where}: delay of {p.delay_steps} steps")
            expected = (known[p.target].size, known[p.source].size)
            if p.kind == "dense" and p.weight.shape != expected:
                problems.append(f"{where}: weight is {p.weight.shape}, should be {expected}")
            if p.kind not in ("dense", "conv", "pool", "identity"):
                problems.append(f"{where}: unknown kind {p.kind!r}")
        problems += self._neuron_problems()
        if problems:
            raise InputError("inconsistent spiking net:\n  " + "\n  ".join(problems))

    def _neuron_problems(self) -> list[str]:
        """Thresholds that are not positive, unknown resets, inputs that compute."""
        problems = []
        for p in self.populations:
            if p.reset not in ("zero", "subtraction", "none"):
                problems.append(f"population {p.name}: unknown reset {p.reset!r}")
            for key in ("v_threshold", "vth"):
                if key in p.parameters and (np.asarray(p.parameters[key]) <= 0).any():
                    problems.append(f"population {p.name}: {key} must be positive")
        return problems

    def with_projections(self, projections: tuple[Projection, ...]) -> SpikingNet:
        """The same net with other projections."""
        return replace(self, projections=projections)
