"""What one task of a campaign does, in whatever process: run the work, measure its samples beside the baselines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.problem import Stated, problem_named
from trine.quantum.samples import Samples
from trine.quantum.work import Outcome, Qaoa, Work


def work_for(stated: Stated, runs: str, shots: int, layers: int, seed: int) -> Work:
    """QAOA with the angles of a linear ramp, which need no search, so that a row's key is known before any work.

    runs: "circuit" or "polynomial". The instance's hash goes into the options, so that two instances of equal
    polynomials stay two jobs.
    """
    from trine.quantum.angles.ramp import cost_scale, linear_ramp
    from trine.quantum.circuits.qaoa import angle_values, qaoa_circuit

    polynomial = stated.problem.encode(stated.instance).polynomial
    options = {"instance": hashlib.sha256(stated.text().encode()).hexdigest()}
    if runs == "polynomial":
        return Work(shots, (), polynomial, None, seed, options)
    angles = linear_ramp(layers, cost_scale(polynomial))
    circuit = qaoa_circuit(polynomial, layers).bind(angle_values(angles))
    return Work(shots, (circuit,), None, Qaoa(polynomial, angles), seed, options)


def compute(stated: Mapping[str, Any], work: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """Run and judge: {"outcome": Outcome.as_json with the row under metadata.campaign}, {"error": why this one cannot
    be had}, or {"abort": why none can: the worker lacks a package}.

    Everything is drawn with the work's seed: another worker computes the same again.
    """
    from trine.quantum.jobs import connect
    from trine.quantum.providers import JobFailed

    given = Work.from_json(work)
    try:
        outcome = connect(provider).fetch("", given)
        row = judged(stated, outcome.samples[0], given)
    except MissingExtra as error:
        return {"abort": f"a worker: {error}"}
    except (InputError, JobFailed, ArithmeticError, MemoryError, ValueError) as error:
        return {"error": str(error) or type(error).__name__}
    return {
        "outcome": Outcome(outcome.samples, {**outcome.metadata, "campaign": row}, outcome.usage).as_json()
    }


def judge(stated: Mapping[str, Any], work: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The row of results that came from a machine elsewhere."""
    return judged(stated, Outcome.from_json(outcome).samples[0], Work.from_json(work))


def judged(data: Mapping[str, Any], samples: Samples, work: Work) -> dict[str, Any]:
    """Best cost and answer, ratio, verdict: the same measures as of a single job."""
    import numpy as np

    from trine.quantum import baselines
    from trine.quantum.results.measures import lowest, measure, verdict

    problem = problem_named(data["problem"])
    instance = problem.parse(data["instance"])
    encoding, exact = problem.encode(instance), problem.exact(instance)
    mine = measure("qaoa" if work.circuits else "annealer", "", samples, problem, instance, encoding, exact)
    drawn = baselines.run(problem, instance, work.shots, work.seed)
    rivals = [measure(n, d.method, d.samples, problem, instance, encoding, exact) for n, d in drawn.items()]
    good = np.array([not problem.violations(instance, bits) for bits in samples.bits], bool)
    place = lowest(samples, encoding.polynomial.energy(samples.bits), good)
    return {
        "qubits": encoding.qubits,
        "best": mine.best,
        "mean": mine.mean,
        "feasible": mine.feasible,
        "optimum": None if exact is None else exact.cost,
        "ratio": mine.ratio,
        "chance": mine.optimum,
        "verdict": verdict(mine, rivals),
        "answer": None if place is None else problem.decode(instance, samples.bits[place]),
    }
