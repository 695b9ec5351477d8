"""The claim "1,000 times less power than a GPU", computed from one measured data set: a ratio for each
boundary and batch.

Keyword spotter 390-256-256-29, Blouw et al. 2019 (arXiv 1812.01739), Table 1 (batch 1; energies above idle),
and its logs (abr/power_benchmarks @ fce95c8) for total energies, idle included, at batch 1 and 64. Loihi
runs batch 1 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Measured:
    """One machine: power in W, inferences a second, joules an inference above idle, total J by batch (idle
    included).
    """

    name: str
    idle_w: float
    running_w: float
    inferences_per_s: float
    dynamic_j: float
    total_j: tuple[tuple[int, float], ...]


LOIHI: Final = Measured("Loihi 1 (Wolf Mountain)", 0.029, 0.110, 296, 0.00027, ((1, 0.110 / 296),))
OTHERS: Final = (
    Measured("Quadro K4000 (GPU)", 14.97, 37.83, 770.39, 0.0298, ((1, 49.1e-3), (64, 1.141e-3))),
    Measured("Xeon E5-2630 (CPU)", 17.01, 28.48, 1813.63, 0.0063, ((1, 15.70e-3), (64, 0.793e-3))),
    Measured("Jetson TX1", 2.64, 4.98, 419, 0.0056, ((1, 11.87e-3), (64, 0.257e-3))),
    Measured("Movidius NCS", 0.210, 0.647, 300, 0.0015, ((1, 0.647 / 300),)),
)


def ratios(other: Measured) -> dict[str, float]:
    """How many times Loihi's figure another machine's is, by boundary and batch; below 1: Loihi needs
    more.
    """
    found = {
        "power running": other.running_w / LOIHI.running_w,
        "power above idle": (other.running_w - other.idle_w) / (LOIHI.running_w - LOIHI.idle_w),
        "energy above idle, batch 1": other.dynamic_j / LOIHI.dynamic_j,
    }
    return found | {
        f"total energy, batch {batch}": joules / LOIHI.total_j[0][1] for batch, joules in other.total_j
    }


def table() -> str:
    """The ratios as a Markdown table."""
    columns = list(ratios(OTHERS[0]))
    lines = ["| against Loihi 1 | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for other in OTHERS:
        found = ratios(other)
        cells = [
            f"{found[c]:.2g}x" if found.get(c, 0) < 10 else f"{found[c]:.0f}x" for c in columns if c in found
        ]
        lines.append(f"| {other.name} | " + " | ".join([*cells, *["-"] * (len(columns) - len(cells))]) + " |")
    return "\n".join(lines)
