"""The target for annealers: a stated problem becomes an Ising model on the machine's qubits, with a plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trine.compilers.examples import Examples
from trine.compilers.report import Artifact, Fit, PassReceipt
from trine.compilers.target import Job, Pass, Proof
from trine.devices import Device, QuantumDevice
from trine.devices.errors import InputError
from trine.quantum import receipts
from trine.quantum.annealing.embedding import as_json, embed
from trine.quantum.annealing.machines import annealer_of, lattice
from trine.quantum.annealing.model import in_pairs
from trine.quantum.annealing.program import (
    Annealing,
    AnnealingOptions,
    encode,
    machine_of,
    options_of,
    parities,
    place,
    reduce_degree,
)
from trine.quantum.annealing.stating import costs, fits, notes, of_embedding, of_model, planned
from trine.quantum.baselines.ocean import model_of
from trine.quantum.lowering import Program
from trine.quantum.problem import read_problem
from trine.quantum.work import polynomial_json


def step(name: str, act: Callable[[Annealing, Job], Annealing], say: Callable[[Annealing], str]) -> Pass:
    """A pass from a pure step and the line of its receipt."""

    def apply(made: Annealing, job: Job, examples: Examples | None) -> tuple[Annealing, PassReceipt]:
        job.progress(name, 0, 1)
        found = act(made, job)
        job.progress(name, 1, 1)
        return found, PassReceipt(name, say(found))

    return Pass(name, apply)


class AnnealingTarget:
    """The quantum pillar's `Target` for annealers."""

    name = "annealing"
    needs_data = False
    passes: Sequence[Pass] = (
        step("encode", encode, lambda made: receipts.of_encoding(made.program)),
        step("pairs", reduce_degree, of_model),
        step("embed", place, of_embedding),
    )

    def load(self, job: Job) -> Annealing:
        """A problem file. Raises InputError."""
        if job.source.suffix.lower() != ".json":
            raise InputError(
                f"{job.source.name}: {job.device.name} is an annealer and takes problem files (.json); "
                "trine problems lists them, trine formulate writes them"
            )
        return Annealing(Program(read_problem(job.source)))

    def size(self, loaded: Annealing) -> Mapping[str, Any]:
        """The problem's name."""
        return {"problem": loaded.program.stated.problem.name}

    def obstacles(self, loaded: Annealing, device: Device) -> list[str]:
        """More bits than qubits, or no embedding."""
        if not isinstance(device, QuantumDevice):
            return [f"{device.name} is no quantum machine"]
        stated = loaded.program.stated
        model = in_pairs(stated.problem.encode(stated.instance).polynomial).polynomial
        there = min(device.qubits, len(lattice(annealer_of(device))))
        if model.variables > there:
            return [
                f"{model.variables} bits after products of three and more were taken apart, {device.name} has {there} "
                "qubits, and a bit takes one or more: a smaller instance, or trine submit --provider dwave-local"
            ]
        try:
            found = embed(model, annealer_of(device), AnnealingOptions().seed)
        except InputError as error:
            return [str(error)]
        if found.qubits > there:
            return [
                f"the embedding takes {found.qubits} qubits, {device.name} has {there}: a smaller instance"
            ]
        return []

    def emit(self, made: Annealing, job: Job, folder: Path) -> list[Artifact]:
        """Write problem, encoding, model (dimod's form), chains, the machine's coefficients, plan."""
        encoding, pairs, placed, options = made.program.encoded, made.model, made.placed, options_of(job)
        machine = annealer_of(machine_of(job))
        encoded = {
            "polynomial": polynomial_json(encoding.polynomial), "pairs": polynomial_json(pairs.polynomial),
            "products": [list(p) for p in pairs.products], "labels": list(encoding.labels),
            "penalty": encoding.penalty,
        }  # fmt: skip
        chains = {
            "chains": {str(v): list(chain) for v, chain in placed.chains.items()},
            "chain_strength": placed.strength, "family": machine.family, "size": machine.size,
            "graph": f"{machine.words}, every qubit and coupler working",
        }  # fmt: skip
        write = {
            "problem.json": ("problem", made.program.stated.text()),
            "encoding.json": ("encoding", text(encoded)),
            "bqm.json": ("bqm", text(model_of(pairs.polynomial)[0].to_serializable())),
            "embedding.json": ("embedding", text(chains)),
            "ising.json": ("ising", text(as_json(placed))),
            "plan.json": ("plan", text(planned(made, job))),
            "options.json": ("options", text({"shots": options.shots, "seed": options.seed})),
        }
        for name, (_, content) in write.items():
            (folder / name).write_text(content, encoding="utf-8")
        return [Artifact(name, role) for name, (role, _) in write.items()]

    def prove(self, made: Annealing, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Energies against plain costs, the machine's coefficients against the energies."""
        fit = fits(made, machine_of(job))
        cost, missing = costs(made, job)
        return Proof(parities(made), fit, cost, missing, None, notes(made))

    def remedies(self, made: Annealing, job: Job, fit: Sequence[Fit]) -> list[str]:
        """A machine with more qubits, or fewer of them."""
        return [
            "a larger machine: trine devices --kind quantum",
            "a smaller instance: fewer contacts, residues or groups",
            "no machine at all: trine submit --provider dwave-local",
        ]


def text(value: Any) -> str:
    """JSON, the same bytes each time."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


TARGET = AnnealingTarget()
