"""The variational quantum eigensolver, simulated: the lowest energy that an ansatz reaches, beside the exact one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.quantum.angles.optimise import Journal
from trine.quantum.circuit import Circuit
from trine.quantum.hamiltonian import Hamiltonian
from trine.quantum.molecules.ansatz import FAMILIES, ExcitationAnsatz, hardware_efficient, reference_of
from trine.quantum.molecules.codes import MAPPINGS, code_named
from trine.quantum.molecules.engines import CircuitEngine, SectorEngine
from trine.quantum.molecules.excitations import paired_generalised, pool, singles_doubles
from trine.quantum.molecules.integrals import Float
from trine.quantum.molecules.sector import lowest

SCHEMA = "trine.vqe/1"
CHEMICAL_ACCURACY = 1.6e-3  # hartree, 1 kcal/mol (Pople 1999, Nobel lecture)
EXACT_STATES = 200_000  # determinants to which full configuration interaction takes seconds
MEMORY_OF_STEPS = 20  # of L-BFGS: curved valleys of strongly correlated molecules need more than scipy's 10
Progress = Callable[[int, float], None]


class Engine(Protocol):
    """Energy and derivatives; a name for what they belong to."""

    def gradient(self, parameters: Float) -> tuple[float, Float]:
        """(energy in hartree, derivatives)."""
        ...


@dataclass(frozen=True)
class VqeResult:
    """Energies in hartree. reference: of the start's determinant. fci: exact among the electrons' states, None out of
    reach.

    evaluations: of energy and gradient together. gradient: largest derivative left. inside: probability of the right
    electron numbers (1 but for hardware-efficient circuits). circuit: with free angles, after `mapping`; `names` in the
    order of parameters.
    """

    energy: float
    parameters: tuple[float, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    evaluations: int
    reference: float
    fci: float | None
    gradient: float
    inside: float
    ansatz: str
    circuit: Circuit = field(repr=False)
    mapping: str = "jordan-wigner"
    excitations: ExcitationAnsatz | None = field(repr=False, default=None)
    history: tuple[float, ...] = field(repr=False, default=())

    @property
    def error(self) -> float | None:
        """energy - fci in hartree."""
        return None if self.fci is None else self.energy - self.fci

    def bound(self, hamiltonian: Hamiltonian | None = None, mapping: str = "jordan-wigner") -> Circuit:
        """The circuit with its angles, by another mapping of `codes.MAPPINGS` where the Hamiltonian is given."""
        values = dict(zip(self.names, self.parameters, strict=True))
        if mapping == self.mapping:
            return self.circuit.bind(values)
        if self.excitations is None or hamiltonian is None:
            raise InputError(f"mapping {mapping} needs an ansatz of excitations and the Hamiltonian")
        return self.excitations.circuit(code_named(mapping, hamiltonian, self.excitations.reference)).bind(
            values
        )


@dataclass
class Descent:
    """L-BFGS-B (Byrd et al. 1995, scipy's) over one journal: several stages of one run resume together."""

    journal: Journal
    evaluations: int
    tolerance: float
    progress: Progress | None = None
    history: list[float] = field(default_factory=list)

    def run(self, engine: Engine, start: Float) -> tuple[float, Float, Float]:
        """(lowest energy seen, its parameters, its derivatives). Stops early when the evaluations are used up."""
        from scipy.optimize import minimize

        seen: list[tuple[float, Float, Float]] = []

        def objective(x: Float) -> tuple[float, Float]:
            found = self.journal.answer(x)
            if found is None:
                if len(self.history) >= self.evaluations and seen:
                    raise StopIteration
                found = engine.gradient(x)
                self.journal.keep(x, *found)
            if not seen or found[0] < seen[0][0]:
                seen[:] = [(found[0], x.copy(), found[1])]
            self.history.append(found[0])
            if self.progress is not None:
                self.progress(len(self.history), found[0])
            return found

        options = {
            "maxfun": 10**9, "maxiter": 10**9, "ftol": 1e-15, "gtol": self.tolerance, "maxcor": MEMORY_OF_STEPS,
        }  # fmt: skip
        try:
            if len(start):
                minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
            else:
                objective(start)
        except StopIteration:
            pass
        return seen[0]


def vqe(
    hamiltonian: Hamiltonian, electrons: tuple[int, int], ansatz: str = "uccsd", *, layers: int = 2,
    mapping: str = "jordan-wigner", generalised: bool = False, operators: int = 200, threshold: float = 1e-3,
    start: Sequence[float] | None = None, evaluations: int = 20_000, tolerance: float = 1e-6, seed: int = 0,
    memory: int | None = None, checkpoint: Path | None = None, progress: Progress | None = None,
) -> VqeResult:  # fmt: skip
    """Lower <H> of a Jordan-Wigner Hamiltonian (up, then down) over an ansatz of `ansatz.FAMILIES`.

    layers: k of k-upccgsd, and of hardware-efficient. mapping: of the hardware-efficient circuit, one of
    `codes.MAPPINGS` (excitations make the same states in all of them; `VqeResult.bound` gives their circuits).
    generalised, operators, threshold: ADAPT's pool of all singles and doubles, its most excitations, and the largest
    slope of the pool in hartree at which it stops. start: parameters; by default zero, or drawn with `seed` where zero
    is a saddle (k-upccgsd: 0.1 rad, hardware-efficient: 0.5 rad). tolerance: the largest derivative in hartree. memory:
    bytes, what is free by default. checkpoint: file to write and resume from.
    Raises InputError for what cannot be, with the memory for spaces too large; MissingExtra without scipy.
    """
    check(
        hamiltonian,
        electrons,
        ansatz,
        mapping,
        {"layers": layers, "operators": operators, "evaluations": evaluations},
    )
    options = [
        ansatz,
        layers,
        mapping,
        generalised,
        operators,
        threshold,
        start and list(start),
        tolerance,
        seed,
    ]
    probe = SectorEngine(hamiltonian, electrons, memory)
    head = {"schema": SCHEMA, "engine": probe.fingerprint(), "options": options}
    descent = Descent(Journal(checkpoint, head), evaluations, tolerance, progress)
    fci = lowest(probe.matrix)[0] if probe.sector.size <= EXACT_STATES else None
    half = hamiltonian.qubits // 2
    if ansatz == "hardware-efficient":
        return with_circuit(probe, descent, fci, (layers, mapping), start, seed)
    if ansatz == "adapt":
        from trine.quantum.molecules.adapt import grow

        chosen = grow(probe, descent, pool(half, electrons, generalised), operators, threshold)
        return excited(probe, descent, fci, ansatz, *chosen)
    if ansatz == "uccsd":
        probe.set_excitations(singles_doubles(half, electrons))
    else:
        probe.set_excitations(paired_generalised(half) * layers)
    scale = 0.0 if ansatz == "uccsd" else 0.1
    first = first_point(start, len(probe.excitations), scale, seed)
    return excited(probe, descent, fci, ansatz, *descent.run(probe, first))


def check(
    hamiltonian: Hamiltonian, electrons: tuple[int, int], ansatz: str, mapping: str, counts: Mapping[str, int]
) -> None:
    """Raise InputError for what cannot be; MissingExtra without scipy or numba."""
    problems = []
    if ansatz not in FAMILIES:
        problems.append(f"ansatz {ansatz!r} is unknown: {nearest(ansatz, FAMILIES)}")
    if mapping not in MAPPINGS:
        problems.append(f"mapping {mapping!r}: {nearest(mapping, MAPPINGS)}")
    for name, value in counts.items():
        if value < 1:
            problems.append(f"{value} {name}: give at least 1")
    if hamiltonian.qubits % 2 or any(not 0 <= k <= hamiltonian.qubits // 2 for k in electrons):
        problems.append(f"{electrons} electrons (up, down) do not fit {hamiltonian.qubits} qubits")
    if problems:
        raise InputError("; ".join(problems))
    for package in ("scipy", "numba"):
        if find_spec(package) is None:
            raise MissingExtra(package, "quantum", "variational energies")


def first_point(start: Sequence[float] | None, length: int, scale: float, seed: int) -> Float:
    """Where the descent begins [length]. Raises InputError for a start of another length."""
    if start is None:
        return np.random.default_rng(seed).normal(0.0, 1.0, length) * scale
    if len(start) != length or not np.isfinite(start).all():
        raise InputError(f"start has {len(start)} parameters: give {length} finite ones, in radians")
    return np.array(start, np.float64)


def excited(
    engine: SectorEngine,
    descent: Descent,
    fci: float | None,
    name: str,
    energy: float,
    point: Float,
    slopes: Float,
) -> VqeResult:
    """The result of an ansatz of excitations."""
    made = ExcitationAnsatz(name, engine.orbitals, engine.electrons, engine.excitations)
    return VqeResult(
        energy, tuple(point.tolist()), made.names, len(descent.history), float(engine.matrix[0, 0]), fci,
        float(np.abs(slopes).max(initial=0.0)), 1.0, name, made.circuit(), "jordan-wigner", made,
        tuple(descent.history),
    )  # fmt: skip


def with_circuit(
    probe: SectorEngine, descent: Descent, fci: float | None, shape: tuple[int, str], start: Sequence[float] | None,
    seed: int,
) -> VqeResult:  # fmt: skip
    """hardware-efficient, of (layers, mapping): on all strings, since its gates do not keep the electrons."""
    layers, mapping = shape
    reference = reference_of(probe.orbitals, probe.electrons)
    code = code_named(mapping, probe.hamiltonian, reference)
    circuit = hardware_efficient(code.qubits, layers, code.bits(reference))
    engine = CircuitEngine(code.apply(probe.hamiltonian), circuit, probe.memory)
    energy, point, slopes = descent.run(engine, first_point(start, len(engine.names), 0.5, seed))
    allowed = [code.bits(s) for s in probe.sector.states.tolist() if code.admits(s)]
    inside = float((np.abs(engine.state(point)[allowed]) ** 2).sum())
    return VqeResult(
        energy, tuple(point.tolist()), engine.names, len(descent.history), float(probe.matrix[0, 0]), fci,
        float(np.abs(slopes).max()), inside, "hardware-efficient", circuit, mapping, None, tuple(descent.history),
    )  # fmt: skip


def as_json(result: VqeResult) -> dict[str, Any]:
    """What a command prints."""
    return {
        "ansatz": result.ansatz,
        "energy_hartree": result.energy,
        "reference_hartree": result.reference,
        "fci_hartree": result.fci,
        "error_hartree": result.error,
        "chemical_accuracy": None if result.error is None else abs(result.error) <= CHEMICAL_ACCURACY,
        "evaluations": result.evaluations,
        "largest_gradient_hartree": result.gradient,
        "right_electron_numbers": result.inside,
        "parameters": dict(zip(result.names, result.parameters, strict=True)),
        "excitations": []
        if result.excitations is None
        else [e.label for e in result.excitations.excitations],
        "qubits": result.circuit.qubits,
        "two_qubit_gates": result.circuit.two_qubit_gates(),
        "depth": result.circuit.depth(),
    }
