"""LI: leaky integrator, a readout that never spikes and sends its membrane."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.loihi_lif import BIAS, DV, FLOAT_STATE, STATE, bias_pair, readout_step, start_values
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    rate = moment.dt_s / p["tau_mem_s"]
    v = state["v"] + rate * (p["v_leak"] - state["v"] + p["r"] * (current + p["bias"]))
    return {"v": v}, v


def input_gain(p: Parameters, dt_s: float) -> Any:
    return dt_s / p["tau_mem_s"] * p["r"]


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """The membrane measured from v_leak: a constant to add back to a readout that has one."""
    decay = np.clip(np.round(4096 * dt_s / p["tau_mem_s"]), 0, 4095).astype(np.int64)
    bias = np.asarray(input_gain(p, dt_s) * p["bias"] * scale * 64)
    return {"dv": decay, "v_initial": start_values(p, p["v_leak"], scale), **bias_pair(bias)}


STREAM = tuple(0.9 if k % 3 else -0.6 for k in range(60))

NEURON = Neuron(
    name="LI",
    equation="tau_mem dv/dt = v_leak - v + r I; sends v (NIR: Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9; "
    "integer step: lava-nc 0.10.0's LIF without threshold, message v >> 6)",
    float_parameters=(
        Parameter("tau_mem_s", None, "membrane time constant, s", 1e-12),
        Parameter("r", 1.0, "membrane resistance"),
        Parameter("v_leak", 0.0, "resting potential"),
        *FLOAT_STATE,
    ),
    integer_parameters=(
        Parameter("du", 4095, "current decay of 4096, less one: 4095 keeps nothing", 0, 4095), DV, *BIAS, *STATE,
    ),
    states=("u", "v", "r"),
    resets=("none",),
    float_step=float_step,
    integer_step=readout_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(Case({"tau_mem_s": 0.016, "r": 16.0, "bias": 0.1}, STREAM, 300.0, "none"),),
    graded=True,
    readout=True,
)  # fmt: skip
