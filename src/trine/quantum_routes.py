"""What the command line's options mean for quantum machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.devices import QuantumDevice
from trine.devices.errors import InputError
from trine.options import Choices

if TYPE_CHECKING:
    from trine.compilers.deployment import Deployment
    from trine.compilers.target import Progress
    from trine.quantum.lowering import QuantumOptions


def options_of(choices: Choices) -> QuantumOptions:
    """Those of a compilation. Raises InputError where one is out of range."""
    from trine.quantum.lowering import QuantumOptions

    options = QuantumOptions(**choices.given("layers", "angles", "mixer", "shots", "seed"))
    options.check()
    return options


def check(source: Path, device: QuantumDevice) -> tuple[bool, str, Mapping[str, Any]]:
    """Whether a problem fits the machine: (answer, text, object for --json). Raises InputError with all obstacles."""
    from trine.compilers.target import Job
    from trine.quantum.target import TARGET

    program = TARGET.load(Job(source, device, Path()))
    obstacles = TARGET.obstacles(program, device)
    if obstacles:
        raise InputError(f"{source.name} cannot be compiled for {device.name}:\n  " + "\n  ".join(obstacles))
    problem, encoding = program.stated.problem, program.stated.problem.encode(program.stated.instance)
    pairs = sum(len(s) == 2 for s in encoding.polynomial.terms)
    found = {
        "problem": problem.name, "device": device.name, "ok": True, "degree": encoding.polynomial.degree,
        "terms": len(encoding.polynomial.terms),
        "fit": [{"limit": "qubits", "used": encoding.qubits, "available": device.qubits, "ok": True, "unit": "count",
                 "how": "before routing"}],
    }  # fmt: skip
    text = (
        f"{source.name} for {device.name}: fits\n  {problem.title}: {encoding.qubits} of {device.qubits} qubits, "
        f"{len(encoding.polynomial.terms)} terms ({pairs} pairs), degree {encoding.polynomial.degree}\n"
        "  what it costs there: trine compile"
    )
    return True, text, found


def simulate(
    deployment: Deployment, device: QuantumDevice, data: Path | None, choices: Choices, progress: Progress
) -> Mapping[str, Any]:
    """Sample the circuit here, beside its baselines."""
    from trine.quantum import simulate as quantum

    if data is not None:
        raise InputError(f"--data {data.name}: a quantum deployment holds its problem; leave it out")
    if choices.plot_format is not None and choices.plots is None:
        raise InputError("--plot-format says what --plots DIR writes; give --plots too")
    given = choices.given("shots", "seed", "plots")
    return quantum.simulate(deployment, device, endings=choices.endings, progress=progress, **given)


def verify(deployment: Deployment, device: QuantumDevice) -> Mapping[str, Any]:
    """Prove it again."""
    from trine.quantum import simulate as quantum

    return quantum.verify(deployment, device)
