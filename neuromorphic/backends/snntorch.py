"""snnTorch's neurons, step by step and in real numbers, with the delays of `SpikingNet`.

Leaky stands for LIF, IF (beta = 1) and LI, Synaptic for CubaLIF. The reset is applied at once, as NIR and the chips
have it: snnTorch's own `reset_delay` would put it into the next step, where it decays with the membrane.

Integer nets run too, as the real-valued net they round: decays are fractions, nothing is cut off, wrapped or clipped.
Without decays (IF, LI) no number needs rounding, and spikes are to be equal; with decays some will come elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.engine.definition import collected
from trine.neuromorphic.engine.result import Probes, Result, inputs_of, probes_of
from trine.neuromorphic.engine.windows import windows
from trine.neuromorphic.loihi_lif import phases
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet
from trine.neuromorphic.neuron import neuron

NEURONS = ("IF", "LIF", "LI", "CubaLIF")


def run(net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
    """As `engine.run`, in float64 and without `updates`.

    Raises InputError for neurons that snnTorch lacks, MissingExtra without snntorch.
    """
    try:
        import snntorch
        import torch
    except ImportError:
        raise MissingExtra("snntorch", "neuromorphic", "the backend snntorch") from None
    net.check()
    absent = [f"{p.name} ({p.neuron})" for p in net.populations if p.neuron not in (INPUT, *NEURONS)]
    if net.arithmetic != "float":
        absent += [
            f"{p.name} ({field})" for p in net.populations for field in ("reset_interval", "refractory_steps")
            if np.any(p.parameters.get(field, 0))
        ]  # fmt: skip
    if absent:
        raise InputError(
            f"backend snntorch has {', '.join(NEURONS)}, but not {', '.join(absent)}: use native"
        )
    given, batch = inputs_of(net, inputs, steps)
    wanted = probes_of(net, probes)
    messages = {p.name: torch.zeros(batch, steps, *p.shape, dtype=torch.float64) for p in net.populations}
    for name, x in given.items():
        messages[name][:] = torch.from_numpy(np.asarray(x, np.float64))
    layers = {p.name: _Layer(snntorch, torch, net, p, batch) for p in net.populations if p.neuron != INPUT}
    links = {p.name: [(x, _link(torch, net, x)) for x in net.into(p.name)] for p in net.populations}
    kept: dict[str, dict[str, list[Array]]] = {k: {v: [] for v in vs} for k, vs in wanted.items()}
    with torch.no_grad():
        for t in range(steps):
            for name, layer in layers.items():
                current = torch.zeros(batch, *net.population(name).shape, dtype=torch.float64)
                for link, deliver in links[name]:
                    then = t - 1 - link.delay_steps
                    if then >= 0:
                        message = messages[link.source][:, then]
                        current = current + deliver(message if link.graded else (message != 0).double())
                messages[name][:, t] = layer.step(current, t)
                for variable, values in kept.get(name, {}).items():
                    if variable in layer.states():
                        values.append(layer.states()[variable])
    return collected(net, {k: x.numpy() for k, x in messages.items()}, {}, wanted, kept)


class _Layer:
    """A population as a snnTorch neuron whose reset is ours."""

    def __init__(self, snntorch: Any, torch: Any, net: SpikingNet, p: Population, batch: int) -> None:
        kind = neuron(p.neuron)
        q = kind.values(p.parameters, net.arithmetic != "float", net.dt_s)

        def tensor(value: Any) -> Any:
            return torch.from_numpy(np.broadcast_to(np.asarray(value, np.float64), p.shape).copy())

        self.torch, self.reset, self.readout = torch, p.reset, kind.readout
        self.bits = 0 if net.arithmetic == "float" else kind.state_bits
        made = _real(q, net.dt_s) if net.arithmetic == "float" else _whole(q)
        self.phases = (lambda t: (True, True)) if net.arithmetic == "float" else _phases(q)
        self.beta, self.rest = tensor(made["beta"]), tensor(made["rest"])
        self.threshold = tensor(made["threshold"] - made["rest"])
        self.landing = tensor(made["landing"] - made["rest"])
        self.bias, self.gain, self.scale = tensor(made["bias"]), tensor(made["gain"]), tensor(made["scale"])
        shape = (batch, *p.shape)
        start = made["start"] - made["rest"]
        self.mem = (tensor(start) + torch.zeros(shape, dtype=torch.float64)).clone()
        options = {"threshold": self.threshold, "reset_mechanism": "none"}
        self.still = snntorch.Leaky(beta=1.0, **options)
        if made["alpha"] is None:
            self.syn, self.neuron = None, snntorch.Leaky(beta=self.beta, **options)
        else:
            self.syn = torch.zeros(shape, dtype=torch.float64)
            self.neuron = snntorch.Synaptic(alpha=tensor(made["alpha"]), beta=self.beta, **options)

    def step(self, current: Any, t: int) -> Any:
        """Messages of a step; the synapse of Synaptic holds r dt/tau_mem times the current."""
        takes, fires = self.phases(t)
        if not takes:
            spikes, mem = self.still(self.torch.zeros_like(self.mem), self.mem)
        elif self.syn is None:
            spikes, mem = self.neuron(self.gain * current + self.bias, self.mem)
        else:
            spikes, self.syn, mem = self.neuron(self.gain * current, self.syn, self.mem)
            mem = mem + self.bias
            spikes = (mem > self.threshold).double()
        if self.readout:
            self.mem = mem
            return mem + self.rest
        spikes = spikes if fires else self.torch.zeros_like(spikes)
        if self.reset == "zero":
            mem = self.torch.where(spikes != 0, self.landing.expand_as(mem), mem)
        elif self.reset == "subtraction":
            mem = mem - spikes * (self.threshold - self.landing)
        self.mem = mem
        return spikes

    def states(self) -> dict[str, Array]:
        """u and v in the net's units."""
        unit = 1 << self.bits
        states = {"v": (self.mem + self.rest).numpy() * unit}
        return states if self.syn is None else states | {"u": (self.syn / self.scale).numpy() * unit}


def _real(q: Mapping[str, Any], dt_s: float) -> dict[str, Any]:
    """What a step needs of a real-valued neuron, forward Euler."""
    rest, zero = q.get("v_leak", np.float64(0.0)), np.float64(0.0)
    rate = dt_s / q["tau_mem_s"] if "tau_mem_s" in q else zero
    membrane = rate * q["r"] if "tau_mem_s" in q else dt_s * q["r"]
    synapse = dt_s / q["tau_syn_s"] if "tau_syn_s" in q else None
    return {
        "beta": 1 - rate, "rest": rest, "threshold": q.get("v_threshold", np.inf), "landing": q.get("v_reset", rest),
        "start": q["v_initial"], "bias": membrane * q["bias"], "alpha": None if synapse is None else 1 - synapse,
        "gain": membrane if synapse is None else membrane * synapse * q["w_in"], "scale": membrane,
    }  # fmt: skip


def _whole(q: Mapping[str, Any]) -> dict[str, Any]:
    """The same of Loihi's compartment (`loihi_lif`), in units of the weights."""
    one, keeps = np.float64(1.0), 1 - (q.get("du", np.int64(4095)) + 1) / 4096
    return {
        "beta": 1 - q.get("dv", 0) / 4096, "rest": 0 * one, "threshold": q.get("vth", np.inf), "landing": 0 * one,
        "start": q["v_initial"] / 64, "bias": q["bias_mant"] * 2.0 ** q["bias_exp"] / 64,
        "alpha": keeps if np.any(keeps) else None, "gain": one, "scale": one,
    }  # fmt: skip


def _phases(q: Mapping[str, Any]) -> Any:
    """Whether a population takes input and may spike, by step."""

    def at(t: int) -> tuple[bool, bool]:
        takes, fires, _ = phases(q, np.array([t]))
        return bool(takes[0]), bool(fires[0])

    return at


def _link(torch: Any, net: SpikingNet, p: Projection) -> Any:
    """A projection as a function from messages [batch, *source] to sums [batch, *target]."""
    source, target = net.population(p.source).shape, net.population(p.target).shape
    weight = torch.from_numpy(np.asarray(np.asarray(p.weight, np.float64) * 2.0**p.weight_exponent))
    if p.kind == "dense":
        return lambda x: torch.nn.functional.linear(x.flatten(1), weight).reshape(-1, *target)
    if p.kind == "identity":
        return lambda x: (
            x.reshape(-1, *target) * (weight.reshape(target) if weight.numel() > 1 else weight.reshape(()))
        )
    w, axes = windows(p, source, target), len(source) - 1
    pads = tuple(p.attributes.get("pads", (0,) * 2 * axes))
    around = [n for axis in reversed(range(axes)) for n in (pads[axis], pads[axes + axis])]
    convolve = torch.nn.functional.conv1d if axes == 1 else torch.nn.functional.conv2d
    if p.kind == "pool":
        weight = weight.reshape(()).expand(source[0], 1, *w.kernel[2 - axes :])
    stride, dilation = w.stride[2 - axes :], w.dilation[2 - axes :]
    return lambda x: convolve(
        torch.nn.functional.pad(x, around), weight, stride=stride, dilation=dilation, groups=w.group
    )
