"""Molecules: the command that finds a ground state, and the one that states a molecule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from trine.devices.errors import InputError
from trine.options import Json
from trine.presenting import print_json


def register(app: typer.Typer) -> None:
    """Add the command `vqe`."""
    app.command("vqe")(vqe)


def vqe(
    source: Annotated[
        Path, typer.Argument(help="A molecule: .json of trine formulate, .xyz, .fcidump, .hdf5.")
    ],
    ansatz: Annotated[str, typer.Option(help="uccsd, k-upccgsd, adapt or hardware-efficient.")] = "uccsd",
    mapping: Annotated[
        str | None,
        typer.Option(help="jordan-wigner, parity, parity-reduced or tapered; fewest qubits by default."),
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Of k-upccgsd and hardware-efficient.", min=1)] = None,
    precision: Annotated[
        float, typer.Option(help="Hartree, for the number of shots (chemical accuracy).")
    ] = 1.6e-3,
    device: Annotated[str | None, typer.Option(help="Plan and price the measurement on this device.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File that keeps every evaluation, to go on from.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lowest energy of a molecule by a variational circuit, beside Hartree-Fock and exact diagonalisation."""
    from trine.devices import QuantumDevice, load_device
    from trine.quantum.molecules.run import run_molecule

    machine = None if device is None else load_device(device)
    if machine is not None and not isinstance(machine, QuantumDevice):
        raise InputError(f"{machine.name} is a {machine.kind} device; trine vqe plans for quantum ones")
    given: dict[str, Any] = {} if layers is None else {"layers": layers}
    found = run_molecule(
        source, ansatz, mapping=mapping, precision=precision, device=machine, checkpoint=checkpoint, **given
    )
    if as_json:
        print_json(found)
    else:
        print(as_text(found))


def as_text(found: dict[str, Any]) -> str:
    """Energies, what measuring them takes, the verdict."""
    energies, measured = found["vqe"], found["measurement"]
    energy = energies["energy_hartree"]
    lines = [f"energy {energy:.9f} Ha by {energies['ansatz']}, {energies['evaluations']} evaluations"]
    for key, name in (("reference_hartree", "Hartree-Fock"), ("fci_hartree", "exact (FCI)")):
        if energies.get(key) is not None:
            lines.append(f"{name} {energies[key]:.9f} Ha: {1e3 * (energy - energies[key]):+.4f} mHa from it")
    lines.append(
        f"measured on {measured['qubits']} qubits ({measured['mapping']}), {measured['terms']} Pauli strings, "
        f"{measured['two_qubit_gates']} two-qubit gates"
    )
    lines.append(found["verdict"])
    if "plan" in found:
        lines.append(f"plan: {found['plan']['verdict']}")
    return "\n".join(lines)


def state(out: Path, as_json: bool, **given: Any) -> None:
    """Write a molecule file, and say what it holds."""
    from trine.quantum.molecules.molecule import write_molecule
    from trine.quantum.molecules.run import summary
    from trine.quantum.molecules.stating import state_molecule

    made = state_molecule(**{name: value for name, value in given.items() if value is not None})
    write_molecule(made, out)
    found = summary(made)
    if as_json:
        print_json(found)
    else:
        print(
            f"{out}: "
            + ", ".join(f"{key} {value}" for key, value in found.items() if not isinstance(value, dict))
        )
