"""How QAOA's angles are chosen: which ways apply to a problem, and what each of them does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from trine.compilers.target import Progress, silent
from trine.devices.errors import InputError
from trine.quantum.angles.fixed import fixed_for
from trine.quantum.angles.optimise import Optimised, optimise
from trine.quantum.angles.ramp import cost_scale, linear_ramp
from trine.quantum.angles.recursive import reduced
from trine.quantum.angles.transfer import transferred
from trine.quantum.angles.warm_start import EPSILON, warm_thetas
from trine.quantum.ansatz import COUNTED, STATE_QUBITS
from trine.quantum.engines import free_memory, full, subspace
from trine.quantum.engines.depth_one import DepthOneEngine
from trine.quantum.engines.full import FullEngine
from trine.quantum.engines.state import StateEngine
from trine.quantum.lowering import AnglesBy, Program, QuantumOptions, core_size
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles

TUNED_QUBITS = 24  # above, half a dozen evaluations take too long on two cores
EVALUATIONS = 120
CORE_EVALUATIONS = 40  # of one elimination of recursive QAOA
STEEPNESS = (
    (0.6, 0.3),
    (1.2, 0.6),
    (2.0, 0.6),
    (3.0, 0.6),
    (0.6, 0.6),
    (2.0, 0.3),
)  # of ramps: gamma's, beta's
TAIL = 0.1  # ramps are chosen by the mean of their best tenth: samples are drawn to find low ones
JUDGED: tuple[AnglesBy, ...] = ("optimise", "tuned", "warm-start")  # ways that look at costs of samples
RESUMED: tuple[AnglesBy, ...] = ("optimise", "warm-start")

Engine = StateEngine | DepthOneEngine


def find_angles(program: Program, options: QuantumOptions, progress: Progress = silent) -> Program:
    """Given, or found as asked. Raises InputError where the way does not apply, naming those that do."""
    if options.given is not None:
        return promised(replace(program, angles=options.given))
    by = options.angles or usual(program, options)
    reason = obstacle(by, program, options)
    if reason:
        free = replace(options, core=None)
        apply = [way for way in WAYS if not obstacle(way, program, free)]
        raise InputError(
            f"--angles {by}: {reason}; what applies here: {', '.join(apply) or 'none of the ways'}"
        )
    return promised(WAYS[by](program, options, progress))


def promised(program: Program) -> Program:
    """With the circuit's mean cost where it takes a second at most."""
    assert program.angles is not None
    layers, ansatz = program.angles.layers, program.ansatz
    quick = ansatz.states(program.encoded) * layers <= 1 << STATE_QUBITS + 3
    if program.expectation is not None or not (quick or ansatz.by_formula(program.encoded, layers)):
        return program
    return stated_mean(program, program.engine(layers), program.angles)


def usual(program: Program, options: QuantumOptions) -> AnglesBy:
    """What ends in a minute or so: optimised angles, the best of some ramps, or a ramp."""
    states = program.ansatz.states(program.encoded)
    mean = options.cvar in (None, 1.0) and program.ansatz.by_formula(program.encoded, options.layers)
    if states <= 1 << STATE_QUBITS or mean:
        return "optimise"
    return "tuned" if states <= 1 << TUNED_QUBITS else "ramp"


def obstacle(by: AnglesBy, program: Program, options: QuantumOptions) -> str:
    """Why angles cannot be found that way; empty where they can."""
    if options.cvar is not None and by not in JUDGED:
        return f"it looks at no samples, --cvar is for {', '.join(JUDGED)}"
    if options.resume and by not in RESUMED:
        return f"it keeps no checkpoint, --resume is for {', '.join(RESUMED)}"
    cost = program.ansatz.polynomial(program.encoded)
    if by in ("fixed", "transfer", "warm-start", "recursive") and options.mixer != "x":
        return f"it belongs to mixer x, not to mixer {options.mixer}"
    if by in ("fixed", "transfer"):
        try:
            (fixed_for if by == "fixed" else transferred)(cost, options.layers)
        except InputError as error:
            return str(error)
    if by in JUDGED:
        return no_engine(by, program, options)
    if by == "recursive":
        return no_core(program, options, cost)
    return ""


def no_engine(by: AnglesBy, program: Program, options: QuantumOptions) -> str:
    """Why nothing here computes costs of the circuit's samples."""
    mean = options.cvar in (None, 1.0) and by != "warm-start"
    if mean and program.ansatz.by_formula(program.encoded, options.layers):
        return ""
    states, qubits = program.ansatz.states(program.encoded), program.ansatz.qubits(program.encoded)
    if options.mixer == "flip" and states > COUNTED:
        return f"it needs a state, and there are more than {COUNTED:,} independent sets"
    whole = program.ansatz.mixer == "x" and by != "warm-start"
    needed = full.memory_bytes(qubits) if whole else subspace.memory_bytes(states)
    if needed <= free_memory():
        return ""
    formula = "" if options.layers == 1 else ", and the formula without one is for --layers 1"
    return (
        f"it needs a state, {states:,} strings would take {needed / 2**30:,.1f} GiB, "
        f"{free_memory() / 2**30:,.1f} GiB are free{formula}"
    )


def no_core(program: Program, options: QuantumOptions, cost: Polynomial) -> str:
    """Why recursive QAOA cannot reach its core."""
    core = core_size(replace(program, core=options.core or 0), cost.variables)
    assert core is not None
    if cost.variables <= core:
        return f"{cost.variables} bits and a core of {core}: nothing is left to fix, give a smaller --core"
    if cost.variables > STATE_QUBITS and (options.layers > 1 or cost.degree > 2):
        return (
            f"its correlations of {cost.variables} bits come from a formula for one layer and products of two bits, "
            f"here are {options.layers} layers and products of {cost.degree}"
        )
    return ""


def by_table(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """Fixed angles of a regular graph."""
    return replace(program, angles=fixed_for(program.ansatz.polynomial(program.encoded), options.layers))


def by_transfer(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """Fixed angles of the nearest regular graph, rescaled."""
    return replace(program, angles=transferred(program.ansatz.polynomial(program.encoded), options.layers))


def by_ramp(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """The linear ramp."""
    scale = cost_scale(program.ansatz.polynomial(program.encoded))
    return replace(program, angles=linear_ramp(options.layers, scale))


def by_tuning(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """The best of some ramps."""
    engine = program.engine(options.layers)
    share = options.cvar or TAIL
    best = best_ramp(engine, program.ansatz.polynomial(program.encoded), options.layers, share)
    what = f"the mean of its lowest {share:.3g} of samples" if isinstance(engine, StateEngine) else "its mean"
    source = f"{best.source}, the best of {len(STEEPNESS)} by {what}"
    return stated_mean(program, engine, replace(best, source=source))


def by_optimising(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """Local optimisation of the mean or of CVaR, from the best ramp."""
    engine, alpha = program.engine(options.layers), options.cvar or 1.0
    start = best_ramp(
        engine, program.ansatz.polynomial(program.encoded), options.layers, options.cvar or TAIL
    )

    def report(k: int, value: float) -> None:
        progress("optimise", min(k, EVALUATIONS), EVALUATIONS)

    path = opened_checkpoint(options)
    found = optimise(engine, start, alpha=alpha, evaluations=EVALUATIONS, checkpoint=path, progress=report)
    return stated_mean(program, engine, rounded(found, objective(alpha), type(engine)))


def by_warm_start(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """Optimised from the problem's greedy answer."""
    stated = program.stated
    bits = [int(b) for b in stated.problem.greedy(stated.instance)]
    cost = stated.problem.cost(stated.instance, np.array(bits, np.uint8))
    thetas = warm_thetas(bits)
    warmed = f"greedy answer of cost {cost:g}, each bit kept with {1 - EPSILON:g}"
    ansatz = replace(program.ansatz, thetas=thetas, warmed=warmed)
    return by_optimising(replace(program, ansatz=ansatz), options, progress)


def by_recursion(program: Program, options: QuantumOptions, progress: Progress) -> Program:
    """Spins fixed one after another down to a core, whose angles are optimised."""
    cost = program.encoded.polynomial
    core = core_size(replace(program, core=options.core or 0), cost.variables)
    assert core is not None
    total, done = cost.variables - core, 0

    def engine_of(left: Polynomial) -> Engine:
        if options.layers == 1 and left.degree <= 2:
            return DepthOneEngine(left)
        return FullEngine(left)

    def angles_of(engine: Engine, left: Polynomial) -> Angles:
        nonlocal done
        progress("recursive", done, total)
        done += 1
        start = best_ramp(engine, left, options.layers, 1.0)
        return optimise(engine, start, evaluations=CORE_EVALUATIONS).angles

    reduction = reduced(cost, engine_of, angles_of, core)
    ansatz = replace(program.ansatz, reduction=reduction)
    return by_optimising(replace(program, ansatz=ansatz), replace(options, checkpoint=None), progress)


Way = Callable[[Program, QuantumOptions, Progress], Program]
WAYS: dict[AnglesBy, Way] = {
    "fixed": by_table, "transfer": by_transfer, "ramp": by_ramp, "tuned": by_tuning, "optimise": by_optimising,
    "warm-start": by_warm_start, "recursive": by_recursion,
}  # fmt: skip


def best_ramp(engine: Engine, cost: Polynomial, layers: int, share: float) -> Angles:
    """The ramp with the lowest mean over a share of the lowest samples; over all where the engine has no state."""
    ramps = [linear_ramp(layers, cost_scale(cost), *steep) for steep in STEEPNESS]
    if isinstance(engine, StateEngine):
        means = [engine.cvar(ramp, share) for ramp in ramps]
    else:
        means = [engine.expectation(ramp) for ramp in ramps]
    return ramps[means.index(min(means))]


def objective(alpha: float) -> str:
    """What was lowered, in words."""
    return "the exact expectation" if alpha == 1.0 else f"CVaR {alpha:g}"


def rounded(found: Optimised, what: str, engine: type) -> Angles:
    """To 12 digits: sums of threads differ in the last ones, and compiling twice gives the same bytes."""
    gammas, betas = (
        tuple(float(f"{v:.12g}") for v in half) for half in (found.angles.gammas, found.angles.betas)
    )
    formula = " (depth-one formula)" if engine is DepthOneEngine else ""
    source = f"L-BFGS-B on {what}{formula} from the best of {len(STEEPNESS)} ramps, {found.evaluations} evaluations"
    return Angles(gammas, betas, source)


def stated_mean(program: Program, engine: Engine, angles: Angles) -> Program:
    """Angles with the circuit's mean cost."""
    return replace(program, angles=angles, expectation=float(f"{engine.expectation(angles):.12g}"))


def opened_checkpoint(options: QuantumOptions) -> Path | None:
    """Where evaluations are kept. Raises InputError for one that was left and is not asked for, or the reverse."""
    path = options.checkpoint
    if path is None:
        return None
    if path.exists() and not options.resume:
        raise InputError(
            f"{path} holds an optimisation that was interrupted: --resume goes on with it; remove it to begin again"
        )
    if options.resume and not path.exists():
        raise InputError(f"--resume: no optimisation was interrupted here, there is no {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
