"""Lattices of superconducting machines by their number of qubits: which neighbours share a gate."""

from __future__ import annotations

import math

Pairs = tuple[tuple[int, int], ...]
EAGLE = 127  # its first row lacks the last qubit, its last row the first one


def square(qubits: int) -> Pairs:
    """Full rows, as wide as the largest divisor up to the square root (120 is 12 rows of 10)."""
    width = next(w for w in range(math.isqrt(qubits), 0, -1) if qubits % w == 0)
    right = [(q, q + 1) for q in range(qubits - 1) if (q + 1) % width]
    down = [(q, q + width) for q in range(qubits - width)]
    return tuple(sorted(right + down))


def heavy_hex(qubits: int) -> Pairs:
    """Rows of 16 (15 below 150 qubits); every fourth qubit is bridged to the next row, the bridges shifted by two from
    row to row; numbered row by row, each row's bridges after it; cut off after `qubits`.

    The layout of IBM's Eagle and Heron machines (IBM Quantum documentation, processor types); tests compare it with the
    maps bundled with qiskit-ibm-runtime.
    """
    width = 16 if qubits >= 150 else 15
    shifts = (3, 1) if width == 16 else (0, 2)
    pairs: list[tuple[int, int]] = []
    above: dict[int, int] = {}  # column -> bridge that hangs from the row before
    number = row = 0
    while number < qubits:
        first_short, last_short = qubits == EAGLE and row == 0, qubits == EAGLE and row == 6
        columns = range(1 if last_short else 0, width - 1 if first_short else width)
        place = {c: number + k for k, c in enumerate(columns)}
        pairs += [(q, q + 1) for q in list(place.values())[:-1]]
        pairs += [(bridge, place[c]) for c, bridge in above.items()]
        number += len(place)
        above = {
            c: number + k for k, c in enumerate(c for c in range(shifts[row % 2], width, 4) if c in place)
        }
        pairs += [(place[c], bridge) for c, bridge in above.items()]
        number += len(above)
        row += 1
    return tuple(sorted((a, b) for a, b in pairs if a < qubits and b < qubits))
