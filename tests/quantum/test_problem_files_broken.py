"""Broken problem files: whatever stands in a place of an instance, the answer is an instance or a message."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trine.devices.errors import InputError
from trine.quantum.problem import Stated, problems, read_problem

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 3, 1.5, 1e200, 1e999, float("nan"), "", "x", "ACGU",
    [], [None], [[]], [[0, 0]], [[0, 99]], [["a"]], [1e200, -1e200], {}, {"a": 1},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Keys that lead to each part of a JSON value, at most two entries of a list."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    elif isinstance(value, list):
        for k in range(min(2, len(value))):
            found += places(value[k], (*path, k))
    return found


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """A copy with one part replaced."""
    found = copy.deepcopy(value)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by
    return found


@pytest.mark.parametrize("name", sorted(problems()))
def test_junk_in_every_place(name: str) -> None:
    """An InputError, or an instance whose bits have finite energies and whose file reads again."""
    problem = problems()[name]
    good = json.loads(json.dumps(problem.example().as_json()))
    problem.parse(good)
    refused = 0
    for path in places(good):
        for junk in JUNK:
            try:
                instance = problem.parse(replaced(good, path, junk))
                encoding = problem.encode(instance)
            except InputError:
                refused += 1
                continue
            assert np.isfinite(encoding.polynomial.energy(np.zeros(encoding.qubits, np.uint8))), (path, junk)
            assert problem.parse(json.loads(Stated(problem, instance).text())["instance"]) == instance
    assert refused > 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("[]", "no problem file"),
        ('{"problem": "docking"}', "no problem file"),
        ('{"schema": "trine.problem/9", "problem": "docking", "instance": {}}', "this version reads"),
        ('{"schema": "trine.problem/1", "problem": "dokcing", "instance": {}}', "did you mean docking"),
        ('{"schema": "trine.problem/1", "problem": "docking", "instance": {}}', "ligand is missing; pocket is"),
        ('{"schema": "trine.problem/1", "problem": "qubo", "instance": {"matrix": [[NaN]]}}', r"\[0\]\[0\] is nan"),
    ],
)  # fmt: skip
def test_broken_files(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_problem(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_problem(tmp_path / "none.json")
