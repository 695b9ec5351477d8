"""Stating problems from files: ligands and pockets, networks, sequences, poses; what is wrong with each file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_data import shared

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.formulate import formulation_named, formulations
from trine.quantum.formulate.record import Formulation
from trine.quantum.problem import Stated, problems, read_problem, write_problem

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_every_problem_can_be_stated() -> None:
    """And every option has a kind, a text and a name of its own."""
    assert formulations().keys() == problems().keys()
    for made in formulations().values():
        names = [o.name for o in made.options]
        assert len(set(names)) == len(names)
        for option in made.options:
            assert option.kind in (str, int, float, bool, Path)
            assert option.help.endswith(".")
    with pytest.raises(InputError, match="did you mean docking"):
        formulation_named("dokcing")
    with pytest.raises(InputError, match="colour unknown; options: fasta"):
        formulations()["rna_quartets"](colour="red")


@cache
def embedded(smiles: str, seed: int = 3) -> Any:
    """A molecule with hydrogens and coordinates."""
    chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")
    from rdkit.Chem import AllChem

    molecule = chem.AddHs(chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=seed) == 0
    molecule.SetProp("_Name", "aspirin")
    return molecule


def ligand(folder: Path) -> Path:
    """Aspirin with coordinates."""
    molecule = embedded(ASPIRIN)
    from rdkit import Chem

    path = folder / "aspirin.sdf"
    Chem.MolToMolFile(molecule, str(path))
    return path


@cache
def peptide(sequence: str) -> str:
    """A peptide with coordinates, as PDB."""
    chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")
    from rdkit.Chem import AllChem

    molecule = chem.AddHs(chem.MolFromSequence(sequence), addResidueInfo=True)
    assert AllChem.EmbedMolecule(molecule, randomSeed=5) == 0
    lines = chem.MolToPDBBlock(chem.RemoveHs(molecule)).splitlines()
    atoms = [line.replace("HETATM", "ATOM  ") for line in lines if line[:6] in ("ATOM  ", "HETATM")]
    return "\n".join(atoms) + "\nHETATM 9999  O   HOH A 900       0.000   0.000   0.000\nEND\n"


def pocket(folder: Path, sequence: str = "SRYHDK") -> Path:
    """The peptide's file."""
    path = folder / "pocket.pdb"
    path.write_text(peptide(sequence))
    return path


def test_docking_from_ligand_and_pocket(tmp_path: Path) -> None:
    """Contacts join points that attract each other; all bits have names; the file comes back the same."""
    stated = formulations()["docking"](ligand=ligand(tmp_path), pocket=pocket(tmp_path), contacts=16)
    graph = stated.instance
    assert len(graph.weights) == 16
    assert stated.notes["contacts left out, beyond --contacts"] > 0
    assert len(set(graph.ligand)) > 2
    assert {name.split()[0] for name in graph.ligand} <= {
        "negative",
        "acceptor",
        "donor",
        "aromatic",
        "hydrophobe",
    }
    assert any(name.startswith("positive ARG2.A NE") for name in graph.pocket)
    assert not any("HOH" in name for name in graph.pocket)
    assert all(xyz != (0, 0, 0) for xyz in graph.pocket_xyz)
    best = stated.problem.exact(graph)
    assert best is not None
    answer = stated.problem.decode(graph, np.array(best.bits, np.uint8))
    if len(answer["contacts"]) > 2:
        assert answer["move"]["rmsd_angstrom"] < 1.5
    write_problem(stated, tmp_path / "docking.json")
    again = read_problem(tmp_path / "docking.json")
    assert (again.instance, again.notes) == (graph, stated.notes)
    near = formulations()["docking"](
        ligand=tmp_path / "aspirin.sdf", pocket=tmp_path / "pocket.pdb",
        centre="0,0,0", radius=6.0, contacts=200, least_weight=0.6,
    )  # fmt: skip
    assert all(np.linalg.norm(xyz) <= 6 for xyz in near.instance.pocket_xyz)
    assert min(near.instance.weights) >= 0.6


def test_docking_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Nothing that this test file imports is needed."""
    code = (
        "from pathlib import Path; from trine.quantum.formulate import formulations as f;"
        f"print(len(f()['docking'](ligand=Path({str(ligand(tmp_path))!r}), pocket=Path({str(pocket(tmp_path))!r}),"
        " contacts=16).instance.weights))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "16", done.stderr


def test_one_ligand_of_several(tmp_path: Path) -> None:
    """By name or number, as for a library that is docked one by one."""
    path, there = poses(tmp_path, "library", [0.0, 5.0], [0.0, 0.0]), pocket(tmp_path)
    state = formulations()["docking"]
    second = state(ligand=path, pocket=there, record="pose1")
    assert second.instance == state(ligand=path, pocket=there, record="2").instance
    assert second.instance.ligand_xyz != state(ligand=path, pocket=there, record="1").instance.ligand_xyz
    with pytest.raises(InputError, match="choose one by --record: pose0, pose1"):
        state(ligand=path, pocket=there)
    with pytest.raises(InputError, match="no molecule 'pose7' among 2: did you mean pose"):
        state(ligand=path, pocket=there, record="pose7")


@pytest.mark.parametrize(
    ("problem", "given"),
    [
        ("docking", {"ligand": Path("x.sdf"), "pocket": Path("y.pdb")}),
        ("similarity", {"first": "CCO", "second": "CO"}),
        ("diverse_subset", {"library": Path("x.smi")}),
        ("unfolding", {"ligand": "CCCCO"}),
        ("one_hot_docking", {"body": [Path("a.sdf"), Path("b.sdf")]}),
    ],
)
def test_without_rdkit(problem: str, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and the command that brings it."""
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(MissingExtra, match=r"rdkit: pip install 'trine\[chemistry\]'"):
        formulations()[problem](**given)


def test_ligand_without_coordinates(tmp_path: Path) -> None:
    """None, all zero, or a flat drawing: refused with the way to get some."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    there = pocket(tmp_path)
    state = formulations()["docking"]
    path = tmp_path / "flat.sdf"
    molecule = Chem.MolFromSmiles(ASPIRIN)
    for draw in (lambda: None, lambda: AllChem.Compute2DCoords(molecule)):
        draw()
        Chem.MolToMolFile(molecule, str(path))
        with pytest.raises(InputError, match=r"no 3-D coordinates.*--gen3d"):
            state(ligand=path, pocket=there)
    path.write_text("nothing\n")
    with pytest.raises(InputError, match=r"flat.sdf: record 1: no valid molecule|holds no molecule"):
        state(ligand=path, pocket=there)
    with pytest.raises(InputError, match="give --ligand"):
        state(ligand=path)
    with pytest.raises(InputError, match="molecules are read from"):
        state(ligand=there, pocket=there)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("ARG", "XYZ"), r"unknown residue XYZ 2 \(line \d+\).*mark it HETATM"),
        (lambda text: text.replace("ATOM  ", "HETATM"), "holds no ATOM record"),
        (lambda text: text[:32] + "abc" + text[35:], "line 1: columns 31 to 54"),
    ],
)
def test_bad_pocket(change: Callable[[str], str], said: str, tmp_path: Path) -> None:
    here, there = ligand(tmp_path), pocket(tmp_path)
    there.write_text(change(there.read_text()))
    with pytest.raises(InputError, match=said):
        formulations()["docking"](ligand=here, pocket=there)


def test_no_contact_is_infeasible(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no contact: .*lower --least-weight"):
        formulations()["docking"](ligand=ligand(tmp_path), pocket=pocket(tmp_path), least_weight=2.0)
    with pytest.raises(InputError, match="no point of the pocket within"):
        formulations()["docking"](
            ligand=ligand(tmp_path), pocket=pocket(tmp_path), centre="900,0,0", radius=2.0
        )
    with pytest.raises(InputError, match="go together"):
        formulations()["docking"](ligand=ligand(tmp_path), pocket=pocket(tmp_path), centre="1,2")


def test_side_chains_of_1aho() -> None:
    """64 residues; the known optimum; a part of it by residues."""
    path = shared("sidechain_cfn") / "1aho.cfn.gz"
    stated = formulations()["side_chains"](cfn=path)
    assert len(stated.instance.residues) == 64
    best = stated.problem.exact(stated.instance)
    assert best is not None
    assert best.cost == pytest.approx(-33.72992, abs=1e-5)
    some = formulations()["side_chains"](cfn=path, residues=",".join(stated.instance.residues[3:7])).instance
    assert some.rotamers == stated.instance.rotamers[3:7]
    with pytest.raises(InputError, match="unknown residue Q99"):
        formulations()["side_chains"](cfn=path, residues="Q99")


def test_cost_function_network(tmp_path: Path) -> None:
    """Constants, sums of functions, scopes by name or number and either way round, tuples with a default cost."""
    network = {
        "problem": {"name": "x", "mustbe": "<100"},
        "variables": {"A": ["a", "b"], "B": 3},
        "functions": {
            "c": {"scope": [], "costs": [1.5]},
            "u": {"scope": ["B"], "costs": [0, 1, 2]},
            "v": {"scope": [1], "costs": [0.5, 0.5, 0.5]},
            "p": {"scope": ["B", "A"], "costs": [1, 2, 3, 4, 5, 6]},
            "q": {"scope": ["A", "B"], "defaultcost": 10, "costs": ["b", 2, -7]},
        },
    }
    path = tmp_path / "n.cfn"
    path.write_text(json.dumps(network))
    stated = formulations()["side_chains"](cfn=path)
    for a in range(2):
        for b in range(3):
            plain = 1.5 + b + 0.5 + [1, 2, 3, 4, 5, 6][2 * b + a] + (-7 if (a, b) == (1, 2) else 10)
            bits = np.array([a == 0, a == 1, b == 0, b == 1, b == 2], np.uint8)
            assert stated.problem.cost(stated.instance, bits) == pytest.approx(plain)
    (tmp_path / "n.cfn.gz").write_bytes(gzip.compress(json.dumps(network).encode()))
    zipped = formulations()["side_chains"](cfn=tmp_path / "n.cfn.gz")
    assert zipped.instance == stated.instance
    for text, said in (
        ("{", "line 1"),
        ("{}", "variables and functions"),
        (json.dumps({**network, "variables": {"A": [], "B": 3}}), "variable A has no values"),
        (
            json.dumps({**network, "functions": {"u": {"scope": ["B"], "costs": [1]}}}),
            "function u: scope and costs",
        ),
        (json.dumps({**network, "functions": {"u": {"scope": ["Z"], "costs": [1]}}}), "function u"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            formulations()["side_chains"](cfn=path)


def fasta(folder: Path, text: str) -> Path:
    """A FASTA file."""
    path = folder / "in.fasta"
    path.write_text(text)
    return path


def test_sequences(tmp_path: Path) -> None:
    """RNA, protein and HP chain from FASTA or given; one record of several."""
    path = fasta(tmp_path, ">one first\nGGGAAA\nUCCC\n>two\nGGGAAAACCC\n")
    assert formulations()["rna_stems"](fasta=path, record="two", min_loop=3).instance.sequence == "GGGAAAACCC"
    assert formulations()["rna_quartets"](sequence="gggaaaaccc").instance.sequence == "GGGAAAACCC"
    assert formulations()["codons"](sequence="MFVFL", gc_target=0.4).instance.gc_target == 0.4
    chain = formulations()["hp_lattice"](sequence="HPHPPHHPHP").instance
    assert (chain.width, chain.height) == (4, 4)
    assert formulations()["folding"](sequence="APRLRFY").problem.name == "folding"
    with pytest.raises(InputError, match="choose one by --record: one, two"):
        formulations()["rna_stems"](fasta=path)
    with pytest.raises(InputError, match="no record 'tow': did you mean two"):
        formulations()["rna_stems"](fasta=path, record="tow")
    with pytest.raises(InputError, match="give one of --fasta, --sequence"):
        formulations()["codons"]()
    for text, said in (("GGG\n", "line 1: FASTA begins"), (">a\n>b\nA\n", "record a has no"), ("", "no record"),
                       (">a\nA\n>a\nC\n", "line 3: the header repeats")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            formulations()["rna_stems"](fasta=fasta(tmp_path, text))
    for problem, wrong in (
        ("rna_stems", "GGXA"),
        ("codons", "MFJ"),
        ("folding", "APRLRFX"),
        ("hp_lattice", "HPQ"),
    ):
        with pytest.raises(InputError, match=wrong[-1]):
            formulations()[problem](sequence=wrong)


def test_reads_to_assemble_and_to_phase(tmp_path: Path) -> None:
    path = fasta(tmp_path, ">a\nATGGCGTGCA\n>b\nGCGTGCAATG\n>c\nTGCAATGGCG\n>d\nAATGGCGTGC\n")
    ring = formulations()["assembly"](fasta=path)
    assert ring.problem.encode(ring.instance).qubits == 9
    assert formulations()["assembly"](fasta=path, all_starts=True).instance.names == ("a", "b", "c", "d")
    line = formulations()["assembly"](fasta=path, linear=True)
    assert line.problem.encode(line.instance).qubits == 16
    aligned = ">1\nACGTACG-\n>2\nACGTACG-\n>3\nATGTCCGA\n>4\n-TGTCCGG\n>5\n---TACGA\n>6\n-----CGG\n"
    phased = formulations()["haplotype"](fasta=fasta(tmp_path, aligned))
    assert phased.instance.snps == ("2C>T", "5A>C", "8A>G")
    assert phased.instance.reads == ("00-", "00-", "110", "111", "-00")
    assert phased.notes["reads left out"] == 1
    with pytest.raises(InputError, match="align them first"):
        formulations()["haplotype"](fasta=fasta(tmp_path, ">1\nAC\n>2\nA\n"))
    with pytest.raises(InputError, match="nothing is heterozygous"):
        formulations()["haplotype"](fasta=fasta(tmp_path, ">1\nAC\n>2\nAC\n"))


def poses(folder: Path, name: str, shifts: list[float], scores: list[float]) -> Path:
    """Benzene at places along x."""
    from rdkit import Chem

    path = folder / f"{name}.sdf"
    writer = Chem.SDWriter(str(path))
    for k, (shift, score) in enumerate(zip(shifts, scores, strict=True)):
        molecule = Chem.Mol(embedded("c1ccccc1"))
        shape = molecule.GetConformer()
        for a in range(molecule.GetNumAtoms()):
            at = shape.GetAtomPosition(a)
            at.x += shift
            shape.SetAtomPosition(a, at)
        molecule.SetProp("_Name", f"pose{k}")
        molecule.SetProp("score", str(score))
        writer.write(molecule)
    writer.close()
    return path


def test_two_bodies_that_clash(tmp_path: Path) -> None:
    """Both want the same place; the one that loses less gives way."""
    pytest.importorskip("rdkit", reason="needs rdkit")
    a = poses(tmp_path, "a", [0.0, 20.0], [-7.0, -6.0])
    b = poses(tmp_path, "b", [0.5, 40.0], [-7.0, -3.0])
    stated = formulations()["one_hot_docking"](body=[a, b])
    best = stated.problem.exact(stated.instance)
    assert best is not None
    answer = stated.problem.decode(stated.instance, np.array(best.bits, np.uint8))
    assert answer == {"poses": {"a": "pose1", "b": "pose0"}, "score": pytest.approx(-13), "between": {}}
    with pytest.raises(InputError, match="two or more bodies"):
        formulations()["one_hot_docking"](body=[a])
    with pytest.raises(InputError, match="no number in field 'affinity'; its fields: score"):
        formulations()["one_hot_docking"](body=[a, b], score="affinity")
    empty = {"bodies": ["a", "b"], "poses": [["p"], []], "scores": [[0], []]}
    with pytest.raises(InputError, match="body b has no pose: nothing can be docked"):
        problems()["one_hot_docking"].parse(empty)


def test_unfolding_from_smiles_and_file(tmp_path: Path) -> None:
    """The same torsions; too many are held fixed and named; rings and amides are stiff."""
    here = formulations()["unfolding"](ligand="CC(C)Cc1ccc(cc1)C(C)C(=O)O", torsions=2, angles=3)
    assert len(here.instance.torsions) == 2
    assert len(here.notes["held fixed"]) == 2
    assert here.problem.encode(here.instance).qubits == 6
    stated = formulations()["unfolding"](ligand=str(ligand(tmp_path)))
    assert {t.name for t in stated.instance.torsions} == {"C1-O3", "O3-C4", "C9-C10"}
    with pytest.raises(InputError, match="no rotatable bond"):
        formulations()["unfolding"](ligand="c1ccccc1")
    with pytest.raises(InputError, match="no rotatable bond"):
        formulations()["unfolding"](ligand="CC(=O)NC")
    with pytest.raises(InputError, match="is no valid SMILES"):
        formulations()["unfolding"](ligand="nonsense")


def test_same_file_twice(tmp_path: Path) -> None:
    """Nothing random, no time, no place of this machine."""
    texts = [
        formulations()["docking"](ligand=ligand(tmp_path), pocket=pocket(tmp_path)).text(),
        formulations()["docking"](ligand=ligand(tmp_path), pocket=pocket(tmp_path)).text(),
    ]
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
    unfolded = [formulations()["unfolding"](ligand="CCCCO").text() for _ in range(2)]
    assert unfolded[0] == unfolded[1]


def test_records_are_called_with_their_options_alone() -> None:
    def state(count: int) -> Stated:
        raise InputError(f"got {count}")

    from trine.quantum.formulate.record import Option

    made = Formulation("x", "y", (Option("count", int, "How many.", 3),), state)
    with pytest.raises(InputError, match="got 3"):
        made()
    with pytest.raises(InputError, match="got 5"):
        made(count=5)
