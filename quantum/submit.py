"""`trine submit` and `trine jobs`: check, price, write the row, send, and judge what comes back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.compilers.deployment import Deployment, check_hashes, open_deployment
from trine.compilers.target import Progress, silent
from trine.devices import QuantumDevice
from trine.devices.errors import AnswerIsNo, InputError
from trine.quantum import baselines, jobs, mitigation
from trine.quantum.annealing import run as annealing
from trine.quantum.annealing.stating import usage as annealing_usage
from trine.quantum.baselines import Drawn
from trine.quantum.ledger import Job, Ledger
from trine.quantum.mitigation import circuits_for
from trine.quantum.plan.plan import enforce
from trine.quantum.plan.price import Price, Usage, prices
from trine.quantum.providers import Provider, provider_named
from trine.quantum.simulate import Loaded, judged, load, work_of
from trine.quantum.work import Work

SELLERS = {"ibm": "ibm", "braket": "braket", "dwave": "leap"}  # provider -> seller in a device's price table


@dataclass(frozen=True)
class Request:
    """What a user asks of a provider. max_cost: USD. repeat: another number runs the same work once more."""

    provider: str
    shots: int | None = None
    seed: int | None = None
    max_cost: float | None = None
    repeat: int = 0
    wait: bool = False
    limit_s: float | None = None
    mitigate: tuple[str, ...] = ()


def submit(
    deployment: Deployment,
    device: QuantumDevice,
    request: Request,
    ledger: Ledger,
    progress: Progress = silent,
) -> Job:
    """The job, sent (and followed to its end where `wait`).

    Raises InputError for work that the provider cannot run or missing credentials, AnswerIsNo above the budget; in both
    cases nothing was sent and no row is left that would be.
    """
    check_hashes(deployment)
    loaded = loaded_from(deployment)
    provider, _ = provider_named(request.provider)
    work = work_for(loaded, provider, request)
    price = priced(device, provider, loaded, work, request.max_cost)
    connection = jobs.connect(request.provider)
    obstacles = connection.obstacles(work)
    if obstacles:
        raise InputError(
            f"{request.provider} cannot run {deployment.folder.name}:\n  " + "\n  ".join(obstacles)
        )
    paid = None if price is None or price.estimate is None else price.estimate.value
    name = str(deployment.folder.resolve())
    job = ledger.prepare(work, request.provider, device.name, name, paid, request.repeat)
    job = jobs.advance(ledger, job, connection)
    return jobs.wait(ledger, [job], request.limit_s, progress)[0] if request.wait else job


def loaded_from(deployment: Deployment) -> Loaded | annealing.Loaded:
    """What a deployment for gates or for an annealer holds."""
    return annealing.load(deployment) if annealing.holds(deployment) else load(deployment)


def work_for(loaded: Loaded | annealing.Loaded, provider: Provider, request: Request) -> Work:
    """Circuits, or the polynomial for annealers. Raises InputError where a deployment has none for the provider."""
    if isinstance(loaded, annealing.Loaded):
        if provider.runs == "circuit":
            raise InputError(
                f"{provider.name} runs circuits, this was compiled for an annealer: submit it to dwave, dwave-local or "
                "dwave-mock, or compile it for a machine of gates"
            )
        if request.mitigate:
            raise InputError(f"--mitigate corrects circuits; {provider.name} takes a polynomial")
        return loaded.work(request.shots, request.seed)
    work = work_of(loaded, request.shots, request.seed)
    if provider.runs == "polynomial":
        if request.mitigate:
            raise InputError(f"--mitigate corrects circuits; {provider.name} takes a polynomial")
        return Work(work.shots, (), work.polynomial, None, work.seed)
    circuits, scales = circuits_for(loaded.circuit, request.mitigate)
    kept = {"mitigate": list(request.mitigate)} if request.mitigate else {}
    return Work(work.shots, circuits, None, work.qaoa, work.seed, kept, scales if request.mitigate else ())


def priced(
    device: QuantumDevice,
    provider: Provider,
    loaded: Loaded | annealing.Loaded,
    work: Work,
    limit: float | None,
) -> Price | None:
    """The price at the provider's seller. Raises AnswerIsNo above the limit; None for what costs nothing."""
    if not provider.remote:
        return None
    if isinstance(loaded, annealing.Loaded):
        asked = annealing_usage(loaded.made.placed.qubits, work.shots)
        return enforce(limit, prices(device, asked), SELLERS.get(provider.name))
    circuit = loaded.device_circuit
    width = len(circuit.read)
    counts = [len(g.qubits) for g in circuit.gates if g.name not in ("rz", "p")]
    usage = Usage(work.shots, counts.count(1), counts.count(2), width, width, loaded.shot_s, overhead(work))
    return enforce(limit, prices(device, usage), SELLERS.get(provider.name))


def overhead(work: Work) -> int:
    """Circuits as the price list sees them: a folded one counts by its length, rounded up."""
    return sum(math.ceil(work.scale(k)) for k in range(len(work.circuits))) or 1


def results(ledger: Ledger, job: Job) -> dict[str, Any]:
    """The job, its history and, where it is done and its deployment is still there, its samples beside the baselines.

    Raises InputError as the ledger does.
    """
    found: dict[str, Any] = {
        **job.as_json(),
        "history": [{"time": t, "state": s, "note": n} for t, s, n in ledger.history(job)],
    }
    if job.state != "done":
        return found
    outcome = ledger.outcome(job)
    found |= {"metadata": dict(outcome.metadata), "usage": dict(outcome.usage)}
    folder = Path(job.name)
    if not (folder / "deployment.json").is_file():
        return {**found, "samples": [s.strings() for s in outcome.samples]}
    try:
        deployment = open_deployment(folder)
        check_hashes(deployment)
    except AnswerIsNo as error:
        return {**found, "samples": [s.strings() for s in outcome.samples], "note": str(error)}
    loaded = loaded_from(deployment)
    stated = loaded.program.stated
    name = "qaoa" if provider_named(job.provider)[0].runs == "circuit" else "annealer"
    program, samples = loaded.program, outcome.samples[0]
    if isinstance(loaded, annealing.Loaded):
        samples = loaded.whole(samples)
    elif name == "qaoa":
        samples = program.ansatz.whole(samples)
    drawn = {name: Drawn(name, samples, job.provider)}
    drawn |= baselines.run(stated.problem, stated.instance, samples.shots, loaded.options.seed)
    answer = {**found, "results": judged(program, drawn)}
    kinds = mitigation.chosen(",".join(ledger.work(job).options.get("mitigate", ())))
    if kinds:
        answer["mitigated"] = mitigation.mitigated(
            outcome.samples, program.ansatz.measured(program.encoded), kinds
        )
    return answer


def follow(
    ledger: Ledger, chosen: Sequence[Job], limit_s: float | None, progress: Progress = silent
) -> list[Job]:
    """Jobs followed to their ends, or until the time is up."""
    return jobs.wait(ledger, chosen, limit_s, progress)
