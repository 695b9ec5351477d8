"""Zero-noise extrapolation by folding: the circuit is made longer on purpose, and the means drawn back to length zero.

Digital folding: Giurgica-Tiron et al. 2020 (arXiv 2005.10921). Needs a run for each length: three by default, so three
times the shots, the time and the price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.circuit import Angle, Circuit, Gate
from trine.quantum.mitigation.readout import Mean

SCALES = (1.0, 2.0, 3.0)
Method = Literal["linear", "richardson", "exponential"]
INVERSE = {"s": "sdg", "sdg": "s", "t": "tdg", "tdg": "t", "sx": "sxdg", "sxdg": "sx"}
SELF = ("id", "x", "y", "z", "h", "cx", "cy", "cz", "ch", "swap", "ecr", "ccx", "ccz", "cswap")


def inverse_gate(gate: Gate) -> tuple[Gate, ...]:
    """Gates whose product undoes a gate."""
    if gate.name in SELF:
        return (gate,)
    if gate.name in INVERSE:
        return (replace(gate, name=INVERSE[gate.name]),)
    if gate.name == "iswap":  # three more of it, since its fourth power is the identity
        return (gate, gate, gate)
    turned = tuple(Angle(-a.offset, a.parameter, -a.scale) for a in gate.angles)
    if gate.name == "u":  # u(theta, phi, lambda) is undone by u(-theta, -lambda, -phi)
        return (replace(gate, angles=(turned[0], turned[2], turned[1])),)
    if gate.name == "xx_plus_yy":  # beta is a frame, not an amount
        return (replace(gate, angles=(turned[0], gate.angles[1])),)
    return (replace(gate, angles=turned),)


def folded(circuit: Circuit, scale: float) -> Circuit:
    """The same unitary with about scale times the gates: whole circuits U U^-1 first, then its last gates.

    Raises InputError below 1.
    """
    if not scale >= 1:
        raise InputError(f"noise is scaled by {scale:g}: folding only lengthens, give 1 or more")
    gates = circuit.gates
    whole, rest = divmod(round((scale - 1) * len(gates) / 2), len(gates)) if gates else (0, 0)
    tail = gates[len(gates) - rest :]
    made = list(gates)
    for part in [gates] * whole + ([tail] if rest else []):
        made += [g for gate in reversed(part) for g in inverse_gate(gate)] + list(part)
    return replace(circuit, gates=tuple(made))


def stretch(circuit: Circuit, lengthened: Circuit) -> float:
    """How much longer a folded circuit really is, by gates."""
    return len(lengthened.gates) / max(1, len(circuit.gates))


@dataclass(frozen=True)
class Extrapolated:
    """The mean at zero noise with its standard error, and the means it was drawn from."""

    value: float
    error: float
    scales: tuple[float, ...]
    means: tuple[Mean, ...]
    method: Method


def extrapolate(
    scales: Sequence[float], means: Sequence[Mean], method: Method = "linear", floor: float = 0.0
) -> Extrapolated:
    """To scale 0. linear: weighted least squares; richardson: the polynomial through all points; exponential: a decay
    towards `floor`, the mean of pure noise, by least squares of the logarithm.

    Raises InputError for fewer than two different scales, or means on both sides of the floor.
    """
    x = np.array(scales, float)
    y, s = np.array([m.value for m in means]), np.array([max(m.error, 1e-12) for m in means])
    if len(x) != len(y) or len(set(scales)) < 2:
        raise InputError("extrapolation needs means at two different scales or more")
    if method == "richardson":
        weights = np.array([np.prod([b / (b - a) for b in x if b != a]) for a in x])
        value, error = float(weights @ y), float(np.sqrt(weights**2 @ s**2))
    elif method == "linear":
        value, error = fitted(x, y, s)
    else:
        above = y - floor
        if not (np.all(above > 0) or np.all(above < 0)):
            raise InputError(
                "exponential extrapolation: the means lie on both sides of pure noise; use linear"
            )
        log, error = fitted(x, np.log(np.abs(above)), s / np.abs(above))
        value = floor + float(np.sign(above[0])) * float(np.exp(log))
        error = abs(value - floor) * error
    return Extrapolated(value, error, tuple(scales), tuple(means), method)


def fitted(x: np.ndarray, y: np.ndarray, s: np.ndarray) -> tuple[float, float]:
    """Intercept of the weighted straight line, and its standard error."""
    weights = 1 / s**2
    total, mean = weights.sum(), (weights @ x) / weights.sum()
    spread = weights @ (x - mean) ** 2
    slope = (weights @ ((x - mean) * y)) / spread
    return float((weights @ y) / total - slope * mean), float(np.sqrt(1 / total + mean**2 / spread))
