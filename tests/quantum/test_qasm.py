"""OpenQASM files of others are read or refused by line; ours are read back by qiskit to the same unitary."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from random_circuits import random_circuit
from shared_data import shared

from trine.devices.errors import InputError
from trine.quantum.circuits.qasm import load_qasm, qasm3, read_qasm
from trine.quantum.statevector import run_circuit

FAULTY = {"vqe_uccsd_n4": "line 225, column 8", "vqe_uccsd_n6": "line 2286, column 8"}
DYNAMIC = {"bb84_n8", "inverseqft_n4", "ipea_n2", "qec_sm_n5", "shor_n5"}  # measure, then go on
CONVERTED = {
    "qft",
    "qpt",
    "rb",
}  # of version 3's examples: the others need timing, subroutines or classical types


def test_version_two_files() -> None:
    from qiskit.quantum_info import Statevector

    files = sorted(shared("qasm/qasmbench").glob("*.qasm"))
    assert len(files) == 41
    for path in files:
        if path.stem in FAULTY:
            with pytest.raises(InputError, match=f"{path.name}: {FAULTY[path.stem]}: 'q' is not defined"):
                read_qasm(path)
        elif path.stem in DYNAMIC:
            assert load_qasm(path).num_qubits > 0
            with pytest.raises(InputError, match=rf"{path.name}: .*(measurement|if_else)"):
                read_qasm(path)
        else:
            circuit = read_qasm(path)
            theirs = load_qasm(path).remove_final_measurements(inplace=False)
            found = Statevector(theirs).data if theirs.num_qubits == circuit.qubits else None
            if found is not None and not any(i.operation.name == "reset" for i in theirs.data):
                np.testing.assert_allclose(run_circuit(circuit), found, atol=1e-9)


def test_version_three_examples() -> None:
    files = sorted(shared("qasm/openqasm3_examples").glob("*.qasm"))
    assert len(files) == 21
    read, refused = set(), []
    for path in files:
        try:
            read_qasm(path)
            read.add(path.stem)
        except InputError as error:
            refused.append(str(error))
    assert read == CONVERTED
    assert len(refused) == 18
    assert [text for text in refused if not re.search(r"qasm: line \d+, column \d+: | on \[", text)] == []


def test_written_files_are_read_back(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    for number in range(40):
        circuit = random_circuit(generator, 1 + number % 4, 15)
        path = tmp_path / "circuit.qasm"
        path.write_text(qasm3(circuit))
        again = read_qasm(path)
        assert again.read == circuit.read
        overlap = np.vdot(run_circuit(again), run_circuit(circuit))  # the importer loses global phases
        assert abs(overlap) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("OPENQASM 2.0;\nqreg q[2];\nfoo q[0];\n", "line 3, column 0"),
        ("OPENQASM 3.0;\nqubit q;\nfoo q;\n", "line 3"),
        ("OPENQASM 3.0;\nqubit q\n", "no program of OpenQASM 3|line"),
        ("hello", "x.qasm: "),
        ("", "the file is empty"),
        ('OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nx q[5];', "IndexError"),
    ],
)
def test_faulty_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.qasm").write_text(text)
    with pytest.raises(InputError, match=message):
        read_qasm(tmp_path / "x.qasm")
    with pytest.raises(InputError, match="cannot be read"):
        read_qasm(tmp_path / "none.qasm")
