"""What the command line's options mean for quantum machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trine.devices import QuantumDevice
from trine.devices.errors import InputError
from trine.options import Choices, spelled

if TYPE_CHECKING:
    from trine.compilers.deployment import Deployment
    from trine.compilers.target import Progress, Target
    from trine.quantum.annealing.program import AnnealingOptions
    from trine.quantum.lowering import QuantumOptions
    from trine.quantum.problem import Encoding


CIRCUITS_ONLY = ("layers", "angles", "cvar", "core", "resume", "mixer", "mitigate")


def target_of(device: QuantumDevice) -> Target:
    """The target for machines of gates, or for annealers."""
    from trine.quantum.annealing.machines import family_of

    if family_of(device):
        from trine.quantum.annealing.target import TARGET as ANNEALERS

        return ANNEALERS
    from trine.quantum.target import TARGET as CIRCUITS

    return CIRCUITS


def options_of(choices: Choices, device: QuantumDevice) -> QuantumOptions | AnnealingOptions:
    """Those of a compilation. Raises InputError where one is out of range, or means nothing for the machine."""
    from trine.quantum.annealing.machines import family_of

    if family_of(device):
        from trine.quantum.annealing.program import AnnealingOptions

        wrong = [spelled(name) for name in choices.given(*CIRCUITS_ONLY)]
        if wrong:
            raise InputError(
                f"{', '.join(wrong)}: for circuits, {device.name} is an annealer; leave it out, or take a machine of "
                "gates"
            )
        annealing = AnnealingOptions(**choices.given("shots", "seed"))
        annealing.check()
        return annealing
    from trine.quantum.lowering import QuantumOptions

    options = QuantumOptions(
        **choices.given("layers", "angles", "cvar", "core", "resume", "mixer", "shots", "seed")
    )
    options.check()
    return options


def check(source: Path, device: QuantumDevice) -> tuple[bool, str, Mapping[str, Any]]:
    """Whether a problem fits the machine: (answer, text, object for --json). Raises InputError with all obstacles."""
    from trine.compilers.target import Job
    from trine.quantum.problem import read_problem

    target = target_of(device)
    loaded = target.load(Job(source, device, Path()))
    obstacles = target.obstacles(loaded, device)
    if obstacles:
        raise InputError(f"{source.name} cannot be compiled for {device.name}:\n  " + "\n  ".join(obstacles))
    stated = read_problem(source)
    problem, encoding = stated.problem, stated.problem.encode(stated.instance)
    used, how = encoding.qubits, "before routing"
    if target.name == "annealing":
        used, how = embedded_qubits(encoding, device), "embedded"
    pairs = sum(len(s) == 2 for s in encoding.polynomial.terms)
    found = {
        "problem": problem.name, "device": device.name, "ok": True, "degree": encoding.polynomial.degree,
        "terms": len(encoding.polynomial.terms),
        "fit": [{"limit": "qubits", "used": used, "available": device.qubits, "ok": True, "unit": "count",
                 "how": how}],
    }  # fmt: skip
    text = (
        f"{source.name} for {device.name}: fits\n  {problem.title}: {used} of {device.qubits} qubits {how}, "
        f"{len(encoding.polynomial.terms)} terms ({pairs} pairs), degree {encoding.polynomial.degree}\n"
        "  what it costs there: trine compile"
    )
    return True, text, found


def embedded_qubits(encoding: Encoding, device: QuantumDevice) -> int:
    """Qubits of all chains. Raises InputError where no embedding is found."""
    from trine.quantum.annealing.embedding import embed
    from trine.quantum.annealing.machines import annealer_of
    from trine.quantum.annealing.model import in_pairs

    return embed(in_pairs(encoding.polynomial).polynomial, annealer_of(device), 0).qubits


def simulate(
    deployment: Deployment, device: QuantumDevice, data: Path | None, choices: Choices, progress: Progress
) -> Mapping[str, Any]:
    """Sample the circuit here, beside its baselines."""
    from trine.quantum.mitigation import chosen

    if data is not None:
        raise InputError(f"--data {data.name}: a quantum deployment holds its problem; leave it out")
    if choices.plot_format is not None and choices.plots is None:
        raise InputError("--plot-format says what --plots DIR writes; give --plots too")
    given = choices.given("shots", "seed", "plots") | {"mitigate": chosen(choices.mitigate)}
    found: Mapping[str, Any] = runner(deployment).simulate(
        deployment, device, endings=choices.endings, progress=progress, **given
    )
    return found


def verify(deployment: Deployment, device: QuantumDevice) -> Mapping[str, Any]:
    """Prove it again."""
    found: Mapping[str, Any] = runner(deployment).verify(deployment, device)
    return found


def runner(deployment: Deployment) -> Any:
    """The module that runs and verifies a deployment: circuits, or an annealer's."""
    from trine.quantum import simulate as circuits
    from trine.quantum.annealing import run as annealing

    return annealing if annealing.holds(deployment) else circuits
