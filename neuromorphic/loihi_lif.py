"""Loihi's compartment, shared by the neurons IF, LIF, CubaLIF and LI.

    1. x = tz(u * (4096 - (du + 1)) >> 12) + (a << 6)      32 bit; u = x wrapped to 24 bits by the variant's rule
    2. v = clip(tz(v * (4096 - dv) >> 12) + u + bias)       bias = bias_mant * 2^bias_exp
    3. spike where v > vth << 6
    4. v = 0 where it spiked (reset to zero), or v - (vth << 6) (subtraction: two compartments on Loihi 1, NxTF)

tz rounds towards zero; a is the synaptic sum of the step. Source: lava-nc 0.10.0 `PyLifModelBitAcc`;
Davies et al. 2018.

Phases, for the exact scheme (accumulate, then fire): with integrate_steps > 0 a population takes input, bias and decay
only in steps [start, start + integrate_steps) and spikes only in the fire_steps steps from the last of these on; at
all other times its state stands still. So a layer that is fed during [start, start + T) fires during
[start + T - 1, start + 2T - 1), which reaches the next layer, one step later, in [start + T, start + 2T). With
integrate_steps = 0 a population stands still before `start` and runs as usual from it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.arithmetic import (
    ACTIVATION_SHIFT,
    LIMIT,
    UNITY,
    shift,
    shift_towards_zero,
    wrap_current,
    wrap_to,
)
from trine.neuromorphic.net import Array, Shape
from trine.neuromorphic.neuron import Moment, Parameter, Parameters, State

DU: Final = Parameter("du", None, "current decay of 4096, less one: 4095 keeps nothing", 0, 4095)
DV: Final = Parameter("dv", 0, "membrane decay of 4096: 0 keeps everything", 0, 4095)
VTH: Final = Parameter("vth", None, "threshold, 64 membrane units each", 0, 131071)
BIAS: Final = (
    Parameter("bias_mant", 0, "bias mantissa, membrane units", -4096, 4095),
    Parameter("bias_exp", 0, "bias exponent; negative rounds down", -8, 7),
)
STATE: Final = (
    Parameter("v_initial", 0, "membrane at the start and after a reset by schedule", -LIMIT + 1, LIMIT - 1),
    Parameter("reset_interval", 0, "steps between resets of u and v (lava's LIFReset); 0 for never", 0),
    Parameter("reset_offset", 1, "the step, counted from 1, whose beginning is the first reset"),
    Parameter("start", 0, "first step that the population takes part in", 0),
    Parameter("integrate_steps", 0, "length of the integration phase; 0: no end", 0),
    Parameter("fire_steps", 0, "length of the firing phase", 0),
)
REFRACTORY: Final = Parameter("refractory_steps", 0, "steps after a spike with the membrane at zero", 0, 63)
FLOAT_STATE: Final = (
    Parameter("bias", 0.0, "constant input current"),
    Parameter("v_initial", 0.0, "membrane at the start"),
)


def phases(p: Parameters, steps: Array) -> tuple[Array, Array, Array]:
    """Whether a population takes input, may spike, and is reset first, at each step: three bool arrays."""
    start, length, fire = (int(np.max(p[k])) for k in ("start", "integrate_steps", "fire_steps"))
    interval, offset = int(np.max(p["reset_interval"])), int(np.max(p["reset_offset"]))
    takes = fires = steps >= start
    if length:
        takes = takes & (steps < start + length)
        fires = (steps >= start + length - 1) & (steps < start + length - 1 + fire)
    clears = np.zeros(steps.shape, bool)
    if interval:
        clears = (steps + 1) % interval == offset % interval
    return takes, fires, clears


def compartment_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """One step of the compartment, as the module says. States u, v and r (refractory steps left)."""
    takes, fires, clears = (bool(x[0]) for x in phases(p, np.array([moment.step])))
    rule = moment.variant
    u, v, r = state["u"], state["v"], state["r"]
    if clears:
        u, v, r = np.zeros_like(u), np.zeros_like(v) + p["v_initial"], np.zeros_like(r)
    if takes:
        x = wrap_to(shift_towards_zero(u * (UNITY - (p["du"] + 1)), 12) + (a << ACTIVATION_SHIFT), 32)
        u = wrap_current(x, rule.wrap)
        bias = shift(p["bias_mant"], p["bias_exp"])
        v = wrap_to(shift_towards_zero(v * (UNITY - p["dv"]), 12) + u + bias, 32)
        v = np.clip(v, rule.v_low, rule.v_high)
    v = np.where(r > 0, 0, v)
    theta = p["vth"] << ACTIVATION_SHIFT
    spikes = ((v > theta) if rule.strict else (v >= theta)) & (r == 0) & fires
    r = np.where(spikes, p["refractory_steps"], np.maximum(r - 1, 0))
    if moment.reset == "zero":
        v = np.where(spikes, 0, v)
    elif moment.reset == "subtraction":
        v = np.where(spikes, v - theta, v)
    return {"u": u, "v": v, "r": r}, spikes.astype(np.int64)


def readout_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """The compartment without threshold; its message is the membrane in weight units, v >> 6."""
    never = {**p, "vth": np.int64(1), "refractory_steps": np.int64(0)}
    quiet = Moment(moment.step, moment.dt_s, "none", moment.variant)
    new, _ = compartment_step(state, a, never, quiet)
    return new, new["v"] >> ACTIVATION_SHIFT


def fire(v: Array, p: Parameters, moment: Moment) -> tuple[Array, Array]:
    """Real numbers: spikes where v > v_threshold, and the membrane after the reset."""
    spikes = v > p["v_threshold"]
    if moment.reset == "zero":
        v = np.where(spikes, p["v_reset"], v)
    elif moment.reset == "subtraction":
        v = np.where(spikes, v - (p["v_threshold"] - p["v_reset"]), v)
    return v, spikes.astype(np.float64)


def start_values(p: Parameters, rest: Any, scale: float) -> Array:
    """v_initial of the integer net: the real start seen from the resting value."""
    start = np.round((np.asarray(p["v_initial"]) - rest) * scale * (1 << ACTIVATION_SHIFT))
    return np.asarray(start, np.int64)


def threshold(p: Parameters, rest: Any, scale: float) -> Array:
    """vth: the real threshold seen from the resting value. Raises InputError where it rounds to 0."""
    theta = np.round((np.asarray(p["v_threshold"]) - rest) * scale).astype(np.int64)
    if (theta < 1).any():
        raise InputError(
            f"a threshold of {float(np.min(p['v_threshold'])):g} is below one integer unit at {scale:.4g} units: "
            "use more weight bits, or scale the layer's weights up"
        )
    return np.asarray(theta)


def same_rest(p: Parameters, rest: Any) -> None:
    """Integer neurons reset to their resting value. Raises InputError where the real one resets elsewhere."""
    if (np.asarray(p["v_reset"]) != rest).any():
        raise InputError(
            "v_reset differs from the resting potential; integer neurons reset to rest: make them equal"
        )


def bias_pair(bias: Array) -> dict[str, Array]:
    """bias_mant, bias_exp nearest to a bias in membrane units, elementwise.

    Raises InputError beyond 4095 * 2^7, the largest bias a compartment has.
    """
    size = np.abs(np.asarray(bias, np.float64))
    if (size > 4095 * 128).any():
        raise InputError(
            f"a bias of {size.max():.0f} membrane units exceeds 4095 * 2^7: lower the scale of the layer"
        )
    exponent = np.ceil(np.log2(np.maximum(size, 1) / 4095)).clip(0, 7).astype(np.int64)
    exponent = np.where(np.round(size / 2.0**exponent) > 4095, exponent + 1, exponent)
    return {"bias_mant": np.round(bias / 2.0**exponent).astype(np.int64), "bias_exp": exponent}


def zeros(
    states: tuple[str, ...], shape: Shape, batch: int, dtype: Any, p: Mapping[str, Any]
) -> dict[str, Array]:
    """States at the start: zero, the membrane at v_initial."""
    made = {name: np.zeros((batch, *shape), dtype) for name in states}
    if "v" in made and "v_initial" in p:
        made["v"] = made["v"] + np.asarray(p["v_initial"], dtype)
    return made
