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
    """A step of the pipeline, named by its verb: (program, job, examples) -> (program, receipt)."""

    name: str
    apply: Callable[[Any, Job, Examples | None], tuple[Any, PassReceipt]]


@dataclass(frozen=True)
class Proof:
    """What running the emitted artifacts showed.

    accuracy: {"source": ..., "deployed": ...} when the examples carry labels. missing: costs that nobody can state.
    """

    parity: Sequence[Parity]
    fit: Sequence[Fit]
    cost: Sequence[Estimate]
    missing: Mapping[str, str] = field(default_factory=dict)
    accuracy: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()


class Target(Protocol):
    """One pillar's way from a `Graph` to artifacts on a device."""

    name: str
    passes: Sequence[Pass]
    needs_data: bool

    def obstacles(self, graph: Graph, device: Device) -> list[str]:
        """Every reason why the graph cannot be compiled for the device, each naming a node or a limit."""

    def emit(self, program: Any, job: Job, folder: Path) -> list[Artifact]:
        """Write the artifacts."""

    def prove(self, program: Any, job: Job, examples: Examples | None, folder: Path) -> Proof:
        """Run the artifacts against the program's definition; size and cost them."""

    def remedies(self, program: Any, job: Job, fit: Sequence[Fit]) -> list[str]:
        """Three changes that would make a program fit that does not."""
