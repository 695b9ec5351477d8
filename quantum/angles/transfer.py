"""Angles made for regular graphs, rescaled to other graphs and to QUBOs with weights."""

from __future__ import annotations

import math

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.angles.fixed import LAYERS, fixed_angles
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles


def transferred(polynomial: Polynomial, layers: int) -> Angles:
    """Fixed angles of the nearest regular graph, gamma rescaled to this cost's couplings and mean degree.

    gamma = gamma_d * arctan(1/sqrt(mean degree - 1)) / arctan(1/sqrt(d - 1)) * (1/2) / rms(J): a MaxCut edge of
    weight one is J = 1/2 in spins. Scaling by the root mean square weight and the arctan: Sureshbabu et al. 2024
    (arXiv 2305.15201); by degree alone: Shaydulin et al. 2023 (arXiv 2201.11785). Fields count as couplings to one
    more node. More layers than the table has are interpolated (Zhou et al. 2020, arXiv 1812.01041).
    Raises InputError for a cost without a coupling.
    """
    spins = {s: v for s, v in polynomial.spins().items() if s}
    couplings = np.array([v for s, v in spins.items() if len(s) >= 2])
    if not len(couplings):
        raise InputError("no term couples two bits: each bit can be chosen alone, no angles are needed")
    weights = np.array(list(spins.values()))
    ends = sum(max(len(s), 2) for s in spins)
    nodes = polynomial.variables + any(len(s) == 1 for s in spins)
    degree = max(2.0, ends / nodes)
    nearest = min(LAYERS, key=lambda d: abs(d - degree))
    known = fixed_angles(nearest, min(layers, LAYERS[nearest]))
    while known.layers < layers:
        known = stretched(known)
    factor = math.atan(1 / math.sqrt(degree - 1)) / math.atan(1 / math.sqrt(nearest - 1))
    factor *= 0.5 / math.sqrt(float(np.mean(weights**2)))
    source = f"{known.source}; rescaled to mean degree {degree:.3g} (arXiv 2305.15201)"
    return Angles(tuple(g * factor for g in known.gammas), known.betas, source)


def stretched(angles: Angles) -> Angles:
    """One layer more, by linear interpolation (INTERP, Zhou et al. 2020, arXiv 1812.01041, appendix B)."""
    p = angles.layers
    made = []
    for values in (angles.gammas, angles.betas):
        padded = (0.0, *values, 0.0)
        made.append(tuple((i * padded[i] + (p - i) * padded[i + 1]) / p for i in range(p + 1)))
    source = angles.source if angles.source.endswith("interpolated") else f"{angles.source}, interpolated"
    return Angles(made[0], made[1], source)
