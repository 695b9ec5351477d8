"""Docking from a ligand and a pocket, or from the adjacency of a binding-interaction graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.formulate.graphs import PENALTY, read_adjacency
from trine.quantum.formulate.molecules import chosen, name_of, read_molecules
from trine.quantum.formulate.pharmacophore import KINDS, POTENTIAL, Feature, ligand_features, pocket_features
from trine.quantum.formulate.record import Formulation, Option, one_of, source, stated
from trine.quantum.problem import Stated

Float = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
TOLERANCE = 1.5  # angstrom; our choice, as the 1 to 2 angstrom radii of pharmacophore points in common use
CONTACTS = 24  # bits; as many as the published TACE-AS graph has


def docking(
    ligand: Path | None, record: str | None, pocket: Path | None, adjacency: Path | None,
    tolerance: float, contacts: int, least_weight: float, centre: str | None, radius: float | None,
    penalty: float | None,
) -> Stated:  # fmt: skip
    """From ligand and pocket, or from an adjacency."""
    if adjacency is not None:
        one_of(adjacency=adjacency, ligand=ligand or pocket)
        return from_adjacency(adjacency, penalty)
    if ligand is None or pocket is None:
        raise InputError("give --ligand x.sdf and --pocket y.pdb, or --adjacency graph.npz")
    molecule = chosen(read_molecules(ligand), record, ligand)
    mine = ligand_features(molecule)
    theirs = within(pocket_features(pocket), centre, radius)
    instance, left_out = binding_graph(mine, theirs, tolerance, contacts, least_weight)
    notes = {
        "ligand": {**source(ligand), "name": name_of(molecule), "points": len(mine)},
        "pocket": {**source(pocket), "points": len(theirs)},
        "tolerance_angstrom": tolerance,
        **left_out,
    }
    return stated("docking", {**instance, "penalty": penalty}, notes)


def within(points: list[Feature], centre: str | None, radius: float | None) -> list[Feature]:
    """Points no farther than `radius` from `centre` (x,y,z). Raises InputError."""
    if centre is None and radius is None:
        return points
    try:
        middle = [float(v) for v in (centre or "").split(",")]
    except ValueError:
        middle = []
    if len(middle) != 3 or radius is None or radius <= 0:
        raise InputError(
            "--centre x,y,z and --radius in angstrom go together, as in --centre 1.5,-3,20 --radius 8"
        )
    found = [p for p in points if np.linalg.norm(np.subtract(p.xyz, middle)) <= radius]
    if not found:
        raise InputError(f"no point of the pocket within {radius:g} angstrom of {centre}")
    return found


def binding_graph(
    ligand: Sequence[Feature], pocket: Sequence[Feature], tolerance: float, most: int, least_weight: float
) -> tuple[dict[str, Any], dict[str, int]]:
    """The instance, and how many contacts were left out and why.

    A contact joins points whose potential is at least `least_weight` and above 0; two are compatible where they share
    no point and their points' distances differ by at most `tolerance` angstrom. Contacts that cannot be part of the
    best pose go first, which changes no optimum; then the least promising ones, until `most` are left.
    """
    if tolerance <= 0 or most < 1:
        raise InputError("--tolerance must be above 0 angstrom and --contacts at least 1")
    table = POTENTIAL[np.ix_([KINDS.index(p.kind) for p in ligand], [KINDS.index(p.kind) for p in pocket])]
    rows, columns = np.nonzero((table >= least_weight) & (table > 0))
    if not len(rows):
        raise InputError(
            f"no contact: {len(ligand)} ligand points and {len(pocket)} pocket points make no pair of potential "
            f"{least_weight:g} or more; lower --least-weight"
        )
    weights = table[rows, columns]
    agree = agreement(ligand, pocket, rows, columns, tolerance)
    able = possible(weights, rows, agree)
    promise = bounds(weights[able], rows[able], agree[np.ix_(able, able)])
    kept = np.sort(able[np.lexsort((able, -promise))[:most]])
    a, b = [ligand[i] for i in rows[kept]], [pocket[j] for j in columns[kept]]
    instance = {
        "ligand": [p.name for p in a],
        "pocket": [p.name for p in b],
        "weights": weights[kept].tolist(),
        "compatible": np.argwhere(np.triu(agree[np.ix_(kept, kept)], 1)).tolist(),
        "ligand_xyz": [[round(v, 4) for v in p.xyz] for p in a],
        "pocket_xyz": [[round(v, 4) for v in p.xyz] for p in b],
    }
    return instance, {
        "contacts left out, in no best pose": len(rows) - len(able),
        "contacts left out, beyond --contacts": len(able) - len(kept),
    }


def agreement(
    ligand: Sequence[Feature], pocket: Sequence[Feature], rows: Index, columns: Index, tolerance: float
) -> Mask:
    """[k, m]: whether one pose can have contacts k and m."""
    mine, theirs = distances(ligand)[np.ix_(rows, rows)], distances(pocket)[np.ix_(columns, columns)]
    apart = (rows[:, None] != rows) & (columns[:, None] != columns)
    return np.asarray(apart & (np.abs(mine - theirs) <= tolerance))


def distances(points: Sequence[Feature]) -> Float:
    """Between all points, angstrom."""
    xyz = np.array([p.xyz for p in points])
    return np.asarray(np.linalg.norm(xyz[:, None, :] - xyz[None, :, :], axis=2))


def bounds(weights: Float, rows: Index, agree: Mask) -> Float:
    """For each contact, what no pose with it exceeds: its weight and the best one beside it of each other point."""
    gains = np.where(agree, weights, 0.0)
    return np.asarray(weights + sum(gains[:, rows == r].max(axis=1) for r in np.unique(rows)))


def possible(weights: Float, rows: Index, agree: Mask) -> Index:
    """Contacts that can be part of a best pose: their bound reaches the best pose grown greedily from any contact."""
    alive = np.arange(len(weights))
    while True:
        here, inside = weights[alive], agree[np.ix_(alive, alive)]
        promise = bounds(here, rows[alive], inside)
        best = max(grown(here, promise, inside, k) for k in range(len(alive)))
        kept = alive[promise >= best - 1e-9]
        if len(kept) == len(alive):
            return alive
        alive = kept


def grown(weights: Float, promise: Float, agree: Mask, first: int) -> float:
    """Score of the pose that begins with one contact and takes the most promising compatible one each time."""
    score, free = float(weights[first]), agree[first]
    while free.any():
        k = int(np.where(free, promise, -1.0).argmax())
        score, free = score + float(weights[k]), free & agree[k]
    return score


def from_adjacency(path: Path, penalty: float | None) -> Stated:
    """Contacts without names, all of weight 1; an entry that is not 0 says that two are compatible."""
    matrix = read_adjacency(path)
    rows, columns = np.nonzero(np.triu(matrix, 1))
    instance = {
        "ligand": [f"contact {k}" for k in range(len(matrix))],
        "pocket": [""] * len(matrix),
        "compatible": [[int(i), int(j)] for i, j in zip(rows, columns, strict=True)],
        "penalty": penalty,
    }
    return stated("docking", instance, {"adjacency": source(path)})


FORMULATIONS = (
    Formulation(
        "docking",
        "from a ligand and a pocket, or from a graph of contacts",
        (
            Option("ligand", Path, "Ligand with 3-D coordinates, .sdf or .mol."),
            Option("record", str, "Name or number (from 1) of the ligand, where the file has several."),
            Option("pocket", Path, "The pocket's residues, .pdb; hetero atoms are left out."),
            Option("adjacency", Path, "Instead of both: compatible contacts as an adjacency matrix, .npz."),
            Option(
                "tolerance",
                float,
                "Two contacts agree up to this difference of distances, angstrom.",
                TOLERANCE,
            ),
            Option("contacts", int, "Contacts (qubits) at most; the most promising are kept.", CONTACTS),
            Option("least_weight", float, "Leave out contacts of a lower potential.", 0.0),
            Option("centre", str, "x,y,z in angstrom: only pocket points near it, with --radius."),
            Option("radius", float, "In angstrom, with --centre."),
            PENALTY,
        ),
        docking,
    ),
)
