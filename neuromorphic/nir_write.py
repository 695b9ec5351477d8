"""Spiking nets to NIR files. What NIR cannot say is named, and written only on request.

NIR has neither a step, nor a reset by subtraction, nor integers, nor graded spikes (nir 1.0.8; Pedersen et al. 2024,
doi 10.1038/s41467-024-52259-9): a net that uses them goes to its file with `allow_lossy`, and then exactly to a side
file (`net_file`) as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet
from trine.neuromorphic.net_file import save_net, side_path
from trine.neuromorphic.neuron import neuron
from trine.neuromorphic.nir_edges import EdgeWriter
from trine.neuromorphic.nir_file import OURS, NirNet, lower
from trine.neuromorphic.nir_graph import FIELDS, NEURONS, STATELESS, Graph, Node
from trine.neuromorphic.timing import arrivals, is_bias_source, resting_start

LOIHI: Final = ("IF", "LIF", "CubaLIF", "LI", "AdaptiveLIF")


def write_nir(net: SpikingNet, path: str | Path, allow_lossy: bool = False) -> tuple[str, ...]:
    """Write a net as a .nir file, whole or not at all; returns what the file does not hold.

    Where something is lost, the exact net (integers, resets, delays) goes to a side file, `<name>.exact.npz`, that
    `read_exact` reads and that is bound to the .nir by its SHA-256. A net made by `read_nir` keeps its nodes.
    Raises InputError naming everything that would be lost, unless allow_lossy, and everything that NIR has no node
    for at all; MissingExtra without the package nir.
    """
    path = Path(path)
    graph, lost = to_graph(net)
    if lost and not allow_lossy:
        raise InputError(
            f"NIR cannot hold all of {net.name}:\n  " + "\n  ".join(lost) + "\n"
            "write it nevertheless with --allow-lossy (allow_lossy=True); the exact net then lies beside the file"
        )
    beside = path.with_name(f".{path.name}.part")
    try:
        _store(graph, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    if lost:
        save_net(net, side_path(path), bound_to=path)
    return lost


def to_graph(net: SpikingNet) -> tuple[Graph, tuple[str, ...]]:
    """The NIR graph of a net and everything that the graph loses, in words."""
    net.check()
    lost, never = _losses(net), _impossible(net)
    if never:
        raise InputError(
            f"NIR has no node for parts of {net.name}, with or without losses:\n  " + "\n  ".join(never)
        )
    remembered = _remembered(net)
    if remembered is not None:
        return remembered, lost
    real = _realised(net)
    nodes, edges = EdgeWriter(real).write()
    for p in real.populations:
        if p.neuron == INPUT:
            nodes[p.name] = Node("Input", {"shape": np.array(p.shape)})
        elif not is_bias_source(real, p):
            nodes[p.name] = _node(p)
    for name in real.outputs:
        door = "output" if len(real.outputs) == 1 and "output" not in nodes else f"{name}.out"
        nodes[door] = Node("Output", {"shape": np.array(real.population(name).shape)})
        edges.append((name, door))
    return Graph(nodes, tuple(sorted(edges)), {}), lost


def _losses(net: SpikingNet) -> tuple[str, ...]:
    """What NIR cannot say of a net."""
    lost = []
    if net.arithmetic != "float":
        lost.append(f"integer arithmetic ({net.arithmetic}): weights, thresholds and decays become real numbers, "
                    "without bits, rounding or saturation")  # fmt: skip
    computing = [p for p in net.populations if p.neuron != INPUT and not is_bias_source(net, p)]
    for p in computing:
        values = neuron(p.neuron).values(p.parameters, net.arithmetic != "float", net.dt_s)
        if p.reset == "subtraction":
            lost.append(f"population {p.name}: reset by subtraction; NIR resets to v_reset")
        if p.reset == "none" and not neuron(p.neuron).graded:
            lost.append(f"population {p.name}: no reset after a spike; NIR resets to v_reset")
        depth = arrivals(net)[p.name]
        start, leak = values.get("v_initial", np.zeros(())), values.get("v_leak", np.zeros(()))
        drifts = leak.any() and depth > 0
        if drifts and not np.allclose(start, resting_start(p, depth, net.dt_s)):
            lost.append(f"population {p.name}: drift towards v_leak, which begins {depth} steps before its input; "
                        "in NIR both begin together")  # fmt: skip
        elif not drifts and start.any():
            lost.append(f"population {p.name}: membrane at the start; NIR's is 0")
        if p.neuron in ("AdaptiveLIF", "TrueNorth"):
            what = (
                "adaptation of the threshold"
                if p.neuron == "AdaptiveLIF"
                else "leak, floor and threshold rule (>=)"
            )
            lost.append(f"population {p.name}: {what}; written as {_stand_in(p.neuron)}")
        for field in ("refractory_steps", "reset_interval", "integrate_steps"):
            if np.any(values.get(field, 0)):
                lost.append(f"population {p.name}: {field} = {int(np.max(values[field]))}")
        if p.neuron == "CubaLIF" and (np.any(values.get("bias", 0)) or np.any(values.get("bias_mant", 0))):
            lost.append(
                f"population {p.name}: bias behind the synapse; in NIR it passes the synapse and rises with it"
            )
        elif depth > 0 and (np.any(values.get("bias", 0)) or np.any(values.get("bias_mant", 0))):
            lost.append(f"population {p.name}: bias from step 0 on, {depth} steps before its input; "
                        "in NIR both begin together")  # fmt: skip
    for q in net.projections:
        source = net.population(q.source)
        if q.graded and source.neuron not in (INPUT, "LI"):
            lost.append(
                f"projection {q.name}: graded messages of {source.neuron}; NIR's spikes carry no value"
            )
    return tuple(sorted(lost))


def _stand_in(name: str) -> str:
    return {"AdaptiveLIF": "LIF", "TrueNorth": "IF"}.get(name, name)


def _impossible(net: SpikingNet) -> list[str]:
    """Populations that no node resembles."""
    return [f"population {p.name}: {p.neuron}" for p in net.populations if p.neuron in ("SigmaDelta", "RF")] + [
        f"population {p.name}: {p.neuron} is not one of Trine's; NIR has no node of that name"
        for p in net.populations if p.neuron not in (*LOIHI, "TrueNorth", "SigmaDelta", "RF", INPUT)
    ]  # fmt: skip


def _realised(net: SpikingNet) -> SpikingNet:
    """An integer net in real numbers, in units of the weights; others with the neurons NIR has."""
    if net.arithmetic == "float":
        return replace(net, populations=tuple(_plain(p, net.dt_s) for p in net.populations))
    populations = tuple(p if p.neuron == INPUT else _real(p, net.dt_s) for p in net.populations)
    projections = tuple(
        replace(q, weight=np.asarray(q.weight * 2.0**q.weight_exponent, np.float64), weight_exponent=0)
        for q in net.projections
    )
    return replace(net, populations=populations, projections=projections, arithmetic="float")


def _plain(p: Population, dt_s: float) -> Population:
    """Stand-ins for neurons that NIR has not."""
    keep = {k: v for k, v in p.parameters.items() if k not in ("tau_adapt_s", "adapt_step")}
    if p.neuron == "TrueNorth":
        keep = {
            "r": 1 / dt_s,
            "v_threshold": p.parameters["threshold"],
            "v_reset": p.parameters.get("v_reset", 0.0),
        }
    return replace(p, neuron=_stand_in(p.neuron), parameters=keep)


def _real(p: Population, dt_s: float) -> Population:
    """Loihi's compartment as NIR's equation: decays to time constants, 64 membrane units to one.

    u' = u (4096 - (du + 1)) / 4096 + a, v' = v (4096 - dv) / 4096 + u + bias (lava-nc 0.10.0), read as forward Euler.
    """
    v = neuron(p.neuron).values(p.parameters, True, dt_s)
    if p.neuron == "TrueNorth":
        simple = {"r": 1 / dt_s, "v_threshold": v["threshold"], "v_reset": v["v_reset"], "bias": v["leak"]}
        return replace(p, neuron="IF", parameters=simple)
    bias = v["bias_mant"] * 2.0 ** v["bias_exp"] / 64
    real: dict[str, Any] = {"bias": bias}
    if "vth" in v:
        real["v_threshold"] = v["vth"].astype(np.float64)
    decay = v.get("dv", np.zeros((), np.int64))
    name = "LI" if p.neuron == "LI" else "LIF" if np.any(decay) or p.neuron == "CubaLIF" else "IF"
    tau = dt_s * 4096 / np.maximum(decay, 1e-3)  # no decay: a time constant of four million steps
    if name == "IF":
        real["r"] = 1 / dt_s
    else:
        real |= {"tau_mem_s": tau, "r": tau / dt_s}
    du = v.get("du", np.asarray(4095))
    if np.any(du != 4095) and p.neuron != "LI":
        synapse = dt_s * 4096 / (du + 1.0)
        real |= {"tau_mem_s": tau, "r": tau / dt_s, "tau_syn_s": synapse, "w_in": synapse / dt_s}
        name = "CubaLIF"
    return replace(p, neuron=name, parameters=real)


def _node(p: Population) -> Node:
    """A population as a node, every field one value a neuron."""
    defaults = {q.name: q.default for q in neuron(p.neuron).float_parameters}
    fields = {}
    for theirs, ours in OURS[p.neuron].items():
        value = np.asarray(p.parameters.get(ours, defaults.get(ours)))
        kind = value.dtype if value.dtype.kind == "f" else np.float64
        fields[theirs] = np.ascontiguousarray(np.broadcast_to(value.astype(kind), p.shape))
    return Node(p.neuron, fields)


def _remembered(net: SpikingNet) -> Graph | None:
    """The graph a net was read from with the neurons it has now, where its connections still mean the same."""
    if not isinstance(net, NirNet) or net.graph is None:
        return None
    graph = net.graph
    before = lower(graph, net.name, net.dt_s, net.options)
    same = len(before.projections) == len(net.projections) and all(
        _equal(a, b) for a, b in zip(before.projections, net.projections)
    )
    same &= [(p.name, p.neuron, p.shape) for p in before.populations] == [
        (p.name, p.neuron, p.shape) for p in net.populations
    ] and (before.inputs, before.outputs) == (net.inputs, net.outputs)  # fmt: skip
    if not same or (net.options.bias == "neuron" and any("bias" in p.parameters for p in net.populations)):
        unchanged = same and all(_alike(a, b) for a, b in zip(before.populations, net.populations))
        return graph if unchanged else None
    nodes: dict[str, Node] = {}
    for name, node in graph.nodes.items():
        nodes[name] = _updated(node, name, net)
    return Graph(nodes, graph.edges, graph.shapes)


def _updated(node: Node, name: str, net: SpikingNet) -> Node:
    """A neuron's node with the population's present values; others as they are."""
    if node.kind not in NEURONS:
        return node
    p = net.population(name)
    if node.kind == "Threshold":
        return Node("Threshold", {"threshold": np.asarray(p.parameters["v_threshold"])})
    if node.kind == "CubaLI":
        synapse = net.population(f"{name}.syn").parameters
        first = {"tau_syn": synapse["tau_mem_s"], "w_in": synapse["r"]}
        return Node("CubaLI", {**_fields(OURS["LI"], p, "tau_mem"), **first})
    return Node(node.kind, {**node.values, **_fields(OURS[node.kind], p)})


def _fields(names: Mapping[str, str], p: Population, tau: str = "tau") -> dict[str, Any]:
    """NIR's fields that a population holds."""
    return {tau if k == "tau" else k: p.parameters[v] for k, v in names.items() if v in p.parameters}


def _equal(a: Projection, b: Projection) -> bool:
    """Whether two projections are the same in every field."""
    alike = (a.name, a.source, a.target, a.kind, a.delay_steps, a.weight_exponent, a.graded)
    other = (b.name, b.source, b.target, b.kind, b.delay_steps, b.weight_exponent, b.graded)
    return alike == other and dict(a.attributes) == dict(b.attributes) and np.array_equal(a.weight, b.weight)


def _alike(a: Population, b: Population) -> bool:
    """Whether two populations are the same in every field."""
    return (a.name, a.neuron, a.shape, a.reset, set(a.parameters)) == (
        b.name, b.neuron, b.shape, b.reset, set(b.parameters)
    ) and all(np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters)  # fmt: skip


def _store(graph: Graph, path: Path) -> None:
    """Write through the package nir, whose type inference checks the graph once more."""
    try:
        import nir
    except ImportError:
        raise MissingExtra("nir", "neuromorphic", "writing NIR files") from None
    classes: dict[str, Callable[..., Any]] = {kind: getattr(nir, kind) for kind in FIELDS}
    nodes = {}
    for name, node in sorted(graph.nodes.items()):
        values = {k: v for k, v in node.values.items() if k != "shape"}
        if node.kind in ("Input", "Output"):
            shape = np.asarray(node.values["shape"])
            values = {f"{node.kind.lower()}_type": {node.kind.lower(): shape}}
        elif node.kind == "Flatten":
            values["input_type"] = (
                {"input": np.asarray(values["input_type"])} if "input_type" in values else None
            )
        nodes[name] = classes[node.kind](**values)
    checked = all(
        n.kind not in STATELESS or int(np.max(n.values.get("groups", 1))) == 1 for n in graph.nodes.values()
    )
    made = nir.NIRGraph(nodes=nodes, edges=list(graph.edges), metadata={}, type_check=checked)
    nir.write(str(path), made)


def same_graph(a: Graph, b: Graph) -> list[str]:
    """Differences of two graphs, in words: names, types, values and edges."""
    found = [f"node {n!r} in one only" for n in sorted(set(a.nodes) ^ set(b.nodes))]
    found += [f"edge {e} in one only" for e in sorted(set(a.edges) ^ set(b.edges))]
    for name in sorted(set(a.nodes) & set(b.nodes)):
        x, y = a.nodes[name], b.nodes[name]
        if x.kind != y.kind:
            found.append(f"node {name!r}: {x.kind} and {y.kind}")
        for field in sorted(set(x.values) | set(y.values)):
            one, two = x.values.get(field), y.values.get(field)
            if not _same_value(one, two):
                found.append(f"node {name!r}: {field} differs")
    return found


def _same_value(a: Array | None, b: Array | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
