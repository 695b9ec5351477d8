"""Docking: the heaviest set of ligand-pocket contacts that one pose can have together.

A contact joins a pharmacophore point of the ligand with one of the pocket; two are compatible where the distances of
their points agree; a pose is a clique of the binding-interaction graph, so a set free of incompatible pairs.
Kuhl, Crippen and Friesen 1984 (J. Comput. Chem. 5, 24); Banchi et al. 2020 (Sci. Adv. 6, eaax1950, arXiv 1902.00462);
Ding et al. 2023 (arXiv 2308.04098); penalty: Papalitsas et al. 2025 (arXiv 2503.04239).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trine.quantum.biology.points import Point, read_points, superposition
from trine.quantum.optima import selection
from trine.quantum.optima.selection import Items, Pair, complement
from trine.quantum.polynomial import Bits
from trine.quantum.problem import Encoding, Exact, Problem, Reader


@dataclass(frozen=True)
class BindingGraph:
    """Contacts k = (ligand[k], pocket[k]) with weights, and which pairs of them are compatible.

    ligand_xyz, pocket_xyz: positions of the contacts' points in angstrom, empty where unknown; with them an answer
    holds the pose. penalty: None for the default.
    """

    ligand: tuple[str, ...]
    pocket: tuple[str, ...]
    weights: tuple[float, ...]
    compatible: tuple[Pair, ...]
    ligand_xyz: tuple[Point, ...] = ()
    pocket_xyz: tuple[Point, ...] = ()
    penalty: float | None = None

    @cached_property
    def items(self) -> Items:
        """Contacts that are not compatible conflict."""
        return Items(self.weights, complement(len(self.weights), self.compatible), self.penalty)

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        return {
            "ligand": list(self.ligand),
            "pocket": list(self.pocket),
            "weights": list(self.weights),
            "compatible": [list(e) for e in self.compatible],
            "ligand_xyz": [list(p) for p in self.ligand_xyz],
            "pocket_xyz": [list(p) for p in self.pocket_xyz],
            "penalty": self.penalty,
        }


def parse(data: Mapping[str, Any]) -> BindingGraph:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(
        data, ("ligand", "pocket", "compatible"), ("weights", "ligand_xyz", "pocket_xyz", "penalty")
    )
    ligand, pocket = reader.texts("ligand"), reader.texts("pocket")
    if not reader.problems and len(ligand) != len(pocket):
        reader.problems.append(
            f"ligand names {len(ligand)} points and pocket {len(pocket)}: one each a contact"
        )
    if not reader.problems and not ligand:
        reader.problems.append("no contact: ligand and pocket are empty, so there is nothing to dock")
    graph = BindingGraph(
        ligand,
        pocket,
        selection.read_weights(reader, len(ligand)),
        reader.edges("compatible", len(ligand)),
        read_points(reader, "ligand_xyz", len(ligand)),
        read_points(reader, "pocket_xyz", len(ligand)),
        selection.read_penalty(reader),
    )
    if not reader.problems:
        selection.refuse_weak_penalty(graph.items, reader)
    reader.done()
    return graph


def label(graph: BindingGraph, k: int) -> str:
    """A contact in words."""
    return f"{graph.ligand[k]} - {graph.pocket[k]}" if graph.pocket[k] else graph.ligand[k]


def encode(graph: BindingGraph) -> Encoding:
    """One bit a contact."""
    return selection.encode(graph.items, [label(graph, k) for k in range(len(graph.weights))])


def cost(graph: BindingGraph, bits: Bits) -> float:
    """Minus the weight of the contacts, plus the penalty for each incompatible pair among them."""
    return selection.cost(graph.items, bits)


def violations(graph: BindingGraph, bits: Bits) -> list[str]:
    """Pairs of contacts that no pose can have together."""
    pairs = selection.broken(graph.items, bits)
    return [f"no pose has both {label(graph, i)} and {label(graph, j)}" for i, j in pairs]


def decode(graph: BindingGraph, bits: Bits) -> dict[str, Any]:
    """The pose: which ligand point meets which pocket point, the score, and where the ligand has to be moved."""
    chosen = [k for k in range(len(graph.weights)) if bits[k]]
    contacts = [
        {"contact": k, "ligand": graph.ligand[k], "pocket": graph.pocket[k], "weight": graph.weights[k]}
        for k in chosen
    ]
    answer: dict[str, Any] = {"contacts": contacts, "score": sum(graph.weights[k] for k in chosen)}
    if graph.ligand_xyz and graph.pocket_xyz and len(chosen) >= 3:
        mine = np.array([graph.ligand_xyz[k] for k in chosen])
        theirs = np.array([graph.pocket_xyz[k] for k in chosen])
        answer["move"] = superposition(mine, theirs)
    return answer


def bits_of(graph: BindingGraph, answer: Mapping[str, Any]) -> Bits:
    """From the contacts' numbers."""
    return selection.chosen_bits(len(graph.weights), [c["contact"] for c in answer["contacts"]], "contact")


def exact(graph: BindingGraph) -> Exact | None:
    """Branch and bound."""
    return selection.exact(graph.items)


def greedy(graph: BindingGraph) -> Bits:
    """The heaviest contact that still fits, again and again."""
    return selection.greedy(graph.items)


def example() -> BindingGraph:
    """Six contacts, two kinds; contacts 0, 1, 2 weigh 2.0058, the next best choice 1.4825.

    Graph and weights: NVIDIA, CUDA-QX documentation, example of QAOA (after Ding et al., arXiv 2308.04098).
    """
    pairs = ((0, 1), (0, 2), (0, 4), (0, 5), (1, 2), (1, 3), (1, 5), (2, 3), (2, 4), (3, 4), (3, 5), (4, 5))
    kinds = ("donor", "donor", "donor", "hydrophobe", "hydrophobe", "hydrophobe")
    ligand = tuple(f"ligand {kind} {k}" for k, kind in enumerate(kinds))
    return BindingGraph(ligand, ("pocket acceptor",) * 6, (0.6686,) * 3 + (0.1453,) * 3, pairs)


def sample(generator: np.random.Generator, qubits: int) -> BindingGraph:
    """Half of all pairs compatible, weights uniform in 0.05 to 0.75 as those of Banchi's table."""
    count = max(1, qubits)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    compatible = tuple(p for p in pairs if generator.random() < 0.5)
    weights = tuple(np.round(generator.uniform(0.05, 0.75, count), 4).tolist())
    return BindingGraph(
        tuple(f"ligand {k}" for k in range(count)),
        tuple(f"pocket {k}" for k in range(count)),
        weights,
        compatible,
    )


PROBLEM = Problem(
    "docking", "ligand pose as heaviest clique of contacts", "Banchi et al. 2020 (arXiv 1902.00462)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="pharmacophore potential (Banchi et al. 2020, dimensionless)",
    keys={
        "ligand": "name of the ligand's point of each contact",
        "pocket": "name of the pocket's point of each contact",
        "weights": "one a contact, above 0; 1 if left out",
        "compatible": "list of [i, j]: contacts that one pose can have together",
        "ligand_xyz": "position of each contact's ligand point, angstrom; may be left out",
        "pocket_xyz": "position of each contact's pocket point, angstrom; may be left out",
        "penalty": "on an incompatible pair; left out or null: 1.5 times what suffices",
    },
)  # fmt: skip
