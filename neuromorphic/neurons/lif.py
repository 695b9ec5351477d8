"""LIF: leaky integrate and fire, input straight into the membrane."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.loihi_lif import (
    BIAS,
    DV,
    FLOAT_STATE,
    REFRACTORY,
    STATE,
    VTH,
    bias_pair,
    compartment_step,
    fire,
    same_rest,
    start_values,
    threshold,
)  # fmt: skip
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """Forward Euler, as Norse, snnTorch and lava discretise NIR's equation."""
    rate = moment.dt_s / p["tau_mem_s"]
    v = state["v"] + rate * (p["v_leak"] - state["v"] + p["r"] * (current + p["bias"]))
    v, spikes = fire(v, p, moment)
    return {"v": v}, spikes


def input_gain(p: Parameters, dt_s: float) -> Any:
    return dt_s / p["tau_mem_s"] * p["r"]


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Time constant to a 12-bit decay, the rest measured from v_leak."""
    rest = p["v_leak"]
    same_rest(p, rest)
    decay = np.clip(np.round(4096 * dt_s / p["tau_mem_s"]), 0, 4095).astype(np.int64)
    bias = np.asarray(input_gain(p, dt_s) * p["bias"] * scale * 64)
    return {
        "dv": decay, "vth": threshold(p, rest, scale), "v_initial": start_values(p, rest, scale), **bias_pair(bias)
    }  # fmt: skip


STREAM = tuple(0.9 if k % 3 else -0.3 for k in range(60))

NEURON = Neuron(
    name="LIF",
    equation="tau_mem dv/dt = v_leak - v + r I; spike where v > v_threshold (NIR: Pedersen et al. 2024, doi "
    "10.1038/s41467-024-52259-9; integer step: lava-nc 0.10.0 with du = 4095)",
    float_parameters=(
        Parameter("tau_mem_s", None, "membrane time constant, s", 1e-12),
        Parameter("r", 1.0, "membrane resistance"),
        Parameter("v_leak", 0.0, "resting potential"),
        Parameter("v_threshold", None, "threshold"),
        Parameter("v_reset", 0.0, "potential after a reset to zero"),
        *FLOAT_STATE,
    ),
    integer_parameters=(
        Parameter("du", 4095, "current decay of 4096, less one: 4095 keeps nothing", 0, 4095),
        DV, VTH, *BIAS, *STATE, REFRACTORY,
    ),
    states=("u", "v", "r"),
    resets=("zero", "subtraction", "none"),
    float_step=float_step,
    integer_step=compartment_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case({"tau_mem_s": 0.01, "r": 10.0, "v_threshold": 1.0, "v_reset": 0.0}, STREAM, 500.0),
        Case({"tau_mem_s": 0.02, "r": 20.0, "v_threshold": 1.0, "bias": 0.02}, STREAM, 400.0, "subtraction", 1),
        Case({"tau_mem_s": 0.01, "r": 2.0, "v_leak": 0.5, "v_reset": 0.5, "v_threshold": 0.6}, STREAM, 4000.0),
    ),
)  # fmt: skip
