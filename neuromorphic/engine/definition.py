"""The definition: one step after another in plain NumPy, for real-valued and integer nets. Slow and obvious."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.neuromorphic.arithmetic import VARIANTS, Variant, shift, variant, wrap_to
from trine.neuromorphic.engine.result import Counts, Probes, Result, inputs_of, probes_of
from trine.neuromorphic.engine.windows import windows
from trine.neuromorphic.loihi_lif import phases, zeros
from trine.neuromorphic.net import INPUT, Array, Population, Projection, Shape, SpikingNet
from trine.neuromorphic.neuron import Moment, Neuron, Parameters, State, neuron


def define(net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
    """Simulate as defined. inputs: [batch, steps, *shape] by name. Raises InputError as `inputs_of` does."""
    net.check()
    given, batch = inputs_of(net, inputs, steps)
    wanted = probes_of(net, probes)
    integer = net.arithmetic != "float"
    rule = variant(net.arithmetic) if integer else VARIANTS["lava"]
    dtype: Any = np.int64 if integer else np.float64
    messages = {p.name: np.zeros((batch, steps, *p.shape), dtype) for p in net.populations}
    for name, x in given.items():
        messages[name][:] = x
    computing = [p for p in net.populations if p.neuron != INPUT]
    parameters = {p.name: neuron(p.neuron).values(p.parameters, integer, net.dt_s) for p in computing}
    states = {
        p.name: zeros(neuron(p.neuron).states, p.shape, batch, dtype, parameters[p.name]) for p in computing
    }
    updates: dict[str, Counts] = {p.name: np.zeros(batch, np.int64) for p in computing}
    kept: dict[str, dict[str, list[Array]]] = {k: {v: [] for v in vs} for k, vs in wanted.items()}
    for t in range(steps):
        for p in computing:
            current = received(net, p, messages, t, rule, batch, dtype)
            kind, values = neuron(p.neuron), parameters[p.name]
            moment = Moment(t, net.dt_s, p.reset, rule)
            step = kind.integer_step if integer else kind.float_step
            new, sent = step(states[p.name], current, values, moment)
            messages[p.name][:, t] = sent
            busy = active(kind, values, states[p.name], new, current, sent, t)
            updates[p.name] += busy.reshape(batch, -1).sum(axis=1)
            states[p.name] = new
            for variable in kept.get(p.name, {}):
                if variable in new:
                    kept[p.name][variable].append(new[variable])
    return collected(net, messages, updates, wanted, kept)


def active(
    kind: Neuron, p: Parameters, before: State, after: State, current: Array, sent: Array, step: int
) -> Array:
    """Which neurons were not idle in a step, bool [batch, *shape].

    A current that does not carry over (du 4095) is no state; a reset by schedule updates everybody.
    """
    busy = (current != 0) | (sent != 0)
    if "bias_mant" in p:
        busy = busy | (shift(p["bias_mant"], p["bias_exp"]) != 0)
    carries = np.asarray(p["du"]) != 4095 if "du" in p else np.False_
    interval = int(np.max(p.get("reset_interval", 0)))
    if interval and (step + 1) % interval == int(np.max(p["reset_offset"])) % interval:
        return np.ones(busy.shape, bool)
    if "start" in p and not phases(p, np.array([step]))[0][0]:
        busy = np.asarray(sent != 0)
    for name in after:
        changed = (before[name] != 0) | (after[name] != 0)
        busy |= (changed & carries) if name == "u" and "u" in kind.states and _loihi(kind) else changed
    return np.asarray(busy)


def _loihi(kind: Neuron) -> bool:
    """Whether state u is a current with decay du (IF has none that lasts)."""
    return kind.name == "IF" or any(p.name == "du" for p in kind.integer_parameters)


def received(
    net: SpikingNet,
    p: Population,
    messages: Mapping[str, Array],
    t: int,
    rule: Variant,
    batch: int,
    dtype: Any,
) -> Array:
    """What a population's synapses deliver at a step: everything sent 1 + delay steps earlier."""
    total = np.zeros((batch, *p.shape), dtype)
    for projection in net.into(p.name):
        then = t - 1 - projection.delay_steps
        if then >= 0:
            total = total + projected(projection, messages[projection.source][:, then], p.shape, rule, dtype)
    return wrap_to(total, 32) if dtype == np.int64 else total


def projected(p: Projection, message: Array, target: Shape, rule: Variant, dtype: Any) -> Array:
    """Synaptic sum of one projection, [batch, *target]: products, 32-bit sum, exponent."""
    x = message if p.graded else (message != 0).astype(dtype)
    weight = np.asarray(p.weight).astype(dtype)
    if p.kind == "dense":
        sums = (x.reshape(len(x), -1) @ weight.T).reshape(-1, *target)
    elif p.kind == "identity":
        sums = x.reshape(-1, *target) * (weight.reshape(target) if weight.size > 1 else weight.reshape(()))
    else:
        sums = windowed(p, x, weight, target)
    if dtype != np.int64:
        return np.asarray(sums * 2.0**p.weight_exponent)
    sums = wrap_to(shift(wrap_to(sums, 32), p.weight_exponent), 32)
    return wrap_to(sums, 24) if p.kind == "conv" and rule.conv_wraps else sums


def windowed(p: Projection, x: Array, weight: Array, target: Shape) -> Array:
    """Convolution or pooling, tap by tap: cross-correlation as ONNX Conv."""
    source = x.shape[1:]
    w = windows(p, source, target)
    x = x.reshape(len(x), source[0], *w.size_in)
    out = np.zeros((len(x), target[0], *w.size_out), x.dtype)
    if p.kind == "pool":
        weight = np.broadcast_to(weight.reshape(()), (source[0], 1, *w.kernel))
    weight = weight.reshape(*weight.shape[:2], *w.kernel)
    into, outof = source[0] // w.group, target[0] // w.group
    reach = [w.reaches(0), w.reaches(1)]
    for i, taps_i in enumerate(reach[0]):
        for j, taps_j in enumerate(reach[1]):
            for ki, oi in taps_i:
                for kj, oj in taps_j:
                    for g in range(w.group):
                        a, b = slice(g * into, (g + 1) * into), slice(g * outof, (g + 1) * outof)
                        out[:, b, oi, oj] += x[:, a, i, j] @ weight[b, :, ki, kj].T
    return out.reshape(-1, *target)


def sends(net: SpikingNet, name: str) -> bool:
    """Whether a population's messages go anywhere or are spikes; a readout's membrane alone is no message."""
    kind = net.population(name).neuron
    return kind == INPUT or not neuron(kind).readout or bool(net.out_of(name))


def collected(
    net: SpikingNet, messages: Mapping[str, Array], updates: Mapping[str, Counts], wanted: Probes,
    kept: Mapping[str, Mapping[str, list[Array]]],
) -> Result:  # fmt: skip
    """Counts and probes of a finished run."""
    counts: dict[str, Counts] = {}
    sent: dict[str, Counts] = {}
    per_step: dict[str, Counts] = {}
    probes: dict[str, dict[str, Array]] = {}
    for name, x in messages.items():
        fired = (x != 0) & sends(net, name)
        counts[name] = fired.sum(axis=(0, 1))
        flat = fired.reshape(*x.shape[:2], -1).sum(axis=2)
        sent[name], per_step[name] = flat.sum(axis=1), flat.sum(axis=0)
        for variable in wanted.get(name, ()):
            probes.setdefault(name, {})[variable] = (
                x if variable == "spikes" else fired.sum(axis=1) if variable == "counts"
                else np.stack(kept[name][variable], axis=1)
            )  # fmt: skip
    batch, steps = next(iter(messages.values())).shape[:2]
    return Result(batch, steps, probes, counts, sent, per_step, dict(updates))
