"""SigmaDelta: sums what it receives, sends the change of its activation once that is large enough (graded)."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.arithmetic import shift, wrap_to
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    sigma = state["sigma"] + current
    y = sigma + p["bias"]
    y = np.where(p["relu"] != 0, np.maximum(y, 0.0), y)
    delta = y - state["act"] + state["residue"]
    sent = np.where(np.abs(delta) >= p["v_threshold"], delta, 0.0)
    return {"sigma": sigma, "act": y, "residue": delta - sent}, sent


def integer_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """lava-nc 0.10.0; with keeps_residue = 0 its unreleased form of October 2024, which does not drift."""
    exponent = p["spike_exp"] + p["state_exp"]
    theta, bias = shift(p["vth"], exponent), shift(p["bias"], exponent)
    sigma = wrap_to(state["sigma"] + a, 32)
    y = wrap_to(sigma + bias, 32)
    y = np.where(p["relu"] != 0, np.maximum(y, 0), y)
    keeps, cumulative = p["keeps_residue"] != 0, p["cum_error"] != 0
    delta = wrap_to(y - state["act"] + np.where(keeps, state["residue"], 0), 32)
    error = np.where(cumulative, wrap_to(state["error"] + delta, 32), 0)
    sent = np.where(np.abs(np.where(cumulative, error, delta)) >= theta, delta, 0)
    error = np.where(sent != 0, 0, error)
    message = sent >> p["state_exp"]
    known = wrap_to(state["act"] + (message << p["state_exp"]), 32)
    return {
        "sigma": sigma,
        "act": np.where(keeps, y, known),
        "residue": np.where(keeps, delta - sent, 0),
        "error": error,
    }, message


def input_gain(p: Parameters, dt_s: float) -> Any:
    return np.float64(1.0)


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Threshold and bias in weight units, which are the state's."""
    return {
        "vth": np.maximum(np.round(p["v_threshold"] * scale), 1).astype(np.int64),
        "bias": np.round(np.asarray(p["bias"]) * scale).astype(np.int64),
        "relu": np.asarray(p["relu"], np.int64),
    }


STREAM = tuple([0.5, 0.3, 0.0, 0.0, -0.2, -0.9, 0.0, 1.1] * 5)

NEURON = Neuron(
    name="SigmaDelta",
    equation="sigma += input; y = max(0, sigma + bias); d = y - y_last + residue; sends d where |d| >= v_threshold, "
    "residue keeps the rest (Brehove et al. 2025, arXiv 2505.06417; integer step: lava-nc 0.10.0 SigmaDelta)",
    float_parameters=(
        Parameter("v_threshold", None, "smallest change that is sent", 0),
        Parameter("bias", 0.0, "added to the sum"),
        Parameter("relu", 1.0, "1: activation max(0, y); 0: y itself", 0, 1),
    ),
    integer_parameters=(
        Parameter(
            "vth",
            None,
            "smallest change that is sent, 2^(spike_exp + state_exp) state units each",
            0,
            1 << 24,
        ),
        Parameter(
            "bias", 0, "added to the sum, 2^(spike_exp + state_exp) state units each", -(1 << 24), 1 << 24
        ),
        Parameter("relu", 1, "1: activation max(0, y); 0: y itself", 0, 1),
        Parameter("spike_exp", 0, "fraction bits of messages", 0, 24),
        Parameter("state_exp", 0, "bits of the state below a message's", 0, 24),
        Parameter(
            "keeps_residue", 1, "1: lava-nc 0.10.0; 0: the last activation follows what was sent", 0, 1
        ),
        Parameter(
            "cum_error", 0, "1: the threshold holds for the changes summed since the last message", 0, 1
        ),
    ),
    states=("sigma", "act", "residue", "error"),
    resets=("none",),
    float_step=float_step,
    integer_step=integer_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case({"v_threshold": 0.25, "bias": 0.1}, STREAM, 400.0, "none", 0, 0.02),
        Case({"v_threshold": 0.4, "relu": 0.0}, STREAM, 400.0, "none", 0, 0.02),
    ),
    graded=True,
    state_bits=0,
)
