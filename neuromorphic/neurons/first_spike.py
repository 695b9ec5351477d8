"""FirstSpike: one spike at most, the earlier the larger the sum (time to first spike)."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT, wrap_current, wrap_to
from trine.neuromorphic.loihi_lif import start_values, threshold
from trine.neuromorphic.net import Array
from trine.neuromorphic.neuron import Case, Moment, Neuron, Parameter, Parameters, State

PHASE_NAMES = ("first_step", "integrate_steps", "fire_steps", "interval")


def _phase(p: Parameters, step: int) -> tuple[bool, bool, bool, bool]:
    """Whether a population takes input, rises, may spike, and is cleared after a step."""
    start, takes, fires, interval = (int(np.max(p[k])) for k in PHASE_NAMES)
    at, last = step - start, takes - 1
    if interval and at >= 0:
        at %= interval
    return (
        0 <= at <= last,
        last < at < last + fires,
        last <= at < last + fires,
        fires > 0 and at == last + fires - 1,
    )


def _after(u: Array, v: Array, spikes: Array, done: bool, p: Parameters) -> dict[str, Array]:
    """States after the reset to zero; the end of the firing phase leaves what the next inference begins with."""
    if not done:
        return {"u": u, "v": np.where(spikes, 0, v)}
    return {"u": np.zeros_like(u), "v": np.zeros_like(v) + (p["v_initial"] if np.max(p["interval"]) else 0)}


def float_step(state: State, current: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    takes, rises, fires, done = _phase(p, moment.step)
    u, v = state["u"], state["v"]
    if takes:
        u = u + current
        v = v + u
    if rises:
        v = v + p["ramp"]
    spikes = (v > p["v_threshold"]) & fires
    return _after(u, v, spikes, done, p), spikes.astype(np.float64)


def integer_step(state: State, a: Array, p: Parameters, moment: Moment) -> tuple[dict[str, Array], Array]:
    """Current and membrane as Loihi's compartment, 24 bits, 64 membrane units a weight unit; nothing decays."""
    takes, rises, fires, done = _phase(p, moment.step)
    rule, u, v = moment.variant, state["u"], state["v"]
    if takes:
        u = wrap_current(wrap_to(u + (a << ACTIVATION_SHIFT), 32), rule.wrap)
        v = np.clip(v + u, rule.v_low, rule.v_high)
    if rises:
        v = np.clip(v + (p["ramp"] << ACTIVATION_SHIFT), rule.v_low, rule.v_high)
    theta = p["vth"] << ACTIVATION_SHIFT
    spikes = ((v > theta) if rule.strict else (v >= theta)) & fires
    return _after(u, v, spikes, done, p), spikes.astype(np.int64)


def input_gain(p: Parameters, dt_s: float) -> Any:
    return np.float64(1.0)


def quantise(p: Parameters, dt_s: float, scale: float) -> dict[str, Any]:
    """Threshold, ramp and start in weight units; the phases are whole steps already."""
    phases = {k: np.asarray(p[k]).astype(np.int64) for k in PHASE_NAMES}
    ramp = np.round(np.asarray(p["ramp"]) * scale).astype(np.int64)
    return {"vth": threshold(p, 0.0, scale), "ramp": ramp, "v_initial": start_values(p, 0.0, scale), **phases}


STREAM = tuple([0.0, 0.8, 0.0, 0.0, -0.3, 0.0, 0.4, 0.0] + [0.9] * 8 + [0.0, 0.0, 0.3, 0.7] + [0.2] * 12)
PHASES = (
    Parameter("first_step", 0, "first step that the population takes part in", 0),
    Parameter("integrate_steps", None, "length of the integration phase", 1),
    Parameter(
        "fire_steps", None, "length of the firing phase, which begins with the last step of integration", 0
    ),
    Parameter(
        "interval", 0, "steps from the start of one inference to that of the next; 0: one inference", 0
    ),
)

NEURON = Neuron(
    name="FirstSpike",
    equation="integration phase: du/dt = input, dv/dt = u, so that a spike adds weight x time left; firing phase: v "
    "rises by `ramp` a step and spikes where v > v_threshold, once, since the reset to zero cannot be made up (time to "
    "first spike: Rueckauer and Liu 2018, doi 10.1109/ISCAS.2018.8351295; two phases with a known slope: Stanojevic et "
    "al. 2023, arXiv 2212.12522). Needs a neuron that holds its current without decay and has phases: microcode "
    "(Loihi 2) or software (SpiNNaker2)",
    float_parameters=(
        Parameter("v_threshold", None, "threshold"),
        Parameter("ramp", None, "rise of the membrane in a step of the firing phase", 0),
        Parameter("v_initial", 0.0, "membrane at the start"),
        *PHASES,
    ),
    integer_parameters=(
        Parameter("vth", None, "threshold, 64 membrane units each", 0, 131071),
        Parameter("ramp", None, "rise in a step of the firing phase, 64 membrane units each", 0, 131071),
        Parameter("v_initial", 0, "membrane at the start", -(1 << 23) + 1, (1 << 23) - 1),
        *PHASES,
    ),
    states=("u", "v"),
    resets=("zero",),
    float_step=float_step,
    integer_step=integer_step,
    input_gain=input_gain,
    quantise=quantise,
    cases=(
        Case(
            {"v_threshold": 8.0, "ramp": 1.0, "v_initial": 0.5, "integrate_steps": 8.0, "fire_steps": 8.0,
             "interval": 16.0}, STREAM, 400.0,
        ),
        Case(
            {"v_threshold": 4.0, "ramp": 0.5, "first_step": 1.0, "integrate_steps": 8.0, "fire_steps": 8.0,
             "interval": 15.0}, STREAM, 300.0,
        ),
    ),
)  # fmt: skip
