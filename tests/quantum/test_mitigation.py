"""Readout correction is unbiased, folding keeps the unitary, extrapolation comes nearer to the truth."""

from __future__ import annotations

import numpy as np
import pytest
from random_circuits import random_circuit

from trine.devices import QuantumDevice, load_device
from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.qaoa import angle_values, qaoa_circuit
from trine.quantum.circuits.transpile import transpile
from trine.quantum.mitigation.readout import Flips, Mean, calibration, corrected_mean, flips_of, raw_mean
from trine.quantum.mitigation.zne import extrapolate, folded, stretch
from trine.quantum.noise import noise_model, noisy_samples
from trine.quantum.polynomial import Polynomial, all_bits
from trine.quantum.problem import problems
from trine.quantum.samples import Angles, Samples
from trine.quantum.statevector import run_circuit


def test_correction_is_exact_on_expectations() -> None:
    """Over all ways to misread all strings, weighted by their chances, the corrected cost is the cost."""
    up, down = np.array([0.05, 0.1, 0.2]), np.array([0.02, 0.3, 0.1])
    polynomial = Polynomial(3, {(): 1.0, (0,): 2.0, (0, 1): -3.0, (0, 1, 2): 5.0})
    strings = all_bits(3)
    straight = (strings - up) / (1 - up - down)
    for true in strings:
        chance = np.prod(
            np.where(strings == 1, np.where(true == 1, 1 - down, up), np.where(true == 1, down, 1 - up)),
            axis=1,
        )
        assert chance @ polynomial.energy(straight) == pytest.approx(float(polynomial.energy(true)))


def test_correction_of_samples() -> None:
    generator = np.random.default_rng(1)
    true = generator.integers(0, 2, (20_000, 4), dtype=np.uint8)
    rates = Flips((0.08,) * 4, (0.15,) * 4)
    wrong = generator.random(true.shape) < np.where(true == 1, 0.15, 0.08)
    polynomial = Polynomial(4, {(0, 1): 2.0, (2,): -1.0, (1, 2, 3): 4.0})
    truth = float(polynomial.energy(true).mean())
    samples = Samples.of(true ^ wrong.astype(np.uint8))
    fixed, raw = corrected_mean(samples, polynomial, rates), raw_mean(samples, polynomial)
    assert abs(fixed.value - truth) < 4 * fixed.error
    assert abs(raw.value - truth) > 4 * raw.error
    assert fixed.error > raw.error  # what the correction costs


def test_calibration() -> None:
    zeros, ones = calibration(3, (2, 0))
    assert (zeros.measured, ones.measured) == ((2, 0), (2, 0))
    state = run_circuit(ones)
    assert abs(state[0b101]) == pytest.approx(1)
    found = flips_of(
        Samples.of(np.array([[0, 1]] * 1 + [[0, 0]] * 9, np.uint8)), Samples.of(np.array([[1, 1]], np.uint8))
    )
    assert found.zero_as_one == pytest.approx((0.0, 0.1))
    assert found.one_as_zero == (0.0, 0.0)


@pytest.mark.parametrize("scale", [1.0, 1.4, 2.0, 3.0, 5.0])
def test_folding_keeps_the_unitary(scale: float) -> None:
    generator = np.random.default_rng(8)
    for _ in range(10):
        circuit = random_circuit(generator, 4, 20)
        longer = folded(circuit, scale)
        np.testing.assert_allclose(run_circuit(longer), run_circuit(circuit), atol=1e-9)
        assert stretch(circuit, longer) >= scale - 0.1
    assert folded(Circuit(2, ()), 3.0).gates == ()


def test_extrapolation_of_known_curves() -> None:
    scales = (1.0, 2.0, 3.0)
    straight = [Mean(-5 + 0.7 * x, 0.01) for x in scales]
    assert extrapolate(scales, straight).value == pytest.approx(-5)
    bent = [Mean(-5 + 0.7 * x + 0.1 * x * x, 0.01) for x in scales]
    assert extrapolate(scales, bent, "richardson").value == pytest.approx(-5)
    decay = [Mean(2 - 4 * 0.8**x, 0.01) for x in scales]
    found = extrapolate(scales, decay, "exponential", floor=2.0)
    assert found.value == pytest.approx(-2)
    assert found.error > 0.01
    assert extrapolate(scales, straight, "richardson").error > extrapolate(scales, straight).error


def test_nearer_to_the_truth_on_a_noisy_machine() -> None:
    device = load_device("ibm_heron_r1")
    assert isinstance(device, QuantumDevice)
    problem = problems()["maxcut"]
    polynomial = problem.encode(problem.example()).polynomial
    angles = Angles((0.9, 0.5), (-0.5, -0.3))
    circuit = transpile(qaoa_circuit(polynomial, 2).bind(angle_values(angles)), device, (0,)).compact()
    truth = raw_mean(noisy_samples(circuit, None, 40_000, 1), polynomial).value
    model = noise_model(device)
    zeros, ones = (noisy_samples(c, model, 20_000, 2) for c in calibration(circuit.qubits, circuit.read))
    flips = flips_of(zeros, ones)
    runs = [noisy_samples(folded(circuit, s), model, 20_000, 3) for s in (1.0, 2.0, 3.0)]
    raw = raw_mean(runs[0], polynomial)
    fixed = [corrected_mean(samples, polynomial, flips) for samples in runs]
    far = abs(raw.value - truth)
    assert abs(fixed[0].value - truth) < far
    both = extrapolate((1.0, 2.0, 3.0), fixed)
    assert abs(both.value - truth) < 0.5 * far + 3 * both.error


def test_bad_input() -> None:
    with pytest.raises(InputError, match="cannot be undone"):
        Flips((0.5,), (0.5,))
    with pytest.raises(InputError, match="only lengthens"):
        folded(Circuit(1, ()), 0.5)
    with pytest.raises(InputError, match="two different scales"):
        extrapolate((1.0,), [Mean(1, 1)])
    with pytest.raises(InputError, match="both sides"):
        extrapolate((1.0, 2.0), [Mean(1, 0.1), Mean(-1, 0.1)], "exponential")
    with pytest.raises(InputError, match="1 readout rates for 2 bits"):
        corrected_mean(Samples.of(np.zeros((1, 2), np.uint8)), Polynomial(2, {}), Flips((0.1,), (0.1,)))
