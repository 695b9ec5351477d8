"""Linear ramps: angles that need no optimisation (LR-QAOA, Montanez-Barrera and Michielsen 2024, arXiv 2405.09169)."""

from __future__ import annotations

from trine.devices.errors import InputError
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles

# Eq. 3 of arXiv 2405.09169: beta falls from delta_beta to delta_beta / p, gamma rises to delta_gamma.
DELTA_GAMMA, DELTA_BETA = 0.6, 0.3


def cost_scale(polynomial: Polynomial) -> float:
    """Largest |coefficient| in spins without the constant: what LR-QAOA divides a cost by. 1 for a constant."""
    return max((abs(v) for s, v in polynomial.spins().items() if s), default=1.0)


def linear_ramp(
    layers: int, scale: float, delta_gamma: float = DELTA_GAMMA, delta_beta: float = DELTA_BETA
) -> Angles:
    """gamma_k = (k + 1)/p delta_gamma / scale, beta_k = -(1 - k/p) delta_beta for k = 0..p - 1.

    scale: `cost_scale` of the problem. beta is negative: with exp(-i beta sum X) and |+...+>, the highest state of
    sum X, falling costs need the two signs apart. Raises InputError for no layer.
    """
    if layers < 1 or not scale > 0:
        raise InputError(f"{layers} layers and scale {scale:g}: give at least one and a positive scale")
    gammas = tuple((k + 1) / layers * delta_gamma / scale for k in range(layers))
    betas = tuple(-(1 - k / layers) * delta_beta for k in range(layers))
    source = f"linear ramp, delta_gamma {delta_gamma:g}, delta_beta {delta_beta:g} (arXiv 2405.09169)"
    return Angles(gammas, betas, source)
