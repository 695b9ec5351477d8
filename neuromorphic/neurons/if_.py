"""IF: integrate and fire, no leak."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.loihi_lif import (
    BIAS,
    FLOAT_STATE,
    REFRACTORY,
    STATE,
    VTH,
    bias_pair,
    compartment_step,
    fire,
    start_values,
    threshold,
)  # fmt: skip
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    v = state["v"] + moment.dt_s * p["r"] * (current + p["bias"])
    v, spikes = fire(v, p, moment)
    return {"v": v}, spikes


def integer_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    return compartment_step(state, a, {**p, "du": np.int64(4095), "dv": np.int64(0)}, moment)


def input_gain(p: Parameters, dt_s: float) -> Any:
    return dt_s * p["r"]


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Everything measured from v_reset, which is the integer neuron's zero."""
    rest = p["v_reset"]
    bias = np.asarray(input_gain(p, dt_s) * p["bias"] * scale * 64)
    return {"vth": threshold(p, rest, scale), "v_initial": start_values(p, rest, scale), **bias_pair(bias)}


STREAM = tuple(0.35 if k % 4 else -0.2 for k in range(60))

NEURON = Neuron(
    name="IF",
    equation="dv/dt = r I; spike where v > v_threshold (NIR: Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9; "
    "integer step: lava-nc 0.10.0 with du = 4095, dv = 0)",
    float_parameters=(
        Parameter("r", 1.0, "gain per second"),
        Parameter("v_threshold", None, "threshold"),
        Parameter("v_reset", 0.0, "potential after a reset to zero"),
        *FLOAT_STATE,
    ),
    integer_parameters=(VTH, *BIAS, *STATE, REFRACTORY),
    states=("u", "v", "r"),
    resets=("zero", "subtraction", "none"),
    float_step=float_step,
    integer_step=integer_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case({"r": 1000.0, "v_threshold": 1.0}, STREAM, 500.0, "subtraction"),
        Case({"r": 1000.0, "v_threshold": 0.7, "v_initial": 0.35}, STREAM, 300.0, "zero"),
    ),
)
