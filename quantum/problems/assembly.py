"""Assembly: the order of reads in which neighbours overlap most, as a travelling salesman's tour.

x[t, r] says that read r stands at place t. QuASeR, Sarkar et al. 2021 (PLoS ONE 16, e0249850); TSP: Lucas 2014
(arXiv 1302.5843), section 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.quantum.biology.reads import ReadSet, greedy_order, merged
from trine.quantum.feasible import OneHot
from trine.quantum.optima.tours import best_order, order_by_milp
from trine.quantum.polynomial import Bits, Polynomial, Subset, exactly_one, total
from trine.quantum.problem import Encoding, Exact, Problem, Reader

LONGEST_TABLE = 16  # reads: Held and Karp's table then has 16 * 2^16 entries
LONGEST_TOUR = 60  # reads: 3,600 steps from one to another


def parse(data: Mapping[str, Any]) -> ReadSet:
    """From a file's `instance`. Raises InputError."""
    reader = Reader(data, ("reads",), ("names", "circular", "first_fixed", "least_overlap"))
    reads = reader.texts("reads")
    names = reader.texts("names") or tuple(f"read{i}" for i in range(len(reads)))
    flags = {}
    for key in ("circular", "first_fixed"):
        flags[key] = data.get(key, True if key == "circular" else data.get("circular", True))
        if not isinstance(flags[key], bool):
            reader.problems.append(f"{key} is {flags[key]!r}: give true or false")
    if not reader.problems and flags["first_fixed"] and not flags["circular"]:
        reader.problems.append("first_fixed: only a circular genome can begin at any read; set it to false")
    least = reader.whole("least_overlap", 1, 1)
    if not reader.problems and (len(reads) < 2 or len(names) != len(reads) or len(set(names)) != len(names)):
        reader.problems.append(
            f"give two or more reads and as many different names; there are {len(reads)} reads"
        )
    for k, read in enumerate(reads):
        strange = sorted(set(read.upper()) - set("ACGTN"))
        if strange or not read:
            reader.problems.append(
                f"reads[{k}] ({names[k] if k < len(names) else k}): unknown nucleotide {strange}"
            )
    reader.done()
    upper = tuple(r.upper() for r in reads)
    return ReadSet(names, upper, bool(flags["circular"]), bool(flags["first_fixed"]), least)


def rules(data: ReadSet) -> list[tuple[int, ...]]:
    """Bits of which exactly one is set: first those of each place, then those of each read."""
    n, start = len(data.reads), int(data.first_fixed)
    grid = [[data.bit(t, r) for r in range(start, n)] for t in range(start, n)]
    return [tuple(b for b in row if b is not None) for row in [*grid, *map(list, zip(*grid, strict=True))]]


def encode(data: ReadSet) -> Encoding:
    """Missing letters between neighbours, plus P (1 - sum)^2 for each place and each read."""
    n = len(data.reads)
    parts: list[dict[Subset, float]] = []
    for t, u in data.steps:
        for i in range(n):
            for j in range(n):
                ends = (data.bit(t, i), data.bit(u, j))
                stands = [not data.first_fixed or bool(p) == bool(r) for p, r in ((t, i), (u, j))]
                if i != j and all(stands) and data.missing[i, j]:
                    bits = sorted({b for b in ends if b is not None})
                    parts.append({tuple(bits): float(data.missing[i, j])})
    groups = rules(data)
    half = len(groups) // 2
    weights = [exactly_one(g, data.penalty) for g in groups]
    count = max(b for g in groups for b in g) + 1
    labels = [""] * count
    for t in range(n):
        for r in range(n):
            where = data.bit(t, r)
            if where is not None:
                labels[where] = f"{data.names[r]} is at place {t + 1}"
    return Encoding(
        Polynomial(count, total([*parts, *weights])),
        Polynomial(count, total([*parts, *weights[half:]])),
        OneHot(tuple(groups[:half])),
        tuple(labels),
        data.penalty,
        "no order pays less than 0, greedy's is one order, and a string that is none breaks two rules",
    )


def present(data: ReadSet, bits: Bits) -> list[list[int]]:
    """The reads at each place."""
    n = len(data.reads)
    found = []
    for t in range(n):
        here = [data.bit(t, r) for r in range(n)]
        if data.first_fixed and t == 0:
            found.append([0])
        else:
            found.append([r for r, b in enumerate(here) if b is not None and bits[b]])
    return found


def cost(data: ReadSet, bits: Bits) -> float:
    """Letters missing between neighbouring places, and the penalties."""
    at = present(data, bits)
    found = sum(float(data.missing[i, j]) for t, u in data.steps for i in at[t] for j in at[u] if i != j)
    for group in rules(data):
        found += data.penalty * (1 - sum(int(bits[b]) for b in group)) ** 2
    return found


def violations(data: ReadSet, bits: Bits) -> list[str]:
    """Places without exactly one read, reads without exactly one place."""
    at = present(data, bits)
    found = [f"place {t + 1} has {len(here)} reads" for t, here in enumerate(at) if len(here) != 1]
    for r, name in enumerate(data.names):
        places = sum(r in here for here in at)
        if places != 1:
            found.append(f"{name} has {places} places")
    return found


def decode(data: ReadSet, bits: Bits) -> dict[str, Any]:
    """The order of the reads, the letters they share, and the sequence."""
    at = present(data, bits)
    if violations(data, bits):
        return {"places": [[data.names[r] for r in here] for here in at], "order": None, "sequence": None}
    order = [here[0] for here in at]
    shared = [int(data.overlaps[order[t], order[u]]) for t, u in data.steps]
    return {
        "order": [data.names[r] for r in order],
        "overlaps": shared,
        "total_overlap": sum(shared),
        "sequence": merged(data, order),
    }


def bits_of(data: ReadSet, answer: Mapping[str, Any]) -> Bits:
    """From the order; a ring whose first read is fixed is turned to begin with it."""
    order = [data.names.index(n) if n in data.names else -1 for n in answer["order"]]
    if sorted(order) != list(range(len(data.names))):
        raise InputError(f"order: name each of {', '.join(data.names[:8])} once")
    if data.first_fixed:
        order = order[order.index(0) :] + order[: order.index(0)]
    bits = np.zeros((len(data.reads) - int(data.first_fixed)) ** 2, np.uint8)
    for t, r in enumerate(order):
        where = data.bit(t, r)
        if where is not None:
            bits[where] = 1
    return bits


def draw(data: ReadSet, generator: np.random.Generator, count: int) -> Bits:
    """Orders, each as likely as any other."""
    start = int(data.first_fixed)
    orders = [
        [*range(start), *(generator.permutation(len(data.reads) - start) + start).tolist()]
        for _ in range(count)
    ]
    return np.array([bits_of(data, {"order": [data.names[r] for r in order]}) for order in orders], np.uint8)


def greedy(data: ReadSet) -> Bits:
    """From read 0, always the read that overlaps most with the last one."""
    return bits_of(data, {"order": [data.names[r] for r in greedy_order(data)]})


def exact(data: ReadSet) -> Exact | None:
    """Dynamic programming over sets of reads (Held and Karp 1962) to 16, HiGHS to 60; None where it gives up."""
    n = len(data.reads)
    pay = data.missing.astype(np.float64)
    if n <= LONGEST_TABLE:
        order, method = best_order(pay, data.circular), f"dynamic programming over 2^{n} sets of reads"
    else:
        found = order_by_milp(pay, data.circular) if n <= LONGEST_TOUR else None
        if found is None:
            return None
        order, method = found, "integer program with subtours cut off (HiGHS)"
    bits = bits_of(data, {"order": [data.names[r] for r in order]})
    return Exact(cost(data, bits), tuple(int(b) for b in bits), method)


def example() -> ReadSet:
    """QuASeR's example: four reads of ten letters, neighbours share 7 + 7 + 7 + 9 letters."""
    return ReadSet(
        ("r0", "r1", "r2", "r3"), ("ATGGCGTGCA", "GCGTGCAATG", "TGCAATGGCG", "AATGGCGTGC"), True, False
    )


def sample(generator: np.random.Generator, qubits: int) -> ReadSet:
    """Reads of twelve letters at random places of a random genome; a ring where that is nearer to `qubits`."""
    side = max(1, int(qubits**0.5))
    circular = generator.random() < 0.5 or side < 2
    count = side + 1 if circular else side
    genome = "".join(generator.choice(list("ACGT"), 8 * count).tolist())
    around = genome * 3
    starts = generator.permutation(8 * count)[:count]
    names = tuple(f"read{i}" for i in range(count))
    return ReadSet(names, tuple(around[s : s + 12] for s in starts), circular, circular)


PROBLEM = Problem(
    "assembly", "order of reads with the largest overlaps", "Sarkar et al. 2021 (QuASeR, PLoS ONE 16, e0249850)",
    parse, encode, cost, violations, decode, bits_of, exact, greedy, example, sample,
    unit="letters short of the longest overlap",
    keys={
        "names": "one a read; read0, read1, ... if left out",
        "reads": "sequences of A, C, G, T and N, one strand",
        "circular": "whether the genome is a ring; true if left out",
        "first_fixed": "whether read 0 stands first, which takes (R-1)^2 qubits and not R^2; rings only",
        "least_overlap": "shorter overlaps count as none; 1 if left out",
    },
    draw=draw,
)  # fmt: skip
