"""RF: a damped oscillator that spikes once a turn when strong enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.arithmetic import LIMIT, shift, shift_towards_zero
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State

DECAY_BITS = 12


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    angle = 2 * np.pi * moment.dt_s / p["period_s"]
    keep = 1 - moment.dt_s / p["tau_mem_s"]
    re = keep * (np.cos(angle) * state["re"] - np.sin(angle) * state["im"]) + current
    im = keep * (np.sin(angle) * state["re"] + np.cos(angle) * state["im"])
    spikes = (re >= p["v_threshold"]) & (im >= 0) & (state["im"] < 0)
    return {"re": re, "im": im}, spikes.astype(np.float64)


def integer_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """lava-nc 0.10.0 RF; the input goes to the real part. cos, sin: fractions of 2^decay_bits."""
    bits = int(np.max(p["decay_bits"]))
    re, im = state["re"], state["im"]
    turned = shift_towards_zero(p["cos"] * re, bits) - shift_towards_zero(p["sin"] * im, bits)
    new_re = np.clip(turned + shift(a, p["state_exp"]), -LIMIT + 1, LIMIT - 1)
    new_im = shift_towards_zero(p["sin"] * re, bits) + shift_towards_zero(p["cos"] * im, bits)
    new_im = np.clip(new_im, -LIMIT + 1, LIMIT - 1)
    spikes = (new_re >= shift(p["vth"], p["state_exp"])) & (new_im >= 0) & (im < 0)
    return {"re": new_re, "im": new_im}, spikes.astype(np.int64)


def input_gain(p: Parameters, dt_s: float) -> Any:
    return np.float64(1.0)


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Rotation and decay to 12-bit fractions, towards zero as lava does."""
    keep, angle = 1 - dt_s / np.asarray(p["tau_mem_s"]), 2 * np.pi * dt_s / np.asarray(p["period_s"])
    return {
        "cos": np.trunc(keep * np.cos(angle) * (1 << DECAY_BITS)).astype(np.int64),
        "sin": np.trunc(keep * np.sin(angle) * (1 << DECAY_BITS)).astype(np.int64),
        "decay_bits": np.int64(DECAY_BITS),
        "state_exp": np.int64(6),
        "vth": np.round(np.asarray(p["v_threshold"]) * scale).astype(np.int64),
    }


STREAM = tuple(1.0 if k % 10 == 0 else 0.0 for k in range(80))

NEURON = Neuron(
    name="RF",
    equation="z' = (1 - dt/tau_mem) exp(2 pi i dt/period) z + input; spike where re z >= v_threshold as im z turns "
    "non-negative; no reset (Izhikevich 2001, doi 10.1016/S0893-6080(01)00078-8; integer step: lava-nc 0.10.0 RF)",
    float_parameters=(
        Parameter("period_s", None, "period of the oscillation, s", 1e-12),
        Parameter("tau_mem_s", None, "time constant of the damping, s", 1e-12),
        Parameter("v_threshold", None, "threshold of the real part"),
    ),
    integer_parameters=(
        Parameter("cos", None, "(1 - dt/tau) cos(angle) * 2^decay_bits", -(1 << 16), 1 << 16),
        Parameter("sin", None, "(1 - dt/tau) sin(angle) * 2^decay_bits", -(1 << 16), 1 << 16),
        Parameter("decay_bits", DECAY_BITS, "fraction bits of cos and sin", 1, 16),
        Parameter("vth", None, "threshold of the real part, 2^state_exp state units each", 0, 1 << 23),
        Parameter("state_exp", 6, "bits of the state below a weight's", 0, 16),
    ),
    states=("re", "im"),
    resets=("none",),
    float_step=float_step,
    integer_step=integer_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case({"period_s": 0.0103, "tau_mem_s": 0.05, "v_threshold": 1.5}, STREAM, 300.0, "none", 1, 0.1),
        Case({"period_s": 0.0099, "tau_mem_s": 0.02, "v_threshold": 0.8}, STREAM, 300.0, "none", 1, 0.1),
    ),
)
