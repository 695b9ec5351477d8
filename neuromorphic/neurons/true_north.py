"""TrueNorth's neuron, deterministic modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State

LOW, HIGH = -(1 << 19), (1 << 19) - 1  # 20-bit signed membrane


def _after(v: Array, p: Parameters, reset: str) -> tuple[Array, Array]:
    """Threshold, reset and floor, the same in real numbers and integers."""
    fired = v >= p["threshold"]
    below = v < -p["floor"]
    if reset == "zero":
        up, down = p["v_reset"] + 0 * v, -p["v_reset"] + 0 * v
    elif reset == "subtraction":
        up, down = v - p["threshold"], v + p["floor"]
    else:
        up, down = v, v
    down = np.where(p["saturates"] != 0, -p["floor"], down)
    return np.where(fired, up, np.where(below, down, v)), fired


def _leak(v: Array, p: Parameters) -> Array:
    """The leak, away from or towards zero by its sign where it reverses."""
    return np.asarray(np.where(p["reversal"] != 0, np.sign(v), 1) * p["leak"])


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    v = state["v"] + current
    v, fired = _after(v + _leak(v, p), p, moment.reset)
    return {"v": v}, fired.astype(np.float64)


def integer_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """Synapses, leak, threshold, in this order; the membrane saturates at 20 bits."""
    v = np.clip(state["v"] + a, LOW, HIGH)
    v = np.clip(v + _leak(v, p), LOW, HIGH)
    v, fired = _after(v, p, moment.reset)
    return {"v": np.clip(v, LOW, HIGH)}, fired.astype(np.int64)


def input_gain(p: Parameters, dt_s: float) -> Any:
    return np.float64(1.0)


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Everything in weight units; the thresholds and resets of the chip are whole."""
    scaled = ("threshold", "floor", "v_reset", "leak", "v_initial")
    made: dict[str, Any] = {k: np.round(np.asarray(p[k]) * scale).astype(np.int64) for k in scaled}
    return made | {k: np.asarray(p[k], np.int64) for k in ("saturates", "reversal")}


STREAM = tuple(float((7 * k) % 11 - 3) for k in range(80))


def _parameters(bits: int, integer: bool) -> tuple[Parameter, ...]:
    """Ranges: 18-bit thresholds, 9-bit leak (Cassidy et al. 2013, Table I)."""
    size = float(1 << bits) - 1 if integer else np.inf
    return (
        Parameter("threshold", None, "spike where the membrane is at least this", 0, size),
        Parameter("floor", size if integer else 1e9, "magnitude of the negative threshold", 0),
        Parameter("saturates", 1, "1: stays at the floor; 0: below the floor it is reset", 0, 1),
        Parameter("v_reset", 0, "membrane after a reset to zero"),
        Parameter("leak", 0, "added every tick", -255 if integer else -np.inf, 255 if integer else np.inf),
        Parameter("reversal", 0, "1: the leak takes the sign of the membrane", 0, 1),
        Parameter("v_initial", 0, "membrane at the start"),
    )


NEURON = Neuron(
    name="TrueNorth",
    equation="v += input + leak; spike where v >= threshold, then v_reset, v - threshold or v by reset mode; below "
    "-floor it saturates or is reset (Cassidy et al. 2013, doi 10.1109/IJCNN.2013.6707077; Merolla et al. 2014, doi "
    "10.1126/science.1254642). The stochastic modes are not modelled",
    float_parameters=_parameters(18, False),
    integer_parameters=_parameters(18, True),
    states=("v",),
    resets=("zero", "subtraction", "none"),
    float_step=float_step,
    integer_step=integer_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case({"threshold": 12.0, "floor": 5.0, "leak": -1.0}, STREAM, 1.0, "subtraction", 0, 0.0),
        Case({"threshold": 9.0, "floor": 2.0, "saturates": 0.0, "v_reset": 1.0}, STREAM, 2.0, "zero", 0, 0.0),
        Case({"threshold": 9.0, "leak": -1.0, "reversal": 1.0}, STREAM, 1.0, "zero", 0, 0.0),
    ),
    state_bits=0,
    compartments={"zero": 1, "subtraction": 1, "none": 1},
)
