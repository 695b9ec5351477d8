"""MaxCut and independent set from graph files: QED-C text (number of nodes, then `i j` a line), DIMACS, .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError
from trine.quantum.formulate.record import Formulation, Option, read_bytes, read_text, source, stated
from trine.quantum.problem import Stated

MOST = 100_000  # nodes, variables
GRAPH = Option(
    "graph",
    Path,
    "Number of nodes, then `i j [weight]` a line; or DIMACS; or an .npz adjacency.",
    required=True,
)


def read_edges(path: Path) -> tuple[int, list[list[int]], list[float]]:
    """Nodes, edges and their weights. Raises InputError naming the line."""
    if path.suffix == ".npz":
        matrix = read_adjacency(path)
        rows, columns = np.nonzero(np.triu(matrix, 1))
        edges = [[int(i), int(j)] for i, j in zip(rows, columns, strict=True)]
        return len(matrix), edges, [float(matrix[i, j]) for i, j in edges]
    lines = [(k, line.split()) for k, line in enumerate(read_text(path).splitlines(), 1)]
    lines = [(k, words) for k, words in lines if words and words[0] not in ("c", "#")]
    dimacs = bool(lines) and lines[0][1][0] == "p"
    head = lines[0][1][2:3] if dimacs else lines[0][1] if lines else []
    if len(head) != 1 or not head[0].isdigit():
        raise InputError(
            f"{path}: the first line must be the number of nodes, or `p edge nodes edges` (DIMACS)"
        )
    if int(head[0]) > MOST:
        raise InputError(f"{path}: {head[0]} nodes: at most {MOST:,} can be stated")
    edges, weights = [], []
    for k, words in lines[1:]:
        try:
            if dimacs and words.pop(0) != "e":
                raise ValueError
            i, j, weight = int(words[0]), int(words[1]), float(words[2]) if len(words) > 2 else 1.0
        except (ValueError, IndexError):
            form = "`e i j`" if dimacs else "`i j` or `i j weight`"
            raise InputError(f"{path}: line {k}: give {form}") from None
        edges.append([i - dimacs, j - dimacs])  # DIMACS counts from 1
        weights.append(weight)
    return int(head[0]), edges, weights


def read_adjacency(path: Path) -> NDArray[np.float64]:
    """A symmetric matrix from .npz: one dense array, or scipy's sparse format. Raises InputError."""
    read_bytes(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if {"indices", "indptr", "data", "shape"} <= arrays.keys():
            matrix = np.zeros(tuple(arrays["shape"]))
            rows = np.repeat(np.arange(len(arrays["indptr"]) - 1), np.diff(arrays["indptr"]))
            matrix[rows, arrays["indices"]] = arrays["data"]
            matrix = matrix.T if arrays.get("format", b"csr") == b"csc" else matrix
        else:
            (matrix,) = arrays.values()
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path}: no .npz with one adjacency matrix ({error})") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise InputError(
            f"{path}: the adjacency has shape {matrix.shape}: give a square matrix of at least one node"
        )
    matrix = np.asarray(matrix, np.float64)
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise InputError(f"{path}: entry [{i}, {j}] is {matrix[i, j]}: give finite numbers")
    if not np.array_equal(matrix, matrix.T):
        i, j = np.argwhere(matrix != matrix.T)[0]
        raise InputError(
            f"{path}: not symmetric: [{i}, {j}] is {matrix[i, j]:g}, [{j}, {i}] is {matrix[j, i]:g}"
        )
    return matrix


def maxcut(graph: Path) -> Stated:
    """From a graph with weights on edges."""
    nodes, edges, weights = read_edges(graph)
    try:
        return stated(
            "maxcut", {"nodes": nodes, "edges": edges, "weights": weights}, {"graph": source(graph)}
        )
    except InputError as error:
        raise InputError(f"{graph}: {error}") from None


def independent_set(graph: Path, penalty: float | None) -> Stated:
    """From a graph; weights of its edges mean nothing here."""
    nodes, edges, _ = read_edges(graph)
    try:
        instance = {"nodes": nodes, "edges": edges, "penalty": penalty}
        return stated("independent_set", instance, {"graph": source(graph)})
    except InputError as error:
        raise InputError(f"{graph}: {error}") from None


PENALTY = Option("penalty", float, "Weight of a broken constraint; by default what suffices.")
FORMULATIONS = (
    Formulation("maxcut", "from a graph file", (GRAPH,), maxcut),
    Formulation("independent_set", "from a graph file", (GRAPH, PENALTY), independent_set),
)
