"""QAOA's circuit of a polynomial, in Trine's angle convention (`trine.quantum.samples.Angles`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from trine.devices.errors import InputError
from trine.quantum.circuit import Angle, Circuit, Gate, gate
from trine.quantum.engines.product_mixers import ring_pairs
from trine.quantum.feasible import IndependentSets, OneHot
from trine.quantum.polynomial import Polynomial, Subset
from trine.quantum.samples import Angles


def qaoa_circuit(polynomial: Polynomial, layers: int) -> Circuit:
    """|+>, then for each layer k exp(-i gamma_k C) and exp(-i beta_k sum X); free angles gamma0, beta0, gamma1, ...

    C's constant is left out: it is a global phase that depends on gamma. Terms are ordered so that disjoint ones share
    a moment (greedy colouring). Source: Farhi et al. 2014, arXiv 1411.4028.
    """
    return warm_circuit(polynomial, (), layers)


def warm_circuit(polynomial: Polynomial, thetas: Sequence[float], layers: int) -> Circuit:
    """`qaoa_circuit` from a warm start: cos(theta/2)|0> + sin(theta/2)|1> on each qubit, and the mixer
    exp(-i beta (sin(theta) X + cos(theta) Z)) = RY(theta) RZ(2 beta) RY(-theta), whose highest state that is.

    thetas [n], radians; none: |+> and X. Source: Egger et al. 2021, arXiv 2009.10095, section 2.2.
    """
    if layers < 1:
        raise InputError(f"{layers} layers: QAOA needs at least 1")
    n = polynomial.variables
    terms = in_moments({s: h for s, h in polynomial.spins().items() if s})
    gates = [gate("ry", q, angles=[t]) for q, t in enumerate(thetas)] or [gate("h", q) for q in range(n)]
    for k in range(layers):
        for subset, weight in terms:
            gates += phase_gates(subset, Angle(parameter=f"gamma{k}", scale=2 * weight))
        turn = Angle(parameter=f"beta{k}", scale=2.0)
        for q in range(n):
            gates += tilted(q, thetas[q], turn) if thetas else [gate("rx", q, angles=[turn])]
    return Circuit(n, tuple(gates))


def tilted(qubit: int, theta: float, turn: Angle) -> list[Gate]:
    """exp(-i turn/2 (sin(theta) X + cos(theta) Z))."""
    return [
        gate("ry", qubit, angles=[-theta]), Gate("rz", (qubit,), (turn,)), gate("ry", qubit, angles=[theta])
    ]  # fmt: skip


def one_hot_circuit(inside: Polynomial, feasible: OneHot, layers: int) -> Circuit:
    """A W state in each group, then cost and a ring of XY exchanges in each group, one after the other.

    The ring's exchanges do not commute: the mixer is the ordered product of exp(-i beta (XX + YY)/2) over (0,1), (2,3),
    ..., then (1,2), (3,4), ..., then the closing pair (Hadfield et al. 2019, arXiv 1709.03489, section 4.2). Every
    state that it reaches has one bit in each group.
    """
    if layers < 1:
        raise InputError(f"{layers} layers: QAOA needs at least 1")
    gates = [g for group in feasible.groups for g in w_state(group)]
    terms = in_moments({s: h for s, h in inside.spins().items() if s})
    for k in range(layers):
        for subset, weight in terms:
            gates += phase_gates(subset, Angle(parameter=f"gamma{k}", scale=2 * weight))
        for group in feasible.groups:
            for a, b in ring(group):
                turn = (Angle(parameter=f"beta{k}", scale=2.0), Angle())
                gates.append(Gate("xx_plus_yy", (a, b), turn))
    return Circuit(inside.variables, tuple(gates))


def independent_set_circuit(inside: Polynomial, feasible: IndependentSets, layers: int) -> Circuit:
    """From the empty set |0...0>: cost, then each bit in turn is flipped where none of its rivals is set.

    Every state that it reaches is a sum of independent sets (Hadfield et al. 2019, arXiv 1709.03489, section 4.1). The
    engine's `bit-flip` mixer does the same. A bit with k rivals takes 2^k - 1 gates on two qubits.
    """
    if layers < 1:
        raise InputError(f"{layers} layers: QAOA needs at least 1")
    terms = in_moments({s: h for s, h in inside.spins().items() if s})
    rivals = [[j for j in range(feasible.qubits) if mask >> j & 1] for mask in feasible.masks]
    gates: list[Gate] = []
    for k in range(layers):
        for subset, weight in terms:
            gates += phase_gates(subset, Angle(parameter=f"gamma{k}", scale=2 * weight))
        for bit in range(feasible.qubits):
            gates += guarded_flip(bit, rivals[bit], f"beta{k}")
    return Circuit(feasible.qubits, tuple(gates))


def guarded_flip(bit: int, rivals: Sequence[int], beta: str) -> list[Gate]:
    """exp(-i beta X) where all rivals are 0: equal turns between cz's in a Gray code's order add up there and cancel
    elsewhere (uniformly controlled rotations, Mottonen et al. 2004, arXiv quant-ph/0404089).

    Right on independent sets alone: the last cz of the code is left out, as no bit is set beside a rival.
    """
    steps = 1 << len(rivals)
    turn = Gate("rx", (bit,), (Angle(parameter=beta, scale=2.0 / steps),))
    gates = [turn]
    for step in range(1, steps):
        changed = (step & -step).bit_length() - 1
        gates += [gate("cz", rivals[changed], bit), turn]
    return gates


def ring(group: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbours in a group, in the order of the engine's `xy-steps`."""
    return [(group[a], group[b]) for a, b in ring_pairs(len(group))]


def w_state(group: tuple[int, ...]) -> list[Gate]:
    """|W> of a group from |0...0>: each in turn keeps 1/k of what is left (Cruz et al. 2019, arXiv 1807.05572)."""
    gates = [gate("x", group[0])]
    for k in range(len(group) - 1):
        here, following = group[k], group[k + 1]
        stays = 1.0 / (len(group) - k)
        gates.append(gate("cry", here, following, angles=[2 * math.acos(math.sqrt(stays))]))
        gates.append(gate("cx", following, here))
    return gates


def phase_gates(subset: Subset, angle: Angle) -> list[Gate]:
    """exp(-i angle/2 Z...Z) on a subset: rz, rzz, or a ladder of cx round rz."""
    if len(subset) == 1:
        return [Gate("rz", subset, (angle,))]
    if len(subset) == 2:
        return [Gate("rzz", subset, (angle,))]
    ladder = [gate("cx", a, b) for a, b in pairwise(subset)]
    return [*ladder, Gate("rz", (subset[-1],), (angle,)), *reversed(ladder)]


def in_moments(terms: Mapping[Subset, float]) -> list[tuple[Subset, float]]:
    """Terms reordered, disjoint ones after each other: one moment after the other, busiest qubits first."""
    load: dict[int, int] = {}
    for subset in terms:
        for q in subset:
            load[q] = load.get(q, 0) + 1
    order = sorted(terms, key=lambda s: (-max(load[q] for q in s), s))
    moments: list[set[int]] = []
    placed: list[list[Subset]] = []
    for subset in order:
        for used, members in zip(moments, placed):
            if used.isdisjoint(subset):
                used.update(subset)
                members.append(subset)
                break
        else:
            moments.append(set(subset))
            placed.append([subset])
    return [(s, terms[s]) for members in placed for s in members]


def angle_values(angles: Angles) -> dict[str, float]:
    """{"gamma0": ..., "beta0": ...} for `Circuit.bind`."""
    pairs: Iterable[tuple[float, float]] = zip(angles.gammas, angles.betas, strict=True)
    return {name: v for k, (g, b) in enumerate(pairs) for name, v in ((f"gamma{k}", g), (f"beta{k}", b))}
