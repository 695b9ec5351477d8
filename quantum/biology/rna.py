"""RNA sequences, base pairs and structures in dot-bracket form, pseudoknots included."""

from __future__ import annotations

from collections.abc import Iterable

from trine.devices.errors import InputError
from trine.quantum.problem import Reader

PAIRING = frozenset({"AU", "UA", "CG", "GC", "GU", "UG"})  # Watson-Crick and wobble
BRACKETS = (
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("<", ">"),
)  # one level a pseudoknot, as in ViennaRNA and PseudoBase
Pairs = tuple[tuple[int, int], ...]


def read_sequence(reader: Reader, shortest: int) -> str:
    """The key `sequence`: A, C, G, U in any case, T read as U; other letters and short chains are mistakes."""
    sequence = "".join(reader.text("sequence").split()).upper().replace("T", "U")
    wrong = [f"{letter} at {k}" for k, letter in enumerate(sequence) if letter not in "ACGU"]
    if wrong:
        reader.problems.append(f"sequence: {', '.join(wrong[:5])}: nucleotides are A, C, G, U (or T)")
    if len(sequence) < shortest:
        reader.problems.append(f"sequence has {len(sequence)} nucleotides: give at least {shortest}")
    return sequence


def can_pair(sequence: str, i: int, j: int) -> bool:
    """Whether two nucleotides form a Watson-Crick or wobble pair."""
    return sequence[i] + sequence[j] in PAIRING


def cross(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two pairs (i < j) form a pseudoknot."""
    (i, j), (k, m) = sorted((a, b))
    return i < k < j < m


def dot_bracket(length: int, pairs: Iterable[tuple[int, int]]) -> str:
    """The structure as text; a pair that crosses others goes to the next kind of brackets.

    Raises InputError where more than four levels would be needed.
    """
    text = ["."] * length
    levels: list[list[tuple[int, int]]] = [[] for _ in BRACKETS]
    for pair in sorted(pairs):
        level = next((k for k, held in enumerate(levels) if not any(cross(pair, h) for h in held)), None)
        if level is None:
            raise InputError(f"pair {pair}: more than {len(BRACKETS)} kinds of brackets would be needed")
        levels[level].append(pair)
        text[pair[0]], text[pair[1]] = BRACKETS[level]
    return "".join(text)


def pairs_of(structure: str) -> Pairs:
    """Base pairs of a dot-bracket text. Raises InputError for another sign or an open bracket."""
    found: list[tuple[int, int]] = []
    opened: dict[tuple[str, str], list[int]] = {kind: [] for kind in BRACKETS}
    for k, sign in enumerate(structure):
        kind = next((b for b in BRACKETS if sign in b), None)
        if sign == ".":
            continue
        if kind is None:
            raise InputError(f"structure: {sign!r} at {k}: use dots and {' '.join(map(''.join, BRACKETS))}")
        if sign == kind[0]:
            opened[kind].append(k)
        elif not opened[kind]:
            raise InputError(f"structure: {sign!r} at {k} closes nothing")
        else:
            found.append((opened[kind].pop(), k))
    left = [f"{kind[0]} at {k}" for kind, places in opened.items() for k in places]
    if left:
        raise InputError(f"structure: {', '.join(left[:5])} not closed")
    return tuple(sorted(found))
