"""A diverse subset from a library of compounds, by Tanimoto similarity of Morgan fingerprints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from trine.devices.errors import InputError
from trine.quantum.formulate.molecules import chem, name_of, read_molecules
from trine.quantum.formulate.record import Formulation, Option, source, stated
from trine.quantum.problem import Stated

RADIUS, BITS = 2, 2048  # ECFP4: Rogers and Hahn 2010 (J. Chem. Inf. Model. 50, 742)


def diverse_subset(
    library: Path, threshold: float, size: int | None, value: str | None, penalty: float | None
) -> Stated:
    """From a library."""
    chem()
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    if not 0 < threshold <= 1:
        raise InputError(f"--threshold {threshold:g}: Tanimoto similarity goes from 0 to 1, as in 0.4")
    molecules = read_molecules(library)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    prints = [generator.GetFingerprint(m) for m in molecules]
    similar, tanimoto = [], []
    for i, mine in enumerate(prints):
        levels = DataStructs.BulkTanimotoSimilarity(mine, prints[i + 1 :])
        for j, level in enumerate(levels, i + 1):
            if level >= threshold:
                similar.append([i, j])
                tanimoto.append(round(level, 6))
    instance = {
        "names": told_apart([name_of(m) for m in molecules]),
        "weights": [values(m, value) for m in molecules],
        "similar": similar,
        "tanimoto": tanimoto,
        "size": size,
        "penalty": penalty,
    }
    how = f"Tanimoto of Morgan fingerprints, radius {RADIUS}, {BITS} bits, at least {threshold:g}"
    return stated("diverse_subset", instance, {"library": source(library), "similar": how})


def told_apart(names: list[str]) -> list[str]:
    """Names, numbered where one is used twice."""
    counts, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return found


def values(molecule: Any, key: str | None) -> float:
    """The compound's value from its SDF field, 1 where no field is named. Raises InputError."""
    if key is None:
        return 1.0
    try:
        return float(molecule.GetProp(key))
    except (KeyError, ValueError):
        fields = ", ".join(molecule.GetPropNames()) or "none"
        raise InputError(
            f"compound {name_of(molecule)}: no number in field {key!r}; its fields: {fields}"
        ) from None


FORMULATIONS = (
    Formulation(
        "diverse_subset",
        "from a library of compounds",
        (
            Option("library", Path, "Compounds, .smi (SMILES and name a line) or .sdf.", required=True),
            Option("threshold", float, "Tanimoto similarity from which two compounds are alike.", 0.4),
            Option("size", int, "How many compounds are wanted; by default as many as pay."),
            Option("value", str, "SDF field with the value of a compound; by default 1 each."),
            Option("penalty", float, "Weight of a similar pair; by default what suffices."),
        ),
        diverse_subset,
    ),
)
