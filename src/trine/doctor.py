"""`trine doctor`: every optional part, whether it is there, its version, what it is for, how to get it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

PACKAGES = (  # distribution, extra ("" = base; its own name = none), what for
    ("numpy", "", "every program's definition"),
    ("onnx", "", "reading and writing models"),
    ("onnxruntime", "", "running the int8 ONNX"),
    ("onnxscript", "", "normalising models before lowering"),
    ("torch", "torch", "reading torch modules and .pt2 files; training the examples"),
    ("ziglang", "verify", "compiling the C for emulated cores"),
    ("unicorn", "verify", "emulated Cortex-M0 to M33 and RV32IMC, exact instruction counts"),
    ("pyelftools", "verify", "flash and RAM from the linked program"),
    ("capstone", "verify", "checking that no instruction is beyond the core"),
    ("wfdb", "data", "downloading MIT-BIH records"),
    ("neurokit2", "data", "a synthetic ECG where no recording can be had"),
    ("numba", "neuromorphic", "the event-driven engine of spiking nets; quantum statevectors"),
    ("snntorch", "neuromorphic", "the real-valued simulator of spiking nets; fine-tuning"),
    ("nir", "neuromorphic", "reading and writing NIR files"),
    ("matplotlib", "neuromorphic", "pictures: trine simulate --plots"),
    ("qiskit", "quantum", "circuits, transpiling, OpenQASM"),
    ("qiskit-aer", "quantum", "noisy simulation of circuits"),
    ("pennylane", "quantum", "a second circuit simulator"),
    ("pennylane-lightning", "quantum", "its fast statevector"),
    ("rdkit", "chemistry", "molecules of the drug-discovery problems"),
    ("openfermion", "openfermion", "molecular Hamiltonians"),
    ("pyscf", "pyscf", "integrals of molecules"),
    ("dimod", "quantum", "QUBO and Ising models"),
    ("dwave-samplers", "quantum", "simulated annealing, tabu, tree decomposition"),
    ("qiskit-ibm-runtime", "cloud", "submitting to IBM Quantum"),
    ("amazon-braket-sdk", "braket", "submitting to Amazon Braket"),
    ("dask", "campaign", "jobs on several machines"),
)
PROGRAMS = (  # program, apt package, what for
    ("cc", "gcc", "running the emitted C on this machine (ziglang serves as well)"),
    ("arm-none-eabi-gcc", "gcc-arm-none-eabi", "a second compiler for the emulated cores"),
    ("qemu-system-arm", "qemu-system-arm", "whole-board boot, Cortex-M55 with Helium"),
)


@dataclass(frozen=True)
class Part:
    """One optional part; version None when it is absent; get: the command that brings it."""

    name: str
    version: str | None
    purpose: str
    get: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, and whether it is there."""
        return {**asdict(self), "present": self.version is not None}


def examine() -> list[Part]:
    """Look for every part; imports none of them. Starts the interpreters of the side environments."""
    parts = []
    for name, extra, purpose in PACKAGES:
        try:
            version: str | None = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = None
        get = extra if extra == name else f"'trine[{extra}]'" if extra else "trine"
        parts.append(Part(name, version, purpose, f"pip install {get}"))
    parts += environments()
    for name, package, purpose in PROGRAMS:
        path = shutil.which(name)
        parts.append(Part(name, path, purpose, f"apt-get install {package}"))
    return parts


def environments() -> list[Part]:
    """Simulators that live in environments of their own; starts each once."""
    from trine.neuromorphic.backends import lava_environment, sanafe_environment

    found = []
    for name, says, purpose, get in (
        ("lava-nc", lava_environment.doctor(), "an oracle of the spiking engine", "trine lava setup"),
        (
            "sanafe",
            sanafe_environment.doctor(),
            "an outside oracle of spikes and joules (GPL-3)",
            sanafe_environment.INSTALL,
        ),
    ):
        version = f"{says.get('lava') or says.get('version')} in {says.get('python')}" if says["ok"] else None
        found.append(Part(f"{name} (own environment)", version, purpose, get))
    return found


def show(parts: Sequence[Part]) -> None:
    """The table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("part", "version or place", "needed for", "how to get it"):
        table.add_column(column, overflow="fold")
    for part in parts:
        table.add_row(
            part.name,
            part.version or "[bold]absent[/bold]",
            part.purpose,
            "" if part.version else escape(part.get),
        )
    Console().print(table)
