"""Exact QAOA value of one edge deep inside a regular tree: MaxCut's cut fraction on graphs of large girth, any depth p.

Basso, Farhi, Marwaha, Villalonga and Zhou 2022 (arXiv 2110.14206), section 4, with each sum over a neighbour's path
of spins done as a convolution over XOR: time and memory grow as p 4^p, not with the tree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.samples import Angles

Complex = NDArray[np.complex128]
DEEPEST = 12  # layers: 2^24 complex numbers, 256 MiB an array


def cut_fraction(degree: int, angles: Angles) -> float:
    """Share of edges cut, in expectation, on a `degree`-regular graph without cycles up to length 2p + 1.

    Angles for C = -(number of edges cut). For d >= 2 it is also the ratio guaranteed on every d-regular graph, if the
    fixed-angle conjecture holds (Wurtz and Lykov 2021, arXiv 2107.00677). Raises InputError for more than 12 layers.
    """
    p = angles.layers
    if degree < 2 or p > DEEPEST:
        raise InputError(f"degree {degree}, {p} layers: degrees from 2, at most {DEEPEST} layers")
    edge = _spectrum(_edge_phases(angles))
    paths, measured = _paths(angles)
    branch = np.ones(1 << 2 * p, np.complex128)
    for _ in range(p):
        branch = _convolved(paths * branch, edge) ** (degree - 1)
    ends = measured * branch
    return float((1 - (ends @ _convolved(ends, edge)).real) / 2)


def _bits(p: int, place: int) -> NDArray[np.int64]:
    """Spin +1 or -1 of each path at a place: 0..p - 1 are the ket's, p..2p - 1 the bra's."""
    return 1 - 2 * (np.arange(1 << 2 * p) >> place & 1)


def _edge_phases(angles: Angles) -> Complex:
    """exp(-i/2 sum gamma_j (k_j k'_j - b_j b'_j)) by the XOR of two paths: C is (product - 1)/2 on an edge."""
    p = angles.layers
    total = np.zeros(1 << 2 * p)
    for j, gamma in enumerate(angles.gammas):
        total += gamma / 2 * (_bits(p, j) - _bits(p, p + j))
    return np.asarray(np.exp(-1j * total))


def _paths(angles: Angles) -> tuple[Complex, Complex]:
    """Weights of one node's paths: traced over its last spin, and with that spin as a factor."""
    p = angles.layers
    weight = np.full(1 << 2 * p, 0.5, np.complex128)  # of |+><+|
    for j, beta in enumerate(angles.betas[:-1]):
        stay, move = np.cos(beta), -1j * np.sin(beta)
        weight *= np.where(_bits(p, j) == _bits(p, j + 1), stay, move)
        weight *= np.where(_bits(p, p + j) == _bits(p, p + j + 1), stay, move.conjugate())
    ket, bra = _bits(p, p - 1), _bits(p, 2 * p - 1)
    c, s = np.cos(2 * angles.betas[-1]), np.sin(2 * angles.betas[-1])
    same = ket == bra
    # <b| U* Z U |k> with U = exp(-i beta X): cos 2beta Z + sin 2beta Y
    return weight * same, weight * np.where(same, c * ket, -1j * s * bra)


def _spectrum(values: Any) -> Complex:
    """Walsh-Hadamard transform."""
    found = np.array(values)
    step = 1
    while step < len(found):
        pairs = found.reshape(-1, 2, step)
        upper = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = upper
        step *= 2
    return found


def _convolved(values: Complex, spectrum: Complex) -> Complex:
    """Sum over b of values[b] kernel[a ^ b], the kernel given by its spectrum."""
    return _spectrum(_spectrum(values) * spectrum) / len(values)
