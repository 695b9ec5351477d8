"""Side-chain packing from a toulbar2 cost function network (.cfn, .cfn.gz)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, nearest
from trine.quantum.formulate.record import Formulation, Option, read_bytes, source, stated
from trine.quantum.problem import Stated

Float = NDArray[np.float64]


def side_chains(cfn: Path, residues: str | None) -> Stated:
    """From a network with functions of one and two variables; `residues` keeps some and drops all others."""
    data = read_network(cfn)
    names, values = read_variables(data, cfn)
    unary: list[Float] = [np.zeros(len(v)) for v in values]
    pairs: dict[tuple[int, int], Float] = {}
    constant = 0.0
    for label, function in data["functions"].items():
        scope, table = read_function(function, names, values, f"{cfn}: function {label}")
        if not scope:
            constant += float(table)
        elif len(scope) == 1:
            unary[scope[0]] += table
        else:
            (i, j), turned = (scope, table) if scope[0] < scope[1] else (scope[::-1], table.T)
            pairs[i, j] = pairs[i, j] + turned if (i, j) in pairs else turned
    kept = chosen(names, residues)
    unary[kept[0]] = unary[kept[0]] + constant
    number = {site: k for k, site in enumerate(kept)}
    instance = {
        "residues": [names[site] for site in kept],
        "rotamers": [list(values[site]) for site in kept],
        "unary": [unary[site].tolist() for site in kept],
        "pairs": {
            f"{number[i]},{number[j]}": table.tolist()
            for (i, j), table in sorted(pairs.items())
            if i in number and j in number
        },
    }
    notes = {"cfn": source(cfn), "residues left out": len(names) - len(kept)}
    try:
        return stated("side_chains", instance, notes)
    except InputError as error:
        raise InputError(f"{cfn}: {error}") from None


def chosen(names: list[str], residues: str | None) -> list[int]:
    """Sites in the file's order. Raises InputError."""
    if residues is None:
        return list(range(len(names)))
    wanted = [name.strip() for name in residues.split(",")]
    wrong = [f"{name} ({nearest(name, names)})" for name in wanted if name not in names]
    if wrong:
        raise InputError(f"--residues: unknown residue {', '.join(wrong[:3])}")
    return sorted({names.index(name) for name in wanted})


def read_network(path: Path) -> dict[str, Any]:
    """The file's object. Raises InputError."""
    raw = read_bytes(path)
    try:
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
        data = json.loads(text)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as {'gzip' if path.suffix == '.gz' else 'text'} ({error})"
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(data, dict) or not all(
        isinstance(data.get(k), dict) for k in ("variables", "functions")
    ):
        raise InputError(f"{path}: no cost function network: needs the objects variables and functions")
    return data


def read_variables(data: dict[str, Any], path: Path) -> tuple[list[str], list[list[str]]]:
    """Names and values; a number of values names them by number."""
    names, values = [], []
    for name, domain in data["variables"].items():
        if isinstance(domain, int) and not isinstance(domain, bool):
            domain = [str(k) for k in range(abs(domain))]
        if not isinstance(domain, list) or not domain:
            raise InputError(f"{path}: variable {name} has no values: nothing can be chosen")
        names.append(name)
        values.append([str(v) for v in domain])
    return names, values


def read_function(
    function: Any, names: list[str], values: list[list[str]], where: str
) -> tuple[list[int], Float]:
    """Scope and table, with the file's default cost where it lists tuples. Raises InputError."""
    try:
        scope = [s if isinstance(s, int) else names.index(s) for s in function["scope"]]
        shape = tuple(len(values[s]) for s in scope)
        costs = function["costs"]
        if len(scope) > 2 or len(set(scope)) != len(scope):
            raise InputError(f"{where}: joins {len(scope)} variables; functions of one and two can be read")
        if "defaultcost" not in function:
            return scope, np.array(costs, np.float64).reshape(shape)
        table = np.full(shape, float(function["defaultcost"]))
        width = len(scope) + 1
        for start in range(0, len(costs), width):
            *key, cost = costs[start : start + width]
            place = tuple(
                v if isinstance(v, int) else values[s].index(v) for s, v in zip(scope, key, strict=True)
            )
            table[place] = cost
        return scope, table
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{where}: scope and costs do not fit its variables ({error})") from None


FORMULATIONS = (
    Formulation(
        "side_chains",
        "from a cost function network",
        (
            Option("cfn", Path, "toulbar2 .cfn or .cfn.gz.", required=True),
            Option("residues", str, "Names, as V3,V7: keep these alone; by default all."),
        ),
        side_chains,
    ),
)
