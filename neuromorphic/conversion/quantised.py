"""`QuantisedNetwork`: the network in whole numbers, whose counts a spiking network has to reproduce.

    count = clip(floor((S + theta/2) / theta), 0, T),   S = bias + sum over synapses of (w count << exponent)

S is held in 1/64 of a weight unit, as Loihi's membrane is (`arithmetic.ACTIVATION_SHIFT`); theta is whole. Where
channels have scales of their own, all of a channel's numbers, its theta among them, are 2^octave times finer. The last
layer keeps its S. Sums of counts with an upper end are bounded when the network is made, so that float32 products of
whole numbers are exact; others are computed in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Shape
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, Term, apply, pooled
from trine.neuromorphic.conversion.levels import InputLevels

BATCH = 256


@dataclass(frozen=True)
class Synapses:
    """Whole weights of one path: int32 `weight` of `kind` and attributes as `Term`; the sum is shifted left."""

    source: str
    kind: str
    weight: Array
    exponent: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def term(self) -> Term:
        """The same as a `Term`."""
        return Term(self.source, self.kind, self.weight, self.attributes)


@dataclass(frozen=True)
class CountLayer:
    """One layer. tensor: the graph's activation. bias: int64, in 1/64 weight units, broadcasts to shape.

    theta: weight units a count; levels: T, or None where counts have no upper end. unit: real value of one weight
    unit of S; one count is theta * unit. role: FIRE, MAXIMUM or READOUT. bounded: all sums fit float32. octaves: by
    output channel, or none: the channel's weights, bias and threshold are 2^octave times as large.
    """

    name: str
    tensor: str
    shape: Shape
    synapses: tuple[Synapses, ...]
    bias: Array
    theta: int
    levels: int | None
    unit: float
    role: str
    bounded: bool = True
    octaves: tuple[int, ...] = ()

    @property
    def thresholds(self) -> Array:
        """theta of every neuron in weight units, int64, broadcasts to shape."""
        if not self.octaves:
            return np.array(self.theta, np.int64)
        return self.theta << np.array(self.octaves, np.int64).reshape(-1, *([1] * (len(self.shape) - 1)))

    @property
    def scale(self) -> float:
        """Real value of one count."""
        return self.theta * self.unit

    def membrane(self, values: Mapping[str, Array]) -> Array:
        """S in 1/64 weight units for counts of the sources, int64 [n, *shape]."""
        total = np.broadcast_to(self.bias, (len(next(iter(values.values()))), *self.shape)).astype(np.int64)
        wide = np.float32 if self.bounded else np.float64
        for s in self.synapses:
            sums = apply(s.term, values[s.source], self.shape, s.weight.astype(wide))
            total = total + (sums.astype(np.int64) << (s.exponent + ACTIVATION_SHIFT))
        return total

    def fire(self, membrane: Array) -> Array:
        """Counts of a membrane, int64."""
        whole = self.thresholds << ACTIVATION_SHIFT
        counts = (membrane + whole // 2) // whole
        return np.asarray(np.clip(counts, 0, self.levels))

    def run(self, values: Mapping[str, Array]) -> Array:
        """Counts, or the membrane of a readout."""
        if self.role == MAXIMUM:
            (only,) = self.synapses
            return np.asarray(pooled(only.term, values[only.source]).max(axis=-1), np.int64)
        membrane = self.membrane(values)
        return self.fire(membrane) if self.role == FIRE else membrane


@dataclass(frozen=True)
class QuantisedNetwork:
    """Counts from examples. weight_bits: sign included. levels: T of the inputs and the first layer."""

    name: str
    inputs: tuple[InputLevels, ...]
    input_shapes: Mapping[str, Shape]
    layers: tuple[CountLayer, ...]
    levels: int | None
    weight_bits: int

    @property
    def output(self) -> CountLayer:
        """The layer that is read out."""
        return self.layers[-1]

    def encode(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs in whole steps, int64."""
        return {code.name: code.encode(inputs[code.name]) for code in self.inputs}

    def trace(self, steps: Mapping[str, Array]) -> dict[str, Array]:
        """Whole inputs -> counts of every layer, membrane of the last; int64 [n, *shape] by name, inputs among them."""
        values = {k: np.asarray(v, np.int64) for k, v in steps.items()}
        for layer in self.layers:
            values[layer.name] = layer.run(values)
        return values

    def batches(self, steps: Mapping[str, Array], size: int = BATCH) -> Iterator[dict[str, Array]]:
        """`trace` in batches that stay in the caches."""
        count = len(next(iter(steps.values())))
        for at in range(0, count, size):
            yield self.trace({k: v[at : at + size] for k, v in steps.items()})

    def readout(self, inputs: Mapping[str, Array]) -> Array:
        """Membrane of the output for real inputs, int64 [n, *shape]."""
        return np.concatenate([v[self.output.name] for v in self.batches(self.encode(inputs))])
