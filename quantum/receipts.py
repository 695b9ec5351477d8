"""What each pass says it changed, in one line."""

from __future__ import annotations

from trine.devices.errors import InputError
from trine.quantum.lowering import Program
from trine.quantum.plan.plan import Plan

FIXED_SHOWN = 3  # eliminations that a line shows; angles.json holds all


def of_encoding(program: Program) -> str:
    """Size of the encoding."""
    encoding = program.encoded
    penalty = (
        "no penalty"
        if encoding.penalty is None
        else f"penalty {encoding.penalty:g} ({encoding.penalty_source})"
    )
    best = "" if program.exact is None else f"; optimum {program.exact.cost:g} by {program.exact.method}"
    return (
        f"{encoding.qubits} qubits, {len(encoding.polynomial.terms)} terms of degree {encoding.polynomial.degree}, "
        f"{penalty}{best}"
    )


def of_angles(program: Program) -> str:
    """What was fixed or where the start lies, where the angles come from, what they promise."""
    assert program.angles is not None
    mean = "" if program.expectation is None else f", expected cost {program.expectation:.6g}"
    ansatz = program.ansatz
    warm = f"warm start at {ansatz.warmed}; " if ansatz.warmed else ""
    return f"{of_reduction(program)}{warm}p = {program.angles.layers}: {program.angles.source}{mean}"


def of_reduction(program: Program) -> str:
    """What recursive QAOA fixed; empty without it."""
    reduction = program.ansatz.reduction
    if reduction is None:
        return ""
    shown = ", ".join(
        f"s{s.fixed} = {'-' if s.sign < 0 else '+'}{1 if s.kept is None else f's{s.kept}'} ({s.correlation:.3f})"
        for s in reduction.steps[:FIXED_SHOWN]
    )
    more = len(reduction.steps) - FIXED_SHOWN
    return (
        f"recursive QAOA fixed {len(reduction.steps)} of {reduction.variables} spins by their correlations, {shown}"
        f"{f' and {more} more' if more > 0 else ''}; {len(reduction.kept)} are left; "
    )


def of_circuit(program: Program) -> str:
    """Counts of the logical circuit."""
    circuit = program.circuit
    assert circuit is not None
    return f"{len(circuit.gates)} gates, {circuit.two_qubit_gates()} on two qubits, depth {circuit.depth()}"


def of_route(program: Program) -> str:
    """Counts on the device."""
    made = program.transpiled
    assert made is not None
    return (
        f"{made.two_qubit_gates} two-qubit and {made.one_qubit_gates} one-qubit gates, depth {made.depth}, on "
        f"{len(made.used)} qubits ({made.topology})"
    )


def of_plan(program: Program) -> str:
    """The cheapest price and the verdict."""
    found = plan_of(program)
    cheapest = next((p for p in found.prices if p.estimate is not None), None)
    price = "price unknown"
    if cheapest is not None and cheapest.estimate is not None:
        price = f"{cheapest.estimate.value:,.2f} {cheapest.currency} at {cheapest.seller}"
    return f"{found.shots:,} shots, {price}; {found.verdict}"


def plan_of(program: Program) -> Plan:
    """The plan. Raises InputError before its pass."""
    if program.plan is None:
        raise InputError("the job has not been planned yet")
    return program.plan


def notes(program: Program) -> list[str]:
    """The verdict and what a reader should know beside it."""
    found = plan_of(program)
    said = [f"verdict: {found.verdict}"]
    if program.exact is not None and program.exact.proved:
        said.append(f"the optimum is {program.exact.cost:g}: {program.exact.method}")
    if found.fidelity is not None:
        said.append("fidelity is a model of independent errors: no crosstalk, no drift")
    return [*said, *found.hints]
