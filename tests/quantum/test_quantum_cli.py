"""`trine problems` and `trine formulate`: every problem shown, every formulation a command, files that come back."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import typer
from shared_data import shared

from trine import quantum_cli
from trine.devices.errors import InputError
from trine.quantum.formulate import formulations
from trine.quantum.problem import problems, read_problem


def run(*words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; Trine's own errors are raised."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    quantum_cli.register(app)
    out, err, code = io.StringIO(), io.StringIO(), 0
    given = mock.patch.object(sys, "argv", ["trine", *map(str, words)])
    with given, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def test_problems() -> None:
    code, out, _ = run("problems")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == sorted(problems())
    rows = json.loads(run("problems", "--json")[1])["problems"]
    assert {row["name"] for row in rows} == problems().keys()
    assert all(row["source"] and row["example"]["qubits"] > 0 for row in rows)


@pytest.mark.parametrize("name", sorted(problems()))
def test_one_problem(name: str) -> None:
    found = json.loads(run("problems", name, "--json")[1])
    assert found["instance"] == problems()[name].keys
    text = run("problems", name)[1]
    assert all(f"  {key}: " in text for key in found["instance"])
    assert all(f"  {flag}: " in text for flag in found["formulate"])


@pytest.mark.parametrize("name", sorted(formulations()))
def test_every_formulation_is_a_command(name: str) -> None:
    code, out, _ = run("formulate", name, "--help")
    assert code == 0
    for option in formulations()[name].options:
        assert option.flag in out
    with pytest.raises(InputError, match="give"):
        run("formulate", name, "-o", "x.json")


def test_docking_graph_to_file(tmp_path: Path) -> None:
    graph = shared("docking_graphs") / "TACE-AS_A.npz"
    code, out, _ = run("formulate", "docking", "--adjacency", graph, "-o", tmp_path / "d.json")
    assert code == 0
    assert out == f"{tmp_path / 'd.json'}: docking, 24 qubits, 138 terms of degree 2\n"
    stated = read_problem(tmp_path / "d.json")
    best = stated.problem.exact(stated.instance)
    assert best is not None
    assert best.cost == -8
    record = json.loads(
        run("formulate", "docking", "--adjacency", graph, "-o", tmp_path / "e.json", "--json")[1]
    )
    assert (record["qubits"], record["penalty"]) == (24, 1.5)
    assert (tmp_path / "d.json").read_bytes() == (tmp_path / "e.json").read_bytes()


ASPIRIN, SALICYLIC = "CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1O"
PARACETAMOL, PHENACETIN = "CC(=O)Nc1ccc(O)cc1", "CCOc1ccc(NC(C)=O)cc1"
CHECKED: tuple[tuple[str, int, float | None], ...] = (  # command, qubits, cost of the optimum
    ("docking --adjacency DATA/docking_graphs/TACE-AS_A.npz", 24, -8),
    ("similarity --first CCO --second CC(=O)O", 6, -3),
    ("similarity --first NCC(=O)O --second CC(N)C(=O)O", 11, -5),
    (f"similarity --first {ASPIRIN} --second {SALICYLIC}", 75, -10),
    (f"similarity --first {PARACETAMOL} --second {PHENACETIN}", 85, -11),
    ("maxcut --graph DATA/quantum_maxcut/mc_016_003_000.txt", 16, -21),
    ("qubo --maximise --qubo DATA/quantum_qubo/bqp50_1.qubo", 50, -2098),
    ("qubo --maximise --qubo DATA/quantum_qubo/bqp50_10.qubo", 50, -3507),
    ("side_chains --cfn DATA/sidechain_cfn/1aho.cfn.gz", 919, -33.72992),
    ("rna_stems --sequence AAAGCGCUGAAGACUUAAAAUUCAGG", 9, -29.5),
    ("rna_stems --sequence AAGCCUUUUGGAUCGAAGGUUAAACGAUCCG", 60, -72.4),
    ("codons --sequence MFVFL", 15, None),
    ("folding --sequence APRLRFY", 9, -4.81),
)


@pytest.mark.parametrize(("command", "qubits", "cost"), CHECKED, ids=[c[0][:40] for c in CHECKED])
def test_check_values(command: str, qubits: int, cost: float | None, tmp_path: Path) -> None:
    """Known sizes and optima, from the command's file."""
    words = [str(shared(word[5:])) if word.startswith("DATA/") else word for word in command.split()]
    code, _, _ = run("formulate", *words, "-o", tmp_path / "p.json")
    assert code == 0
    stated = read_problem(tmp_path / "p.json")
    assert stated.problem.encode(stated.instance).qubits == qubits
    best = stated.problem.exact(stated.instance)
    assert best is not None
    assert best.proved
    if cost is not None:
        assert best.cost == pytest.approx(cost, abs=1e-5)


def test_options_reach_the_formulation(tmp_path: Path) -> None:
    """Numbers, flags and repeated options."""
    (tmp_path / "m.qubo").write_text("p qubo 0 2 2 1\n0 0 1.5\n1 1 -1\n0 1 2\n")
    run("formulate", "qubo", "--qubo", tmp_path / "m.qubo", "--maximise", "-o", tmp_path / "q.json")
    assert read_problem(tmp_path / "q.json").instance.linear == (-1.5, 1.0)
    run("formulate", "rna_stems", "--sequence", "GGGAAAACCC", "--min-loop", 3, "-o", tmp_path / "r.json")
    assert read_problem(tmp_path / "r.json").instance.min_loop == 3
    with pytest.raises(InputError, match=r"a.sdf: cannot be read"):
        run("formulate", "one_hot_docking", "--body", "a.sdf", "--body", "b.sdf", "-o", tmp_path / "o.json")


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean docking"):
        run("formulate", "dokcing", "-o", "x.json")
    with pytest.raises(InputError, match="did you mean docking"):
        run("problems", "dokcing")
    with pytest.raises(InputError, match="cannot be written"):
        run("formulate", "rna_stems", "--sequence", "GGGAAAACCC", "-o", tmp_path / "none" / "r.json")
    assert run("formulate", "rna_stems", "--min-loop", "many", "-o", "x.json")[0] == 2


def test_nothing_heavy_for_help() -> None:
    """Registering loads neither NumPy nor the problems."""
    code = (
        "import sys, typer; from trine import quantum_cli; quantum_cli.register(typer.Typer());"
        "print([m for m in ('numpy', 'trine.quantum', 'rdkit', 'dimod') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
