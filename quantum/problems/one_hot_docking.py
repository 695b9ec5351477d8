"""Multibody and peptide docking: one candidate for each body, the best set by their scores alone and in pairs.

Bodies are ligands, fragments, peptide positions or subunits; candidates are poses or residue types. Multibody docking:
arXiv 2210.11401; peptide design: arXiv 2503.05458. It is the model of side-chain packing in other
words, so encoder, plain cost and exact reference are shared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.polynomial import Bits
from trine.quantum.problem import Encoding, Exact, Problem
from trine.quantum.problems import side_chains
from trine.quantum.problems.side_chains import Matrix, SideChains

WORDS = {"residues": "bodies", "rotamers": "poses", "unary": "scores"}


@dataclass(frozen=True)
class Bodies:
    """Scores of candidate poses alone (`scores`, with the pocket) and of pairs of poses; lower is better."""

    bodies: tuple[str, ...]
    poses: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[float, ...], ...]
    pairs: tuple[tuple[tuple[int, int], Matrix], ...] = ()

    @cached_property
    def chains(self) -> SideChains:
        """The same model as side chains: a body is a residue, a pose a rotamer."""
        return SideChains(self.bodies, self.poses, self.scores, self.pairs)

    def as_json(self) -> dict[str, Any]:
        """The instance's object."""
        found = self.chains.as_json()
        return {WORDS.get(key, key): value for key, value in found.items()}


def parse(data: Mapping[str, Any]) -> Bodies:
    """From a file's `instance`. Raises InputError in this problem's words."""
    back = {ours: theirs for theirs, ours in WORDS.items()}
    unknown = [key for key in data if key not in (*back, "pairs")]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: unknown; the keys are bodies, poses, scores and pairs")
    try:
        chains = side_chains.parse({back.get(key, key): value for key, value in data.items()})
    except InputError as error:
        text = str(error)
        said = {**WORDS, "residue": "body", "rotamer": "pose", "energies": "scores", "energy": "score"}
        for theirs, ours in said.items():
            text = text.replace(theirs, ours)
        raise InputError(text.replace("can be packed", "can be docked")) from None
    return Bodies(chains.residues, chains.rotamers, chains.unary, chains.pairs)


def encode(bodies: Bodies) -> Encoding:
    """Scores counted from their table's least entry, plus P (1 - poses of a body)^2."""
    return side_chains.encode(bodies.chains)


def cost(bodies: Bodies, bits: Bits) -> float:
    """The score of the poses present, each table counted from its least entry, and the penalties."""
    return side_chains.cost(bodies.chains, bits)


def violations(bodies: Bodies, bits: Bits) -> list[str]:
    """Bodies without exactly one pose."""
    counts = [int(bits[list(g)].sum()) for g in bodies.chains.groups]
    return [f"{b} has {n} poses" for b, n in zip(bodies.bodies, counts, strict=True) if n != 1]


def decode(bodies: Bodies, bits: Bits) -> dict[str, Any]:
    """The pose of each body, by name, the score, and the pairs that weigh more than nothing."""
    found = side_chains.decode(bodies.chains, bits)
    answer = {"poses": found["rotamers"], "score": found["energy"]}
    if not violations(bodies, bits):
        chosen = [int(np.flatnonzero(bits[list(g)])[0]) for g in bodies.chains.groups]
        answer["between"] = {
            f"{bodies.bodies[i]} - {bodies.bodies[j]}": matrix[chosen[i]][chosen[j]]
            for (i, j), matrix in bodies.pairs
            if matrix[chosen[i]][chosen[j]]
        }
    return answer


def bits_of(bodies: Bodies, answer: Mapping[str, Any]) -> Bits:
    """From the poses' names."""
    return side_chains.bits_of(bodies.chains, {"rotamers": answer["poses"]})


def exact(bodies: Bodies) -> Exact | None:
    """Dead-end elimination, then dynamic programming over a tree decomposition; None where that grows too wide."""
    return side_chains.exact(bodies.chains)


def greedy(bodies: Bodies) -> Bits:
    """Each body in turn takes the pose that scores best beside those placed."""
    return side_chains.greedy(bodies.chains)


def example() -> Bodies:
    """Two fragments that both score best in the same subpocket and clash there: one gives way, score -12.5."""
    scores = ((-7.0, -6.0), (-6.5, -5.0))
    return Bodies(
        ("fragment A", "fragment B"),
        (("S1", "S2"), ("S1", "S2")),
        scores,
        (((0, 1), ((20.0, 0.0), (0.0, 20.0))),),
    )


def sample(generator: np.random.Generator, qubits: int) -> Bodies:
    """Random scores and pair scores, one pair in ten a clash."""
    chains = side_chains.sample(generator, qubits)
    names = tuple(f"body {k}" for k in range(len(chains.residues)))
    return Bodies(names, chains.rotamers, chains.unary, chains.pairs)


PROBLEM = Problem(
    "one_hot_docking", "multibody or peptide docking: one pose a body", "arXiv 2210.11401",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="the scoring function's (kcal/mol)",
    keys={
        "bodies": "names: ligands, fragments, subunits or peptide positions",
        "poses": "names of each body's candidates",
        "scores": "of each candidate alone; lower is better",
        "pairs": '{"i,j": [[score, ...], ...]} with i < j: of each pair of candidates of bodies i and j',
    },
)  # fmt: skip
