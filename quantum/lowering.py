"""From a stated problem to a device's circuit: encode, angles, circuit, transpile. Pure steps on `Program`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from trine.devices import QuantumDevice
from trine.devices.errors import InputError, nearest
from trine.quantum.circuit import Circuit
from trine.quantum.circuits.transpile import Transpiled
from trine.quantum.engines.state import StateEngine
from trine.quantum.feasible import OneHot
from trine.quantum.plan.plan import Plan
from trine.quantum.polynomial import Polynomial
from trine.quantum.problem import Encoding, Exact, Stated
from trine.quantum.samples import Angles

AnglesBy = Literal["optimise", "tuned", "ramp"]
MixerName = Literal["x", "xy"]
OPTIMISED_QUBITS = 20  # above, a hundred evaluations with gradients take too long on two cores
TUNED_QUBITS = 24  # above, half a dozen evaluations do
EVALUATIONS = 120
STEEPNESS = (
    (0.6, 0.3),
    (1.2, 0.6),
    (2.0, 0.6),
    (3.0, 0.6),
    (0.6, 0.6),
    (2.0, 0.3),
)  # of ramps: gamma's, beta's
TAIL = 0.1  # ramps are chosen by the mean of their best tenth: samples are drawn to find low ones
LONG = 600  # gates, above which one seed of the transpiler must do


@dataclass(frozen=True)
class QuantumOptions:
    """What a user may choose. layers: p. angles: how they are found; None: optimised to 20 qubits, the best of some
    ramps to 24, else a ramp. mixer: "x" over all strings with penalties, "xy" inside one-hot groups. shots: of a run.
    given: angles of the user's own, in Trine's convention. seeds: of the transpiler.
    """

    layers: int = 1
    angles: AnglesBy | None = None
    mixer: MixerName = "x"
    shots: int = 1000
    seed: int = 0
    seeds: int = 5
    given: Angles | None = None

    def check(self) -> None:
        """Raise InputError naming every option out of range."""
        problems = []
        if not 1 <= self.layers <= 1000:
            problems.append(f"{self.layers} layers: give 1 to 1000")
        if not 1 <= self.shots <= 10_000_000:
            problems.append(f"{self.shots} shots: give 1 to 10,000,000")
        if not 1 <= self.seeds <= 100:
            problems.append(f"{self.seeds} seeds of the transpiler: give 1 to 100")
        for name, value, known in (
            ("angles", self.angles or "ramp", get_args(AnglesBy)),
            ("mixer", self.mixer, get_args(MixerName)),
        ):
            if value not in known:
                problems.append(f"{name} {value!r} is unknown: {nearest(value, known)}")
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
    angles: Angles | None = None
    circuit: Circuit | None = None
    transpiled: Transpiled | None = None
    expectation: float | None = None
    plan: Plan | None = None
    stored: Circuit | None = None  # the device's circuit as a deployment holds it

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

    def cost_polynomial(self, mixer: MixerName) -> Polynomial:
        """What the phase separator holds: without the penalties that the mixer makes needless."""
        return self.encoded.inside if mixer == "xy" else self.encoded.polynomial


def encode(program: Program, options: QuantumOptions) -> Program:
    """Problem -> polynomial of bits, and its optimum where that can be had."""
    encoding = program.stated.problem.encode(program.stated.instance)
    if options.mixer == "xy" and not isinstance(encoding.feasible, OneHot):
        raise InputError(
            f"mixer xy keeps one bit of each group, and {program.stated.problem.name} has no such groups; use --mixer x"
        )
    return replace(program, encoding=encoding, exact=program.stated.problem.exact(program.stated.instance))


def find_angles(program: Program, options: QuantumOptions) -> Program:
    """Given, optimised from a ramp, or the ramp itself."""
    from trine.quantum.angles.ramp import cost_scale, linear_ramp

    if options.given is not None:
        return replace(program, angles=options.given)
    scale = cost_scale(program.cost_polynomial(options.mixer))
    by = options.angles or usual(program, options)
    if by == "ramp":
        return replace(program, angles=linear_ramp(options.layers, scale))
    engine = engine_of(program, options)
    ramps = [linear_ramp(options.layers, scale, *steep) for steep in STEEPNESS]
    tails = [engine.cvar(ramp, TAIL) for ramp in ramps]
    best = ramps[tails.index(min(tails))]
    if by == "tuned":
        source = f"{best.source}, the best of {len(ramps)} by the mean of its lowest tenth"
        return with_angles(program, options, replace(best, source=source), engine.expectation(best))
    from trine.quantum.angles.optimise import optimise

    found = optimise(engine, best, evaluations=EVALUATIONS)
    # to 12 digits: sums of threads differ in the last ones, and compiling twice gives the same bytes
    gammas, betas = (
        tuple(float(f"{v:.12g}") for v in half) for half in (found.angles.gammas, found.angles.betas)
    )
    source = f"L-BFGS-B on the exact expectation from the best of {len(ramps)} ramps, {found.evaluations} evaluations"
    return with_angles(program, options, Angles(gammas, betas, source), found.value)


def with_angles(program: Program, options: QuantumOptions, angles: Angles, mean: float) -> Program:
    """Angles with the engine's expectation where the circuit has the same; a ring of exchanges one after another, as
    the circuit makes them, differs from the engine's all at once, so there none is stated."""
    if options.mixer == "xy":
        source = f"{angles.source}, for exchanges all at once; the circuit makes them one after another"
        return replace(program, angles=replace(angles, source=source))
    return replace(program, angles=angles, expectation=float(f"{mean:.12g}"))


def usual(program: Program, options: QuantumOptions) -> AnglesBy:
    """What ends in a minute or so: optimised angles, the best of some ramps, or a ramp."""
    encoding = program.encoded
    states = encoding.feasible.size if options.mixer == "xy" else 1 << encoding.qubits
    if states <= 1 << OPTIMISED_QUBITS:
        return "optimise"
    return "tuned" if states <= 1 << TUNED_QUBITS else "ramp"


def engine_of(program: Program, options: QuantumOptions) -> StateEngine:
    """The engine that simulates what the circuit does. Raises InputError with the memory it would need."""
    if options.mixer == "xy":
        from trine.quantum.engines.subspace import SubspaceEngine

        return SubspaceEngine(program.encoded.inside, program.encoded.feasible, "xy-ring")
    from trine.quantum.engines.full import FullEngine

    return FullEngine(program.encoded.polynomial)


def build(program: Program, options: QuantumOptions) -> Program:
    """Angles -> a bound circuit."""
    from trine.quantum.circuits.qaoa import angle_values, one_hot_circuit, qaoa_circuit

    assert program.angles is not None
    feasible = program.encoded.feasible
    if options.mixer == "xy" and isinstance(feasible, OneHot):
        free = one_hot_circuit(program.encoded.inside, feasible, options.layers)
    else:
        free = qaoa_circuit(program.encoded.polynomial, options.layers)
    return replace(program, circuit=free.bind(angle_values(program.angles)))


def route(program: Program, device: QuantumDevice, options: QuantumOptions) -> Program:
    """The circuit in the device's gates on its qubits."""
    from trine.quantum.circuits.transpile import transpile

    assert program.circuit is not None
    seeds = options.seeds if len(program.circuit.gates) <= LONG else 1
    return replace(program, transpiled=transpile(program.circuit, device, tuple(range(seeds))))
