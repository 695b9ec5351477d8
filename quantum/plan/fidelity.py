"""How much of a circuit survives a machine's noise, before any mitigation."""

from __future__ import annotations

import math

from trine.compilers.estimate import Estimate
from trine.devices import QuantumDevice
from trine.devices.figures import Figure
from trine.quantum.circuits.transpile import Transpiled


def fidelity(device: QuantumDevice, made: Transpiled) -> Estimate | None:
    """Expected fidelity of one execution: gates, readout, and decay while qubits wait.

    value: medians of the gates with the decay; high: the better quartile of the gates without decay, what a product of
    gate errors promises; low: the worse quartile with the decay. Where the device states `errors.layered_two_qubit`
    (error per gate in a full layer, from layer fidelity: McKay et al. 2023, arXiv 2311.05933), that replaces the
    isolated gate's error. None where gate errors are not known.
    """
    two = device.figure("errors.layered_two_qubit") or device.figure("errors.two_qubit")
    if two is None:
        return None
    one, read = device.figure("errors.one_qubit"), device.figure("errors.readout")
    counts = [(two, made.two_qubit_gates), (one, made.one_qubit_gates), (read, len(made.circuit.read))]
    value, low, high = (survival(counts, which) for which in (0, 1, 2))
    kept, decay_source = waiting(device, made)
    sources = "; ".join(dict.fromkeys(f"{f.source} ({f.cls})" for f, _ in counts if f is not None))
    source = f"product of (1 - error) over gates and readout, {decay_source}: {sources}"
    return Estimate(
        "fidelity", value * kept, "1", min(low, value) * kept, max(high, value), "modelled", source
    )


def survival(counts: list[tuple[Figure | None, int]], which: int) -> float:
    """Product of (1 - error)^count at the value (0), the worse end (1) or the better end (2) of each figure."""
    logarithm = 0.0
    for figure, count in counts:
        if figure is not None:
            low, high = figure.si_range
            error = (float(figure.si_value), high, low)[which]
            logarithm += count * math.log1p(-min(error, 1 - 1e-12))
    return math.exp(logarithm)


def waiting(device: QuantumDevice, made: Transpiled) -> tuple[float, str]:
    """(share that survives decay while idle, words for it): exp(-idle time (1/T1 + 1/T2)/2) over the used qubits.

    Idle is what a qubit waits beside its two-qubit layers, whose own errors hold their decay.
    """
    t1, t2, gate = (device.figure(f"times.{k}") for k in ("t1", "t2", "two_qubit_gate"))
    if t1 is None or t2 is None or gate is None or made.duration_s is None:
        return 1.0, "decay while waiting not counted (times unknown)"
    read = device.figure("times.readout")
    whole = made.duration_s - (float(read.si_value) if read is not None else 0.0)
    busy = 2 * made.two_qubit_gates * float(gate.si_value)
    idle = max(0.0, len(made.used) * whole - busy)
    rate = (1 / float(t1.si_value) + 1 / float(t2.si_value)) / 2
    return math.exp(-idle * rate), f"decay over {idle * 1e6:.3g} us of waiting"
