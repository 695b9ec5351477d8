"""Our angles in other tools' conventions and back. Ours: exp(-i gamma C) then exp(-i beta sum X), C minimised.

Checked in tests/quantum/test_angles.py against qiskit's `qaoa_ansatz` and PennyLane's `qml.qaoa` layers, and against
QOKit's definition (its `apply_qaoa_furx` multiplies by exp(-i gamma/2 C), then turns by exp(-i beta X)).
"""

from __future__ import annotations

from collections.abc import Sequence

from trine.devices.errors import InputError
from trine.quantum.samples import Angles


def to_qiskit(angles: Angles) -> list[float]:
    """Values of `qaoa_ansatz(C, reps=p).parameters`, in their order: betas, then gammas. Same numbers as ours."""
    return [*angles.betas, *angles.gammas]


def from_qiskit(values: Sequence[float], source: str = "qiskit") -> Angles:
    """From betas, then gammas. Raises InputError for an odd number."""
    half = _half(values)
    return Angles(tuple(values[half:]), tuple(values[:half]), source)


def to_pennylane(angles: Angles) -> tuple[list[float], list[float]]:
    """Arguments of `qml.qaoa.cost_layer(gamma, C)` and `mixer_layer(beta, x_mixer)`. Same numbers as ours."""
    return list(angles.gammas), list(angles.betas)


def from_pennylane(gammas: Sequence[float], betas: Sequence[float], source: str = "PennyLane") -> Angles:
    """From the arguments of the layers."""
    return Angles(tuple(gammas), tuple(betas), source)


def to_qokit(angles: Angles) -> tuple[list[float], list[float]]:
    """gammas and betas for `simulate_qaoa`: gammas doubled, as QOKit takes half of each."""
    return [2 * g for g in angles.gammas], list(angles.betas)


def from_qokit(gammas: Sequence[float], betas: Sequence[float], source: str = "QOKit") -> Angles:
    """gammas halved."""
    return Angles(tuple(g / 2 for g in gammas), tuple(betas), source)


def for_maximising(angles: Angles) -> Angles:
    """For a tool that is given -C and maximises: gammas change sign."""
    return Angles(tuple(-g for g in angles.gammas), angles.betas, angles.source)


def _half(values: Sequence[float]) -> int:
    if len(values) % 2 or not values:
        raise InputError(f"{len(values)} angles: give a beta and a gamma for each layer")
    return len(values) // 2
