"""The full-state, depth-one and Aer engines against qiskit's Statevector, finite differences and each other."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.devices.errors import InputError
from trine.quantum.engines import choose_engine, full
from trine.quantum.engines.aer import AerEngine, plain_circuit
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.engines.full import FullEngine
from trine.quantum.feasible import AllStates
from trine.quantum.polynomial import Polynomial
from trine.quantum.problem import Encoding
from trine.quantum.samples import Angles


def random_polynomial(qubits: int, degree: int, seed: int, share: float = 1.0) -> Polynomial:
    """Normal coefficients on a share of all subsets up to a degree."""
    rng = np.random.default_rng(seed)
    subsets = (s for size in range(degree + 1) for s in combinations(range(qubits), size))
    return Polynomial(qubits, {s: float(rng.normal()) for s in subsets if rng.random() <= share})


def random_angles(layers: int, seed: int, size: float = 2.0) -> Angles:
    """Beyond the range in which a mixer's angle is reduced."""
    rng = np.random.default_rng(seed)
    return Angles(tuple(size * rng.normal(size=layers)), tuple(size * rng.normal(size=layers)))


def differences(engine: Any, angles: Angles, alpha: float = 1.0, step: float = 1e-6) -> np.ndarray:
    """Derivatives of <C> or CVaR by central differences, gammas then betas."""
    flat, found = np.array([*angles.gammas, *angles.betas]), []
    for k in range(len(flat)):
        ends = []
        for sign in (1, -1):
            x = flat.copy()
            x[k] += sign * step
            moved = Angles(tuple(x[: angles.layers]), tuple(x[angles.layers :]))
            ends.append(engine.cvar(moved, alpha) if alpha < 1 else engine.expectation(moved))
        found.append((ends[0] - ends[1]) / (2 * step))
    return np.array(found)


@pytest.mark.parametrize(("qubits", "degree"), [(1, 1), (2, 2), (3, 3), (5, 4), (9, 4), (11, 3)])
def test_amplitudes_are_qiskits(qubits: int, degree: int) -> None:
    statevector = pytest.importorskip("qiskit.quantum_info").Statevector
    polynomial, angles = random_polynomial(qubits, degree, qubits, 0.5), random_angles(2, qubits)
    wanted = statevector(plain_circuit(polynomial, angles)).data
    engine = FullEngine(polynomial)
    np.testing.assert_allclose(engine.amplitudes(angles), wanted, atol=1e-10)
    energy = float(np.abs(wanted) ** 2 @ polynomial.diagonal())
    assert engine.expectation(angles) == pytest.approx(energy, abs=1e-10)


@pytest.mark.parametrize("low", [5, 6, 7, 8, 9, 10, 11])
def test_passes_agree_wherever_they_meet(low: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All qubits in the first pass, or 1 to 7 of them in the second, by one, two and three at a time."""
    polynomial, angles = random_polynomial(12, 2, 1), random_angles(3, 1)
    whole = FullEngine(polynomial)
    wanted, slopes = whole.amplitudes(angles), whole.gradient(angles).flat
    monkeypatch.setattr(full, "LOW", low)
    split = FullEngine(polynomial)
    np.testing.assert_allclose(split.amplitudes(angles), wanted, atol=1e-13)
    np.testing.assert_allclose(split.gradient(angles).flat, slopes, atol=1e-11)
    monkeypatch.setattr(full, "SCRATCH", 1)  # the narrowest columns
    np.testing.assert_allclose(FullEngine(polynomial).gradient(angles).flat, slopes, atol=1e-11)


@pytest.mark.parametrize("qubits", [1, 3, 8])
def test_gradient_is_that_of_finite_differences(qubits: int) -> None:
    engine, angles = FullEngine(random_polynomial(qubits, 3, qubits)), random_angles(3, qubits, 1.0)
    np.testing.assert_allclose(engine.gradient(angles).flat, differences(engine, angles), atol=1e-7)
    assert engine.gradient(angles).value == engine.expectation(angles)
    tail = engine.gradient(angles, alpha=0.3)
    assert tail.value == engine.cvar(angles, 0.3)
    np.testing.assert_allclose(tail.flat, differences(engine, angles, 0.3), atol=1e-6)


def test_cvar_is_the_mean_of_the_best_measurements() -> None:
    engine, angles = FullEngine(random_polynomial(8, 2, 4)), random_angles(2, 4)
    assert engine.cvar(angles, 1.0) == pytest.approx(engine.expectation(angles))
    drawn = engine.sample(angles, 200_000, 1)
    costs = np.sort(np.repeat(engine.polynomial.energy(drawn.bits), drawn.counts))
    assert engine.cvar(angles, 0.1) == pytest.approx(costs[:20_000].mean(), rel=0.02)


@given(st.integers(1, 7), st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_laws_of_the_full_state(qubits: int, seed: int, layers: int) -> None:
    """Norm one; gamma = 0 changes no probability; both signs turned give the same energy; beta has period pi."""
    polynomial, angles = random_polynomial(qubits, 2, seed), random_angles(layers, seed)
    engine = FullEngine(polynomial)
    assert engine.probabilities(angles).sum() == pytest.approx(1.0, abs=1e-12)
    still = engine.probabilities(Angles((0.0,) * layers, angles.betas))
    np.testing.assert_allclose(still, 2.0**-qubits, atol=1e-12)
    energy = engine.expectation(angles)
    turned = Angles(tuple(-g for g in angles.gammas), tuple(-b for b in angles.betas))
    assert engine.expectation(turned) == pytest.approx(energy, abs=1e-9)
    shifted = Angles(angles.gammas, tuple(b + np.pi for b in angles.betas))
    assert engine.expectation(shifted) == pytest.approx(energy, abs=1e-9)


def test_samples_follow_the_probabilities() -> None:
    stats = pytest.importorskip("scipy.stats")
    engine, angles = FullEngine(random_polynomial(5, 2, 2)), random_angles(1, 2)
    drawn = engine.sample(angles, 20_000, seed=7)
    assert drawn.shots == 20_000
    assert drawn.strings() == engine.sample(angles, 20_000, seed=7).strings()
    assert drawn.strings() != engine.sample(angles, 20_000, seed=8).strings()
    assert drawn.bits.tolist() == sorted(drawn.bits.tolist())
    counts = np.zeros(32)
    counts[drawn.bits @ (1 << np.arange(5))] = drawn.counts
    expected = 20_000 * engine.probabilities(angles)
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


def test_optimum_probability_counts_all_equal_optima() -> None:
    ring = {(i, (i + 1) % 4) if i < 3 else (0, 3): 2.0 for i in range(4)} | {(i,): -2.0 for i in range(4)}
    engine = FullEngine(Polynomial(4, ring))
    weights = engine.probabilities(random_angles(1, 3))
    assert engine.optimum_probability(random_angles(1, 3)) == pytest.approx(weights[0b0101] + weights[0b1010])


def test_single_precision_is_near_and_says_when_it_is_not() -> None:
    polynomial, angles = random_polynomial(8, 2, 3), Angles((0.1, 0.2), (-0.4, -0.2))
    engine = FullEngine(polynomial, "single")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert engine.expectation(angles) == pytest.approx(
            FullEngine(polynomial).expectation(angles), abs=1e-4
        )
        np.testing.assert_allclose(
            engine.gradient(angles).flat, differences(FullEngine(polynomial), angles), atol=1e-3
        )
    with pytest.warns(UserWarning, match="single precision: phases reach"):
        engine.expectation(Angles((1e4,), (0.3,)))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_depth_one_is_exact(share: float) -> None:
    polynomial, angles = random_polynomial(9, 2, 5, share), Angles((0.37,), (-0.51,))
    state, form = FullEngine(polynomial), DepthOneEngine(polynomial)
    assert form.expectation(angles) == pytest.approx(state.expectation(angles), abs=1e-10)
    np.testing.assert_allclose(form.gradient(angles).flat, state.gradient(angles).flat, atol=1e-10)
    mine, theirs = form.correlations(angles), state.correlations(angles)
    np.testing.assert_allclose(mine.singles, theirs.singles, atol=1e-10)
    known = mine.pairs != 0
    np.testing.assert_allclose(mine.pairs[known], theirs.pairs[known], atol=1e-10)


def test_depth_one_of_a_large_ring() -> None:
    """A cycle of 5,000: every edge is cut with probability 3/4 at the best angles (Farhi et al. 2014)."""
    terms: dict[tuple[int, ...], float] = {(i,): -2.0 for i in range(5000)}
    terms |= {tuple(sorted((i, (i + 1) % 5000))): 2.0 for i in range(5000)}
    engine = DepthOneEngine(Polynomial(5000, terms))
    assert engine.expectation(Angles((np.pi / 4,), (-np.pi / 8,))) == pytest.approx(-3750, abs=1e-8)


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state", "density_matrix"])
def test_aer_agrees(method: Any) -> None:
    pytest.importorskip("qiskit_aer")
    polynomial, angles = random_polynomial(6, 3, 6, 0.5), random_angles(2, 6)
    engine = AerEngine(polynomial, method)
    assert engine.expectation(angles) == pytest.approx(FullEngine(polynomial).expectation(angles), abs=1e-9)
    drawn = engine.sample(angles, 4000, seed=1)
    assert drawn.shots == 4000
    mean = float(polynomial.energy(drawn.bits) @ drawn.counts) / 4000
    spread = float(polynomial.diagonal().std())
    assert mean == pytest.approx(engine.expectation(angles), abs=5 * spread / 60)


def test_noise_in_aer_pulls_towards_the_mean() -> None:
    noise = pytest.importorskip("qiskit_aer.noise")
    model = noise.NoiseModel(basis_gates=["h", "cx", "rz", "rx", "rzz", "id"])
    model.add_all_qubit_quantum_error(noise.depolarizing_error(0.2, 2), ["rzz", "cx"])
    polynomial, angles = (
        Polynomial(3, {(0, 1): 2.0, (1, 2): 2.0, (0,): -1.0, (1,): -2.0, (2,): -1.0}),
        Angles((0.7,), (-0.4,)),
    )
    clean = AerEngine(polynomial, "density_matrix").expectation(angles)
    noisy = AerEngine(polynomial, "density_matrix", model).expectation(angles)
    assert clean < noisy < -1.0  # -1 is the mean of all strings


def encoding(polynomial: Polynomial) -> Encoding:
    """Without constraints."""
    return Encoding(polynomial, polynomial, AllStates(polynomial.variables), ("",) * polynomial.variables)


def test_choice_follows_memory_and_says_what_is_missing() -> None:
    small, wide = encoding(random_polynomial(10, 2, 1, 0.3)), encoding(random_polynomial(200, 2, 1, 0.02))
    assert choose_engine(small, 3).name == "full"
    assert choose_engine(encoding(random_polynomial(18, 2, 1, 0.1)), 3, memory=5_000_000).name == "aer"
    assert choose_engine(wide, 1).name == "depth-one"
    with pytest.raises(
        InputError, match=r"200 qubits are too many for the full-state engine: it would need .* GiB"
    ):
        choose_engine(wide, 2)
    with pytest.raises(InputError, match="terms of two at most"):
        DepthOneEngine(random_polynomial(4, 3, 1))
    with pytest.raises(InputError, match="computes one"):
        DepthOneEngine(small.polynomial).expectation(random_angles(2, 1))
    with pytest.raises(InputError, match="at least one"):
        FullEngine(small.polynomial).sample(random_angles(1, 1), 0, 1)
    with pytest.raises(InputError, match="alpha is 0"):
        FullEngine(small.polynomial).cvar(random_angles(1, 1), 0.0)
