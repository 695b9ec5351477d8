"""One alternative a layer, by integer programming (HiGHS through scipy): exact, since the problem is small.

Variables: x of each alternative, y of each form of kernel code, both 0 or 1, and the RAM r. One x a layer is 1; x <= y
of its form; r is at least the RAM of every chosen alternative; the sums of flash (code of the forms with it) and of
energy, and r, stay within the limits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from trine.devices.errors import MissingExtra
from trine.edge.budget.space import Alternative, Space

OBJECTIVES = ("noise", "flash_bytes", "ram_bytes", "energy_j")
TIE = 1e-6  # of the objective's span: of equal answers the one with less flash, then less noise


def milp() -> Any:
    """scipy's solver. Raises MissingExtra."""
    try:
        from scipy import optimize
    except ModuleNotFoundError:
        raise MissingExtra("scipy", "budget", "searching under a budget") from None
    return optimize


def rows(space: Space) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """For each objective the coefficients of all variables: alternatives, forms, r."""
    flat = [a for layer in space.layers for a in layer]
    forms = list(space.code)
    none = [0.0] * len(forms)
    return {
        "noise": np.array([a.noise for a in flat] + none + [0.0]),
        "flash_bytes": np.array([float(a.flash_bytes) for a in flat] + [float(space.code[f]) for f in forms] + [0.0]),
        "energy_j": np.array([a.energy_j for a in flat] + none + [0.0]),
        "ram_bytes": np.array([0.0] * len(flat) + none + [1.0]),
    }  # fmt: skip


def solve(
    space: Space,
    limits: Mapping[str, float],
    objective: str = "noise",
    excluded: Collection[tuple[Alternative, ...]] = (),
) -> tuple[Alternative, ...] | None:
    """The choice that makes the objective least within limits {field: most}, or None where there is none.

    excluded: choices that it may not be.
    """
    optimize = milp()
    flat = [a for layer in space.layers for a in layer]
    forms, count = list(space.code), len(flat)
    width = count + len(forms) + 1
    costs = rows(space)
    fixed = {"flash_bytes": float(space.flash_bytes), "energy_j": space.energy_j}
    constraints = []

    def add(row: np.ndarray[Any, np.dtype[np.float64]], low: float, high: float) -> None:
        scale = max(float(np.abs(row).max()), 1e-300)
        constraints.append(optimize.LinearConstraint(row[None, :] / scale, low / scale, high / scale))

    at = 0
    for layer in space.layers:
        one, ram = np.zeros(width), np.zeros(width)
        one[at : at + len(layer)] = 1
        ram[at : at + len(layer)] = [-a.ram_bytes for a in layer]
        ram[-1] = 1
        add(one, 1, 1)
        add(ram, 0, np.inf)
        at += len(layer)
    for i, a in enumerate(flat):
        needs = np.zeros(width)
        needs[i], needs[count + forms.index(a.form)] = 1, -1
        add(needs, -np.inf, 0)
    for choice in excluded:
        same = np.zeros(width)
        same[[flat.index(a) for a in choice]] = 1
        add(same, 0, len(choice) - 1)
    for name, most in limits.items():
        add(costs[name], -np.inf, most - fixed.get(name, 0.0))
    largest = max(a.ram_bytes for a in flat)
    bounds = optimize.Bounds(np.zeros(width), np.append(np.ones(width - 1), largest))
    whole = np.append(np.ones(width - 1), 0)
    spans = {name: max(float(np.abs(row).sum()), 1e-300) for name, row in costs.items()}
    goal = costs[objective] / spans[objective]
    goal = goal + TIE * (costs["flash_bytes"] / spans["flash_bytes"] + TIE * costs["noise"] / spans["noise"])
    found = optimize.milp(
        goal, constraints=constraints, bounds=bounds, integrality=whole, options={"mip_rel_gap": 0}
    )
    if found.x is None:
        return None
    taken = [a for a, x in zip(flat, found.x, strict=False) if x > 0.5]
    return tuple(taken)


def front(space: Space, limits: Mapping[str, float], points: int = 9) -> list[tuple[Alternative, ...]]:
    """Choices that no other beats in both flash and noise, within the limits, from least flash to least noise."""
    ends = [solve(space, limits, objective) for objective in ("flash_bytes", "noise")]
    if ends[0] is None or ends[1] is None:
        return []
    least, most = (space.total(end)["flash_bytes"] for end in (ends[0], ends[1]))
    found: dict[tuple[Alternative, ...], None] = {}
    for cap in np.linspace(least, most, points):
        within = min(float(cap), limits.get("flash_bytes", np.inf))
        choice = solve(space, {**limits, "flash_bytes": within + 0.5})
        if choice is not None:
            found[choice] = None
    return undominated(space, list(found))


def undominated(space: Space, choices: list[tuple[Alternative, ...]]) -> list[tuple[Alternative, ...]]:
    """Those that no other beats in both flash and noise, by flash."""
    ordered = sorted(choices, key=lambda c: (space.total(c)["flash_bytes"], space.total(c)["noise"]))
    kept: list[tuple[Alternative, ...]] = []
    for choice in ordered:
        if not kept or space.total(choice)["noise"] < space.total(kept[-1])["noise"]:
            kept.append(choice)
    return kept
