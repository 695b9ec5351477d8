"""What a pillar offers the one pipeline of `deploy`: a flat list of passes, and how to emit and prove the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trine.compilers.estimate import Estimate
from trine.compilers.examples import Examples
from trine.compilers.graph import Graph, Shape
from trine.compilers.report import Artifact, Fit, Parity, PassReceipt
from trine.compilers.source import load_source
from trine.devices import Device

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """A progress listener that says nothing."""


@dataclass(frozen=True)
class Job:
    """One request to compile: the model file, the device, calibration examples, where to, and the target's options."""

    source: Path
    device: Device
    out: Path
    data: Path | None = None
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    options: Any = None
    progress: Progress = silent


@dataclass(frozen=True)
class Pass:
    """A step of the pipeline, named by its verb: (program, job, examples) -> (program, receipt).

    The receipt is None where the job does not ask for the step.
    """

    name: str
    apply: Callable[[Any, Job, Examples | None], tuple[Any, PassReceipt | None]]


@dataclass(frozen=True)
class Proof:
    """What running the emitted artifacts showed.

    accuracy: {"source": ..., "deployed": ...} when the examples carry labels. missing: costs that nobody can state.
    budget: what was chosen under limits and why, where there were any.
    """

    parity: Sequence[Parity]
    fit: Sequence[Fit]
    cost: Sequence[Estimate]
    missing: Mapping[str, str] = field(default_factory=dict)
    accuracy: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    budget: Mapping[str, Any] | None = None


class NetworkTarget:
    """What the pillars that compile networks have in common."""

    def load(self, job: Job) -> Graph:
        """The network of an ONNX or .pt2 file. Raises InputError as the readers do."""
        return load_source(job.source, job.shapes)

    def size(self, loaded: Graph) -> Mapping[str, Any]:
        """Multiply-accumulates of one inference and stored weights."""
        return {"macs": loaded.macs(), "parameters": loaded.parameters()}


class Target(Protocol):
    """One pillar's way from what a file holds to artifacts on a device."""

    name: str
    passes: Sequence[Pass]
    needs_data: bool

    def load(self, job: Job) -> Any:
        """What the job's source file holds. Raises InputError."""

    def obstacles(self, loaded: Any, device: Device) -> list[str]:
        """Every reason why it cannot be compiled for the device, each naming a node or a limit."""

    def size(self, loaded: Any) -> Mapping[str, Any]:
        """Its size, for the record: `macs` and `parameters` of a network."""

    def emit(self, program: Any, job: Job, folder: Path) -> list[Artifact]:
        """Write the artifacts."""

    def prove(self, program: Any, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Run the artifacts against the program's definition; size and cost them."""

    def remedies(self, program: Any, job: Job, fit: Sequence[Fit]) -> list[str]:
        """Three changes that would make a program fit that does not."""
