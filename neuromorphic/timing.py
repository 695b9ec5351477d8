"""When signals arrive: every projection takes a step, other tools' edges take none; here the two are converted.

A population at depth d does at step t + d what it would do at step t in a network whose edges take no time (NIR,
snnTorch). Depths exist where every cycle holds at least as many steps of delay as it has projections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet

Edge = tuple[str, str, int]  # source, target, steps of delay


def depths(least: Mapping[str, int], edges: Iterable[Edge]) -> dict[str, int]:
    """Smallest depths, from given ones up, such that no projection would need a negative delay.

    Raises InputError naming a cycle with fewer steps of delay than projections.
    """
    depth = dict(sorted(least.items()))
    came: dict[str, str] = {}
    edges = sorted(edges)
    for _ in range(len(depth) + 1):
        moved = ""
        for a, b, delay in edges:
            if depth[a] + 1 - delay > depth[b]:
                depth[b], came[b], moved = depth[a] + 1 - delay, a, b
        if not moved:
            return depth
    seen = [moved]
    while came[seen[-1]] not in seen:
        seen.append(came[seen[-1]])
    ring = seen[seen.index(came[seen[-1]]) :][::-1]
    raise InputError(
        f"cycle without delay: {' -> '.join([*ring, ring[0]])}; a spike takes a step over each connection, so the "
        f"Delay nodes of this cycle must add up to {len(ring)} steps at least: add one, choose a smaller dt_s, or "
        "accept slower_cycles=True (--slower-cycles), which lets every connection of such cycles take one step"
    )


def rings(edges: Iterable[Edge]) -> set[tuple[str, str]]:
    """Edges that lie on some cycle, those from a population to itself included."""
    after: dict[str, set[str]] = {}
    for a, b, _ in edges:
        after.setdefault(a, set()).add(b)
    reach: dict[str, set[str]] = {}
    for start in after:
        stack, found = [start], set[str]()
        while stack:
            new = after.get(stack.pop(), set()) - found
            found |= new
            stack.extend(new)
        reach[start] = found
    return {(a, b) for a, bs in after.items() for b in bs if a in reach.get(b, set()) or a == b}


def arrivals(net: SpikingNet) -> dict[str, int]:
    """Depth of every population: steps until what is given at step 0, or its constant current, can first reach it.

    A delay on every way from the inputs is part of the depth: it cannot be told from a longer pipeline.

    Run what a reference without delays does at step t, and it shows here at step t + arrivals(net)[population].
    """
    constant = {p.name for p in net.populations if is_bias_source(net, p)}
    depth = {p.name: 0 for p in net.populations if p.neuron == INPUT}
    depth |= {q.target: 1 + q.delay_steps for q in net.projections if q.source in constant}
    projections = [p for p in net.projections if p.source not in constant]
    open_ended = [p.name for p in net.populations if p.name not in constant and p.neuron != INPUT]
    while True:
        _relax(depth, projections)
        left = [name for name in open_ended if name not in depth]
        if not left:
            return depth | dict.fromkeys(constant, 0)
        fed = {p.target for p in projections if p.source != p.target}
        depth[next((n for n in left if n not in fed), left[0])] = 0


def _relax(depth: dict[str, int], projections: Iterable[Projection]) -> None:
    """Shortest times over all projections, from the populations that have one."""
    moved = True
    while moved:
        moved = False
        for p in projections:
            if p.source in depth and depth[p.source] + 1 + p.delay_steps < depth.get(p.target, 1 << 30):
                depth[p.target], moved = depth[p.source] + 1 + p.delay_steps, True


def lags(net: SpikingNet) -> dict[str, int]:
    """Delay of every projection in steps as a network without pipeline would have it; at least 0."""
    depth = arrivals(net)
    return {p.name: depth[p.source] + 1 + p.delay_steps - depth[p.target] for p in net.projections}


def is_bias_source(net: SpikingNet, p: Population) -> bool:
    """Whether a population is one neuron that nothing reaches and that spikes in every step."""
    if p.neuron != "IF" or p.size != 1 or p.reset != "zero" or net.arithmetic != "float" or net.into(p.name):
        return False
    values: Mapping[str, float] = {k: float(np.ravel(v)[0]) for k, v in p.parameters.items()}
    after = values.get("v_reset", 0.0) + net.dt_s * values.get("r", 1.0) * values.get("bias", 0.0)
    return after > values["v_threshold"] and values.get("v_initial", 0.0) >= values.get("v_reset", 0.0)


def resting_start(p: Population, depth: int, dt_s: float) -> Array:
    """v_initial with which a membrane that drifts towards v_leak is at 0 when its first input arrives, `depth` steps
    after the start; 0 where there is no such value, or where it would spike on the way."""
    leak = np.asarray(p.parameters.get("v_leak", 0.0), np.float64)
    if not leak.any() or depth < 1:
        return np.zeros(())
    keep = 1 - dt_s / np.asarray(p.parameters["tau_mem_s"], np.float64)
    if (keep <= 0).any():
        return np.zeros(())
    start = leak * (1 - keep ** float(-depth))
    return (
        np.zeros(())
        if (start > np.asarray(p.parameters.get("v_threshold", np.inf))).any()
        else np.asarray(start)
    )


def bias_source(dt_s: float) -> Population:
    """A neuron that spikes in every step; its synapses are constant currents that begin when they are wanted."""
    return Population("one", "IF", (1,), {"r": 1.0 / dt_s, "bias": 1.0, "v_threshold": 0.5}, "zero")


def bias_projection(name: str, target: Population, current: Array, depth: int) -> Projection:
    """A constant current into a population from the step on at which its first input arrives."""
    weight = np.broadcast_to(np.asarray(current, np.float64), target.shape).reshape(-1, 1)
    return Projection(name, "one", target.name, "dense", np.ascontiguousarray(weight), delay_steps=depth - 1)
