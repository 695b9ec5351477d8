"""Choose each activation's range, and each layer's weight clipping, by the output error they cause.

One tensor at a time is quantised inside the float network, with each candidate, and the rest of the network
is run on: the candidate whose final output is nearest to the float output is taken. Where that would cost more than
DOWNSTREAM_MACS, the candidate nearest to the tensor itself is taken; what is taken is tried as a whole afterwards
either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.edge.lowbit import WeightBits
from trine.edge.lower import parameters_of
from trine.edge.program import QuantizedTensor
from trine.edge.quantize.histogram import Histogram
from trine.edge.quantize.layers import EIGHT, by_channel, least_error_clip, rounded_weight, weighted
from trine.edge.quantize.ranges import METHODS, Range, candidates
from trine.edge.quantize.replay import Reference, decibels, fake_quantize, noise_ratio
from trine.edge.quantize.samples import Progress, silent, size_of

DOWNSTREAM_MACS = 3e11  # of all replays of a kind together: a minute or two of one core


def too_costly(reference: Reference, replays: int) -> bool:
    """Whether that many runs of half the network, on the reference's examples, are more than can be afforded."""
    return reference.graph.macs() * size_of(reference.samples) * replays / 2 > DOWNSTREAM_MACS


@dataclass(frozen=True)
class Choice:
    """What was chosen for one tensor, and the output's SQNR in dB that each candidate alone leads to."""

    tensor: str
    method: str
    range: Range
    candidates: Mapping[str, float]

    @property
    def gain_db(self) -> float:
        """By how much the chosen range is better than min-max, in dB at the output; 0 where min-max was
        chosen.
        """
        return self.candidates[self.method] - self.candidates["minmax"] if self.method != "minmax" else 0.0


def choose_ranges(
    reference: Reference, histograms: Mapping[str, Histogram], progress: Progress = silent
) -> dict[str, Choice]:
    """The best range of each tensor that has a histogram; ties go to the earlier method, min-max first."""
    chosen, near = {}, too_costly(reference, len(histograms) * len(METHODS))
    for done, (name, histogram) in enumerate(histograms.items()):
        x = reference.values[name]
        spans = candidates(histogram)
        noise = {}
        for method, span in spans.items():
            tensor = QuantizedTensor(name, x.shape[1:], *parameters_of(*span))
            if len(spans) == 1:
                noise[method] = 0.0
            elif near:
                noise[method] = noise_ratio(x, fake_quantize(tensor, x))
            else:
                noise[method] = reference.noise_with({name: fake_quantize(tensor, x)})
        best = min(noise, key=lambda method: noise[method])
        shown = {method: decibels(value) for method, value in noise.items()} if len(spans) > 1 else {}
        chosen[name] = Choice(name, best, spans[best], shown)
        progress("choosing", done + 1, len(histograms))
    return chosen


@dataclass(frozen=True)
class WeightChoice:
    """For one layer: whether its weights are better clipped, and the output's SQNR in dB of both ways."""

    weight: str
    clip: NDArray[np.float32] | None
    max_db: float
    mse_db: float


def choose_weight_clips(reference: Reference, bits: WeightBits = EIGHT) -> dict[str, WeightChoice]:
    """For each weight of 8 bits: its channels' maxima, or the maxima of least squared rounding error."""
    chosen, nodes = {}, weighted(reference.graph)
    near = too_costly(reference, 2 * len(nodes))
    for node in nodes:
        name = node.inputs[1]
        if bits.get(name, 8) != 8:
            continue
        weight = reference.graph.constants[name]
        clip = least_error_clip(np.ascontiguousarray(by_channel(node, weight)))
        ways = [{name: rounded_weight(node, weight, c)} for c in (None, clip)]
        whole, clipped = (
            noise_ratio(weight, way[name]) if near else reference.noise_with(way) for way in ways
        )
        kept = clip if clipped < whole else None
        chosen[name] = WeightChoice(name, kept, decibels(whole), decibels(clipped))
    return chosen
