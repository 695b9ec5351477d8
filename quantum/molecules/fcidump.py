"""FCIDUMP: integrals as text (Knowles and Handy, Comput. Phys. Commun. 54 (1989) 75)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.formulate.record import read_text
from trine.quantum.molecules.integrals import Integrals, check_memory

END = re.compile(r"(&END|/)\s*$", re.IGNORECASE)
NUMBER = re.compile(r"\b(NORB|NELEC|MS2|IUHF|UHF)\s*=\s*([^,\s/&]+)", re.IGNORECASE)


def read_fcidump(path: Path) -> Integrals:
    """Real, restricted orbitals. Raises InputError with the line's number."""
    lines = read_text(path).splitlines()
    end = next((k for k, line in enumerate(lines) if END.search(line.strip())), None)
    if not lines or not lines[0].lstrip().upper().startswith("&FCI") or end is None:
        raise InputError(
            f"{path}: line 1: an FCIDUMP begins with '&FCI NORB=..., NELEC=...' and ends that with '/' or '&END'"
        )
    orbitals, electrons = header(path, " ".join(lines[: end + 1]))
    one, two, constant = np.zeros((orbitals,) * 2), np.zeros((orbitals,) * 4), 0.0
    problems: list[str] = []
    for k, line in enumerate(lines[end + 1 :], end + 2):
        if not line.strip():
            continue
        try:
            value, (p, q, r, s) = entry(line, orbitals)
        except ValueError as error:
            problems.append(f"line {k}: {error}")
            continue
        if r >= 0:
            for a, b, c, d in ((p, q, r, s), (r, s, p, q)):
                two[a, b, c, d] = two[b, a, c, d] = two[a, b, d, c] = two[b, a, d, c] = value
        elif q >= 0:
            one[p, q] = one[q, p] = value
        elif p < 0:
            constant = value
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise InputError(f"{path}: " + "; ".join(problems[:5]) + more)
    try:
        return Integrals(constant, one, two, electrons)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def header(path: Path, text: str) -> tuple[int, tuple[int, int]]:
    """(orbitals, electrons up and down)."""
    found = {name.upper(): value for name, value in NUMBER.findall(text)}
    if any(found.get(name, "0").strip(".").upper() in ("1", "T", "TRUE") for name in ("UHF", "IUHF")):
        raise InputError(f"{path}: has different orbitals for the two spins (UHF); write restricted ones")
    numbers = {}
    for name, default in (("NORB", None), ("NELEC", None), ("MS2", "0")):
        text = found.get(name, default) or ""
        if not re.fullmatch(r"-?\d+", text):
            raise InputError(f"{path}: line 1: {name} is {text or 'missing'}: give a whole number")
        numbers[name] = int(text)
    check_memory(numbers["NORB"])
    twice_up = numbers["NELEC"] + numbers["MS2"]
    if twice_up % 2 or numbers["NORB"] < 1:
        raise InputError(
            f"{path}: line 1: NORB={numbers['NORB']}, NELEC={numbers['NELEC']}, MS2={numbers['MS2']} cannot be together"
        )
    return numbers["NORB"], (twice_up // 2, numbers["NELEC"] - twice_up // 2)


def entry(line: str, orbitals: int) -> tuple[float, tuple[int, ...]]:
    """(value, indices from 0, -1 where the file says 0). Raises ValueError saying what is wrong."""
    words = line.replace("D", "E").replace("d", "e").split()
    if len(words) != 5:
        raise ValueError(f"needs a number and four indices, has {len(words)} words")
    try:
        value, indices = float(words[0]), tuple(int(w) - 1 for w in words[1:])
    except ValueError:
        raise ValueError(f"{line.strip()!r} is no number with four whole indices") from None
    if not np.isfinite(value):
        raise ValueError(f"the integral is {value}")
    if any(not -1 <= i < orbitals for i in indices):
        raise ValueError(f"indices go from 0 to NORB={orbitals}")
    kinds = tuple(i >= 0 for i in indices)
    if kinds not in ((True,) * 4, (True, True, False, False), (True, False, False, False), (False,) * 4):
        raise ValueError(f"indices {' '.join(words[1:])} stand for no integral")
    return value, indices
