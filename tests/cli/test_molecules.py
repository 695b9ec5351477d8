"""Molecules through the command line: stated, solved, priced; what is bad is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import run, tree

H2 = "2\nH2\nH 0 0 0\nH 0 0 0.735\n"


def test_hydrogen(tmp_path: Path) -> None:
    """FCI of H2 at 0.735 angstrom in STO-3G: -1.137306036 Ha (quantum fact sheet, section 3, PySCF)."""
    (tmp_path / "h2.xyz").write_text(H2)
    answer = run("formulate", "molecule", "--xyz", tmp_path / "h2.xyz", "-o", tmp_path / "h2.json")
    assert answer.code == 0, answer.err
    answer = run("vqe", tmp_path / "h2.json", "--device", "ibm_heron_r2", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["vqe"]["energy_hartree"] == pytest.approx(-1.137306036, abs=1e-6)
    assert found["vqe"]["reference_hartree"] == pytest.approx(-1.116998997, abs=1e-8)
    assert found["measurement"]["qubits"] == 1
    assert found["plan"]["worth_it"] is False
    plain = run("vqe", tmp_path / "h2.xyz", "--ansatz", "adapt")
    assert "energy -1.137306036 Ha by adapt" in plain.out


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("2\nH2\nH 0 0 0\nQq 0 0 1\n", (), "Qq"),
        (H2, ("--ansatz", "magic"), "magic"),
        (H2, ("--device", "loihi1"), "quantum"),
        (H2, ("--mapping", "magic"), "magic"),
    ],
)
def test_bad_molecules(text: str, words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "m.xyz").write_text(text)
    before = tree(tmp_path)
    answer = run("vqe", tmp_path / "m.xyz", *words)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert tree(tmp_path) == before
