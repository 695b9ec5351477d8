"""CubaLIF: leaky integrate and fire behind an exponential synapse; Loihi's own compartment."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.loihi_lif import (
    BIAS,
    DU,
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
    """Forward Euler; the membrane takes the new current, as on Loihi."""
    i = state["u"] + moment.dt_s / p["tau_syn_s"] * (p["w_in"] * current - state["u"])
    v = state["v"] + moment.dt_s / p["tau_mem_s"] * (p["v_leak"] - state["v"] + p["r"] * (i + p["bias"]))
    v, spikes = fire(v, p, moment)
    return {"u": i, "v": v}, spikes


def input_gain(p: Parameters, dt_s: float) -> Any:
    return dt_s / p["tau_syn_s"] * p["w_in"] * dt_s / p["tau_mem_s"] * p["r"]


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Both time constants to 12-bit decays; du holds its decay less one."""
    rest = p["v_leak"]
    same_rest(p, rest)
    du = np.clip(np.round(4096 * dt_s / p["tau_syn_s"]) - 1, 0, 4095).astype(np.int64)
    dv = np.clip(np.round(4096 * dt_s / p["tau_mem_s"]), 0, 4095).astype(np.int64)
    bias = np.asarray(dt_s / p["tau_mem_s"] * p["r"] * p["bias"] * scale * 64)
    return {
        "du": du, "dv": dv, "vth": threshold(p, rest, scale), "v_initial": start_values(p, rest, scale),
        **bias_pair(bias),
    }  # fmt: skip


STREAM = tuple(1.0 if k % 5 == 0 else 0.0 for k in range(80))

NEURON = Neuron(
    name="CubaLIF",
    equation="tau_syn di/dt = w_in I - i; tau_mem dv/dt = v_leak - v + r i; spike where v > v_threshold (NIR: "
    "Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9; integer step: lava-nc 0.10.0)",
    float_parameters=(
        Parameter("tau_syn_s", None, "synaptic time constant, s", 1e-12),
        Parameter("tau_mem_s", None, "membrane time constant, s", 1e-12),
        Parameter("w_in", 1.0, "input weight of the synapse"),
        Parameter("r", 1.0, "membrane resistance"),
        Parameter("v_leak", 0.0, "resting potential"),
        Parameter("v_threshold", None, "threshold"),
        Parameter("v_reset", 0.0, "potential after a reset to zero"),
        *FLOAT_STATE,
    ),
    integer_parameters=(DU, DV, VTH, *BIAS, *STATE, REFRACTORY),
    states=("u", "v", "r"),
    resets=("zero", "subtraction", "none"),
    float_step=float_step,
    integer_step=compartment_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case({"tau_syn_s": 0.004, "tau_mem_s": 0.01, "w_in": 4.0, "r": 10.0, "v_threshold": 2.0}, STREAM, 500.0),
        Case(
            {"tau_syn_s": 0.002, "tau_mem_s": 0.008, "w_in": 2.0, "r": 8.0, "v_threshold": 0.8, "bias": 0.01},
            STREAM, 900.0, "subtraction", 1,
        ),
    ),
)  # fmt: skip
