"""Docking: the published graphs' known answers, and a planted pose found again."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from shared_data import shared

from trine.devices.errors import InputError
from trine.quantum.formulate import formulations
from trine.quantum.formulate.docking import binding_graph
from trine.quantum.formulate.pharmacophore import KINDS, POTENTIAL, Feature
from trine.quantum.optima import selection
from trine.quantum.optima.selection import Items
from trine.quantum.polynomial import all_bits
from trine.quantum.problems import docking


def test_cuda_qx_graph() -> None:
    """Optimum {0, 1, 2} of 2.0058, next 1.4825; energy -2.0058 at penalty 6 (NVIDIA's example)."""
    given = {**docking.example().as_json(), "penalty": 6.0}
    graph = docking.parse(given)
    strings = all_bits(6)
    energies = docking.encode(graph).polynomial.energy(strings)
    order = np.argsort(energies)
    assert energies[order[:2]] == pytest.approx([-2.0058, -1.4825])
    assert np.flatnonzero(strings[order[0]]).tolist() == [0, 1, 2]
    best = docking.exact(graph)
    assert best is not None
    assert best.bits == (1, 1, 1, 0, 0, 0)
    answer = docking.decode(graph, np.array(best.bits, np.uint8))
    assert answer["score"] == pytest.approx(2.0058)
    assert [c["ligand"] for c in answer["contacts"]] == ["ligand donor 0", "ligand donor 1", "ligand donor 2"]


def test_tace_as() -> None:
    """24 nodes, 162 edges, clique number 8, 19 maximum and 29 maximal cliques, 2,698 cliques with the empty one."""
    graph = formulations()["docking"](adjacency=shared("docking_graphs") / "TACE-AS_A.npz").instance
    assert (len(graph.weights), len(graph.compatible), len(graph.items.conflicts)) == (24, 162, 114)
    feasible = docking.encode(graph).feasible
    cliques = list(feasible.sets())
    assert len(cliques) == 2698
    assert sum(c.bit_count() == 8 for c in cliques) == 19
    neighbours = feasible.masks
    maximal = [c for c in cliques if not any(not c >> v & 1 and not neighbours[v] & c for v in range(24))]
    assert len(maximal) == 29
    best = docking.exact(graph)
    assert best is not None
    assert best.proved
    assert best.cost == -8


def turned(points: np.ndarray, seed: int) -> np.ndarray:
    """A random rotation and shift."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return points @ (q * np.sign(np.linalg.det(q))).T + np.array([10.0, -4.0, 7.0])


def planted(seed: int) -> tuple[list[Feature], list[Feature]]:
    """A ligand of six points, and a pocket that has their partners in another place, among decoys."""
    generator = np.random.default_rng(seed)
    xyz = generator.uniform(-6, 6, (6, 3))
    partner = {"donor": "acceptor", "acceptor": "donor", "positive": "negative", "negative": "positive"}
    kinds = ["donor", "acceptor", "positive", "negative", "donor", "acceptor"]
    ligand = [Feature(k, f"{k} {i}", tuple(p)) for i, (k, p) in enumerate(zip(kinds, xyz, strict=True))]
    there = turned(xyz, seed)
    pocket = [
        Feature(partner[k], f"partner {i}", tuple(p))
        for i, (k, p) in enumerate(zip(kinds, there, strict=True))
    ]
    decoys = generator.uniform(-12, 12, (4, 3)) + there.mean(axis=0)
    pocket += [Feature("hydrophobe", f"decoy {i}", tuple(p)) for i, p in enumerate(decoys)]
    return ligand, pocket


@pytest.mark.parametrize("seed", range(4))
def test_planted_pose(seed: int) -> None:
    """The pose is found with RMSD 0: every ligand point on its partner."""
    ligand, pocket = planted(seed)
    instance, left_out = binding_graph(ligand, pocket, 0.05, 200, 0.5)
    assert left_out["contacts left out, beyond --contacts"] == 0
    graph = docking.parse(instance)
    best = docking.exact(graph)
    assert best is not None
    answer = docking.decode(graph, np.array(best.bits, np.uint8))
    assert [c["pocket"] for c in answer["contacts"]] == [f"partner {i}" for i in range(6)]
    assert answer["move"]["rmsd_angstrom"] == pytest.approx(0, abs=1e-3)
    moved = np.array([f.xyz for f in ligand]) @ np.array(answer["move"]["rotation"]).T
    moved += np.array(answer["move"]["translation_angstrom"])
    np.testing.assert_allclose(moved, [f.xyz for f in pocket[:6]], atol=2e-3)


def test_mirror_image_is_told() -> None:
    """The partners of a mirrored ligand are all compatible, and only the answer's move shows it."""
    ligand, pocket = planted(2)
    mirrored = [Feature(f.kind, f.name, (-f.xyz[0], f.xyz[1], f.xyz[2])) for f in ligand]
    graph = docking.parse(binding_graph(mirrored, pocket[:6], 0.05, 200, 0.5)[0])
    best = docking.exact(graph)
    assert best is not None
    answer = docking.decode(graph, np.array(best.bits, np.uint8))
    assert len(answer["contacts"]) == 6
    assert answer["move"]["rmsd_angstrom"] > 1
    assert answer["move"]["mirror_image_rmsd_angstrom"] == pytest.approx(0, abs=1e-3)


def all_contacts(ligand: list[Feature], pocket: list[Feature], tolerance: float) -> tuple[int, float]:
    """How many contacts there are, and the score of the best pose, without leaving any out; by plain loops."""
    pairs = [
        (a, b, float(POTENTIAL[KINDS.index(a.kind), KINDS.index(b.kind)]))
        for a in ligand
        for b in pocket
        if POTENTIAL[KINDS.index(a.kind), KINDS.index(b.kind)] > 0
    ]
    conflicts = []
    for (i, (a, b, _)), (j, (c, d, _)) in combinations(enumerate(pairs), 2):
        mine, theirs = (np.linalg.norm(np.subtract(p.xyz, q.xyz)) for p, q in ((a, c), (b, d)))
        if a is c or b is d or abs(mine - theirs) > tolerance:
            conflicts.append((i, j))
    return len(pairs), -selection.exact(Items(tuple(w for _, _, w in pairs), tuple(conflicts))).cost


@pytest.mark.parametrize("seed", range(4))
def test_contacts_of_no_best_pose_are_left_out_without_loss(seed: int) -> None:
    """The optimum of what is left is that of all contacts; what is left obeys the rule of compatibility."""
    ligand, pocket = planted(seed)
    for tolerance in (0.05, 1.5):
        instance, left_out = binding_graph(ligand, pocket, tolerance, 500, 0.0)
        count, best = all_contacts(ligand, pocket, tolerance)
        assert len(instance["ligand"]) + left_out["contacts left out, in no best pose"] == count
        assert left_out["contacts left out, beyond --contacts"] == 0
        found = docking.exact(docking.parse(instance))
        assert found is not None
        assert -found.cost == pytest.approx(best)
        given = {tuple(pair) for pair in instance["compatible"]}
        for i, j in combinations(range(len(instance["ligand"])), 2):
            same = any(instance[key][i] == instance[key][j] for key in ("ligand", "pocket"))
            mine, theirs = (
                np.linalg.norm(np.subtract(instance[key][i], instance[key][j]))
                for key in ("ligand_xyz", "pocket_xyz")
            )
            if abs(abs(mine - theirs) - tolerance) > 1e-3:
                assert ((i, j) in given) == (not same and abs(mine - theirs) <= tolerance)


def test_least_promising_contacts_go_first() -> None:
    """Those kept are spread over the ligand: contacts of one point alone make no pose."""
    ligand, pocket = planted(1)
    instance, left_out = binding_graph(ligand, pocket, 100.0, 8, 0.0)
    assert len(instance["ligand"]) == 8
    assert left_out["contacts left out, beyond --contacts"] > 0
    assert len(set(instance["ligand"])) > 2
    with pytest.raises(InputError, match="--contacts at least 1"):
        binding_graph(ligand, pocket, 1.5, 0, 0.0)


def test_potential_is_symmetric_and_has_the_published_entries() -> None:
    assert np.array_equal(POTENTIAL, POTENTIAL.T)
    entry = {(a, b): POTENTIAL[KINDS.index(a), KINDS.index(b)] for a in KINDS for b in KINDS}
    assert entry["donor", "acceptor"] == 0.6686
    assert entry["donor", "hydrophobe"] == 0.1453
    assert entry["donor", "aromatic"] == 0.1091
    assert entry["acceptor", "aromatic"] == 0.0770


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": [1.0, -1.0, 1.0]}, r"weights\[1\] is -1: give a weight above 0"),
        ({"weights": [1.0, float("nan"), 1.0]}, r"weights\[1\] is nan"),
        ({"compatible": [[0, 3]]}, "two different nodes from 0 to 2"),
        ({"penalty": 0.5}, "give more than 1"),
        ({"ligand": [], "pocket": []}, "no contact"),
        ({"ligand": ["a"]}, "one each a contact"),
        ({"ligand_xyz": [[0, 0]]}, "give 3 positions"),
        ({"wieghts": []}, "did you mean weights"),
    ],
)
def test_bad_input(change: dict[str, object], said: str) -> None:
    good = {"ligand": ["a", "b", "c"], "pocket": ["A", "B", "C"], "compatible": [[0, 1]]}
    docking.parse(good)
    with pytest.raises(InputError, match=said):
        docking.parse({**good, **change})
