"""`trine simulate` and `trine verify` for annealers: the embedded problem sampled by simulated annealing here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.compilers.deployment import Deployment, check_hashes
from trine.compilers.target import Progress, silent
from trine.devices import QuantumDevice
from trine.devices.errors import AnswerIsNo, InputError, MissingExtra
from trine.quantum import baselines, lowering
from trine.quantum.annealing.embedding import Embedded, as_json, programmed
from trine.quantum.annealing.machines import Annealer
from trine.quantum.annealing.model import in_pairs
from trine.quantum.annealing.program import Annealing, AnnealingOptions, parities
from trine.quantum.baselines import Drawn
from trine.quantum.baselines.ocean import samples_of
from trine.quantum.lowering import Program, QuantumOptions
from trine.quantum.problem import read_problem
from trine.quantum.samples import Samples
from trine.quantum.simulate import judged
from trine.quantum.work import Work

SWEEPS = 1000  # dwave-samplers' default
UPDATES = 1_000_000_000  # spins looked at, some twenty seconds; more means fewer sweeps


@dataclass(frozen=True)
class Loaded:
    """What a deployment holds."""

    made: Annealing
    options: AnnealingOptions

    @property
    def program(self) -> Program:
        """The problem, encoded."""
        return self.made.program

    def work(self, shots: int | None = None, seed: int | None = None) -> Work:
        """What a provider of annealers is sent: pairs, auxiliary bits included; each embeds them for its machine."""
        given = self.options.seed if seed is None else seed
        return Work(shots or self.options.shots, (), self.made.model.polynomial, None, given)

    def whole(self, samples: Samples) -> Samples:
        """Samples of the model's bits as samples of the problem's: the auxiliary ones are dropped."""
        bits = samples.bits[:, : self.program.encoded.qubits]
        return Samples.of(np.repeat(bits, samples.counts, axis=0))


def holds(deployment: Deployment) -> bool:
    """Whether a deployment was made for an annealer."""
    return deployment.record.get("target") == "annealing"


def load(deployment: Deployment) -> Loaded:
    """Read a deployment, encode its problem anew, and put it on the stored chains."""

    def read(role: str) -> Any:
        return json.loads(deployment.artifact(role).read_text(encoding="utf-8"))

    program = lowering.encode(Program(read_problem(deployment.artifact("problem"))), QuantumOptions())
    pairs = in_pairs(program.encoded.polynomial)
    try:
        placed, stored = read("embedding"), read("options")
        chains = {int(v): tuple(map(int, chain)) for v, chain in placed["chains"].items()}
        options = AnnealingOptions(stored["shots"], stored["seed"])
        annealer = Annealer(placed["family"], placed["size"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{deployment.folder}: its files are not Trine's ({error}); compile the problem again"
        ) from None
    embedded = programmed(pairs.polynomial, chains, annealer)
    return Loaded(Annealing(program, pairs, embedded), options)


def annealed(embedded: Embedded, bits: int, shots: int, seed: int) -> tuple[Samples, float, str]:
    """(samples of the first `bits` bits, share of broken chains, how): the programmed coefficients annealed by
    dwave-samplers; a broken chain takes its majority's side. Raises MissingExtra.
    """
    try:
        import dimod
        from dwave.embedding import chain_break_frequency, unembed_sampleset
        from dwave.samplers import SimulatedAnnealingSampler
    except ImportError:
        raise MissingExtra("dwave-system", "cloud", "sampling an embedded problem") from None
    sweeps = max(10, min(SWEEPS, UPDATES // max(1, shots * embedded.qubits)))
    model = dimod.BinaryQuadraticModel(dict(embedded.h), dict(embedded.j), embedded.offset, "SPIN")
    raw = SimulatedAnnealingSampler().sample(model, num_reads=shots, num_sweeps=sweeps, seed=seed % (1 << 31))
    chains = {v: list(chain) for v, chain in embedded.chains.items()}
    logical = dimod.BinaryQuadraticModel(dict.fromkeys(chains, 0.0), {}, 0.0, "SPIN")
    found = unembed_sampleset(raw, chains, logical).change_vartype("BINARY", inplace=False)
    broken = list(chain_break_frequency(raw, chains).values())
    share = float(np.mean(broken)) if broken else 0.0
    how = f"{sweeps:,} sweeps on {embedded.qubits} qubits, {share:.1%} of chains broken"
    return samples_of(found, bits), share, how


def simulate(
    deployment: Deployment, device: QuantumDevice, shots: int | None = None, seed: int | None = None,
    plots: Path | None = None, endings: Sequence[str] = ("png",), progress: Progress = silent,
    mitigate: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """The embedded problem by simulated annealing, beside every baseline as often.

    Returns the deployment's record with `results`, as of a circuit. No quantum effects: what is simulated are
    the machine's graph, chains and ranges. Raises InputError for mitigation, which is for circuits.
    """
    if mitigate:
        raise InputError(
            f"--mitigate {','.join(mitigate)}: it corrects circuits, {device.name} is an annealer"
        )
    loaded = load(deployment)
    shots, seed = shots or loaded.options.shots, loaded.options.seed if seed is None else seed
    program = loaded.program
    progress("samplers", 0, 2)
    samples, share, how = annealed(loaded.made.placed, program.encoded.qubits, shots, seed)
    drawn = {"annealer": Drawn("annealer", samples, f"dwave-samplers, {how}")}
    progress("samplers", 1, 2)
    drawn |= baselines.run(program.stated.problem, program.stated.instance, shots, seed)
    progress("samplers", 2, 2)
    pictures = {} if plots is None else draw(program, drawn, plots, endings)
    results = {**judged(program, drawn, pictures), "chain_break_fraction": share}
    return {**deployment.record, "results": results}


def draw(program: Program, drawn: dict[str, Drawn], folder: Path, endings: Sequence[str]) -> dict[str, str]:
    """Write how the samples' costs are distributed. Returns the files by name."""
    from trine.quantum.results import plots as pictures

    folder.mkdir(parents=True, exist_ok=True)
    samples = {name: d.samples for name, d in drawn.items() if name != "exact"}
    best, problem = None if program.exact is None else program.exact.cost, program.stated.problem
    for ending in endings:
        path = folder / f"costs.{ending}"
        pictures.distribution(path, samples, program.encoded.polynomial, best, problem.title, problem.unit)
    return {"costs": ", ".join(f"costs.{e}" for e in endings)}


def verify(deployment: Deployment, device: QuantumDevice) -> dict[str, Any]:
    """Prove a deployment again: hashes, chains that embed the problem, coefficients, energies.

    Raises AnswerIsNo where anything differs.
    """
    files = check_hashes(deployment)
    loaded = load(deployment)
    stored = json.loads(deployment.artifact("ising").read_text(encoding="utf-8"))
    if stored != json.loads(json.dumps(as_json(loaded.made.placed))):
        raise AnswerIsNo(f"{deployment.folder}: ising.json is not what this Trine makes of problem.json")
    found = parities(loaded.made)
    if not all(p.ok for p in found):
        wrong = next(p for p in found if not p.ok)
        raise AnswerIsNo(f"parity broken: {wrong.differing} of {wrong.values} values differ; {wrong.against}")
    return {
        "files": files, "reprinted": ["ising"], "parity": [p.as_json() for p in found],
        "fit": deployment.record["fit"], "warnings": [],
    }  # fmt: skip
