"""QUBO and Ising models from files: qbsolv .qubo, dimod's binary quadratic model as JSON, matrices."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.quantum.formulate.graphs import MOST
from trine.quantum.formulate.record import Formulation, Option, one_of, read_bytes, read_text, source, stated
from trine.quantum.problem import Stated

BQM = Option("bqm", Path, "dimod BinaryQuadraticModel, its to_serializable() as JSON.")


def qubo(qubo: Path | None, bqm: Path | None, matrix: Path | None, maximise: bool) -> Stated:
    """From one of the three."""
    given = {"qubo": qubo, "bqm": bqm, "matrix": matrix}
    kind = one_of(**given)
    path = given[kind]
    assert path is not None
    readers = {"qubo": read_qubo, "bqm": lambda p: read_bqm(p, "BINARY"), "matrix": read_matrix}
    instance = readers[kind](path)
    if maximise:
        instance = turned(instance)
    try:
        notes = {kind: source(path), "turned from maximising": maximise}
        return stated("qubo", instance, notes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def turned(instance: dict[str, Any]) -> dict[str, Any]:
    """The negative."""
    if "matrix" in instance:
        return {"matrix": [[-v for v in row] for row in instance["matrix"]]}
    signs = {key: [-v for v in instance[key]] for key in ("linear", "couplings")}
    return {**instance, **signs, "constant": -instance.get("constant", 0.0)}


def read_qubo(path: Path) -> dict[str, Any]:
    """qbsolv's format: `c` comments, `p qubo target n nDiagonals nElements`, then `i i value` and `i j value`.

    D-Wave, qbsolv, 2017. Raises InputError naming the line.
    """
    size, counts = 0, (0, 0)
    linear: dict[Any, float] = {}
    couplings: dict[Any, float] = {}
    for k, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0] == "c":
            continue
        try:
            if words[0] == "p":
                if size or words[1] != "qubo":
                    raise ValueError
                size, counts = int(words[3]), (int(words[4]), int(words[5]))
                if not 0 < size <= MOST:
                    raise InputError(f"{path}: line {k}: {size} variables: give 1 to {MOST:,}")
                continue
            i, j, value = int(words[0]), int(words[1]), float(words[2])
        except (ValueError, IndexError):
            raise InputError(
                f"{path}: line {k}: {line.strip()!r} is neither `p qubo 0 n n n` nor `i j value`"
            ) from None
        if not (0 <= i < size and 0 <= j < size) or not math.isfinite(value):
            raise InputError(f"{path}: line {k}: nodes go from 0 to {size - 1} and values are finite numbers")
        table = linear if i == j else couplings
        key: Any = i if i == j else (min(i, j), max(i, j))
        if key in table:
            raise InputError(f"{path}: line {k}: element {i} {j} is there already")
        table[key] = value
    if (len(linear), len(couplings)) != counts:
        raise InputError(
            f"{path}: the p line tells of {counts[0]} diagonals and {counts[1]} elements, there are {len(linear)} and "
            f"{len(couplings)}: the file is cut short or was edited"
        )
    pairs = sorted(couplings)
    return {
        "linear": [linear.get(i, 0.0) for i in range(size)],
        "pairs": [list(p) for p in pairs],
        "couplings": [couplings[p] for p in pairs],
    }


def read_bqm(path: Path, vartype: str) -> dict[str, Any]:
    """dimod's model as this catalogue's instance, of bits (BINARY) or spins (SPIN).

    dimod's spin is s = 2x - 1, ours 1 - 2x, so fields change their sign. Raises InputError.
    """
    try:
        import dimod
    except ImportError:
        raise MissingExtra("dimod", "quantum", "reading dimod models") from None
    try:
        model = dimod.BinaryQuadraticModel.from_serializable(json.loads(read_text(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no dimod model ({type(error).__name__}: {error}); write json.dumps(bqm.to_serializable())"
        ) from None
    model = model.change_vartype(vartype, inplace=False)
    order = list(model.variables)
    place = {v: k for k, v in enumerate(order)}
    pairs = {
        (min(place[u], place[v]), max(place[u], place[v])): float(b) for (u, v), b in model.quadratic.items()
    }
    sign = -1.0 if vartype == "SPIN" else 1.0
    return {
        "names": [str(v) for v in order],
        "fields" if vartype == "SPIN" else "linear": [sign * float(model.linear[v]) + 0.0 for v in order],
        "pairs": [list(p) for p in sorted(pairs)],
        "couplings": [pairs[p] for p in sorted(pairs)],
        "constant": float(model.offset),
    }


def read_matrix(path: Path) -> dict[str, Any]:
    """Q of x^T Q x, from .npy or an .npz with one array. Raises InputError."""
    read_bytes(path)
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.ndarray):
            with stored:
                (name,) = stored.files
                stored = stored[name]
        matrix = np.asarray(stored, np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: no .npy or .npz with one matrix ({error})") from None
    if matrix.ndim != 2:
        raise InputError(f"{path}: the array has shape {matrix.shape}: give a square matrix")
    return {"matrix": matrix.tolist()}


def ising(bqm: Path) -> Stated:
    """From dimod's model."""
    try:
        return stated("ising", read_bqm(bqm, "SPIN"), {"bqm": source(bqm)})
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(bqm)) else f"{bqm}: {text}") from None


FORMULATIONS = (
    Formulation(
        "qubo",
        "from a .qubo file, a dimod model or a matrix",
        (
            Option("qubo", Path, "qbsolv .qubo file."),
            BQM,
            Option("matrix", Path, "Q of x^T Q x, .npy or .npz, symmetric or triangular."),
            Option("maximise", bool, "The file's function is to be maximised, as Beasley's bqp.", False),
        ),
        qubo,
    ),
    Formulation("ising", "from a dimod model", (Option("bqm", Path, BQM.help, required=True),), ising),
)
