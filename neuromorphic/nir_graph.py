"""A NIR file as plain records: opened, flattened, and every fault of it named at once.

NIR: Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9; nodes as in nir 1.0.8. Shape inference is our own: that of
nir 1.0.8 takes a kernel's height for its width and forgets the groups of a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError, MissingExtra, nearest
from trine.neuromorphic.net import Array, Shape

NEURONS: Final[Mapping[str, tuple[str, ...]]] = {
    "IF": ("r", "v_threshold"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "w_in"),
    "Threshold": ("threshold",),
}
STATELESS: Final[Mapping[str, tuple[str, ...]]] = {
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "Conv2d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "Flatten": ("start_dim", "end_dim"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Delay": ("delay",),
}
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Input": ("shape",),
    "Output": ("shape",),
    **NEURONS,
    **STATELESS,
}
POSITIVE: Final = ("tau", "tau_syn", "tau_mem", "stride", "dilation", "kernel_size", "groups")


@dataclass(frozen=True)
class Node:
    """One node: its NIR type and its fields, arrays as stored."""

    kind: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A NIR graph without subgraphs. shapes: what each node puts out, one example, by node."""

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    shapes: Mapping[str, Shape]

    def before(self, name: str) -> list[str]:
        """Nodes with an edge into a node, in alphabetical order."""
        return sorted(a for a, b in self.edges if b == name)

    def after(self, name: str) -> list[str]:
        """Nodes that a node has an edge into, in alphabetical order."""
        return sorted(b for a, b in self.edges if a == name)


def open_graph(path: str | Path) -> Graph:
    """The graph of a .nir file, subgraphs flattened to names like "outer.inner".

    Raises InputError for a missing file, one that is no HDF5 or is cut short, and, all at once, for unknown node
    types, missing fields, values that are no numbers, edges to nowhere and shapes that do not agree; MissingExtra
    without the package nir.
    """
    try:
        import h5py
        import nir  # noqa: F401  (the format's own package, which brings h5py and decides what a version means)
    except ImportError:
        raise MissingExtra("nir", "neuromorphic", "reading NIR files") from None
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            if "node" not in file:
                raise InputError(f"{path}: an HDF5 file without a NIR graph (no group 'node')")
            tree = _tree(file["node"])
    except (OSError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable NIR (HDF5) file: {reason}; export it again") from None
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    problems: list[str] = []
    if tree.get("type") == "NIRGraph":
        _flatten("", tree, nodes, edges, problems)
    else:
        problems.append(f"the file holds a {tree.get('type')!r}, not a NIRGraph")
    return _checked(str(path), nodes, edges, problems)


def _tree(group: Any) -> dict[str, Any]:
    """An HDF5 group as nested dicts; strings decoded."""
    made: dict[str, Any] = {}
    for key, item in group.items():
        if hasattr(item, "items"):
            made[key] = _tree(item)
        else:
            value = item[()]
            made[key] = value.decode() if isinstance(value, bytes) else value
    return made


def _flatten(
    prefix: str,
    tree: Mapping[str, Any],
    nodes: dict[str, Node],
    edges: list[tuple[str, str]],
    problems: list[str],
) -> None:
    """Nodes and edges of a graph and of those in it; a subgraph's Input and Output dissolve into its edges."""
    inner, listed = tree.get("nodes", {}), tree.get("edges", np.zeros((0, 2)))
    pairs = [
        tuple(x.decode() if isinstance(x, bytes) else str(x) for x in pair) for pair in np.asarray(listed)
    ]
    doors: dict[str, dict[str, str]] = {}
    for name, node in sorted(inner.items()):
        full, kind = prefix + name, str(node.get("type")) if isinstance(node, dict) else "?"
        if kind == "NIRGraph":
            _flatten(f"{full}.", node, nodes, edges, problems)
            for door in ("Input", "Output"):
                found = [k for k, v in node.get("nodes", {}).items() if v.get("type") == door]
                if len(found) != 1:
                    problems.append(
                        f"subgraph {full}: {len(found)} {door} nodes; an edge to it needs exactly one"
                    )
                else:
                    doors.setdefault(name, {})[door] = f"{full}.{found[0]}"
        else:
            values = {k: v for k, v in node.items() if k not in ("type", "metadata")}
            if "v_threshold" in values:  # nir 1.0.8 reads files without v_reset as resetting to 0
                values.setdefault("v_reset", np.zeros_like(values["v_threshold"]))
            nodes[full] = Node(kind, values)
    for pair in pairs:
        a, b = pair
        edges.append((doors.get(a, {}).get("Output", prefix + a), doors.get(b, {}).get("Input", prefix + b)))
    if not prefix:
        inside = {doors[k][d] for k in doors for d in doors[k]} | {
            k for k, v in nodes.items() if "." in k and v.kind in ("Input", "Output") and k not in inner
        }
        _dissolve(inside, nodes, edges)


def _dissolve(inside: set[str], nodes: dict[str, Node], edges: list[tuple[str, str]]) -> None:
    """Take out the Input and Output nodes of subgraphs, joining what leads in to what leads out."""
    for name in sorted(inside):
        into, out = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
        edges[:] = [e for e in edges if name not in e] + [(a, b) for a in into for b in out]
        nodes.pop(name, None)


def _checked(
    where: str, nodes: Mapping[str, Node], edges: list[tuple[str, str]], problems: list[str]
) -> Graph:
    """The graph with shapes. Raises InputError with everything that is wrong."""
    for name, node in sorted(nodes.items()):
        problems += [f"node {name!r}: {text}" for text in _faults(node)]
    for a, b in edges:
        problems += [f"edge {a!r} -> {b!r}: no node {x!r}" for x in (a, b) if x not in nodes]
    problems += [
        f"edge {a!r} -> {b!r} is there twice" for a, b in sorted({e for e in edges if edges.count(e) > 1})
    ]
    for door in ("Input", "Output"):
        if not any(n.kind == door for n in nodes.values()):
            problems.append(f"no {door} node")
    graph = Graph(dict(nodes), tuple(sorted(set(edges))), {})
    if not problems:
        shapes, problems = _shapes(graph)
        graph = Graph(graph.nodes, graph.edges, shapes)
    if problems:
        raise InputError(f"{where}: malformed NIR graph:\n  " + "\n  ".join(problems))
    return graph


def _faults(node: Node) -> list[str]:
    """What is wrong with a node by itself."""
    if node.kind not in FIELDS:
        return [f"type {node.kind!r} is not supported; {nearest(node.kind, FIELDS)}"]
    faults = [f"{node.kind} without {field!r}" for field in FIELDS[node.kind] if field not in node.values]
    for field, value in sorted(node.values.items()):
        if isinstance(value, str):
            if field != "padding" or value not in ("same", "valid"):
                faults.append(f"{field} is {value!r}")
        elif field not in ("input_type", "input_shape") or np.ndim(value):
            numbers = np.asarray(value, np.float64)
            if not np.isfinite(numbers).all():
                faults.append(f"{field} holds NaN or infinity")
            elif field in POSITIVE and (numbers <= 0).any():
                faults.append(f"{field} must be positive, not {numbers.min():g}")
    if node.kind in ("Affine", "Linear") and np.ndim(node.values.get("weight", np.zeros((1, 1)))) != 2:
        faults.append("weight must be a matrix (out, in)")
    if node.kind == "Delay" and "delay" in node.values and (np.asarray(node.values["delay"]) < 0).any():
        faults.append("negative delay")
    return faults


def _shapes(graph: Graph) -> tuple[dict[str, Shape], list[str]]:
    """Output shape of every node, and the edges whose ends disagree."""
    shapes: dict[str, Shape] = {n: tuple(map(int, np.ravel(v.values["shape"]))) for n, v in graph.nodes.items()
                                if v.kind == "Input"}  # fmt: skip
    problems: list[str] = []
    for name, node in graph.nodes.items():
        if node.kind in NEURONS:
            shapes[name] = np.broadcast_shapes(*(np.shape(node.values[f]) for f in NEURONS[node.kind]))
    waiting = sorted(set(graph.nodes) - set(shapes))
    while waiting:
        ready = [n for n in waiting if any(b in shapes for b in graph.before(n))]
        if not ready:
            problems += [f"node {n!r} is reached from no input" for n in waiting]
            break
        for name in ready:
            given = next(shapes[b] for b in graph.before(name) if b in shapes)
            try:
                shapes[name] = output_shape(graph.nodes[name], given)
            except InputError as error:
                problems.append(f"node {name!r}: {error}")
                shapes[name] = given
        waiting = [n for n in waiting if n not in shapes]
    for a, b in graph.edges:
        wanted = input_shape(graph.nodes[b], shapes.get(b, ()))
        if a in shapes and wanted is not None and shapes[a] != wanted:
            problems.append(f"edge {a!r} -> {b!r}: {a!r} puts out {shapes[a]}, {b!r} takes {wanted}")
    return shapes, sorted(set(problems))


def input_shape(node: Node, out: Shape) -> Shape | None:
    """What a node takes, where that is settled by the node alone."""
    if node.kind in NEURONS:
        return out
    if node.kind in ("Affine", "Linear"):
        return (int(node.values["weight"].shape[1]),)
    if node.kind == "Output":
        return tuple(map(int, np.ravel(node.values["shape"])))
    if node.kind in ("Scale", "Delay"):
        return tuple(np.shape(node.values["scale" if node.kind == "Scale" else "delay"]))
    return None


def output_shape(node: Node, given: Shape) -> Shape:
    """What a stateless node puts out for an input shape. Raises InputError where it cannot take it."""
    if node.kind in ("Affine", "Linear"):
        return (int(node.values["weight"].shape[0]),)
    if node.kind == "Output":
        return tuple(map(int, np.ravel(node.values["shape"])))
    if node.kind == "Flatten":
        first, last = int(node.values["start_dim"]), int(node.values["end_dim"])
        first, last = first % max(len(given), 1), last % max(len(given), 1)
        return (*given[:first], int(np.prod(given[first : last + 1], dtype=int)), *given[last + 1 :])
    if node.kind.startswith("Conv") or node.kind.endswith("Pool2d"):
        kernel, stride, dilation, pads = window(node, given)
        axes = len(kernel)
        if (
            node.kind.startswith("Conv")
            and int(node.values["weight"].shape[1] * node.values["groups"]) != given[0]
        ):
            raise InputError(f"{node.kind} with weight {node.values['weight'].shape} cannot take {given}")
        size = [(n + pads[i] + pads[axes + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
                for i, n in enumerate(given[1:])]  # fmt: skip
        if min(size) < 1:
            raise InputError(f"{node.kind} with kernel {kernel} leaves nothing of {given}")
        return (int(node.values["weight"].shape[0]) if "weight" in node.values else given[0], *size)
    return given


def window(node: Node, given: Shape) -> tuple[Shape, Shape, Shape, Shape]:
    """kernel, strides, dilations and pads (begin..., end...) of a convolution or pooling node."""
    kernel = tuple(node.values["weight"].shape[2:]) if "weight" in node.values else None
    axes = len(kernel) if kernel is not None else 2
    if len(given) != axes + 1:
        raise InputError(f"{node.kind} takes {axes + 1} axes (channels first), not {given}")
    wide = {f: _wide(node.values[f], axes) for f in ("stride", "dilation", "kernel_size") if f in node.values}
    kernel = kernel or wide["kernel_size"]
    dilation, padding = wide.get("dilation", (1,) * axes), node.values["padding"]
    if isinstance(padding, str) and padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return kernel, wide["stride"], dilation, (*(t // 2 for t in total), *(t - t // 2 for t in total))
    pads = (0,) * axes if isinstance(padding, str) else _wide(padding, axes)
    return kernel, wide["stride"], dilation, pads * 2


def _wide(value: Array, axes: int) -> Shape:
    """A number or one an axis, as one an axis."""
    return tuple(int(x) for x in np.broadcast_to(np.ravel(value), (axes,)))
