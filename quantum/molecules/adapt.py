"""ADAPT-VQE (Grimsley et al. 2019, arXiv 1812.11173): the steepest excitation, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trine.quantum.molecules.engines import SectorEngine
from trine.quantum.molecules.excitations import Excitation
from trine.quantum.molecules.integrals import Float

if TYPE_CHECKING:
    from trine.quantum.molecules.vqe import Descent


def grow(
    engine: SectorEngine, descent: Descent, pool: tuple[Excitation, ...], operators: int, threshold: float
) -> tuple[float, Float, Float]:
    """Append the pool's steepest excitation at angle zero and descend over all angles, until all slopes are below
    `threshold` hartree or `operators` are used; the engine holds the chosen ones.

    Returns (energy, parameters, derivatives).
    """
    flat = engine.pairs_of(pool)
    chosen: tuple[Excitation, ...] = ()
    energy, point, slopes = descent.run(engine, np.zeros(0))
    while len(chosen) < operators and len(descent.history) < descent.evaluations:
        steep = np.abs(engine.slopes(point, flat))
        best = int(np.argmax(np.round(steep, 9)))  # equal ones: the first, whatever the last digits say
        if steep[best] < threshold:
            break
        chosen = (*chosen, pool[best])
        engine.set_excitations(chosen)
        energy, point, slopes = descent.run(engine, np.append(point, 0.0))
    return energy, point, slopes
