"""`Plan`: everything that is known before a job is sent, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trine.compilers.estimate import Estimate, exactly
from trine.devices import QuantumDevice
from trine.devices.errors import AnswerIsNo
from trine.quantum.circuits.transpile import Transpiled
from trine.quantum.plan.fidelity import fidelity
from trine.quantum.plan.price import Price, Usage, machine_s, prices
from trine.quantum.plan.shots import to_see

WORTH = 2.0  # times better than uniform feasible strings, below which a sample says nothing


@dataclass(frozen=True)
class Odds:
    """Probability of an optimal string in one sample: of the noiseless circuit, of all strings, of feasible ones.

    None where it cannot be computed here. exact: how the optimum is known without a quantum machine, or "".
    """

    ideal: float | None
    uniform: float
    feasible: float | None
    exact: str = ""


@dataclass(frozen=True)
class Plan:
    """Of one circuit on one device. seen: shots to meet the optimum with 99 %, at the expected fidelity. hints: what
    light cones and cuts would save."""

    resources: tuple[Estimate, ...]
    fidelity: Estimate | None
    machine: Estimate | None
    prices: tuple[Price, ...]
    shots: int
    seen: int | None
    verdict: str
    worth: bool
    hints: tuple[str, ...] = ()

    def costs(self) -> list[Estimate]:
        """All estimates for `deployment.json`."""
        found = [*self.resources, *(e for e in (self.fidelity, self.machine) if e is not None)]
        return found + [p.estimate for p in self.prices[:1] if p.estimate is not None]

    def missing(self) -> dict[str, str]:
        """What nobody can state, and why."""
        found = {}
        if self.fidelity is None:
            found["fidelity"] = "the device's gate errors are not known"
        if self.machine is None:
            found["machine_s"] = "the device's repetition delay or gate times are not known"
        if not any(p.estimate for p in self.prices):
            found["price_usd"] = (
                "; ".join(f"{p.seller}: {p.missing}" for p in self.prices) or "no seller is known"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """The object of plan.json."""
        return {
            "costs": [e.as_json() for e in self.costs()],
            "missing": self.missing(),
            "prices": [
                {"seller": p.seller, "currency": p.currency, "price": None if p.estimate is None else p.estimate.value,
                 "basis": p.basis or p.missing, "dated": p.dated,
                 "source": "" if p.estimate is None else p.estimate.source}
                for p in self.prices
            ],
            "shots": self.shots,
            "shots_to_see_the_optimum": self.seen,
            "verdict": self.verdict,
            "worth_it": self.worth,
            "hints": list(self.hints),
        }  # fmt: skip


def plan(device: QuantumDevice, made: Transpiled, shots: int, odds: Odds, circuits: int = 1) -> Plan:
    """Resources, fidelity, machine time, prices and verdict of `circuits` circuits like this one."""
    how = f"qiskit's transpiler, level 3, best of several seeds, {made.topology}"
    resources = (
        exactly("qubits", len(made.used), "count", "modelled", how),
        exactly("two_qubit_gates", made.two_qubit_gates, "count", "modelled", how),
        exactly(
            "one_qubit_gates",
            made.one_qubit_gates,
            "count",
            "modelled",
            f"{how}; virtual z rotations not counted",
        ),
        exactly("depth", made.depth, "count", "modelled", how),
        exactly("two_qubit_depth", made.two_qubit_depth, "count", "modelled", how),
    )
    read = len(made.circuit.read)
    usage = Usage(shots, made.one_qubit_gates, made.two_qubit_gates, read, read, made.duration_s, circuits)
    kept = fidelity(device, made)
    chance = noisy_chance(odds, kept)
    verdict, worth = judge(odds, chance, kept, shots)
    return Plan(
        resources, kept, machine_s(device, usage), tuple(prices(device, usage)), shots,
        None if chance is None else to_see(chance), verdict, worth,
    )  # fmt: skip


def noisy_chance(odds: Odds, kept: Estimate | None) -> float | None:
    """Probability of the optimum in one noisy sample: the surviving share ideal, the rest uniform over all strings."""
    if odds.ideal is None or kept is None:
        return None
    return kept.value * odds.ideal + (1 - kept.value) * odds.uniform


def judge(odds: Odds, chance: float | None, kept: Estimate | None, shots: int) -> tuple[str, bool]:
    """(verdict in words, whether it is worth money)."""
    if odds.exact:
        return f"not worth it: the optimum is known without a quantum machine ({odds.exact})", False
    if kept is not None and kept.value < 0.01:
        return f"not worth it: a fidelity of {kept.value:.1g} leaves noise only", False
    if chance is None:
        return (
            "nobody can tell: the circuit is too large to simulate here; run it only beside its baselines",
            False,
        )
    if odds.feasible is not None and chance < WORTH * odds.feasible:
        return (
            f"not worth it: no better than random, {chance:.2g} a sample against {odds.feasible:.2g} for a random "
            "feasible string",
            False,
        )
    needed = to_see(chance)
    if needed is None or needed > shots:
        return f"too few shots: {needed:,} would be needed to meet the optimum, {shots:,} are planned", False
    return (
        f"may be worth it: {chance:.2g} a sample at the expected fidelity; compare with the baselines",
        True,
    )


def enforce(
    limit: float | None, found: tuple[Price, ...] | list[Price], seller: str | None = None
) -> Price | None:
    """The price at a seller, or the cheapest. Raises AnswerIsNo where it is above the limit or cannot be said while a
    limit is set."""
    known = [p for p in found if seller in (None, p.seller)]
    chosen = next((p for p in known if p.estimate is not None), None)
    if limit is None:
        return chosen
    if chosen is None or chosen.estimate is None:
        why = "; ".join(p.missing for p in known) or "no seller is known"
        raise AnswerIsNo(f"--max-cost {limit:g}: the price cannot be said ({why}); nothing was sent")
    if chosen.currency != "USD":
        raise AnswerIsNo(
            f"--max-cost {limit:g}: {chosen.seller} asks {chosen.estimate.value:,.2f} {chosen.currency}, which is not "
            "converted; nothing was sent"
        )
    if chosen.estimate.high > limit:
        raise AnswerIsNo(
            f"--max-cost {limit:g} USD: {chosen.seller} would take up to {chosen.estimate.high:,.2f} USD "
            f"({chosen.basis}); nothing was sent. Fewer shots, another seller, or a higher limit"
        )
    return chosen
