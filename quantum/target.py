"""The quantum target: a stated problem becomes a circuit of the device's gates, with a plan and its price."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trine.compilers.examples import Examples
from trine.compilers.report import Artifact, Fit, PassReceipt
from trine.compilers.target import Job, Pass, Proof
from trine.devices import Device, QuantumDevice
from trine.devices.errors import InputError
from trine.quantum import lowering, receipts
from trine.quantum.angle_choice import find_angles
from trine.quantum.circuits.cutting import hints
from trine.quantum.lowering import Program, QuantumOptions
from trine.quantum.plan.plan import plan
from trine.quantum.problem import read_problem
from trine.quantum.proving import odds, parities
from trine.quantum.work import circuit_json, polynomial_json


def options_of(job: Job) -> QuantumOptions:
    """The job's options, or the defaults; checked."""
    options = job.options if isinstance(job.options, QuantumOptions) else QuantumOptions()
    options.check()
    return options


def machine_of(job: Job) -> QuantumDevice:
    """The job's machine. Raises InputError for a device of another kind."""
    if not isinstance(job.device, QuantumDevice):
        raise InputError(f"{job.device.name} is no quantum machine")
    return job.device


def step(name: str, act: Callable[[Program, Job], Program], say: Callable[[Program], str]) -> Pass:
    """A pass from a pure step and the line of its receipt."""

    def apply(program: Program, job: Job, examples: Examples | None) -> tuple[Program, PassReceipt]:
        job.progress(name, 0, 1)
        made = act(program, job)
        job.progress(name, 1, 1)
        return made, PassReceipt(name, say(made))

    return Pass(name, apply)


def checkpoint_of(job: Job) -> Path:
    """Where an optimisation keeps its evaluations: beside the folder that is to be made."""
    return job.out.with_name(f"{job.out.name}.angles")


def angles_for(program: Program, job: Job) -> Program:
    """Angles as asked for; an optimisation that is interrupted can be resumed."""
    options = replace(options_of(job), checkpoint=checkpoint_of(job))
    return find_angles(program, options, job.progress)


def planned(program: Program, job: Job) -> Program:
    """Resources, fidelity, price, verdict and hints."""
    assert program.transpiled is not None
    assert program.circuit is not None
    device = machine_of(job)
    made = plan(device, program.transpiled, options_of(job).shots, odds(program))
    saving = hints(program.circuit, program.ansatz.measured(program.encoded), device)
    return replace(program, plan=replace(made, hints=saving))


class QuantumTarget:
    """The quantum pillar's `Target` for machines of gates."""

    name = "quantum"
    needs_data = False
    passes: Sequence[Pass] = (
        step("encode", lambda p, job: lowering.encode(p, options_of(job)), receipts.of_encoding),
        step("angles", angles_for, receipts.of_angles),
        step("circuit", lambda p, job: lowering.build(p, options_of(job)), receipts.of_circuit),
        step(
            "transpile", lambda p, job: lowering.route(p, machine_of(job), options_of(job)), receipts.of_route
        ),
        step("plan", planned, receipts.of_plan),
    )

    def load(self, job: Job) -> Program:
        """A problem file. Raises InputError."""
        if job.source.suffix.lower() != ".json":
            raise InputError(
                f"{job.source.name}: {job.device.name} is a quantum machine and takes problem files (.json); "
                "trine problems lists them, trine formulate writes them"
            )
        options = options_of(job)
        core = (options.core or 0) if options.angles == "recursive" else None
        return Program(read_problem(job.source), core=core)

    def size(self, loaded: Program) -> Mapping[str, Any]:
        """The problem's name."""
        return {"problem": loaded.stated.problem.name}

    def obstacles(self, loaded: Program, device: Device) -> list[str]:
        """Too many qubits, or a machine that runs no gates."""
        from trine.quantum.circuits.transpile import basis_of, couplings

        if not isinstance(device, QuantumDevice):
            return [f"{device.name} is no quantum machine"]
        found = []
        bits = loaded.stated.problem.encode(loaded.stated.instance).qubits
        needed = lowering.core_size(loaded, bits) or bits
        if needed > device.qubits:
            found.append(
                f"{needed} qubits needed, {device.name} has {device.qubits}: a larger machine, or a smaller instance"
            )
        if "analog" in device.topology.lower():
            return [*found, analogue(device)]
        for ask in (basis_of, couplings):
            try:
                ask(device)
            except InputError as error:
                found.append(str(error))
        return found

    def emit(self, program: Program, job: Job, folder: Path) -> list[Artifact]:
        """Write problem, encoding, angles, circuits as OpenQASM 3 and as JSON, plan."""
        from trine.quantum.circuits.qasm import qasm3

        made, encoding, options = program.transpiled, program.encoded, options_of(job)
        assert made is not None
        assert program.circuit is not None
        assert program.angles is not None
        encoded = {
            "polynomial": polynomial_json(encoding.polynomial), "inside": polynomial_json(encoding.inside),
            "labels": list(encoding.labels), "penalty": encoding.penalty,
        }  # fmt: skip
        found = {"expectation": program.expectation, "cvar": options.cvar}
        angles = {**program.angles.as_json(), **program.ansatz.as_json(), **found}
        there = {
            "circuit": circuit_json(made.compact()),
            "used": list(made.used),
            "layout": list(made.layout),
            "shot_s": made.duration_s,
        }
        write = {
            "problem.json": ("problem", program.stated.text()),
            "encoding.json": ("encoding", text(encoded)),
            "angles.json": ("angles", text(angles)),
            "circuit.qasm": ("circuit_qasm", qasm3(program.circuit)),
            "circuit.json": ("circuit", text(circuit_json(program.circuit))),
            "device.qasm": ("device_qasm", qasm3(made.circuit)),
            "device.json": ("device_circuit", text(there)),
            "plan.json": ("plan", text(receipts.plan_of(program).as_json())),
            "options.json": ("options", text({"shots": options.shots, "seed": options.seed})),
        }
        for name, (_, content) in write.items():
            (folder / name).write_text(content, encoding="utf-8")
        checkpoint_of(job).unlink(missing_ok=True)
        return [Artifact(name, role) for name, (role, _) in write.items()]

    def prove(self, program: Program, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Energies against plain costs, the circuit against the engine, the device's circuit against the circuit."""
        made, found = program.transpiled, receipts.plan_of(program)
        assert made is not None
        fit = (Fit("qubits", len(made.used), machine_of(job).qubits, "count", "transpiled"),)
        parity = parities(program)
        return Proof(parity, fit, found.costs(), found.missing(), None, receipts.notes(program))

    def remedies(self, program: Program, job: Job, fit: Sequence[Fit]) -> list[str]:
        """A machine with more qubits, or fewer of them."""
        return [
            "a larger machine: trine devices --kind quantum",
            "a smaller instance: fewer contacts, residues or groups",
        ]


def analogue(device: QuantumDevice) -> str:
    """Why an analogue machine is refused, and what takes the same problem."""
    from trine.devices import all_devices
    from trine.quantum.annealing.machines import family_of

    known = [d for d in all_devices("quantum") if isinstance(d, QuantumDevice)]
    gates = [d.name for d in sorted(known, key=lambda d: -d.qubits) if d.native_gates]
    annealers = [d.name for d in known if family_of(d)]
    return (
        f"{device.name} runs no gates ({device.topology}), and Trine writes no programs of pulses and positions; the "
        f"same problem compiles for annealers ({', '.join(annealers)}) and machines of gates ({', '.join(gates[:3])}, "
        "...)"
    )


def text(value: Any) -> str:
    """JSON, the same bytes each time."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


TARGET = QuantumTarget()
