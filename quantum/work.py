"""`Work`: what a provider runs, and `Outcome`: what came back. Both keep every bit when written and read again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.circuit import Angle, Circuit, Gate
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Angles, Samples


@dataclass(frozen=True)
class Qaoa:
    """What a circuit was made from, so that an engine may run it without gates."""

    polynomial: Polynomial
    angles: Angles


@dataclass(frozen=True)
class Work:
    """Bound circuits for gate machines, or a polynomial for annealers; `shots` of each.

    qaoa: where all circuits but calibrations are QAOA's. options: the provider's own, JSON. scales: for each circuit,
    how many times longer it is folded once it is in the machine's gates (zero-noise extrapolation); none: 1.
    Raises InputError for nothing to run, free angles, or shots below one.
    """

    shots: int
    circuits: tuple[Circuit, ...] = ()
    polynomial: Polynomial | None = None
    qaoa: Qaoa | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.shots < 1:
            problems.append(f"{self.shots} shots: give at least 1")
        if not self.circuits and self.polynomial is None:
            problems.append("no circuit and no polynomial: nothing to run")
        for k, circuit in enumerate(self.circuits):
            if circuit.parameters:
                problems.append(f"circuit {k} has free angles: {', '.join(circuit.parameters[:5])}")
        if self.scales and len(self.scales) != len(self.circuits):
            problems.append(f"{len(self.scales)} lengths for {len(self.circuits)} circuits")
        if problems:
            raise InputError("; ".join(problems))

    def scale(self, number: int) -> float:
        """Length of a circuit's folding."""
        return self.scales[number] if self.scales else 1.0

    @property
    def qubits(self) -> int:
        """Of the widest circuit, or the polynomial's variables."""
        widths = [c.qubits for c in self.circuits]
        return max(widths) if widths else self.polynomial.variables if self.polynomial else 0

    def as_json(self) -> dict[str, Any]:
        """An object that `from_json` reads back equal."""
        return {
            "shots": self.shots,
            "circuits": [circuit_json(c) for c in self.circuits],
            "polynomial": None if self.polynomial is None else polynomial_json(self.polynomial),
            "qaoa": None
            if self.qaoa is None
            else {"polynomial": polynomial_json(self.qaoa.polynomial), "angles": self.qaoa.angles.as_json()},
            "seed": self.seed,
            "options": dict(self.options),
            "scales": list(self.scales),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Work:
        """From `as_json`."""
        qaoa = data["qaoa"]
        return Work(
            data["shots"],
            tuple(circuit_from(c) for c in data["circuits"]),
            None if data["polynomial"] is None else polynomial_from(data["polynomial"]),
            None if qaoa is None else Qaoa(polynomial_from(qaoa["polynomial"]), angles_from(qaoa["angles"])),
            data["seed"],
            data["options"],
            tuple(data["scales"]),
        )

    def text(self) -> str:
        """The same text for equal work."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    def sha256(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.text().encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """Samples of each circuit in order; metadata: layout, versions, calibration time; usage: what it took."""

    samples: tuple[Samples, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """An object that `from_json` reads back equal."""
        return {
            "samples": [
                {
                    "qubits": int(s.bits.shape[1]),
                    "bits": base64.b64encode(np.packbits(s.bits).tobytes()).decode(),
                    "counts": s.counts.tolist(),
                }
                for s in self.samples
            ],
            "metadata": dict(self.metadata),
            "usage": dict(self.usage),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Outcome:
        """From `as_json`."""
        found = []
        for entry in data["samples"]:
            shape = (len(entry["counts"]), entry["qubits"])
            packed = np.frombuffer(base64.b64decode(entry["bits"]), np.uint8)
            bits = np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape)
            found.append(Samples(bits, np.array(entry["counts"], np.int64)))
        return Outcome(tuple(found), data["metadata"], data["usage"])


def circuit_json(circuit: Circuit) -> dict[str, Any]:
    """Gates as [name, qubits, angles]; a free angle is [offset, parameter, scale]."""

    def angle(a: Angle) -> Any:
        return a.offset if a.parameter is None else [a.offset, a.parameter, a.scale]

    return {
        "qubits": circuit.qubits,
        "gates": [[g.name, list(g.qubits), [angle(a) for a in g.angles]] for g in circuit.gates],
        "global_phase": circuit.global_phase,
        "measured": None if circuit.measured is None else list(circuit.measured),
    }


def circuit_from(data: Mapping[str, Any]) -> Circuit:
    """From `circuit_json`."""

    def angle(a: Any) -> Angle:
        return Angle(*a) if isinstance(a, list) else Angle(a)

    gates = tuple(
        Gate(name, tuple(qubits), tuple(map(angle, angles))) for name, qubits, angles in data["gates"]
    )
    measured = None if data["measured"] is None else tuple(data["measured"])
    return Circuit(data["qubits"], gates, data["global_phase"], measured)


def polynomial_json(polynomial: Polynomial) -> dict[str, Any]:
    """Terms as [indices, coefficient]."""
    return {"variables": polynomial.variables, "terms": [[list(s), v] for s, v in polynomial.terms.items()]}


def polynomial_from(data: Mapping[str, Any]) -> Polynomial:
    """From `polynomial_json`."""
    return Polynomial(data["variables"], {tuple(s): v for s, v in data["terms"]})


def angles_from(data: Mapping[str, Any]) -> Angles:
    """From `Angles.as_json`. Raises InputError for another convention."""
    from trine.quantum.samples import CONVENTION

    if data.get("convention") != CONVENTION:
        raise InputError(f"angles in the convention {data.get('convention')!r}; Trine's is {CONVENTION!r}")
    return Angles(tuple(data["gammas"]), tuple(data["betas"]), data.get("source", ""))
