"""The subspace engine against dense matrices on all 2^n strings, and the laws of its mixers."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from test_engines import differences, random_angles, random_polynomial

from trine.devices.errors import InputError
from trine.quantum.angles.ramp import linear_ramp
from trine.quantum.engines import choose_engine
from trine.quantum.engines.full import FullEngine
from trine.quantum.engines.product_mixers import Tilted
from trine.quantum.engines.subspace import SubspaceEngine
from trine.quantum.feasible import AllStates, Feasible, IndependentSets, OneHot
from trine.quantum.polynomial import Polynomial
from trine.quantum.problem import Encoding

GROUPS = OneHot(((0, 2, 4), (1, 3), (5, 6, 7, 8)))
CONFLICTS = IndependentSets(
    9, ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5), (6, 7), (2, 7), (3, 8), (1, 8))
)
CASES = [(GROUPS, m) for m in ("xy", "xy-ring", "grover")] + [
    (CONFLICTS, m) for m in ("hop", "bit-flip", "grover")
]


def dense_mixers(feasible: Any, name: str, states: np.ndarray) -> list[np.ndarray]:
    """Factors B of the mixer on all 2^n strings, in order."""
    size = 1 << feasible.qubits
    index = np.arange(size)
    if name == "grover":
        even = np.zeros(size)
        even[states] = len(states) ** -0.5
        return [np.outer(even, even)]
    found = []
    if isinstance(feasible, OneHot):
        total = np.zeros((size, size))
        for group in feasible.groups:
            ring = [
                (group[k], group[(k + 1) % len(group)]) for k in range(len(group) if len(group) > 2 else 1)
            ]
            for i, j in combinations(group, 2) if name == "xy" else ring:  # (XX + YY)/2 swaps 01 and 10
                apart = index[(index >> i & 1) != (index >> j & 1)]
                total[apart ^ (1 << i) ^ (1 << j), apart] += 1
        return [total]
    for i in range(feasible.qubits):
        flip = np.zeros((size, size))
        free = index[index & feasible.masks[i] == 0]
        flip[free ^ (1 << i), free] = 1
        found.append(flip)
    return found if name == "bit-flip" else [sum(found, np.zeros((size, size)))]


@pytest.mark.parametrize(("feasible", "mixer"), CASES)
def test_equals_the_full_circuit_and_never_leaves(feasible: Feasible, mixer: str) -> None:
    expm = pytest.importorskip("scipy.linalg").expm
    polynomial, angles = random_polynomial(9, 3, 1), random_angles(3, 1, 1.0)
    engine = SubspaceEngine(polynomial, feasible, mixer)
    bits = engine.strings(np.arange(engine.size))
    states = bits @ (1 << np.arange(9))
    assert len(set(states.tolist())) == engine.size == feasible.size
    assert all(feasible.contains(row) for row in bits)
    np.testing.assert_allclose(engine.values, polynomial.energy(bits), atol=1e-12)
    psi, costs = np.zeros(512, complex), polynomial.diagonal()
    psi[states] = engine.size**-0.5
    for gamma, beta in zip(angles.gammas, angles.betas, strict=True):
        psi *= np.exp(-1j * gamma * costs)
        for factor in dense_mixers(feasible, mixer, states):
            psi = expm(-1j * beta * factor) @ psi
    assert np.abs(np.delete(psi, states)).max() < 1e-12
    np.testing.assert_allclose(engine.amplitudes(angles), psi[states], atol=1e-10)
    np.testing.assert_allclose(engine.gradient(angles).flat, differences(engine, angles), atol=1e-7)


@pytest.mark.parametrize("qubits", [1, 4, 9])
def test_all_strings_is_the_full_engine(qubits: int) -> None:
    polynomial, angles = random_polynomial(qubits, 3, qubits), random_angles(3, qubits)
    part, whole = SubspaceEngine(polynomial, AllStates(qubits)), FullEngine(polynomial)
    np.testing.assert_allclose(part.amplitudes(angles), whole.amplitudes(angles), atol=1e-10)
    np.testing.assert_allclose(part.gradient(angles).flat, whole.gradient(angles).flat, atol=1e-10)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_laws_of_one_hot_groups(sizes: list[int], seed: int) -> None:
    """Norm one and every sample feasible, for any group sizes (one of them may be alone)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(sum(sizes)).tolist()
    cuts = np.cumsum([0, *sizes])
    feasible = OneHot(tuple(tuple(order[a:b]) for a, b in pairwise(cuts)))
    polynomial, angles = random_polynomial(feasible.qubits, 2, seed), random_angles(2, seed)
    engine = SubspaceEngine(polynomial, feasible)
    assert engine.probabilities(angles).sum() == pytest.approx(1.0, abs=1e-12)
    for row in engine.sample(angles, 50, seed).bits:
        assert feasible.contains(row)
    slopes = SubspaceEngine(polynomial, feasible, "xy-ring").gradient(angles)
    if max(sizes) <= 3:  # a ring of three is complete
        np.testing.assert_allclose(engine.gradient(angles).flat, slopes.flat, atol=1e-9)


def test_more_states_than_one_piece_of_work() -> None:
    """729 x 243 states: several columns of buffers, the last one not full."""
    feasible = OneHot(tuple((3 * k, 3 * k + 1, 3 * k + 2) for k in range(11)))
    polynomial, angles = random_polynomial(33, 2, 1), random_angles(1, 1, 0.3)
    engine = SubspaceEngine(polynomial, feasible)
    assert engine.probabilities(angles).sum() == pytest.approx(1.0, abs=1e-10)
    ring = SubspaceEngine(polynomial, feasible, "xy-ring")
    np.testing.assert_allclose(engine.gradient(angles).flat, ring.gradient(angles).flat, rtol=1e-9)


def test_tilted_mixer_is_qubit_by_qubit() -> None:
    expm = pytest.importorskip("scipy.linalg").expm
    polynomial, angles = random_polynomial(5, 2, 2), random_angles(2, 2, 1.0)
    mixer = Tilted((0.3, 1.2, 2.9, np.pi / 2, 2.0))
    engine = SubspaceEngine(polynomial, AllStates(5), mixer, mixer.start())
    psi = mixer.start().astype(complex)
    for gamma, beta in zip(angles.gammas, angles.betas, strict=True):
        psi *= np.exp(-1j * gamma * polynomial.diagonal())
        for q, theta in enumerate(mixer.thetas):
            c, s = np.cos(theta), np.sin(theta)
            one = expm(-1j * beta * np.array([[c, s], [s, -c]]))
            psi = np.einsum("ab,obi->oai", one, psi.reshape(-1, 2, 1 << q)).ravel()
    np.testing.assert_allclose(engine.amplitudes(angles), psi, atol=1e-12)
    np.testing.assert_allclose(engine.gradient(angles).flat, differences(engine, angles), atol=1e-7)


def test_a_matrix_of_ones_own_is_a_mixer() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    polynomial, angles = random_polynomial(9, 2, 3), random_angles(2, 3, 1.0)
    size = GROUPS.size
    even = sparse.csr_matrix(np.full((size, size), 1 / size))
    mine, grover = SubspaceEngine(polynomial, GROUPS, even), SubspaceEngine(polynomial, GROUPS, "grover")
    np.testing.assert_allclose(mine.amplitudes(angles), grover.amplitudes(angles), atol=1e-12)
    with pytest.raises(InputError, match="symmetric"):
        SubspaceEngine(polynomial, GROUPS, sparse.csr_matrix(np.eye(size, k=1)))


def test_docking_cliques() -> None:
    """TACE-AS: 2,698 cliques, and a ramp of six layers finds a largest one more often than a draw (19 of 2,698)."""
    sparse = pytest.importorskip("scipy.sparse")
    joined = sparse.load_npz(shared("docking_graphs/TACE-AS_A.npz")).toarray()
    apart = tuple((i, j) for i, j in combinations(range(24), 2) if not joined[i, j])
    engine = SubspaceEngine(Polynomial(24, {(i,): -1.0 for i in range(24)}), IndependentSets(24, apart))
    assert engine.size == 2698
    assert engine.values.min() == -8
    assert (engine.values == -8).sum() == 19
    assert engine.optimum_probability(linear_ramp(6, 0.5)) > 0.3


def test_what_does_not_fit_is_said() -> None:
    groups = OneHot(tuple((3 * k, 3 * k + 1, 3 * k + 2) for k in range(12)))
    polynomial = Polynomial(36, {(0, 3): 1.0})
    with pytest.raises(
        InputError, match=r"36 qubits are too many for the subspace engine: 531,441 feasible strings"
    ):
        SubspaceEngine(polynomial, groups, memory=1 << 20)
    with pytest.raises(InputError, match=r"more than .* feasible strings"):
        SubspaceEngine(Polynomial(30, {(0,): 1.0}), IndependentSets(30, ()), memory=1 << 20)
    with pytest.raises(InputError, match="mixer 'hop' does not fit OneHot"):
        SubspaceEngine(polynomial, groups, "hop")
    with pytest.raises(InputError, match="start 'empty'"):
        SubspaceEngine(polynomial, groups, start="empty")
    encoding = Encoding(polynomial, polynomial, groups, ("",) * 36)
    assert choose_engine(encoding, 3).name == "subspace"
    assert choose_engine(encoding, 1, constrained=False, memory=1 << 20).name == "depth-one"
    with pytest.raises(InputError, match=r"subspace engine: 531,441 .*full-state engine"):
        choose_engine(encoding, 2, memory=1 << 16)
