"""Multibody docking from SDF files of candidate poses, one file a body, all in the pocket's frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.formulate.diverse_subset import told_apart, values
from trine.quantum.formulate.molecules import name_of, positions, read_molecules
from trine.quantum.formulate.record import Formulation, Option, source, stated
from trine.quantum.problem import Stated

CONTACT = 4.5  # angstrom: heavy atoms nearer than this touch, as in residue contact maps
CLASH = (
    3.0  # angstrom: nearer than two oxygens' van der Waals radii, 3.04 (Bondi 1964, J. Phys. Chem. 68, 441)
)


def one_hot_docking(body: Sequence[Path], score: str, contact_score: float, clash_score: float) -> Stated:
    """From two or more files of poses with a score each.

    A pair of poses scores `contact_score` for each pair of heavy atoms that touch (up to 4.5 angstrom) and
    `clash_score` for each that clash (below 3 angstrom).
    """
    if len(body) < 2:
        raise InputError("give --body for each of two or more bodies: an .sdf with its candidate poses")
    molecules = [read_molecules(path) for path in body]
    where = [
        [positions(m, f"{path}: pose {name_of(m)}") for m in poses]
        for path, poses in zip(body, molecules, strict=True)
    ]
    pairs = {
        f"{i},{j}": [[between(a, b, contact_score, clash_score) for b in where[j]] for a in where[i]]
        for i in range(len(body))
        for j in range(i + 1, len(body))
    }
    instance: dict[str, Any] = {
        "bodies": told_apart([path.stem for path in body]),
        "poses": [told_apart([name_of(m) for m in poses]) for poses in molecules],
        "scores": [[values(m, score) for m in poses] for poses in molecules],
        "pairs": pairs,
    }
    return stated("one_hot_docking", instance, {"bodies": [source(path) for path in body], "score": score})


def between(a: NDArray[np.float64], b: NDArray[np.float64], contact: float, clash: float) -> float:
    """Score of two poses [n, 3] and [m, 3] beside each other."""
    distance = np.linalg.norm(a[:, None, :] - b[None, :, :], axis=2)
    return round(
        contact * int(((distance >= CLASH) & (distance <= CONTACT)).sum())
        + clash * int((distance < CLASH).sum()),
        6,
    )


FORMULATIONS = (
    Formulation(
        "one_hot_docking",
        "from files of candidate poses",
        (
            Option(
                "body", Path, "An .sdf of one body's poses; give one for each body.", required=True, many=True
            ),
            Option("score", str, "SDF field with a pose's score, lower is better.", "score"),
            Option("contact_score", float, "For each pair of atoms of two bodies that touch.", -0.1),
            Option("clash_score", float, "For each pair of atoms of two bodies that clash.", 10.0),
        ),
        one_hot_docking,
    ),
)
