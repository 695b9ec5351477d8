"""How weights and windows are laid out for a core's instructions. The results are the same bits for every
schedule."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """paired: rows of weights interleaved two by two. wide: windows expanded to halfwords, for SMLAD."""

    name: str
    paired: bool
    wide: bool


PORTABLE = Schedule("portable", paired=True, wide=False)
DSP = Schedule("dsp", paired=True, wide=True)
ROWS = Schedule("rows", paired=False, wide=False)

SCHEDULE_OF_CORE = {
    "cortex-m4f": DSP, "cortex-m7": DSP, "cortex-m33": DSP, "cortex-m55": ROWS, "cortex-m85": ROWS,
    "cortex-m0": ROWS, "cortex-m0plus": ROWS,
}  # fmt: skip


def schedule_for(core: str) -> Schedule:
    """The schedule of a core; portable C for any other."""
    return SCHEDULE_OF_CORE.get(core, PORTABLE)
