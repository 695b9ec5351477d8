"""Integer arithmetic of neuromorphic chips: rounding towards zero, wrap-around, and where references disagree.

Sources: lava-nc 0.10.0 (`lava.proc.lif`, tag fixed_pt), nengo-loihi 1.1.0 (`emulator`), Davies et al. 2018
(doi 10.1109/MM.2018.112130359); differences as listed in Trine's facts on Loihi's LIF.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trine.devices.errors import InputError, nearest

Int = NDArray[np.int64]

ACTIVATION_SHIFT: Final = 6  # synaptic sums and thresholds are aligned to the state by six bits
UNITY: Final = 4096  # decays are 12-bit fractions of this
LIMIT: Final = 1 << 23  # membrane and current are 24 bit, sign included


@dataclass(frozen=True)
class Variant:
    """One reading of Loihi's integer neuron.

    wrap: what a current beyond 24 bits becomes: "once" (x - 2^24 above 2^23, x + 2^24 at or below -2^23, one time
    only) or "twos_complement" (modulo 2^24 into [-2^23, 2^23)).
    v_low, v_high: the membrane is clipped to these. strict: a spike needs v > threshold, else v >= threshold.
    conv_wraps: sums of convolutions are taken modulo 2^24.
    """

    name: str
    wrap: str
    v_low: int
    v_high: int
    strict: bool
    conv_wraps: bool
    source: str


VARIANTS: Mapping[str, Variant] = {
    v.name: v
    for v in (
        Variant(
            "lava", "once", -LIMIT + 1, LIMIT - 1, True, True, "lava-nc 0.10.0, PyLifModelBitAcc and PyConvModelBitAcc"
        ),
        Variant(
            "loihi_hardware", "twos_complement", -LIMIT + 1, LIMIT - 1, True, False,
            "24-bit two's complement current; membrane as lava-nc",
        ),
        Variant(
            "nengo_loihi", "twos_complement", -LIMIT + 1, (1 << 23) - 1, True, False,
            "nengo-loihi 1.1.0 with vmin 23, vmax 7: clip to [-2^23 + 1, 2^(9 + 2*7) - 1]",
        ),
        Variant(
            "nengo_loihi_floor0", "twos_complement", 0, (1 << 23) - 1, True, False,
            "nengo-loihi 1.1.0 with vmin 0, vmax 7: clip to [-2^0 + 1, 2^23 - 1]",
        ),
        Variant(
            "slayer", "once", -LIMIT + 1, LIMIT - 1, False, False,
            "lava-dl SLAYER 0.6.0, which trains with v >= threshold",
        ),
    )
}  # fmt: skip


def variant(name: str) -> Variant:
    """A named variant. Raises InputError for an unknown one."""
    if name not in VARIANTS:
        raise InputError(f"arithmetic {name!r} is unknown: {nearest(name, (*VARIANTS, 'float'))}")
    return VARIANTS[name]


def shift_towards_zero(x: Int, bits: int) -> Int:
    """sign(x) * (|x| >> bits)."""
    return np.asarray(np.sign(x) * (np.abs(x) >> bits), np.int64)


def shift(x: Any, exponent: Any) -> Int:
    """x * 2^exponent; where the exponent is negative, rounded down."""
    x, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    return np.asarray(
        np.where(exponent >= 0, x << np.maximum(exponent, 0), x >> np.maximum(-exponent, 0)), np.int64
    )


def wrap_to(x: Int, bits: int) -> Int:
    """Two's complement of so many bits."""
    half = 1 << (bits - 1)
    return np.asarray(((x + half) & ((1 << bits) - 1)) - half, np.int64)


def wrap_current(x: Int, rule: str) -> Int:
    """What a current beyond 24 bits becomes under a variant's rule; x is a 32-bit value."""
    if rule == "twos_complement":
        return wrap_to(x, 24)
    return np.where(x > LIMIT, x - 2 * LIMIT, np.where(x <= -LIMIT, x + 2 * LIMIT, x))
