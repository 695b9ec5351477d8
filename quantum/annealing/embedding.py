"""A model of pairs on an annealer's qubits: a chain for each bit, coefficients within the machine's ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.annealing.machines import CONTROL_ERROR, Annealer, lattice, scale_of
from trine.quantum.baselines.ocean import model_of
from trine.quantum.polynomial import Bits, Float, Polynomial

TIMEOUT_S, TRIES = 120, 2
DENSE = 0.5  # of all pairs: above this, and from MANY bits on, minorminer takes minutes and is beaten by a clique's
MANY = 32
FEW = 12  # minorminer 0.2.22's busclique takes all memory for five bits on a perfect lattice
CANCELLED = 1e-13  # of the largest coefficient: what is left where coefficients cancel

Chains = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class Embedded:
    """chains: qubits of each bit. strength: coupling inside a chain, in the problem's units. h, j: what is programmed,
    in dimod's spins (s = 2x - 1), scaled by `scale`; j holds the chains too. offset: so that
    (E(h, j) + offset) / scale is the problem's cost where no chain is broken.
    """

    chains: Chains = field(repr=False)
    strength: float
    h: Mapping[int, float] = field(repr=False)
    j: Mapping[tuple[int, int], float] = field(repr=False)
    offset: float
    scale: float

    @property
    def qubits(self) -> int:
        """In all chains."""
        return sum(map(len, self.chains.values()))

    @property
    def longest(self) -> int:
        """Qubits of the longest chain."""
        return max(map(len, self.chains.values()), default=0)

    @property
    def below(self) -> int:
        """Programmed coefficients, not zero, that are smaller than the machine's control error."""
        return sum(0 < abs(v) < CONTROL_ERROR for v in (*self.h.values(), *self.j.values()))

    @property
    def programmed(self) -> int:
        """Programmed coefficients that are not zero."""
        return sum(v != 0 for v in (*self.h.values(), *self.j.values()))

    @property
    def smallest(self) -> float:
        """The smallest programmed coefficient, in the machine's units; 0 where there is none."""
        return min((abs(v) for v in (*self.h.values(), *self.j.values()) if v != 0), default=0.0)

    @property
    def blur(self) -> float:
        """Standard error of a string's cost, in the problem's units, if every qubit's h and every used coupler's J is
        off by CONTROL_ERROR, independently."""
        return CONTROL_ERROR * float(np.sqrt(self.qubits + len(self.j))) / self.scale

    def costs(self, bits: Bits) -> Float:
        """Costs of the model's strings [k, bits], computed on the machine's qubits with whole chains."""
        spins = 2.0 * bits - 1.0
        place = {q: v for v, chain in self.chains.items() for q in chain}
        total = np.full(len(bits), self.offset)
        for q, value in self.h.items():
            total += value * spins[:, place[q]]
        for (a, b), value in self.j.items():
            total += value * spins[:, place[a]] * spins[:, place[b]]
        return np.asarray(total / self.scale)


@lru_cache(maxsize=4)
def chains_of(variables: int, pairs: tuple[tuple[int, int], ...], annealer: Annealer, seed: int) -> Chains:
    """Chains for a graph of bits, the fewest qubits of two methods: minorminer's search (Cai, Macready and Roy 2014,
    arXiv 1406.2741), and the chains of a complete graph (Boothby, King and Roy 2016, arXiv 1507.04774).

    Raises InputError where neither finds one, MissingExtra.
    """
    try:
        minorminer, busclique = import_module("minorminer"), import_module("minorminer.busclique")
    except ImportError:
        raise MissingExtra("minorminer", "cloud", "embedding into an annealer's graph") from None
    graph = lattice(annealer)
    found = []
    complete = variables * (variables - 1) / 2
    if not (variables > MANY and len(pairs) > DENSE * complete):
        edges = [*pairs, *((v, v) for v in range(variables))]
        found.append(
            minorminer.find_embedding(
                edges, list(graph.edges), random_seed=seed, timeout=TIMEOUT_S, tries=TRIES
            )
        )
    if variables >= FEW:
        found.append(busclique.find_clique_embedding(variables, graph, use_cache=False))
    whole = [f for f in found if len(f) == variables]
    if not whole:
        raise InputError(
            f"no embedding of {variables} bits with {len(pairs)} couplings into {annealer.words} "
            f"({len(graph)} qubits) was found in {TIMEOUT_S} s: a smaller instance, or fewer couplings"
        )
    best = min(whole, key=lambda f: (sum(map(len, f.values())), max(map(len, f.values()), default=0)))
    return {v: tuple(sorted(best[v])) for v in range(variables)}


def embed(model: Polynomial, annealer: Annealer, seed: int) -> Embedded:
    """Chains, their strength, and scaled coefficients. model: of degree two. Raises as `chains_of` does."""
    pairs = tuple(s for s in model.terms if len(s) == 2)
    return programmed(model, chains_of(model.variables, pairs, annealer, seed), annealer)


def programmed(model: Polynomial, chains: Chains, annealer: Annealer) -> Embedded:
    """The coefficients that a machine is given for known chains.

    Chain strength: uniform torque compensation, as Ocean's embedding composites take it (Raymond et al. 2020, see
    dwave.embedding.chain_strength). Raises InputError for chains that do not embed the model, MissingExtra.
    """
    try:
        from dwave.embedding import embed_bqm
        from dwave.embedding.chain_strength import uniform_torque_compensation
        from dwave.embedding.exceptions import EmbeddingError
    except ImportError:
        raise MissingExtra("dwave-system", "cloud", "embedding into an annealer's graph") from None
    spins = model_of(model)[0].change_vartype("SPIN", inplace=False)
    strength = float(uniform_torque_compensation(spins, chains))
    try:
        made = embed_bqm(spins, chains, lattice(annealer).adj, chain_strength=strength)
    except EmbeddingError as error:
        raise InputError(f"the chains do not embed the problem: {error}") from None
    least = CANCELLED * max(map(abs, (strength, *made.linear.values(), *made.quadratic.values())))
    h = {int(q): float(v) if abs(v) > least else 0.0 for q, v in sorted(made.linear.items())}
    j = {(min(p), max(p)): float(v) for p, v in made.quadratic.items() if abs(v) > least}
    scale = scale_of(h, j)
    return Embedded(
        chains, strength, {q: v * scale for q, v in h.items()}, {p: j[p] * scale for p in sorted(j)},
        float(made.offset) * scale, scale,
    )  # fmt: skip


def as_json(found: Embedded) -> dict[str, Any]:
    """h and J as the machine gets them, with what turns its energies into costs."""
    return {
        "h": {str(q): v for q, v in found.h.items()}, "J": [[a, b, v] for (a, b), v in found.j.items()],
        "offset": found.offset, "scale": found.scale, "spins": "s = 2x - 1 (dimod)",
        "cost": "(sum h s + sum J s s + offset) / scale, where no chain is broken",
    }  # fmt: skip
