"""Weights rounded to few bits, so that the sums they make stay near: what one weight's rounding costs, the others make
up for (optimal brain quantisation: Frantar and Alistarh 2022, arXiv 2208.11580; in a fixed order as GPTQ, arXiv
2210.17323)."""

from __future__ import annotations

from typing import Final

import numpy as np

from trine.compilers.graph import Array

SHRUNK: Final = np.linspace(0.4, 1.0, 13)  # largest weight that is held, as a share of the largest there is
DAMPING: Final = 0.01  # share of the inputs' mean square added to each


def grid_of(weight: Array, largest: int) -> float:
    """Distance of the whole numbers -largest .. largest at which a weight array loses least, squared."""
    size = float(np.abs(weight).max())
    errors = []
    for share in SHRUNK:
        step = size * share / largest
        kept = np.clip(np.rint(weight / step), -largest, largest) * step
        errors.append(float(np.square(weight - kept).sum()))
    return size * float(SHRUNK[int(np.argmin(errors))]) / largest


def rounded(weight: Array, gram: Array, largest: int) -> tuple[Array, Array]:
    """Whole weights near real ones (outputs, inputs), and what is to be added to the biases.

    gram: sum of products of inputs, (inputs + 1, inputs + 1), the last a constant 1 for the bias.
    """
    power = np.diag(gram)
    damped = gram + np.diag(DAMPING * np.maximum(power, power.mean() * 1e-3))
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # row k: how inputs behind k make up for it
    left = np.concatenate([weight, np.zeros((len(weight), 1))], axis=1)
    whole = np.zeros_like(weight)
    for k in range(weight.shape[1]):
        whole[:, k] = np.clip(np.rint(left[:, k]), -largest, largest)
        error = (left[:, k] - whole[:, k]) / factor[k, k]
        left[:, k + 1 :] -= np.outer(error, factor[k, k + 1 :])
    return whole, left[:, -1]
