"""Positions in angstrom: reading them, laying one set over another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.quantum.problem import Reader

Float = NDArray[np.float64]
Point = tuple[float, float, float]
FARTHEST = 1e5  # angstrom from the origin, more than any structure file can hold


def read_points(reader: Reader, key: str, count: int) -> tuple[Point, ...]:
    """A list of `count` positions [x, y, z]; empty where absent."""
    value = reader.data.get(key) or []
    if not value:
        return ()
    if not isinstance(value, list) or len(value) != count:
        reader.problems.append(f"{key}: give {count} positions [x, y, z], or none")
        return ()
    found: list[Point] = []
    for k, row in enumerate(value):
        inner = Reader({"xyz": row}, ("xyz",))
        xyz = inner.numbers("xyz", 3)
        if inner.problems or any(abs(v) > FARTHEST for v in xyz):
            reader.problems.append(f"{key}[{k}] is {row!r}: give [x, y, z] in angstrom")
            return ()
        found.append((xyz[0], xyz[1], xyz[2]))
    return tuple(found)


def superposition(mine: Float, theirs: Float) -> dict[str, Any]:
    """The rotation R and translation t (angstrom) that bring `mine` [n, 3] nearest to `theirs`: x -> R x + t.

    Kabsch 1976 (Acta Cryst. A32, 922), reflections excluded. The RMSD that the mirror image would have is given too:
    distances alone cannot tell the two apart.
    """
    a, b = mine.mean(axis=0), theirs.mean(axis=0)
    u, _, v = np.linalg.svd((mine - a).T @ (theirs - b))
    hand = float(np.sign(np.linalg.det(v.T @ u.T))) or 1.0
    turn, mirror = (v.T @ np.diag([1.0, 1.0, last]) @ u.T for last in (hand, -hand))

    def rmsd(matrix: Float) -> float:
        moved = (mine - a) @ matrix.T + b
        return round(float(np.sqrt(((moved - theirs) ** 2).sum(axis=1).mean())), 4)

    return {
        "rotation": np.round(turn, 6).tolist(),
        "translation_angstrom": np.round(b - turn @ a, 4).tolist(),
        "rmsd_angstrom": rmsd(turn),
        "mirror_image_rmsd_angstrom": rmsd(mirror),
    }
