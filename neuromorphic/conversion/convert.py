"""From a graph and examples to a quantised network and its spiking form, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from trine.compilers.examples import Examples
from trine.compilers.graph import Array, Graph
from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError, nearest
from trine.neuromorphic.conversion.channels import normalised
from trine.neuromorphic.conversion.code import shift_of
from trine.neuromorphic.conversion.fix import Limits, fix
from trine.neuromorphic.conversion.float_spikes import FloatSpikes
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, LayerNet
from trine.neuromorphic.conversion.levels import InputLevels, LevelNet, find_levels
from trine.neuromorphic.conversion.quantised import QuantisedNetwork
from trine.neuromorphic.conversion.spiking import SCHEMES, Spiking, pool_problems, spiking
from trine.neuromorphic.conversion.walk import layers_of

Scheme = Literal["exact", "rate", "ttfs", "sigma_delta"]
GRADED_BITS = (
    30  # membrane of a sigma-delta neuron as `Limits` counts it: sums stay below 2^23 (lava's conv, 24 bits)
)
MOST_STEPS = 1023  # steps a phase


@dataclass(frozen=True)
class ConversionOptions:
    """What a user may choose.

    scheme: "exact", "rate", "ttfs" or "sigma_delta". steps: T, levels of an activation and steps of a phase; one
    number, or one for each layer that spikes, in the order of the graph (inputs take the first). lag: steps by which
    a layer of *rate* fires behind its input. input_bits: magnitude bits of an input. refit: correct weights for
    coarse activations. calibration_examples: how many are used, evenly spread. weight_bits: of a weight, sign
    included. per_channel: a scale for each channel, of its activations and, in octaves, of weights and threshold.
    """

    scheme: Scheme = "exact"
    steps: int | tuple[int, ...] = 8
    lag: int = 1
    input_bits: int = 6
    refit: bool = True
    calibration_examples: int = 4096
    weight_bits: int = 8
    per_channel: bool = False

    def check(self) -> None:
        """Raise InputError naming every option out of range."""
        problems = []
        if self.scheme not in SCHEMES:
            problems.append(f"scheme {self.scheme!r} is unknown: {nearest(self.scheme, SCHEMES)}")
        listed = self.steps if isinstance(self.steps, tuple) else (self.steps,)
        wrong = [t for t in listed if not 1 <= t <= MOST_STEPS]
        if not listed:
            problems.append("T is empty: give one number of steps, or one for each layer that spikes")
        problems += [f"T is {t} steps: a count needs 1 to {MOST_STEPS}; --steps 8 is usual" for t in wrong]
        if self.scheme == "rate" and listed and not wrong and not 0 <= self.lag < max(listed):
            problems.append(f"lag is {self.lag}: with T = {max(listed)} steps give 0 to {max(listed) - 1}")
        if not 1 <= self.input_bits <= 12:
            problems.append(f"input_bits is {self.input_bits}: give 1 to 12")
        if self.calibration_examples < 1:
            problems.append(f"calibration_examples is {self.calibration_examples}: give at least 1")
        problems += self._weight_problems()
        if problems:
            raise InputError("; ".join(problems))

    def _weight_problems(self) -> list[str]:
        """Why the weights cannot have so many bits."""
        if self.weight_bits == 1:
            return [
                "weight_bits is 1: one bit with sign holds 0 and -1 only, so that nothing excites; give 2 to 9"
            ]
        if not 2 <= self.weight_bits <= 9:
            return [f"weight_bits is {self.weight_bits}: Loihi's weights have up to 9 with sign; give 2 to 9"]
        if self.scheme == "sigma_delta" and self.weight_bits == 9:
            return ["weight_bits is 9: weights of graded spikes have 8 bits with sign; give 2 to 8"]
        return []

    def steps_of(self, net: LayerNet) -> dict[str, int | None]:
        """T by layer; None where counts have no upper end. Raises InputError for a wrong number of layers."""
        firing = [layer.name for layer in net.layers if layer.role == FIRE]
        if self.scheme == "sigma_delta":
            return dict.fromkeys((layer.name for layer in net.layers), None)
        listed = self.steps if isinstance(self.steps, tuple) else (self.steps,) * len(firing)
        if len(listed) != len(firing):
            raise InputError(
                f"steps has {len(listed)} numbers, the network has {len(firing)} layers that spike: {', '.join(firing)}"
            )
        given: dict[str, int | None] = dict(zip(firing, listed))
        for layer in net.layers:  # a maximum passes its source's counts on
            given.setdefault(layer.name, given.get(layer.terms[0].source) if layer.role == MAXIMUM else None)
        return given

    @property
    def input_steps(self) -> int:
        """T of the inputs: the first layer's."""
        return self.steps[0] if isinstance(self.steps, tuple) else self.steps

    @property
    def limits(self) -> Limits:
        """Whole numbers that the scheme leaves to the sums: the gates of *rate* take half of the membrane."""
        bits = {"exact": 24, "rate": 23, "ttfs": 24, "sigma_delta": GRADED_BITS}[self.scheme]
        return Limits(self.weight_bits, membrane_bits=bits)


@dataclass(frozen=True)
class Converted:
    """A network on its way: the graph, coarse activations, whole numbers, spikes. labels: of the samples, [n]."""

    graph: Graph
    options: ConversionOptions
    samples: dict[str, Array] = field(repr=False)
    levels: LevelNet
    network: QuantisedNetwork
    spiking: Spiking | None = None
    labels: Array | None = field(default=None, repr=False)


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


def drawn_labels(examples: Examples, count: int) -> Array | None:
    """Class numbers of the examples that `draw_samples` takes, or None where they have none."""
    labels = examples.labels
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None
    return np.asarray(labels[spread(examples.count, count)].astype(np.int64))


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
    each = options.steps_of(net)
    pools = pool_problems(
        {x.name: each[x.name] or 0 for x in net.layers if x.role == MAXIMUM}, options.scheme
    )
    if pools:
        raise InputError("; ".join(pools))
    graded = options.scheme == "sigma_delta"
    bits = options.input_bits if not graded else max(options.input_bits, 7)
    if options.per_channel:
        net = normalised(net, samples, each)

    def timed(codes: Mapping[str, InputLevels]) -> FloatSpikes:
        return FloatSpikes.of(net, codes, each, options.input_steps, options.scheme, options.lag)

    refit = options.refit and not graded
    in_time = timed if refit and options.scheme == "rate" else None
    levels = find_levels(net, samples, each, bits, refit, progress, in_time)
    return Converted(graph, options, samples, levels, whole_numbers(levels, options))


def whole_numbers(levels: LevelNet, options: ConversionOptions) -> QuantisedNetwork:
    """The quantised network of coarse activations. Raises InputError where no whole numbers can hold them."""
    graded = options.scheme == "sigma_delta"
    shift = 0 if graded else shift_of(options.input_bits, options.input_steps)
    return fix(levels, options.limits, dict.fromkeys(levels.inputs, shift), graded, options.per_channel)


def spike(converted: Converted, dt_s: float = 1e-3) -> Converted:
    """The spiking net of the scheme. Raises InputError where the scheme cannot express the network."""
    o = converted.options
    arithmetic = "loihi_hardware" if o.scheme == "sigma_delta" else "lava"  # lava's Conv wraps at 24 bits
    made = spiking(converted.network, o.scheme, o.lag, dt_s, arithmetic)
    return replace(converted, spiking=made)
