"""The genetic code, how often human genes use each codon, and what codons look like side by side."""

from __future__ import annotations

import math
from functools import cache
from itertools import groupby, product

from trine.devices.errors import nearest

# The standard genetic code (NCBI table 1), codons in the order UUU, UUC, UUA, UUG, UCU, ...
CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS = tuple("".join(c) for c in product("UCAG", repeat=3))
# Codons per thousand, in the order above. Kazusa codon usage database (Nakamura et al., Nucleic Acids Res. 28, 292,
# 2000), Homo sapiens, 93,487 coding sequences, 40,662,582 codons, GenBank release 160 (2007).
HUMAN = (
    17.6, 20.3, 7.7, 12.9, 15.2, 17.7, 12.2, 4.4, 12.2, 15.3, 1.0, 0.8, 10.6, 12.6, 1.6, 13.2,
    13.2, 19.6, 7.2, 39.6, 17.5, 19.8, 16.9, 6.9, 10.9, 15.1, 12.3, 34.2, 4.5, 10.4, 6.2, 11.4,
    16.0, 20.8, 7.5, 22.0, 13.1, 18.9, 15.1, 6.1, 17.0, 19.1, 24.4, 31.9, 12.1, 19.5, 12.2, 12.0,
    11.0, 14.5, 7.1, 28.1, 18.4, 27.7, 15.8, 7.4, 21.8, 25.1, 29.0, 39.6, 10.8, 22.2, 16.5, 16.5,
)  # fmt: skip
OF = {a: tuple(c for c, b in zip(CODONS, CODE, strict=True) if a == b) for a in sorted(set(CODE))}
Usage = tuple[tuple[str, float], ...]
HUMAN_USAGE: Usage = tuple(zip(CODONS, HUMAN, strict=True))


def gc_count(codon: str) -> int:
    """G and C nucleotides."""
    return sum(letter in "GC" for letter in codon)


@cache
def repeats(first: str, second: str) -> int:
    """(longest run of one nucleotide in the two codons side by side)^2 - 1, Fox 2021."""
    return max(len(list(run)) for _, run in groupby(first + second)) ** 2 - 1


def read_usage(given: object, problems: list[str]) -> Usage:
    """Codons per thousand from JSON, human where None; mistakes go to `problems`."""
    if given is None:
        return HUMAN_USAGE
    if not isinstance(given, dict):
        problems.append('usage: give {"AUG": 22.0, ...}, codons per thousand')
        return HUMAN_USAGE
    found: dict[str, float] = {}
    for name, value in given.items():
        codon = str(name).upper().replace("T", "U")
        if codon not in CODONS:
            problems.append(f"usage: {name} is no codon, {nearest(codon, CODONS)}")
        elif type(value) not in (int, float) or not 0 <= value < math.inf:
            problems.append(f"usage[{name}] is {value!r}: give a number of at least 0")
        else:
            found[codon] = float(value)
    return tuple(sorted(found.items(), key=lambda item: CODONS.index(item[0])))
