"""From a graph and examples to a quantised network and its spiking form, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError, nearest
from trine.neuromorphic.conversion.code import shift_of
from trine.neuromorphic.conversion.fix import Limits, fix
from trine.neuromorphic.conversion.levels import LevelNet, find_levels
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.spiking import SCHEMES, Spiking, spiking
from trine.neuromorphic.conversion.walk import layers_of

Scheme = Literal["exact", "rate", "sigma_delta"]
GRADED_BITS = (
    30  # membrane of a sigma-delta neuron as `Limits` counts it: sums stay below 2^23 (lava's conv, 24 bits)
)


@dataclass(frozen=True)
class ConversionOptions:
    """What a user may choose.

    scheme: "exact", "rate" or "sigma_delta". steps: T, levels of an activation and steps of a phase. lag: steps
    by which a layer of *rate* fires behind its input. input_bits: magnitude bits of an input. refit: correct
    weights for coarse activations. calibration_examples: how many are used, evenly spread.
    """

    scheme: Scheme = "exact"
    steps: int = 8
    lag: int = 1
    input_bits: int = 6
    refit: bool = True
    calibration_examples: int = 4096

    def check(self) -> None:
        """Raise InputError naming every option out of range."""
        problems = []
        if self.scheme not in SCHEMES:
            problems.append(f"scheme {self.scheme!r} is unknown: {nearest(self.scheme, SCHEMES)}")
        if not 1 <= self.steps <= 1023:
            problems.append(f"T is {self.steps} steps: a count needs 1 to 1023; --steps 8 is usual")
        elif self.scheme == "rate" and not 0 <= self.lag < self.steps:
            problems.append(f"lag is {self.lag}: with T = {self.steps} steps give 0 to {self.steps - 1}")
        if not 1 <= self.input_bits <= 12:
            problems.append(f"input_bits is {self.input_bits}: give 1 to 12")
        if self.calibration_examples < 1:
            problems.append(f"calibration_examples is {self.calibration_examples}: give at least 1")
        if problems:
            raise InputError("; ".join(problems))

    @property
    def limits(self) -> Limits:
        """Whole numbers that the scheme leaves to the sums: the gates of *rate* take half of the membrane."""
        return Limits(membrane_bits={"exact": 24, "rate": 23, "sigma_delta": GRADED_BITS}[self.scheme])


@dataclass(frozen=True)
class Converted:
    """A network on its way: the graph, coarse activations, whole numbers, spikes."""

    graph: Graph
    options: ConversionOptions
    samples: dict[str, Array] = field(repr=False)
    levels: LevelNet
    network: QuantisedNetwork
    spiking: Spiking | None = None


def draw_samples(graph: Graph, examples: Examples, count: int) -> dict[str, Array]:
    """At most `count` examples, evenly spread over the file."""
    chosen = spread(examples.count, count)
    parts: dict[str, list[Array]] = {t.name: [] for t in graph.inputs}
    start = 0
    for batch in examples.batches(1024):
        size = len(next(iter(batch.values())))
        here = chosen[(chosen >= start) & (chosen < start + size)] - start
        start += size
        for name in parts:
            parts[name].append(batch[name][here])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def spread(count: int, limit: int | None) -> Array:
    """Indices of at most `limit` examples, evenly spread over `count`."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).astype(np.int64))


def quantise(
    graph: Graph, samples: dict[str, Array], options: ConversionOptions, progress: Progress = silent
) -> Converted:
    """Counts in T levels with whole weights. Raises InputError for nodes without a spiking form and bad options."""
    options.check()
    net = layers_of(graph)
    graded = options.scheme == "sigma_delta"
    each = {layer.name: None if graded else options.steps for layer in net.layers}
    bits = options.input_bits if not graded else max(options.input_bits, 7)
    levels = find_levels(net, samples, each, bits, options.refit and not graded, progress)
    shift = 0 if graded else shift_of(bits, options.steps)
    network = fix(levels, options.limits, {t.name: shift for t in net.inputs}, power_of_two=graded)
    return Converted(graph, options, samples, levels, network)


def spike(converted: Converted, dt_s: float = 1e-3) -> Converted:
    """The spiking net of the scheme. Raises InputError where the scheme cannot express the network."""
    o = converted.options
    arithmetic = "loihi_hardware" if o.scheme == "sigma_delta" else "lava"  # lava's Conv wraps at 24 bits
    made = spiking(converted.network, o.scheme, o.lag, dt_s, arithmetic)
    return Converted(converted.graph, o, converted.samples, converted.levels, converted.network, made)
