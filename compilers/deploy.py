"""The one pipeline: load -> lower by passes -> emit -> run the artifacts and compare -> does it fit -> `Deployment`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trine.compilers.deployment import Deployment, new_folder, refuse_target, write_record
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph
from trine.compilers.ml_models import gaps_of
from trine.compilers.report import Artifact, Fit, Parity, PassReceipt
from trine.compilers.source import sha256
from trine.compilers.target import Job, Proof, Target
from trine.devices.errors import AnswerIsNo, InputError


class DoesNotFit(AnswerIsNo):
    """The program is larger than the device; `fit` has the numbers, `remedies` what would help."""

    def __init__(self, device: str, fit: Sequence[Fit], remedies: Sequence[str]) -> None:
        self.fit, self.remedies = fit, remedies
        lines = [
            f"{f.limit}: {f.used:,} {f.unit} used, {f.available:,} {f.unit} there"
            for f in fit
            if not f.ok and f.available is not None
        ]
        advice = "".join(f"\n  {i}. {text}" for i, text in enumerate(remedies, 1))
        super().__init__(
            f"does not fit {device}: " + "; ".join(lines) + f"\nany of these would make it fit:{advice}"
        )


class ParityBroken(AnswerIsNo):
    """An artifact computes something else than the program it was made from."""

    def __init__(self, parity: Sequence[Parity]) -> None:
        lines = [
            f"{p.against}: {p.differing} of {p.values} values differ, by up to {p.max_abs_diff}"
            for p in parity
            if not p.ok
        ]
        super().__init__(
            "parity broken, nothing written:\n  "
            + "\n  ".join(lines)
            + "\nthis is a defect of Trine: report it"
        )


def deploy(job: Job, target: Target) -> Deployment:
    """Compile one model for one device into the folder `job.out`.

    Raises InputError for bad input of any kind, DoesNotFit, ParityBroken; in each case nothing is written.
    """
    refuse_target(job.out)
    loaded = target.load(job)
    refuse(loaded, job, target)
    examples = open_examples(loaded, job, target)
    program: Any = loaded
    receipts: list[PassReceipt] = []
    for step in target.passes:
        program, receipt = step.apply(program, job, examples)
        if receipt is not None:
            receipts.append(receipt)
    with new_folder(job.out) as folder:
        artifacts = [*target.emit(program, job, folder), keep_device(job, folder)]
        proof = target.prove(program, job, examples, folder)
        if not all(fit.ok for fit in proof.fit):
            raise DoesNotFit(job.device.name, proof.fit, target.remedies(program, job, proof.fit))
        if not all(parity.ok for parity in proof.parity):
            raise ParityBroken(proof.parity)
        record = write_record(folder, describe(job, target.size(loaded), target, receipts, proof), artifacts)
    return Deployment(job.out, record)


def keep_device(job: Job, folder: Path) -> Artifact:
    """A copy of the device's record, so that a deployment can be verified against what it was compiled for."""
    name = f"{job.device.name}.toml"
    (folder / name).write_bytes(Path(job.device.path).read_bytes())
    return Artifact(name, "device")


def refuse(loaded: Any, job: Job, target: Target) -> None:
    """Raise InputError with every obstacle the target sees."""
    obstacles = target.obstacles(loaded, job.device)
    if obstacles:
        raise InputError(
            f"{job.source.name} cannot be compiled for {job.device.name}:\n  " + "\n  ".join(obstacles)
        )


def open_examples(loaded: Any, job: Job, target: Target) -> Examples | None:
    """The calibration examples, checked; InputError where the target needs some and none are given, or takes none."""
    if job.data is not None:
        if not isinstance(loaded, Graph):
            raise InputError(f"--data {job.data.name}: {job.source.name} is no network and takes no examples")
        return Examples.open(job.data, loaded.inputs, require_varied=True, gaps=gaps_of(loaded))
    if target.needs_data:
        wanted = ", ".join(f"{t.name} [examples, {', '.join(map(str, t.shape))}]" for t in loaded.inputs)
        raise InputError(
            f"{job.device.name} computes in integers, whose scales come from examples: "
            f"give --data CALIB.npz with {wanted}"
        )
    return None


def describe(
    job: Job, size: Mapping[str, Any], target: Target, receipts: Sequence[PassReceipt], proof: Proof
) -> dict[str, Any]:
    """The record of `deployment.json`, artifacts and digest still to come."""
    from trine import __version__

    calibration = None if job.data is None else {"file": job.data.name, "sha256": sha256(job.data)}
    return {
        "trine_version": __version__,
        "device": job.device.name,
        "target": target.name,
        "source": {"file": job.source.name, "sha256": sha256(job.source), **size},
        "calibration": calibration,
        "passes": [{"name": r.name, "changed": r.changed} for r in receipts],
        "fit": [fit.as_json() for fit in proof.fit],
        "parity": [parity.as_json() for parity in proof.parity],
        "accuracy": proof.accuracy,
        "cost": [estimate.as_json() for estimate in proof.cost],
        "missing": dict(proof.missing),
        "warnings": list(proof.warnings),
        **({"budget": proof.budget} if proof.budget else {}),
    }  # fmt: skip
