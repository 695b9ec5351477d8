"""Noisy trajectories against a density matrix, rotations against gates, Pauli channels against Aer's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum import trajectories
from trine.quantum.circuit import ANGLES_OF, QUBITS_OF, Circuit, Gate, gate
from trine.quantum.circuits.placing import placed, target_of
from trine.quantum.circuits.qaoa import angle_values, qaoa_circuit
from trine.quantum.circuits.rotations import AXES, CLIFFORD, Picture, diagonalised, picture
from trine.quantum.circuits.swap_network import best_start, meeting, on_a_line, rounds, two_qubit_gates
from trine.quantum.engines.rotating import Turn, evolved, gathered
from trine.quantum.noise import snapshot_samples
from trine.quantum.polynomial import Polynomial
from trine.quantum.providers.ibm_fake import snapshots
from trine.quantum.samples import Angles
from trine.quantum.statevector import FIXED, act, matrix, run_circuit
from trine.quantum.twirling import Snapshot, Spot, chances, gate_diagonal, pauli_noise, relaxed, schedule

NAMES = [*CLIFFORD, *AXES, "u"]


def mixed_circuit(generator: np.random.Generator, qubits: int, gates: int) -> Circuit:
    """Clifford gates and turns, some of them by quarters; read in another order."""
    made = []
    for _ in range(gates):
        name = str(generator.choice(NAMES))
        places = tuple(int(q) for q in generator.choice(qubits, QUBITS_OF[name], replace=False))
        quarters = np.pi / 2 * generator.integers(-3, 9, ANGLES_OF.get(name, 0))
        free = generator.normal(size=len(quarters))
        angles = np.where(generator.random(len(quarters)) < 0.3, quarters, free)
        made.append(gate(name, *places, angles=[float(a) for a in angles]))
    return Circuit(qubits, tuple(made), measured=tuple(int(q) for q in generator.permutation(qubits)))


def read_chances(circuit: Circuit, chances_of_all: np.ndarray) -> np.ndarray:
    index = np.arange(len(chances_of_all))
    read = sum(((index >> q) & 1) << k for k, q in enumerate(circuit.read))
    return np.bincount(read, chances_of_all, minlength=1 << len(circuit.read))


def turns_of(seen: Picture) -> list[Turn]:
    return [(r.pauli.x, r.pauli.z, r.pauli.phase, r.theta) for r in seen.rotations]


def rotated(seen: Picture, turned: np.ndarray) -> np.ndarray:
    """Chances of what is read, with the signs of some rotations and readings turned."""
    extra, measured = diagonalised(seen.measured)
    assert all(m.x == 0 for m in measured)
    signs = [-1 if t else 1 for t in turned[: len(seen.rotations)]] + [1] * len(extra)
    given = [
        (r.pauli.x, r.pauli.z, r.pauli.phase, sign * r.theta)
        for r, sign in zip((*seen.rotations, *extra), signs)
    ]
    index = np.arange(1 << seen.qubits)
    read = np.zeros(len(index), int)
    for k, (m, flip) in enumerate(zip(measured, turned[len(seen.rotations) :])):
        read |= ((np.bitwise_count(index & m.z) & 1) ^ m.negative ^ flip).astype(int) << k
    return np.bincount(read, np.abs(evolved(seen.qubits, seen.plus, given)) ** 2, minlength=len(index))


@pytest.mark.parametrize("seed", range(15))
def test_rotations_are_the_circuit(seed: int) -> None:
    circuit = mixed_circuit(np.random.default_rng(seed), 5, 40)
    seen = picture(circuit)
    found = rotated(seen, np.zeros(len(seen.rotations) + 5, bool))
    assert np.abs(found - read_chances(circuit, np.abs(run_circuit(circuit)) ** 2)).max() < 2e-6


@pytest.mark.parametrize("seed", range(10))
def test_an_error_only_turns_signs(seed: int) -> None:
    """Every Pauli on two qubits after a gate, against the circuit with those Pauli gates in it."""
    generator = np.random.default_rng(100 + seed)
    circuit = mixed_circuit(generator, 4, 25)
    seen = picture(circuit)
    place = next(k for k, g in enumerate(circuit.gates) if k >= 8 and len(g.qubits) == 2)
    spot = Spot(place, circuit.gates[place].qubits, np.eye(16)[0])
    for kind in range(1, 16):
        letters = [(kind >> 2 * k & 3, q) for k, q in enumerate(spot.qubits)]
        errors = tuple(gate(" xyz"[letter], q) for letter, q in letters if letter)
        wrong = (*circuit.gates[: place + 1], *errors, *circuit.gates[place + 1 :])
        expected = np.abs(run_circuit(Circuit(4, wrong))) ** 2
        turned = seen.signs([(trajectories.pulled(seen, spot, kind), seen.before[place])])[0]
        assert np.abs(rotated(seen, turned) - read_chances(circuit, expected)).max() < 2e-6


def test_qaoa_keeps_its_shape_in_a_machines_gates() -> None:
    """Phases in one run a layer, one turn a qubit a layer: what makes a trajectory cheap."""
    generator = np.random.default_rng(2)
    polynomial = Polynomial(6, {(i, j): float(generator.normal()) for i in range(6) for j in range(i)})
    circuit = qaoa_circuit(polynomial, 2).bind(angle_values(Angles((0.2, 0.3), (-0.5, -0.3))))
    row = on_a_line(circuit)
    assert row is not None
    seen = picture(row)
    assert sum(r.pauli.x > 0 for r in seen.rotations) == 12
    runs = [turn[0] == 0 for turn in gathered(turns_of(seen))]
    assert sum(a and not b for a, b in pairwise(runs)) == 2


def density(circuit: Circuit, spots: Sequence[Spot], flips: Sequence[tuple[float, float]]) -> np.ndarray:
    """Chances of what is read, every error channel applied in full."""
    n = circuit.qubits
    state = np.zeros((1 << n, 1 << n), complex)
    state[0, 0] = 1

    def on_both(unitary: np.ndarray, qubits: tuple[int, ...], rho: np.ndarray) -> np.ndarray:
        left = np.stack([act(unitary, qubits, column.reshape((2,) * n)).reshape(-1) for column in rho.T], 1)
        return np.stack([act(unitary.conj(), qubits, row.reshape((2,) * n)).reshape(-1) for row in left])

    paulis = [np.eye(2), *(np.array(FIXED[p]) for p in "xyz")]
    for place, g in enumerate(circuit.gates):
        state = on_both(matrix(g), g.qubits, state)
        for spot in (s for s in spots if s.gate == place):
            mixed = np.zeros_like(state)
            for kind, chance in enumerate(spot.chances):
                operator = np.ones((1, 1))
                for k in range(len(spot.qubits)):
                    operator = np.kron(paulis[kind >> 2 * k & 3], operator)
                mixed += chance * on_both(operator.astype(complex), spot.qubits, state)
            state = mixed
    found = read_chances(circuit, np.real(np.diag(state)))
    for k, (up, down) in enumerate(flips):
        cube = found.reshape(-1, 2, 1 << k)
        found = np.stack(
            [cube[:, 0] * (1 - up) + cube[:, 1] * down, cube[:, 0] * up + cube[:, 1] * (1 - down)], 1
        ).reshape(-1)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_samples_follow_the_density_matrix(seed: int) -> None:
    """Strong errors of every kind after every gate, 60,000 shots of their own errors each."""
    generator = np.random.default_rng(seed)
    circuit = mixed_circuit(generator, 4, 14)
    spots = []
    for place, g in enumerate(circuit.gates):
        rates = generator.dirichlet(np.ones(4 ** len(g.qubits)))
        rates = 0.9 * np.eye(len(rates))[0] + 0.1 * rates
        spots.append(Spot(place, g.qubits, rates))
    flips = tuple((float(a), float(b)) for a, b in generator.uniform(0, 0.1, (4, 2)))
    noise = trajectories.PauliNoise(tuple(spots), flips, 0.0, 0.0)
    drawn = trajectories.sample(circuit, noise, 60_000, seed, states=100_000)
    assert drawn.effective == 60_000
    index = drawn.bits.astype(int) @ (1 << np.arange(4))
    found = np.bincount(index, minlength=16) / 60_000
    expected = density(circuit, spots, flips)
    assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / 60_000)
    assert np.abs(found - read_chances(circuit, np.abs(run_circuit(circuit)) ** 2)).max() > 0.02


def test_few_states_are_unbiased_and_say_so() -> None:
    """Over many seeds, means from 12 states scatter about the true mean as their standard errors say."""
    layer = (*(gate("rx", q, angles=[0.7]) for q in range(4)), *(gate("cz", q, q + 1) for q in range(3)))
    circuit = Circuit(4, layer * 3)
    rates = np.array([0.8, 0.05, 0.05, 0.1])
    spots = [Spot(k, g.qubits, rates) for k, g in enumerate(circuit.gates) if len(g.qubits) == 1]
    noise = trajectories.PauliNoise(tuple(spots), (), 0.0, 0.0)
    expected = density(circuit, spots, ())
    weight = np.array([bin(i).count("1") for i in range(16)])
    truth = float(expected @ weight)
    scores = []
    for seed in range(40):
        drawn = trajectories.sample(circuit, noise, 300, seed, states=12)
        assert drawn.states <= 12
        assert drawn.effective < 150
        mean, error = drawn.mean(drawn.bits.sum(1).astype(float))
        scores.append((mean - truth) / error)
    assert abs(np.median(scores)) < 0.6
    assert 0.4 < np.median(np.abs(scores)) < 1.0  # 0.7 for Student's t of 11 degrees


def test_no_noise_needs_one_state() -> None:
    circuit = mixed_circuit(np.random.default_rng(5), 4, 20)
    drawn = trajectories.sample(circuit, trajectories.PauliNoise((), (), 0.0, 0.0), 5000, 1, states=1)
    assert (drawn.states, drawn.effective, drawn.untouched) == (1, 5000, 1.0)


def test_clusters() -> None:
    values = np.array([1.0, 1.0, 3.0, 3.0, 5.0, 5.0])
    mean, error = trajectories.clustered_mean(values, np.array([0, 0, 1, 1, 2, 2]))
    assert mean == 3
    assert error == pytest.approx(np.std([1, 3, 5], ddof=1) / np.sqrt(3))  # as if each pair were one shot
    assert trajectories.clustered_mean(values, np.zeros(6, int))[1] == np.inf


@pytest.mark.parametrize("name", ["fez", "manila"])
def test_channels_are_aers_twirled(name: str) -> None:
    """Diagonals of the transfer matrices of Aer's own channels, for each gate on four qubits."""
    from qiskit.quantum_info import PTM
    from qiskit_aer.noise.device import basic_device_gate_errors

    machine = snapshots()[name]()
    known, numbers = Snapshot(machine), (0, 1, 2, 3)
    compared = 0
    for gate_name, qubits, error in basic_device_gate_errors(target=target_of(machine, numbers)):
        if gate_name == "reset":
            continue
        rate, seconds = known.gate(gate_name, tuple(qubits))
        mine = gate_diagonal([relaxed(known.relaxation(q), seconds) for q in qubits], rate)
        theirs = np.real(np.diag(PTM(error).data))
        assert np.abs(mine - theirs).max() < 1e-6, (gate_name, qubits)
        assert chances(mine).sum() == pytest.approx(1)
        compared += 1
    assert compared > 10


def test_waits() -> None:
    """Late as can be: a qubit waits only between its gates and before readout."""

    class Clock:
        def gate(self, name: str, qubits: tuple[int, ...]) -> tuple[float, float]:
            return 0.0, 2.0 if len(qubits) == 2 else 1.0

        def relaxation(self, qubit: int) -> tuple[float, float]:
            return 100.0, 100.0

        def readout(self, qubit: int) -> tuple[float, float]:
            return 0.0, 0.0

    gates: tuple[Gate, ...] = (
        gate("sx", 0),
        gate("sx", 1),
        gate("sx", 1),
        gate("cz", 0, 1),
        gate("rz", 0, angles=[1]),
    )
    waits, seconds = schedule(Circuit(3, (*gates, gate("sx", 1), gate("sx", 2))), (0, 1, 2), Clock())
    assert waits == [(3, 0, 1.0)]
    assert seconds == 5.0


def test_twirled_against_relaxation_as_it_is() -> None:
    """What the twirl leaves out is small beside the noise: a QAOA circuit of five qubits on Fez, both ways."""
    machine = snapshots()["fez"]()
    polynomial = Polynomial(5, {(i, j): 1.0 for i in range(5) for j in range(i)} | {(0,): -1.0})
    circuit = qaoa_circuit(polynomial, 2).bind(angle_values(Angles((0.3, 0.5), (-0.6, -0.3))))
    there = placed(circuit, machine, 0, 26)
    noise = pauli_noise(there.circuit, there.numbers, Snapshot(machine))
    drawn = trajectories.sample(there.circuit, noise, 30_000, 3, states=100_000).samples
    exact = snapshot_samples(there.circuit, machine, there.numbers, 30_000, 4)
    means = [float(np.average(polynomial.energy(s.bits), weights=s.counts)) for s in (drawn, exact)]
    ideal = float(np.abs(run_circuit(circuit)) ** 2 @ polynomial.diagonal())
    assert means[0] == pytest.approx(means[1], abs=0.06)
    assert means[1] - ideal > 0.12


@pytest.mark.parametrize(("qubits", "layers"), [(3, 1), (5, 2), (7, 3)])
def test_swap_network_is_the_circuit(qubits: int, layers: int) -> None:
    generator = np.random.default_rng(qubits)
    terms = {
        (i, j): float(generator.normal()) for j in range(qubits) for i in range(j) if generator.random() < 0.7
    }
    polynomial = Polynomial(qubits, terms | {(i,): float(generator.normal()) for i in range(qubits)})
    angles = Angles(tuple(generator.normal(size=layers)), tuple(generator.normal(size=layers)))
    circuit = qaoa_circuit(polynomial, layers).bind(angle_values(angles))
    row = on_a_line(circuit)
    assert row is not None
    assert all(abs(g.qubits[0] - g.qubits[-1]) <= 1 for g in row.gates)
    expected = np.abs(run_circuit(circuit)) ** 2
    assert np.abs(read_chances(row, np.abs(run_circuit(row)) ** 2) - expected).max() < 1e-12


def test_swap_network_meets_and_stops_early() -> None:
    met = meeting(8)
    assert met.max() == 8
    assert (met + np.eye(8) > 0).all()
    every = [frozenset((i, j)) for j in range(8) for i in range(j)]
    some = every[::3]
    start = best_start(8, some)
    fewer = two_qubit_gates(rounds(start, some), start, some)
    assert fewer < two_qubit_gates(rounds(range(8), some), list(range(8)), some)
    assert len(rounds(start, some)) < len(rounds(range(8), every)) <= 8
    assert on_a_line(Circuit(2, (gate("cx", 0, 1),))) is None


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InputError, match="ccx: neither Clifford gates nor turns"):
        picture(Circuit(3, (gate("ccx", 0, 1, 2),)))
    with pytest.raises(InputError, match="30 qubits in use: noisy trajectories go to 26"):
        trajectories.sample(Circuit(30, ()), trajectories.PauliNoise((), (), 0.0, 0.0), 1, 0)
