"""AdaptiveLIF: LIF whose threshold rises with each of its spikes and decays back."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT, LIMIT, UNITY, shift_towards_zero
from trine.neuromorphic.loihi_lif import (
    BIAS,
    DV,
    FLOAT_STATE,
    VTH,
    bias_pair,
    compartment_step,
    same_rest,
    start_values,
    threshold,
)  # fmt: skip
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State

QUIET = {
    name: np.int64(0)
    for name in (
        "reset_interval",
        "reset_offset",
        "start",
        "integrate_steps",
        "fire_steps",
        "refractory_steps",
    )
}


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    rate = moment.dt_s / p["tau_mem_s"]
    v = state["v"] + rate * (p["v_leak"] - state["v"] + p["r"] * (current + p["bias"]))
    height = state["b"] * (1 - moment.dt_s / p["tau_adapt_s"])
    theta = p["v_threshold"] + height
    spikes = v > theta
    if moment.reset == "zero":
        v = np.where(spikes, p["v_reset"], v)
    elif moment.reset == "subtraction":
        v = np.where(spikes, v - (theta - p["v_reset"]), v)
    return {"v": v, "b": height + p["adapt_step"] * spikes}, spikes.astype(np.float64)


def integer_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """The compartment's membrane against vth << 6 plus the adaptive part, which decays towards zero like it."""
    rest = Moment(moment.step, moment.dt_s, "none", moment.variant)
    zero = np.zeros_like(state["v"])
    moved, _ = compartment_step({**state, "r": zero}, a, {**p, **QUIET}, rest)
    height = shift_towards_zero(state["b"] * (UNITY - p["db"]), 12)
    theta = (p["vth"] << ACTIVATION_SHIFT) + height
    v = moved["v"]
    spikes = v > theta if moment.variant.strict else v >= theta
    if moment.reset == "zero":
        v = np.where(spikes, 0, v)
    elif moment.reset == "subtraction":
        v = np.where(spikes, v - theta, v)
    height = np.minimum(height + (p["adapt_step"] << ACTIVATION_SHIFT) * spikes, LIMIT - 1)
    return {"u": moved["u"], "v": v, "b": height}, spikes.astype(np.int64)


def input_gain(p: Parameters, dt_s: float) -> Any:
    return dt_s / p["tau_mem_s"] * p["r"]


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    rest = p["v_leak"]
    same_rest(p, rest)
    bias = np.asarray(input_gain(p, dt_s) * p["bias"] * scale * 64)
    return {
        "dv": np.clip(np.round(4096 * dt_s / p["tau_mem_s"]), 0, 4095).astype(np.int64),
        "db": np.clip(np.round(4096 * dt_s / p["tau_adapt_s"]), 0, 4095).astype(np.int64),
        "adapt_step": np.round(p["adapt_step"] * scale).astype(np.int64),
        "vth": threshold(p, rest, scale), "v_initial": start_values(p, rest, scale), **bias_pair(bias),
    }  # fmt: skip


STREAM = tuple(0.8 if k % 3 else 0.1 for k in range(80))

NEURON = Neuron(
    name="AdaptiveLIF",
    equation="LIF with threshold v_threshold + b; tau_adapt db/dt = -b; b rises by adapt_step with each spike (Bellec "
    "et al. 2018, arXiv 1803.09574, eq. 1-2; integer decays as Loihi's, a step of our own, not lava's ATRLIF)",
    float_parameters=(
        Parameter("tau_mem_s", None, "membrane time constant, s", 1e-12),
        Parameter("tau_adapt_s", None, "time constant of the threshold, s", 1e-12),
        Parameter("adapt_step", None, "rise of the threshold with a spike", 0),
        Parameter("r", 1.0, "membrane resistance"),
        Parameter("v_leak", 0.0, "resting potential"),
        Parameter("v_threshold", None, "threshold at rest"),
        Parameter("v_reset", 0.0, "potential after a reset to zero"),
        *FLOAT_STATE,
    ),
    integer_parameters=(
        Parameter("du", 4095, "current decay of 4096, less one: 4095 keeps nothing", 0, 4095),
        DV, VTH, *BIAS,
        Parameter("db", None, "decay of the threshold's rise, of 4096", 0, 4095),
        Parameter("adapt_step", None, "rise with a spike, 64 membrane units each", 0, 131071),
        Parameter("v_initial", 0, "membrane at the start", -LIMIT + 1, LIMIT - 1),
    ),
    states=("u", "v", "b"),
    resets=("zero", "subtraction", "none"),
    float_step=float_step,
    integer_step=integer_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case(
            {"tau_mem_s": 0.01, "tau_adapt_s": 0.05, "adapt_step": 0.4, "r": 10.0, "v_threshold": 1.0}, STREAM, 500.0
        ),
        Case(
            {"tau_mem_s": 0.02, "tau_adapt_s": 0.1, "adapt_step": 0.2, "r": 20.0, "v_threshold": 1.0}, STREAM, 500.0,
            "subtraction", 1, 0.05,
        ),
    ),
    compartments={"zero": 2, "subtraction": 3, "none": 2},
)  # fmt: skip
