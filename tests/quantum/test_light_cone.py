"""Light cones against full state vectors, cuts against brute force and the overheads of the literature."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from random_circuits import random_circuit

from trine.devices import QuantumDevice, load_device
from trine.devices.errors import InputError
from trine.quantum.circuit import Circuit, gate
from trine.quantum.circuits.cutting import best_cut, gamma, hints, prices
from trine.quantum.circuits.light_cone import cone, cones, expectation, largest, restricted
from trine.quantum.circuits.qaoa import angle_values, one_hot_circuit, qaoa_circuit
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.feasible import OneHot
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles
from trine.quantum.statevector import run_circuit


def sparse(seed: int, qubits: int, degree: int = 3) -> Polynomial:
    """Weights on a random regular graph, and fields."""
    generator = np.random.default_rng(seed)
    spins = {
        tuple(sorted(e)): float(generator.normal())
        for e in nx.random_regular_graph(degree, qubits, seed=seed).edges
    }
    return Polynomial.from_spins(
        qubits, spins | {(q,): float(generator.normal()) for q in range(0, qubits, 3)}
    )


def bound(polynomial: Polynomial, layers: int, seed: int = 0) -> Circuit:
    generator = np.random.default_rng(seed)
    angles = Angles(tuple(generator.normal(size=layers)), tuple(generator.normal(size=layers)))
    return qaoa_circuit(polynomial, layers).bind(angle_values(angles))


def full_mean(circuit: Circuit, polynomial: Polynomial) -> float:
    chances = np.abs(run_circuit(circuit)) ** 2
    index = np.arange(len(chances))
    bits = np.stack([(index >> q) & 1 for q in circuit.read], 1)
    return float(chances @ polynomial.energy(bits.astype(np.uint8)))


@pytest.mark.parametrize(
    ("seed", "qubits", "layers"), [(0, 12, 1), (1, 14, 1), (2, 14, 2), (3, 10, 3), (4, 8, 1)]
)
def test_mean_by_cones_is_the_mean(seed: int, qubits: int, layers: int) -> None:
    polynomial = sparse(seed, qubits)
    circuit = bound(polynomial, layers, seed)
    assert expectation(circuit, polynomial) == pytest.approx(full_mean(circuit, polynomial), abs=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_any_circuit_read_in_any_order(seed: int) -> None:
    """All gates there are, three-qubit ones too, some qubits not read, a cubic cost."""
    generator = np.random.default_rng(seed)
    random = random_circuit(generator, 7, 14)
    circuit = Circuit(
        7, random.gates, random.global_phase, tuple(int(q) for q in generator.permutation(7)[:5])
    )
    polynomial = Polynomial(5, {(0, 1): 1.5, (2,): -0.7, (1, 3, 4): 2.0, (): 0.3})
    assert expectation(circuit, polynomial) == pytest.approx(full_mean(circuit, polynomial), abs=1e-10)


def test_exchanges() -> None:
    polynomial = Polynomial(6, {(0, 3): 1.0, (1, 4): -2.0})
    free = one_hot_circuit(polynomial, OneHot(((0, 1, 2), (3, 4, 5))), 1)
    circuit = free.bind({"gamma0": 0.4, "beta0": 0.7})
    assert expectation(circuit, polynomial) == pytest.approx(full_mean(circuit, polynomial), abs=1e-10)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_cone_is_the_neighbourhood(layers: int) -> None:
    """QAOA's cone of an edge is all that is within `layers` steps of it, in whatever order the phases are written."""
    graph = nx.random_regular_graph(3, 60, seed=5)
    polynomial = Polynomial.from_spins(60, {tuple(sorted(e)): 0.5 for e in graph.edges})
    circuit = bound(polynomial, layers)
    widest = 0
    for (a, b), part in cones(circuit, polynomial).items():
        near = nx.single_source_shortest_path_length(
            graph, a, layers
        ) | nx.single_source_shortest_path_length(graph, b, layers)
        assert set(part.qubits) == set(near)
        widest = max(widest, len(near))
    assert largest(circuit, polynomial) == widest


def test_many_qubits() -> None:
    """200 qubits, no state vector of which could be held: equal to the closed formula of one layer."""
    polynomial = Polynomial.from_spins(
        200, {tuple(sorted(e)): 0.5 for e in nx.random_regular_graph(3, 200, seed=2).edges}
    )
    angles = Angles((0.6,), (-0.4,))
    circuit = qaoa_circuit(polynomial, 1).bind(angle_values(angles))
    assert expectation(circuit, polynomial) == pytest.approx(
        DepthOneEngine(polynomial).expectation(angles), abs=1e-9
    )


def test_no_gate_too_many() -> None:
    circuit = Circuit(
        3, (gate("h", 0), gate("cx", 0, 1), gate("rz", 1, angles=[1.0]), gate("h", 2), gate("cz", 1, 2))
    )
    part = cone(circuit, [1])
    assert (part.qubits, part.gates) == ((0, 1), (0, 1))  # both phases commute with Z on qubit 1
    assert restricted(circuit, part).counts() == {"cx": 1, "h": 1}


def test_too_wide_is_said() -> None:
    polynomial = Polynomial.from_spins(40, {(i, j): 1.0 for j in range(40) for i in range(j)})
    with pytest.raises(InputError, match="a term depends on 40 qubits, a state vector holds 26"):
        expectation(bound(polynomial, 1), polynomial)


@pytest.mark.parametrize(
    ("name", "angles", "value"),
    [
        ("cx", (), 3.0),
        ("cz", (), 3.0),
        ("ecr", (), 3.0),
        ("swap", (), 7.0),
        ("iswap", (), 7.0),
        ("rzz", (0.3,), 1 + 2 * np.sin(0.3)),
        ("rxx", (-2.0,), 1 + 2 * np.sin(2.0)),
        ("cp", (0.8,), 1 + 2 * np.sin(0.4)),
        ("crx", (0.8,), 1 + 2 * np.sin(0.4)),
    ],
)
def test_overheads_of_the_literature(name: str, angles: tuple[float, ...], value: float) -> None:
    """Piveteau and Sutter 2023, table I; Mitarai and Fujii 2021, equation 8."""
    assert gamma(name, angles) == pytest.approx(value)


@pytest.mark.parametrize("seed", range(6))
def test_cut_against_all_cuts(seed: int) -> None:
    """Ten qubits, every bipartition into at most six: found within a factor, and what is said of it is true."""
    polynomial = sparse(seed, 10)
    circuit = bound(polynomial, 1, seed)
    price = prices(circuit)
    found = best_cut(circuit)
    assert found is not None
    assert sorted(found.parts[0] + found.parts[1]) == list(range(10))
    assert max(map(len, found.parts)) <= 6
    crossing = [g for g in circuit.gates if len({q in found.parts[0] for q in g.qubits}) == 2]
    assert found.gates == len(crossing)
    product = np.prod([gamma(g.name, tuple(a.value({}) for a in g.angles)) ** 2 for g in crossing])
    assert found.overhead == pytest.approx(product)
    best = min(
        price[np.ix_(side, sorted(set(range(10)) - set(side)))].sum()
        for size in (4, 5)
        for side in map(list, combinations(range(10), size))
    )
    assert best - 1e-9 <= np.log(found.overhead) <= 1.25 * best


def machine(name: str) -> QuantumDevice:
    device = load_device(name)
    assert isinstance(device, QuantumDevice)
    return device


def test_two_clusters_are_found_and_it_helps() -> None:
    """Two rings of 15 joined by one edge: 30 qubits fit no state vector here, the rings do."""
    edges = [(15 * r + k, 15 * r + (k + 1) % 15) for r in (0, 1) for k in range(15)] + [(3, 20)]
    polynomial = Polynomial.from_spins(30, {tuple(sorted(e)): 0.5 for e in edges})
    circuit = qaoa_circuit(polynomial, 1).bind({"gamma0": 0.5, "beta0": -0.4})
    found = best_cut(circuit, 26)
    assert found is not None
    assert {frozenset(p) for p in found.parts} == {frozenset(range(15)), frozenset(range(15, 30))}
    assert found.overhead == pytest.approx((1 + 2 * np.sin(0.5)) ** 2)
    cones_said, cut_said = hints(circuit, polynomial, machine("ibm_heron_r2"))
    assert cones_said.startswith("light cones: each of the 31 terms depends on at most 6 of 30 qubits")
    assert "15 and 15 qubits: 1 gate crosses, 3.84 times the shots; helps" in cut_said


def test_dense_problems_are_told_that_nothing_helps() -> None:
    polynomial = Polynomial.from_spins(12, {(i, j): 1.0 for j in range(12) for i in range(j)})
    (said,) = hints(bound(polynomial, 1), polynomial, machine("ibm_heron_r2"))
    assert "does not help: the whole fits a state vector here and ibm_heron_r2" in said
    wide = Polynomial.from_spins(40, {(i, j): 1.0 for j in range(40) for i in range(j)})
    (said,) = hints(bound(wide, 1), wide, machine("ibm_heron_r2"))
    assert "does not help: above 1,000,000 times" in said
    assert best_cut(bound(wide, 1), 19) is None
