"""Diverse subsets: sizes, impossible sizes, against RDKit's MaxMin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.formulate import formulations
from trine.quantum.polynomial import all_bits
from trine.quantum.problems import diverse_subset as diverse

LIBRARY = """CC(=O)Oc1ccccc1C(=O)O aspirin
OC(=O)c1ccccc1O salicylic acid
CC(=O)Nc1ccc(O)cc1 paracetamol
CCOc1ccc(NC(C)=O)cc1 phenacetin
CC(C)Cc1ccc(cc1)C(C)C(=O)O ibuprofen
Cn1cnc2c1c(=O)n(C)c(=O)n2C caffeine
Cn1c(=O)c2[nH]cnc2n(C)c1=O theophylline
COc1ccc2cc(ccc2c1)C(C)C(=O)O naproxen
"""


def library(folder: Path) -> Path:
    """Eight known compounds."""
    path = folder / "library.smi"
    path.write_text(LIBRARY)
    return path


def test_library_of_painkillers(tmp_path: Path) -> None:
    """Similar pairs are RDKit's; the subset has none; it is as large as MaxMin's at the same threshold or larger."""
    pytest.importorskip("rdkit", reason="needs rdkit")
    from rdkit import Chem, DataStructs, SimDivFilters
    from rdkit.Chem import rdFingerprintGenerator

    stated = formulations()["diverse_subset"](library=library(tmp_path), threshold=0.3)
    made = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [made.GetFingerprint(Chem.MolFromSmiles(line.split()[0])) for line in LIBRARY.splitlines()]
    alike = {
        (i, j)
        for i in range(8)
        for j in range(i + 1, 8)
        if DataStructs.TanimotoSimilarity(prints[i], prints[j]) >= 0.3
    }
    assert set(stated.instance.similar) == alike
    assert alike
    best = diverse.exact(stated.instance)
    assert best is not None
    chosen = diverse.decode(stated.instance, np.array(best.bits, np.uint8))["compounds"]
    assert "aspirin" in chosen or "salicylic acid" in chosen
    picker = SimDivFilters.MaxMinPicker()
    picked, _ = picker.LazyBitVectorPickWithThreshold(prints, 8, 8, 1 - 0.3, seed=1)
    assert len(chosen) >= len(picked)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_wanted_size(size: int) -> None:
    """No other number and no similar pair is lower, whatever the values."""
    generator = np.random.default_rng(size)
    for _ in range(20):
        one = diverse.sample(generator, 8)
        try:
            wanted = diverse.parse({**one.as_json(), "size": size, "penalty": None})
        except InputError:
            continue
        energies = diverse.encode(wanted).polynomial.energy(all_bits(8))
        lowest = all_bits(8)[int(energies.argmin())]
        assert diverse.violations(wanted, lowest) == []
        best = diverse.exact(wanted)
        assert best is not None
        assert best.cost == pytest.approx(energies.min())
        assert diverse.violations(wanted, diverse.greedy(wanted)) == []


def test_impossible_size_is_refused() -> None:
    given = {"names": ["a", "b", "c"], "similar": [[0, 1], [0, 2], [1, 2]], "size": 2}
    with pytest.raises(InputError, match="at most 1 compounds can be had without two similar ones"):
        diverse.parse(given)
    with pytest.raises(InputError, match="size is 9"):
        diverse.parse({**given, "size": 9})
    with pytest.raises(InputError, match="each name once"):
        diverse.parse({"names": [], "similar": []})


def test_bad_library(tmp_path: Path) -> None:
    pytest.importorskip("rdkit", reason="needs rdkit")
    state = formulations()["diverse_subset"]
    with pytest.raises(InputError, match="goes from 0 to 1"):
        state(library=library(tmp_path), threshold=1.5)
    with pytest.raises(InputError, match="no number in field 'score'"):
        state(library=library(tmp_path), value="score")
    broken = tmp_path / "broken.smi"
    broken.write_text("CCO ethanol\nC(C broken\n")
    with pytest.raises(InputError, match=r"broken.smi: line 2: 'C\(C' is no valid SMILES"):
        state(library=broken)
    broken.write_text("\n")
    with pytest.raises(InputError, match="holds no molecule"):
        state(library=broken)
