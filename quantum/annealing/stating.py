"""What is said of a problem on an annealer: receipts, what it takes, what it costs, whether it is worth it."""

from __future__ import annotations

from typing import Any

from trine.compilers.estimate import Estimate, exactly
from trine.compilers.report import Fit
from trine.compilers.target import Job
from trine.devices import QuantumDevice
from trine.quantum.annealing.machines import (
    CONTROL_SOURCE,
    RANGES_SOURCE,
    access_s,
    annealer_of,
    lattice,
)
from trine.quantum.annealing.program import Annealing, machine_of, options_of
from trine.quantum.plan.price import Price, Usage, prices


def of_model(made: Annealing) -> str:
    """Bits and couplings."""
    pairs, degree = made.model, made.program.encoded.polynomial.degree
    couplings = sum(len(s) == 2 for s in pairs.polynomial.terms)
    extra = f", {len(pairs.products)} of them auxiliary (from degree {degree})" if pairs.products else ""
    return f"{pairs.polynomial.variables} bits{extra}, {couplings} couplings"


def of_embedding(made: Annealing) -> str:
    """Chains, ranges, what the machine's errors do to the coefficients."""
    e = made.placed
    return (
        f"{len(e.chains)} chains on {e.qubits} qubits and {len(e.j)} couplers, the longest of {e.longest}, chain "
        f"strength {e.strength:.4g}; scaled by {e.scale:.4g} into the ranges, smallest coefficient {e.smallest:.2g}, "
        f"{e.below} of {e.programmed} below the control error; that blurs a string's cost by about {e.blur:.2g}"
    )


def fits(made: Annealing, device: QuantumDevice) -> tuple[Fit, ...]:
    """Qubits and couplers."""
    graph, how = lattice(annealer_of(device)), f"embedded in {annealer_of(device).words}"
    return (
        Fit("qubits", made.placed.qubits, min(device.qubits, len(graph)), "count", how),
        Fit("couplers", len(made.placed.j), graph.number_of_edges(), "count", how),
    )


def usage(qubits: int, shots: int) -> Usage:
    """One problem as a price list sees it."""
    return Usage(shots, 0, 0, qubits, qubits, access_s(qubits, shots).value / shots)


def costs(made: Annealing, job: Job) -> tuple[list[Estimate], dict[str, str]]:
    """(estimates, what nobody can state)."""
    placed, shots = made.placed, options_of(job).shots
    how = f"minorminer into {annealer_of(machine_of(job)).words}, every qubit working"
    found = [
        exactly("qubits", placed.qubits, "count", "modelled", how),
        exactly("couplers", len(placed.j), "count", "modelled", how),
        exactly("chains", len(placed.chains), "count", "modelled", how),
        exactly("longest_chain", placed.longest, "count", "modelled", how),
        exactly("coefficient_scale", placed.scale, "1", "modelled", RANGES_SOURCE),
        exactly("smallest_coefficient", placed.smallest, "1", "modelled", RANGES_SOURCE),
        exactly("cost_blur", placed.blur, made.program.stated.problem.unit, "modelled", CONTROL_SOURCE),
        access_s(placed.qubits, shots),
    ]
    offered = prices(machine_of(job), usage(placed.qubits, shots))
    price = next((p.estimate for p in offered if p.estimate is not None), None)
    if price is not None:
        return [*found, price], {}
    return found, {
        "price_usd": "; ".join(f"{p.seller}: {p.missing}" for p in offered) or "no seller is known"
    }


def verdict(made: Annealing) -> str:
    """One honest sentence before money is spent."""
    exact = made.program.exact
    if exact is not None and exact.proved:
        return f"not worth it: the optimum is known without a quantum machine ({exact.method})"
    return (
        "nobody can tell before it ran: no model of an annealer says how often it meets the optimum; run it "
        "only beside its baselines"
    )


def planned(made: Annealing, job: Job) -> dict[str, Any]:
    """The object of plan.json."""
    found, missing = costs(made, job)
    offered = prices(machine_of(job), usage(made.placed.qubits, options_of(job).shots))
    return {
        "costs": [e.as_json() for e in found], "missing": missing, "prices": [as_price(p) for p in offered],
        "shots": options_of(job).shots, "verdict": verdict(made), "worth_it": False,
    }  # fmt: skip


def as_price(p: Price) -> dict[str, Any]:
    """A price as plan.json states it."""
    return {
        "seller": p.seller, "currency": p.currency, "price": None if p.estimate is None else p.estimate.value,
        "basis": p.basis or p.missing, "dated": p.dated, "source": "" if p.estimate is None else p.estimate.source,
    }  # fmt: skip


def notes(made: Annealing) -> list[str]:
    """The verdict and what a reader should know beside it."""
    said = [f"verdict: {verdict(made)}"]
    if made.program.exact is not None and made.program.exact.proved:
        said.append(f"the optimum is {made.program.exact.cost:g}: {made.program.exact.method}")
    said.append(
        "the graph is the perfect lattice: a real machine lacks some qubits; trine submit --provider dwave embeds anew"
    )
    return said
