"""Noise mitigation of mean costs: readout correction and zero-noise extrapolation. Samples stay as measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.devices.errors import InputError, nearest
from trine.quantum.circuit import Circuit
from trine.quantum.mitigation.readout import calibration, corrected_mean, flips_of, raw_mean
from trine.quantum.mitigation.zne import SCALES, extrapolate
from trine.quantum.polynomial import Polynomial
from trine.quantum.samples import Samples

KINDS = ("readout", "zne")


def chosen(text: str | None) -> tuple[str, ...]:
    """From `readout,zne`. Raises InputError for another name."""
    kinds = tuple(dict.fromkeys(filter(None, (text or "").split(","))))
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"mitigation {kind!r} is unknown: {nearest(kind, KINDS)}")
    return kinds


def circuits_for(circuit: Circuit, kinds: Sequence[str]) -> tuple[tuple[Circuit, ...], tuple[float, ...]]:
    """(circuits, lengths by which each is folded on the machine): the circuit itself first, calibrations last."""
    scales = SCALES if "zne" in kinds else (1.0,)
    made = [circuit] * len(scales)
    if "readout" in kinds:
        made += calibration(circuit.qubits, circuit.read)
    return tuple(made), (*scales, *([1.0] * (len(made) - len(scales))))


def mitigated(samples: Sequence[Samples], polynomial: Polynomial, kinds: Sequence[str]) -> dict[str, Any]:
    """Mean cost as measured and mitigated, each with its standard error, from the answers to `circuits_for`."""
    runs = len(SCALES) if "zne" in kinds else 1
    raw = raw_mean(samples[0], polynomial)
    means = [raw_mean(s, polynomial) for s in samples[:runs]]
    if "readout" in kinds:
        flips = flips_of(samples[runs], samples[runs + 1])
        means = [corrected_mean(s, polynomial, flips) for s in samples[:runs]]
    value, error = means[0].value, means[0].error
    if "zne" in kinds:
        drawn = extrapolate(SCALES, means)
        value, error = drawn.value, drawn.error
    return {
        "kinds": list(kinds), "mean_raw": raw.value, "mean_raw_error": raw.error, "mean": value, "mean_error": error,
        "circuits": len(samples), "scales": list(SCALES[:runs]),
    }  # fmt: skip
