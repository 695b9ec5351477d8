"""AdaRound: decide for each weight whether to round it up or down by the error of its layer's output.

Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization" (arXiv 2004.10568): h(v) = clip(1.2
sigmoid(v) - 0.1, 0, 1) is how far up a weight goes; Adam minimises the layer's output error, with the quantised inputs
on one side and the float ones on the other (equation 25), plus a regulariser 1 - |2h - 1|^beta that drives h to 0 or 1
as beta is annealed from 20 to 2 (equations 22 to 24). The layer's activation function is left out of the error, so
that it follows from the inputs' second moments, and one step costs the same for ten examples as for ten thousand.

Afterwards coordinates descend: each weight in turn moves to the level that makes the error least, the others held,
until none moves (Behdin et al. 2023, "QuantEase", arXiv 2309.01885, section 3.2). It may move further than up or down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trine.compilers.graph import Array, Graph
from trine.edge.lowbit import LARGEST, LEAST, WeightBits, scales_of
from trine.edge.program import IntegerProgram
from trine.edge.quantize.moments import Float, Layer, rebuild
from trine.edge.quantize.replay import Reference
from trine.edge.quantize.samples import Progress, silent

STEPS = 600  # the paper takes 10,000 with batches of examples; the moments hold them all, and descent follows
FLOPS = 2e10  # of one layer's steps: some seconds of one core; larger layers take fewer steps
RATE = 3e-2
REGULAR = 0.3  # weight of the regulariser, in units of the error of one weight off by a step
WARM = 0.2  # share of the steps before it sets in
BETAS = (20.0, 2.0)
STRETCH = (-0.1, 1.1)  # Louizos et al. 2018, as in the paper
SWEEPS = 20


@dataclass(frozen=True)
class Levels:
    """The grid of a layer: real = step * (level + offset); level from least to most. step: [groups, channels, 1]."""

    step: Float
    offset: float
    least: int
    most: int

    @staticmethod
    def of(layer: Layer, clip: NDArray[np.float32], bits: int) -> Levels:
        """The levels of a width with given clips; 2 bits count in steps of two codes."""
        groups, channels, taps = layer.weight.shape
        scale = scales_of(layer.weight.reshape(-1, taps), bits, clip).astype(np.float64)
        wide = 2 if bits == 2 else 1
        ends = ((LEAST[bits] - wide + 1) // wide, (LARGEST[bits] - wide + 1) // wide)
        return Levels(wide * scale.reshape(groups, channels, 1), (wide - 1) / 2, *ends)

    def real(self, level: Float) -> Float:
        """Real values of levels."""
        return np.asarray(self.step * (level + self.offset))


def soft(v: Float) -> tuple[Float, Float]:
    """(h, its derivative): the rectified sigmoid of the paper."""
    low, high = STRETCH
    sigmoid = 1 / (1 + np.exp(-v))
    h = np.clip(sigmoid * (high - low) + low, 0, 1)
    return h, ((h > 0) & (h < 1)) * (high - low) * sigmoid * (1 - sigmoid)


def steps_for(layer: Layer) -> int:
    """How many steps the layer's size allows."""
    groups, channels, taps = layer.weight.shape
    return int(np.clip(FLOPS / (2.0 * groups * channels * taps**2), 100, STEPS))


def adapt(layer: Layer, levels: Levels) -> Float:
    """Levels [groups, channels, taps] by gradient descent over h. Deterministic: it starts at the weights' own h."""
    place = layer.weight / levels.step - levels.offset
    floor = np.floor(place)
    low, high = STRETCH
    start = np.clip(place - floor, 0.01, 0.99)
    v = np.log((start - low) / (high - start))
    mean = np.trace(layer.own, axis1=1, axis2=2)[:, None, None] / layer.own.shape[1]
    own, aim = layer.own / mean, layer.aim / (mean * levels.step)
    first, second, steps = np.zeros_like(v), np.zeros_like(v), steps_for(layer)
    for i in range(steps):
        h, slope = soft(v)
        level = floor + h
        inside = (level >= levels.least) & (level <= levels.most)
        gradient = 2 * ((np.clip(level, levels.least, levels.most) + levels.offset) @ own - aim) * inside
        if (done := i / steps) >= WARM:
            beta = BETAS[0] + (BETAS[1] - BETAS[0]) * (done - WARM) / (1 - WARM)
            away = 2 * h - 1
            gradient -= REGULAR * 2 * beta * np.sign(away) * np.abs(away) ** (beta - 1)
        gradient *= slope
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        v -= RATE * (first / (1 - 0.9 ** (i + 1))) / (np.sqrt(second / (1 - 0.999 ** (i + 1))) + 1e-8)
    return np.asarray(np.clip(floor + (soft(v)[0] >= 0.5), levels.least, levels.most))


def descend(layer: Layer, levels: Levels, level: Float) -> Float:
    """Each weight in turn at its best level, the others held, until none moves; the error never grows."""
    level, step = level.copy(), levels.step[:, :, 0]
    slope = levels.real(level) @ layer.own - layer.aim
    diagonal = np.diagonal(layer.own, axis1=1, axis2=2)
    for _ in range(SWEEPS):
        moved = False
        for k in range(level.shape[2]):
            ideal = level[:, :, k] - slope[:, :, k] / (diagonal[:, None, k] * step)
            better = np.clip(np.rint(ideal), levels.least, levels.most)
            change = (better - level[:, :, k]) * step
            if change.any():
                moved = True
                slope += change[:, :, None] * layer.own[:, None, k, :]
                level[:, :, k] = better
        if not moved:
            break
    return level


def adaround(
    reference: Reference,
    program: IntegerProgram,
    weights: Mapping[str, Array],
    clips: Mapping[str, NDArray[np.float32]],
    bits: WeightBits,
    chosen: frozenset[str],
    progress: Progress = silent,
) -> Graph:
    """The network with the weights in `chosen` rounded: real values that lie on the levels of their clips.

    clips: of every chosen weight. Other arguments as `rebuild`.
    """
    done = 0

    def rounding(layer: Layer) -> Float:
        nonlocal done
        name = layer.node.inputs[1]
        levels = Levels.of(layer, clips[name], bits.get(name, 8))
        real = levels.real(descend(layer, levels, adapt(layer, levels)))
        done += 1
        progress("rounding weights", done, len(chosen))
        return real

    return rebuild(reference, program, weights, chosen, rounding)
