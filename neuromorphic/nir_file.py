"""NIR files to spiking nets. NIR is continuous in time; the user chooses the step.

dt_s matters: nets exported from snnTorch hold tau = dt / (1 - beta), with dt = 1e-4 s unless told otherwise; sinabs
exports IF neurons whose input jumps by the weight, which is dt_s = 1. Equations are stepped by forward Euler, as in
Norse, snnTorch and lava. Edges of NIR take no time, projections take a step: see `timing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet
from trine.neuromorphic.nir_graph import NEURONS, STATELESS, Graph, Node, open_graph
from trine.neuromorphic.nir_linear import Linear, apply_chain, chain, constant
from trine.neuromorphic.timing import Edge, bias_projection, bias_source, depths, resting_start, rings

OURS: Final[Mapping[str, Mapping[str, str]]] = {
    "IF": {"r": "r", "v_threshold": "v_threshold", "v_reset": "v_reset"},
    "LI": {"tau": "tau_mem_s", "r": "r", "v_leak": "v_leak"},
    "LIF": {"tau": "tau_mem_s", "r": "r", "v_leak": "v_leak", "v_threshold": "v_threshold", "v_reset": "v_reset"},
    "CubaLIF": {
        "tau_syn": "tau_syn_s", "tau_mem": "tau_mem_s", "r": "r", "v_leak": "v_leak", "v_threshold": "v_threshold",
        "v_reset": "v_reset", "w_in": "w_in",
    },
}  # fmt: skip
Path_ = tuple[str, ...]


@dataclass(frozen=True)
class NirOptions:
    """How a file was read: what `read_nir` was given."""

    graded_inputs: bool = True
    bias: str = "source"
    slower_cycles: bool = False


@dataclass(frozen=True)
class NirNet(SpikingNet):
    """A spiking net that remembers the graph it was read from, so that writing it gives that graph again.

    Its weights are its own: `write_nir` uses the remembered nodes only while they still mean the same net.
    """

    graph: Graph | None = field(default=None, repr=False, compare=False)
    options: NirOptions = field(default_factory=NirOptions, compare=False)


def read_nir(
    path: str | Path,
    dt_s: float,
    graded_inputs: bool = True,
    bias: str = "source",
    slower_cycles: bool = False,
) -> NirNet:
    """A .nir file as a real-valued SpikingNet with steps of dt_s seconds.

    graded_inputs: inputs carry values, as NIR's signals do; False: whatever is not 0 is a spike.
    bias: "source" adds a neuron "one" that spikes in every step, so that constants begin with the first input of
    their population, as in tools whose edges take no time; "neuron" makes them the neurons' bias, from step 0 on
    (and, for CubaLIF, behind the synapse: equal once the synapse has settled).
    slower_cycles: let every connection of a cycle of several populations take a step where NIR gives it no delay.
    A connection from a population to itself always takes one, as in every tool.

    Raises InputError for files that are no NIR (see `open_graph`), cycles without delay, steps longer than a time
    constant, and whatever `SpikingNet.check` finds.
    """
    options = NirOptions(graded_inputs, bias, slower_cycles)
    if bias not in ("source", "neuron"):
        raise InputError(f"bias {bias!r} is unknown: 'source' or 'neuron'")
    if not (np.isfinite(dt_s) and dt_s > 0):
        raise InputError(f"dt_s is {dt_s}: give the length of a step in seconds, for example 1e-4")
    graph = open_graph(path)
    try:
        return lower(graph, Path(path).stem, dt_s, options)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def lower(graph: Graph, name: str, dt_s: float, options: NirOptions) -> NirNet:
    """A graph as a net; errors as `read_nir` raises them."""
    paths = _paths(graph)
    populations, entry = _populations(graph, dt_s)
    relays = _readouts(graph, populations, dt_s)
    maps = {p: _mapped(graph, p) for p in paths if p[-1] in entry or p[-1] in relays}
    steps = {p: _steps(p, m, dt_s) for p, m in maps.items()}
    edges: list[Edge] = [(p[0], entry.get(p[-1], p[-1]), steps[p]) for p in maps]
    edges += [(e, n, 0) for n, e in entry.items() if e != n]
    ring = rings(edges)
    edges = [
        (a, b, max(d, 1) if a == b or ((a, b) in ring and options.slower_cycles) else d) for a, b, d in edges
    ]
    depth = depths({p.name: int(p.neuron != INPUT) for p in populations}, edges)
    by_name = {p.name: p for p in populations}
    made: list[Projection] = []
    for (p, m), (a, b, delay) in zip(maps.items(), edges):
        graded = by_name[a].neuron == "LI" or (by_name[a].neuron == INPUT and options.graded_inputs)
        made.append(Projection(_named(graph, p, maps), a, b, m.kind, m.weight, m.attributes,
                               depth[b] - depth[a] + delay - 1, graded=graded))  # fmt: skip
    made += [Projection(e, e, n, "identity", np.ones((), np.float32), delay_steps=depth[n] - depth[e] - 1, graded=True)
             for n, e in entry.items() if e != n]  # fmt: skip
    populations, biases = _biases(graph, populations, entry, depth, dt_s, options)
    outputs = tuple(relays[n] if n in relays else graph.before(n)[0] for n, v in sorted(graph.nodes.items())
                    if v.kind == "Output")  # fmt: skip
    inputs = tuple(p.name for p in populations if p.neuron == INPUT)
    if options.bias == "source":
        populations = [_rested(p, depth.get(p.name, 0), dt_s) for p in populations]
    populations.sort(key=lambda p: (depth.get(p.name, 0), p.name))
    made.sort(key=lambda p: (depth[p.target], p.name))
    net = NirNet(
        name, dt_s, tuple(populations), tuple(made + biases), inputs, outputs, graph=graph, options=options
    )
    net.check()
    return net


def _paths(graph: Graph) -> list[Path_]:
    """Every way from a node that sends to one that takes, through stateless nodes. Refuses cycles of these."""
    found: list[Path_] = []
    for start in sorted(n for n, v in graph.nodes.items() if v.kind in NEURONS or v.kind == "Input"):
        stack: list[Path_] = [(start, b) for b in graph.after(start)]
        while stack:
            way = stack.pop()
            if graph.nodes[way[-1]].kind not in STATELESS:
                found.append(way)
                continue
            for b in graph.after(way[-1]):
                if b in way[1:]:
                    ring = way[way.index(b, 1) :]
                    raise InputError(
                        f"cycle without delay: {' -> '.join([*ring, b])}; no neuron lies on it, so its value is not "
                        "defined: put a neuron or a relay (LI with tau = dt) into it"
                    )
                stack.append((*way, b))
    return sorted(found)


def _mapped(graph: Graph, path: Path_) -> Linear:
    """The map of a path."""
    return chain([(n, graph.nodes[n]) for n in path[1:-1]], graph.shapes[path[0]])


def _steps(path: Path_, m: Linear, dt_s: float) -> int:
    """Delay of a path in whole steps. Raises InputError where it is no multiple of the step."""
    steps = round(m.delay_s / dt_s)
    if abs(m.delay_s - steps * dt_s) > 1e-3 * dt_s:
        raise InputError(f"delay of {m.delay_s:g} s from {path[0]!r} to {path[-1]!r} is no whole number of steps of "
                         f"{dt_s:g} s: choose another dt_s")  # fmt: skip
    return steps


def _populations(graph: Graph, dt_s: float) -> tuple[list[Population], dict[str, str]]:
    """Populations of inputs and neurons, and by node the population that takes its input."""
    made: list[Population] = []
    entry: dict[str, str] = {}
    problems: list[str] = []
    for name, node in sorted(graph.nodes.items()):
        shape = graph.shapes[name]
        if node.kind == "Input":
            made.append(Population(name, INPUT, shape))
        elif node.kind in NEURONS:
            new = _neurons(name, node, shape, dt_s)
            entry[name] = new[0].name
            made += new
            problems += [
                f"node {name!r}: dt_s = {dt_s:g} is longer than {field} = {np.min(value):g} s; choose a shorter step"
                for field, value in sorted(node.values.items())
                if field.startswith("tau") and np.min(value) < dt_s * (1 - 1e-6)
            ]
    if problems:
        raise InputError("; ".join(problems))
    return made, entry


def _neurons(name: str, node: Node, shape: tuple[int, ...], dt_s: float) -> list[Population]:
    """One population, or two for CubaLI: its synapse is a leaky integrator before another."""
    v = node.values
    if node.kind == "Threshold":
        forgets = {"tau_mem_s": dt_s, "r": 1.0, "v_threshold": v["threshold"]}
        return [Population(name, "LIF", shape, forgets, "zero")]
    if node.kind == "CubaLI":
        synapse = Population(f"{name}.syn", "LI", shape, {"tau_mem_s": v["tau_syn"], "r": v["w_in"]}, "none")
        membrane = {"tau_mem_s": v["tau_mem"], "r": v["r"], "v_leak": v["v_leak"]}
        return [synapse, Population(name, "LI", shape, membrane, "none")]
    given = {ours: v[theirs] for theirs, ours in OURS[node.kind].items() if theirs in v}
    return [Population(name, node.kind, shape, given, "none" if node.kind == "LI" else "zero")]


def _readouts(graph: Graph, populations: list[Population], dt_s: float) -> dict[str, str]:
    """Outputs that a single neuron does not feed directly: a relay (LI with tau = dt) each, appended."""
    relays: dict[str, str] = {}
    for name, node in sorted(graph.nodes.items()):
        if node.kind != "Output":
            continue
        before = graph.before(name)
        if len(before) == 1 and graph.nodes[before[0]].kind not in STATELESS:
            continue
        relays[name] = name
        populations.append(Population(name, "LI", graph.shapes[name], {"tau_mem_s": dt_s, "r": 1.0}, "none"))
    return relays


def _rested(p: Population, depth: int, dt_s: float) -> Population:
    """A population whose drift towards v_leak begins, in effect, with its first input."""
    start = resting_start(p, depth, dt_s)
    return replace(p, parameters={**p.parameters, "v_initial": start}) if np.any(start) else p


def _named(graph: Graph, path: Path_, maps: Mapping[Path_, Any]) -> str:
    """A projection's name: its nodes, only those with weights if any; its ends too where nodes are shared."""
    inner = path[1:-1]
    heavy = tuple(n for n in inner if "weight" in graph.nodes[n].values) or inner
    if not inner:
        return f"{path[0]}->{path[-1]}"
    shared = sum(1 for other in maps if set(other[1:-1]) & set(heavy)) > 1
    return "+".join(heavy) + (f"@{path[0]}->{path[-1]}" if shared else "")


def _biases(
    graph: Graph, populations: list[Population], entry: Mapping[str, str], depth: Mapping[str, int], dt_s: float,
    options: NirOptions,
) -> tuple[list[Population], list[Projection]]:  # fmt: skip
    """Constants of the stateless nodes, brought to the populations they reach."""
    total: dict[str, Array] = {}
    known = {p.name: p for p in populations}
    for name, node in sorted(graph.nodes.items()):
        value = constant(node, graph.shapes[name]) if node.kind in STATELESS else None
        ways: list[Path_] = [(name,)] if value is not None else []
        while ways:
            way = ways.pop()
            for b in graph.after(way[-1]):
                if graph.nodes[b].kind in STATELESS:
                    ways.append((*way, b))
                else:
                    assert value is not None
                    x = apply_chain([(n, graph.nodes[n]) for n in way[1:]], value[None])[0]
                    into = entry.get(b, b)
                    total[into] = total.get(into, 0) + x.reshape(known[into].shape)
    if options.bias == "source":
        made = [
            bias_projection(f"{name}.bias", known[name], x, depth[name]) for name, x in sorted(total.items())
        ]
        return populations + ([bias_source(dt_s)] if made else []), made
    changed = [
        Population(p.name, p.neuron, p.shape,
                   {**p.parameters, "bias": total[p.name] * p.parameters.get("w_in", 1.0)}, p.reset)
        if p.name in total else p for p in populations
    ]  # fmt: skip
    return changed, []
