"""`trine simulate` and `trine verify` for quantum deployments: samples beside their baselines, here, for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.deployment import Deployment, check_hashes
from trine.compilers.target import Progress, silent
from trine.devices import QuantumDevice
from trine.devices.errors import AnswerIsNo, InputError
from trine.quantum import baselines, mitigation, noise
from trine.quantum.ansatz import Ansatz
from trine.quantum.baselines import Drawn
from trine.quantum.circuit import Circuit
from trine.quantum.engines.state import StateEngine
from trine.quantum.feasible import IndependentSets, OneHot
from trine.quantum.lowering import Program, QuantumOptions, encode
from trine.quantum.mitigation.zne import folded
from trine.quantum.problem import Exact, read_problem
from trine.quantum.proving import parities
from trine.quantum.results.measures import Measures, lowest, measure, verdict
from trine.quantum.samples import Angles, Samples
from trine.quantum.work import Qaoa, Work, angles_from, circuit_from, polynomial_from

MOST_QUBITS = 26
LANDSCAPE_QUBITS = 16


@dataclass(frozen=True)
class Loaded:
    """What a deployment holds: problem, angles, circuits; shot_s: seconds of one execution on the device."""

    program: Program
    options: QuantumOptions
    shot_s: float | None = None

    @property
    def angles(self) -> Angles:
        """Those of the circuit."""
        assert self.program.angles is not None
        return self.program.angles

    @property
    def device_circuit(self) -> Circuit:
        """In the device's gates, on the used qubits."""
        assert self.program.stored is not None
        return self.program.stored

    @property
    def circuit(self) -> Circuit:
        """The logical circuit."""
        assert self.program.circuit is not None
        return self.program.circuit


def load(deployment: Deployment) -> Loaded:
    """Read a deployment and encode its problem anew."""

    def read(role: str) -> Any:
        return json.loads(deployment.artifact(role).read_text(encoding="utf-8"))

    try:
        angles, stored = read("angles"), read("options")
        options = QuantumOptions(
            len(angles["gammas"]), mixer=angles["mixer"], shots=stored["shots"], seed=stored["seed"]
        )
        program = encode(Program(read_problem(deployment.artifact("problem"))), options)
        program = replace(
            program, ansatz=Ansatz.from_json(angles, program.encoded), angles=angles_from(angles),
            circuit=circuit_from(read("circuit")), expectation=angles["expectation"],
            stored=circuit_from(read("device_circuit")["circuit"]),
        )  # fmt: skip
        return Loaded(program, options, read("device_circuit")["shot_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{deployment.folder}: its files are not Trine's ({error}); compile the problem again"
        ) from None


def work_of(loaded: Loaded, shots: int | None = None, seed: int | None = None) -> Work:
    """What a provider of circuits is sent: the logical circuit, which each provider fits to its machine. An annealer
    is sent the whole problem's polynomial."""
    program, encoded = loaded.program, loaded.program.encoded
    qaoa = Qaoa(program.ansatz.polynomial(encoded), loaded.angles) if program.ansatz.plain else None
    return Work(
        shots or loaded.options.shots, (loaded.circuit,), encoded.polynomial, qaoa,
        loaded.options.seed if seed is None else seed,
    )  # fmt: skip


def ideal_samples(loaded: Loaded, shots: int, seed: int) -> tuple[Samples, str]:
    """Without noise, by the engine. Raises InputError where none can hold the state."""
    program = loaded.program
    states, qubits = program.ansatz.states(program.encoded), program.ansatz.qubits(program.encoded)
    if states > 1 << MOST_QUBITS:
        raise InputError(
            f"{qubits} qubits reach {states:,} strings: a state vector goes to {MOST_QUBITS} qubits; "
            + fewer(program)
        )
    engine = program.engine(loaded.angles.layers)
    if not isinstance(engine, StateEngine):  # one layer has a formula for means; samples need the state
        from trine.quantum.engines.full import FullEngine

        engine = FullEngine(program.ansatz.polynomial(program.encoded))
    drawn = engine.sample(loaded.angles, shots, seed)
    return program.ansatz.whole(drawn), f"no noise, {engine.name}"


def fewer(program: Program) -> str:
    """How a problem too large for a state may be compiled again so that it is not."""
    kinds = {
        OneHot: "--mixer xy reaches feasible strings alone",
        IndependentSets: "--mixer flip reaches feasible ones",
    }
    known = kinds.get(type(program.encoded.feasible), "")
    core = "--angles recursive leaves a core"
    return (
        f"compile again: {known}, {core}"
        if known and program.ansatz.mixer == "x"
        else f"compile again: {core}"
    )


def simulate(
    deployment: Deployment, device: QuantumDevice, shots: int | None = None, seed: int | None = None,
    plots: Path | None = None, endings: Sequence[str] = ("png",), progress: Progress = silent,
    mitigate: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Sample the circuit without and with the device's noise, and every baseline as often.

    Returns the deployment's record with `results`: a sampler's measures each, the best answer in the chemist's words,
    verdicts. plots: folder for pictures, written as `endings`. mitigate: readout, zne; corrects the noisy mean cost.
    Raises InputError for states that do not fit, or a mean that cannot be mitigated for want of noise.
    """
    loaded = load(deployment)
    shots, seed = shots or loaded.options.shots, loaded.options.seed if seed is None else seed
    stated = loaded.program.stated
    missing = dict(deployment.record["missing"])
    drawn: dict[str, Drawn] = {}
    better: dict[str, Any] = {}
    progress("samplers", 0, 3)
    try:
        samples, how = ideal_samples(loaded, shots, seed)
        drawn["qaoa"] = Drawn("qaoa", samples, how)
    except InputError as error:
        missing["qaoa"] = str(error)
    progress("samplers", 1, 3)
    try:
        found, better = noisy(loaded, device, shots, seed, mitigate)
        drawn["qaoa, noisy"] = Drawn("qaoa, noisy", found, f"Aer, median errors of {device.name}")
    except InputError as error:
        if mitigate:
            raise InputError(f"--mitigate {','.join(mitigate)}: {error}") from None
        missing["qaoa, noisy"] = str(error)
    progress("samplers", 2, 3)
    drawn |= baselines.run(stated.problem, stated.instance, shots, seed)
    progress("samplers", 3, 3)
    pictures = {} if plots is None else draw(loaded, drawn, plots, endings)
    return {
        **deployment.record,
        "missing": missing,
        "results": {**judged(loaded.program, drawn, pictures), **better},
    }


def noisy(
    loaded: Loaded, device: QuantumDevice, shots: int, seed: int, mitigate: Sequence[str]
) -> tuple[Samples, dict[str, Any]]:
    """Samples under the device's errors, and {"mitigated": mean cost} where asked for. Raises InputError."""
    model, program = noise.noise_model(device), loaded.program
    circuits, lengths = mitigation.circuits_for(loaded.device_circuit, mitigate)
    found = [
        noise.noisy_samples(folded(circuit, length), model, shots, seed + k)
        for k, (circuit, length) in enumerate(zip(circuits, lengths, strict=True))
    ]
    better = (
        {"mitigated": mitigation.mitigated(found, program.ansatz.measured(program.encoded), mitigate)}
        if mitigate
        else {}
    )
    return program.ansatz.whole(found[0]), better


def judged(
    program: Program, drawn: Mapping[str, Drawn], pictures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Measures of all samplers, best answer, verdicts, plots: the same for simulations and jobs that came back."""
    stated, encoding = program.stated, program.encoded
    exact: Exact | None = program.exact
    rows = {
        name: measure(name, d.method, d.samples, stated.problem, stated.instance, encoding, exact)
        for name, d in drawn.items()
    }
    quantum = [n for n in rows if n not in baselines.all_baselines()]
    rivals = [row for name, row in rows.items() if name not in quantum]
    return {
        "problem": stated.problem.name,
        "unit": stated.problem.unit,
        "optimum": None
        if exact is None
        else {"cost": exact.cost, "method": exact.method, "proved": exact.proved},
        "samplers": [row.as_json() for row in rows.values()],
        "verdicts": {name: verdict(rows[name], rivals) for name in quantum},
        "best": best_answer(program, drawn, rows),
        "plots": dict(pictures or {}),
    }


def best_answer(
    program: Program, drawn: Mapping[str, Drawn], rows: Mapping[str, Measures]
) -> dict[str, Any] | None:
    """The lowest feasible sample of all samplers, in the chemist's words; None where nothing is feasible."""
    known = {name: row.best for name, row in rows.items() if row.best is not None}
    if not known:
        return None
    name = min(known, key=lambda n: known[n])
    stated, polynomial = program.stated, program.encoded.polynomial
    samples = drawn[name].samples
    good = np.array([not stated.problem.violations(stated.instance, row) for row in samples.bits], bool)
    place = lowest(samples, polynomial.energy(samples.bits), good)
    assert place is not None
    bits = samples.bits[place]
    return {
        "sampler": name,
        "cost": known[name],
        "bits": "".join(map(str, bits[::-1])),
        "answer": stated.problem.decode(stated.instance, bits),
    }


def draw(loaded: Loaded, drawn: Mapping[str, Drawn], folder: Path, endings: Sequence[str]) -> dict[str, str]:
    """Write the pictures. Returns their files by name."""
    from trine.quantum.angles.ramp import cost_scale
    from trine.quantum.results import plots as pictures

    program = loaded.program
    folder.mkdir(parents=True, exist_ok=True)
    problem, polynomial = program.stated.problem, program.ansatz.polynomial(program.encoded)
    best = None if program.exact is None else program.exact.cost
    samples = {name: d.samples for name, d in drawn.items() if name != "exact"}
    small = program.ansatz.states(program.encoded) <= 1 << LANDSCAPE_QUBITS
    shown = loaded.angles.layers == 1 and small
    made = {"costs": ", ".join(f"costs.{e}" for e in endings)}
    if shown:
        made["landscape"] = ", ".join(f"landscape.{e}" for e in endings)
    for ending in endings:
        path = folder / f"costs.{ending}"
        pictures.distribution(path, samples, program.encoded.polynomial, best, problem.title, problem.unit)
        if shown:
            path = folder / f"landscape.{ending}"
            engine, scale = program.engine(1), cost_scale(polynomial)
            assert isinstance(engine, StateEngine)
            pictures.landscape(
                path, engine, loaded.angles, scale, f"{problem.title}: one layer", problem.unit
            )
    return made


def verify(deployment: Deployment, device: QuantumDevice) -> dict[str, Any]:
    """Prove a deployment again: hashes, the encoding, circuits against each other.

    Raises AnswerIsNo where anything differs.
    """
    files = check_hashes(deployment)
    loaded = load(deployment)
    stored = json.loads(deployment.artifact("encoding").read_text(encoding="utf-8"))
    if polynomial_from(stored["polynomial"]) != loaded.program.encoded.polynomial:
        raise AnswerIsNo(f"{deployment.folder}: encoding.json is not what this Trine makes of problem.json")
    found = parities(loaded.program)
    if not all(p.ok for p in found):
        wrong = next(p for p in found if not p.ok)
        raise AnswerIsNo(f"parity broken: {wrong.differing} of {wrong.values} values differ; {wrong.against}")
    return {
        "files": files, "reprinted": ["encoding"], "parity": [p.as_json() for p in found],
        "fit": deployment.record["fit"], "warnings": [],
    }  # fmt: skip
