"""How weights and windows are laid out for a core's instructions. The results are the same bits for every
schedule."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """paired: rows of weights interleaved two by two. wide: windows expanded to halfwords, for SMLAD. floats: float32
    is compared and added in hardware. near: words that one load reaches behind a base register.
    """

    name: str
    paired: bool
    wide: bool
    floats: bool = False
    near: int = 500


PORTABLE = Schedule("portable", paired=True, wide=False)
DSP = Schedule("dsp", paired=True, wide=True, floats=True)
VECTOR = Schedule("vector", paired=False, wide=False, floats=True)
NARROW = Schedule("narrow", paired=False, wide=False, near=32)

SCHEDULE_OF_CORE = {
    "cortex-m4f": DSP, "cortex-m7": DSP, "cortex-m33": DSP, "cortex-m55": VECTOR, "cortex-m85": VECTOR,
    "cortex-m0": NARROW, "cortex-m0plus": NARROW,
}  # fmt: skip


def schedule_for(core: str) -> Schedule:
    """The schedule of a core; portable C for any other."""
    return SCHEDULE_OF_CORE.get(core, PORTABLE)
