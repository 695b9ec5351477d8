"""What a run costs at each seller of a device, from the price table of the device's file, with source and date."""

from __future__ import annotations

from dataclasses import dataclass

from trine.compilers.estimate import Estimate
from trine.devices import QuantumDevice
from trine.devices.figures import Figure

IBM_OVERHEAD_S = 2.0  # of each sub-job (IBM Quantum documentation, "minimise job run time")
HQC_BASE = 5.0  # HQC = 5 + C (N1q + 10 N2q + 5 Nm) / 5000 (Microsoft quantum-docs, Quantinuum pricing)


@dataclass(frozen=True)
class Usage:
    """One job as a price list sees it. circuits: sub-jobs; gates and preparations: of each; shot_s: None if unknown."""

    shots: int
    one_qubit_gates: int
    two_qubit_gates: int
    preparations: int
    measurements: int
    shot_s: float | None = None
    circuits: int = 1

    @property
    def executions(self) -> int:
        """Shots of all circuits."""
        return self.shots * self.circuits


@dataclass(frozen=True)
class Price:
    """At one seller. missing: why no sum can be said. currency: as the seller lists it; never converted."""

    seller: str
    estimate: Estimate | None
    currency: str = "USD"
    missing: str = ""
    dated: str = ""
    basis: str = ""


def machine_s(device: QuantumDevice, usage: Usage) -> Estimate | None:
    """Time on the machine: sub-jobs times 2 s, and each execution's delay and circuit; None where times are unknown."""
    delay = device.figure("times.repetition_delay")
    if delay is None or usage.shot_s is None:
        return None
    value = IBM_OVERHEAD_S * usage.circuits + usage.executions * (float(delay.si_value) + usage.shot_s)
    source = f"2 s a sub-job + executions x (delay {delay.value:g} {delay.unit} + circuit): {delay.source}"
    return Estimate("machine_s", value, "s", value, value * 1.5, "modelled", source)


def prices(device: QuantumDevice, usage: Usage) -> list[Price]:
    """Of every seller of the device, cheapest known first."""
    found = [price(device, seller, usage) for seller in device.sellers]
    return sorted(
        found, key=lambda p: (p.estimate is None, p.estimate.value if p.estimate else 0.0, p.seller)
    )


def price(device: QuantumDevice, seller: str, usage: Usage) -> Price:
    """By the rule that the seller's figures imply."""

    def figure(name: str) -> Figure | None:
        return device.figure(f"price.{seller}.{name}")

    task, shot, time = figure("per_task"), figure("per_shot"), figure("per_time")
    one, two, least = (
        figure("per_one_qubit_gate_shot"),
        figure("per_two_qubit_gate_shot"),
        figure("minimum_per_job"),
    )
    if shot is not None:
        base = task.value if task else 0.0
        value = usage.circuits * base + usage.executions * shot.value
        basis = f"{base:g} a task + {shot.value:g} a shot"
        return sum_of(seller, value, [f for f in (task, shot) if f], basis)
    if one is not None and two is not None:
        gates = usage.one_qubit_gates * one.value + usage.two_qubit_gates * two.value
        low = least.value if least else 0.0
        value = usage.circuits * max(low, usage.shots * gates)
        basis = f"gates x shots, at least {low:g} a job"
        return sum_of(seller, value, [one, two, *([least] if least else [])], basis)
    if figure("per_hqc") is not None:
        rate = figure("per_hqc")
        assert rate is not None
        credits = hqc(usage)
        cheapest = None if rate.low is None else credits * rate.low
        return sum_of(
            seller, credits * rate.value, [rate], f"{credits:,.1f} HQC; by subscription only", cheapest
        )
    if time is not None:
        return by_time(device, seller, time, usage)
    return Price(seller, None, missing="no price is known")


def by_time(device: QuantumDevice, seller: str, rate: Figure, usage: Usage) -> Price:
    """Machine time at a rate; without a sub-job's overhead where the seller is not IBM."""
    seconds = machine_s(device, usage)
    if seconds is None and usage.shot_s is not None:
        value = usage.executions * usage.shot_s
        seconds = Estimate(
            "machine_s", value, "s", value, value * 3, "modelled", "executions x circuit, no delays"
        )
    if seconds is None:
        return Price(seller, None, missing="the machine's times are not known, and it is priced by time")
    per_second = float(rate.si_value)
    basis = f"{seconds.value:.3g} s at {rate.value:g} {rate.unit}"
    return sum_of(seller, seconds.value * per_second, [rate], basis, None, seconds.high * per_second)


def hqc(usage: Usage) -> float:
    """Quantinuum's credits of a job."""
    each = usage.one_qubit_gates + 10 * usage.two_qubit_gates + 5 * (usage.preparations + usage.measurements)
    return usage.circuits * (HQC_BASE + usage.shots * each / 5000)


def sum_of(
    seller: str,
    value: float,
    figures: list[Figure],
    basis: str,
    low: float | None = None,
    high: float | None = None,
) -> Price:
    """A price with its sources and the oldest date among them."""
    currency = figures[0].unit.partition("/")[0]
    dated = min((f.observed_on for f in figures if f.observed_on), default="undated")
    source = "; ".join(
        dict.fromkeys(f"{f.source} ({f.cls}, seen {f.observed_on or 'undated'})" for f in figures)
    )
    estimate = Estimate(
        f"price_{currency.lower()}", value, currency, min(low or value, value), max(high or value, value),
        "modelled", f"{basis}: {source}",
    )  # fmt: skip
    return Price(seller, estimate, currency, dated=dated, basis=basis)
