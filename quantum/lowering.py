"""From a stated problem to a device's circuit: encode, circuit, transpile. Pure steps on `Program`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from trine.devices import QuantumDevice
from trine.devices.errors import InputError, nearest
from trine.quantum.ansatz import Ansatz, MixerName, mixer_obstacle
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.transpile import Transpiled
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.engines.state import StateEngine
from trine.quantum.plan.plan import Plan
from trine.quantum.problem import Encoding, Exact, Stated
from trine.quantum.samples import Angles

AnglesBy = Literal["fixed", "transfer", "ramp", "tuned", "optimise", "warm-start", "recursive"]
LONG = 600  # gates, above which one seed of the transpiler must do
MOST_CORE = 20  # spins of a core


@dataclass(frozen=True)
class QuantumOptions:
    """What a user may choose. layers: p. angles: how they are found (`angle_choice`); None: optimised where an engine
    serves, the best of some ramps to 24 qubits, else a ramp. cvar: the share of lowest samples whose mean is lowered,
    None for all. core: spins that recursive QAOA leaves. mixer: "x" over all strings with penalties, "xy" inside
    one-hot groups, "flip" inside independent sets. shots: of a run. given: angles of the user's own, in Trine's
    convention. seeds: of the transpiler. checkpoint: where an optimisation keeps its evaluations; resume: go on.
    """

    layers: int = 1
    angles: AnglesBy | None = None
    cvar: float | None = None
    core: int | None = None
    mixer: MixerName = "x"
    shots: int = 1000
    seed: int = 0
    seeds: int = 5
    given: Angles | None = None
    checkpoint: Path | None = None
    resume: bool = False

    def check(self) -> None:
        """Raise InputError naming every option out of range."""
        problems = []
        if not 1 <= self.layers <= 1000:
            problems.append(f"{self.layers} layers: give 1 to 1000")
        if not 1 <= self.shots <= 10_000_000:
            problems.append(f"{self.shots} shots: give 1 to 10,000,000")
        if not 1 <= self.seeds <= 100:
            problems.append(f"{self.seeds} seeds of the transpiler: give 1 to 100")
        if self.cvar is not None and not 0 < self.cvar <= 1:
            problems.append(f"cvar {self.cvar:g}: give a share of the samples above 0, up to 1")
        if self.core is not None and not 1 <= self.core <= MOST_CORE:
            problems.append(f"core {self.core}: give 1 to {MOST_CORE} qubits")
        for name, value, known in (
            ("angles", self.angles or "ramp", get_args(AnglesBy)),
            ("mixer", self.mixer, get_args(MixerName)),
        ):
            if value not in known:
                problems.append(f"{name} {value!r} is unknown: {nearest(value, known)}")
        if self.core is not None and self.angles != "recursive":
            problems.append("--core is what --angles recursive leaves; give both or none")
        if self.given is not None and self.given.layers != self.layers:
            problems.append(f"angles for {self.given.layers} layers given, {self.layers} layers asked for")
        if problems:
            raise InputError("; ".join(problems))


@dataclass(frozen=True)
class Program:
    """A problem on its way to a device; what is not there yet is None."""

    stated: Stated
    encoding: Encoding | None = None
    exact: Exact | None = field(default=None, repr=False)
    ansatz: Ansatz = field(default_factory=Ansatz)
    angles: Angles | None = None
    circuit: Circuit | None = None
    transpiled: Transpiled | None = None
    expectation: float | None = None
    plan: Plan | None = None
    stored: Circuit | None = None  # the device's circuit as a deployment holds it
    core: int | None = None  # qubits that recursive QAOA was asked to leave

    @property
    def device_circuit(self) -> Circuit | None:
        """On the used qubits only."""
        return self.transpiled.compact() if self.transpiled is not None else self.stored

    @property
    def encoded(self) -> Encoding:
        """The encoding. Raises InputError before its pass."""
        if self.encoding is None:
            raise InputError("the problem has not been encoded yet")
        return self.encoding

    def engine(self, layers: int) -> StateEngine | DepthOneEngine:
        """The engine that computes what the circuit does. Raises InputError with the memory it would need."""
        return self.ansatz.engine(self.encoded, layers)


def encode(program: Program, options: QuantumOptions) -> Program:
    """Problem -> polynomial of bits, and its optimum where that can be had."""
    encoding = program.stated.problem.encode(program.stated.instance)
    reason = mixer_obstacle(options.mixer, encoding.feasible, program.stated.problem.name)
    if reason:
        raise InputError(f"{reason}; use --mixer x")
    exact = program.stated.problem.exact(program.stated.instance)
    return replace(program, encoding=encoding, exact=exact, ansatz=Ansatz(options.mixer))


def core_size(program: Program, qubits: int) -> int | None:
    """Qubits of the circuit where recursive QAOA was asked for: as given, else 8, or half of a small problem's."""
    if program.core is None:
        return None
    return program.core or min(8, max(1, qubits // 2))


def build(program: Program, options: QuantumOptions) -> Program:
    """Angles -> a bound circuit."""
    from trine.quantum.circuits.qaoa import angle_values

    assert program.angles is not None
    free = program.ansatz.circuit(program.encoded, options.layers)
    return replace(program, circuit=free.bind(angle_values(program.angles)))


def route(program: Program, device: QuantumDevice, options: QuantumOptions) -> Program:
    """The circuit in the device's gates on its qubits."""
    from trine.quantum.circuits.transpile import transpile

    assert program.circuit is not None
    seeds = options.seeds if len(program.circuit.gates) <= LONG else 1
    return replace(program, transpiled=transpile(program.circuit, device, tuple(range(seeds))))
