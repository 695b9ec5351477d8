"""Sequential MSE: each layer's weight clips by its output's error, on the inputs that the layers before it make.

The search that AIMET calls SeqMSE (Qualcomm AI Model Efficiency Toolkit, documentation of `seq_mse`, loss "mse",
symmetric inputs): for every output channel the clip of a grid that makes ||W z - Q(W) z||^2 least, z being the
layer's input in the network as quantised so far. Here the error follows from the second moments of z.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.edge.lowbit import WeightBits, scales_of, to_codes
from trine.edge.program import IntegerProgram
from trine.edge.quantize.layers import SMALLEST
from trine.edge.quantize.moments import Float, Layer, rebuild
from trine.edge.quantize.replay import Reference
from trine.edge.quantize.samples import Progress, silent

CANDIDATES = 60


def fractions(bits: int) -> NDArray[np.float64]:
    """Fractions of a channel's largest weight that are tried as its clip, the whole first."""
    return np.linspace(1.0, SMALLEST[bits], CANDIDATES)


def best_clip(layer: Layer, bits: int) -> tuple[NDArray[np.float32], Float]:
    """(clip of each channel [channels], rounded weights [groups, channels, taps]) of least output error."""
    rows = layer.weight.reshape(-1, layer.weight.shape[2])
    largest = np.abs(rows).max(axis=1).astype(np.float32)
    clip, least, best = largest.copy(), np.full(len(rows), np.inf), rows.copy()
    for fraction in fractions(bits):
        tried = (largest * np.float32(fraction)).astype(np.float32)
        scale = scales_of(rows, bits, tried)[:, None].astype(np.float64)
        real = to_codes(rows / scale, bits) * scale
        error = layer.error(real.reshape(layer.weight.shape)).reshape(-1)
        better = error < least
        clip, least = np.where(better, tried, clip), np.where(better, error, least)
        best = np.where(better[:, None], real, best)
    return np.asarray(clip, np.float32), best.reshape(layer.weight.shape)


def sequential_mse(
    reference: Reference,
    program: IntegerProgram,
    weights: Mapping[str, Array],
    bits: WeightBits,
    chosen: frozenset[str],
    progress: Progress = silent,
) -> tuple[Graph, dict[str, NDArray[np.float32]]]:
    """(the network with corrected biases, clips by weight) for the weights in `chosen`; arguments as `rebuild`."""
    clips: dict[str, NDArray[np.float32]] = {}

    def rounding(layer: Layer) -> Float:
        name = layer.node.inputs[1]
        clips[name], real = best_clip(layer, bits.get(name, 8))
        progress("searching weight scales", len(clips), len(chosen))
        return real

    rounded = rebuild(reference, program, weights, chosen, rounding)
    kept = {name: reference.graph.constants[name] for name in clips}
    return rounded.with_constants(kept), clips
