"""snnTorch's neurons for real-valued nets, step by step, with the delays of `SpikingNet`.

Leaky stands for LIF, IF (beta = 1) and LI, Synaptic for CubaLIF. The reset is applied at once, as NIR and the chips
have it: snnTorch's own `reset_delay` would put it into the next step, where it decays with the membrane.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.engine.definition import collected
from trine.neuromorphic.engine.result import Probes, Result, inputs_of, probes_of
from trine.neuromorphic.engine.windows import windows
from trine.neuromorphic.net import INPUT, Array, Population, Projection, SpikingNet
from trine.neuromorphic.neuron import neuron

NEURONS = ("IF", "LIF", "LI", "CubaLIF")


def run(net: SpikingNet, inputs: Mapping[str, Array], steps: int, probes: Probes | None = None) -> Result:
    """As `engine.run` for real-valued nets, in float64 and without `updates`.

    Raises InputError for integer nets and neurons snnTorch lacks, MissingExtra without snntorch.
    """
    try:
        import snntorch
        import torch
    except ImportError:
        raise MissingExtra("snntorch", "neuromorphic", "the backend snntorch") from None
    if net.arithmetic != "float":
        raise InputError(
            f"backend snntorch runs real-valued nets, this one is {net.arithmetic}: use native or lava"
        )
    net.check()
    absent = [f"{p.name} ({p.neuron})" for p in net.populations if p.neuron not in (INPUT, *NEURONS)]
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
                messages[name][:, t] = layer.step(current)
                for variable, values in kept.get(name, {}).items():
                    if variable in layer.states():
                        values.append(layer.states()[variable])
    return collected(net, {k: x.numpy() for k, x in messages.items()}, {}, wanted, kept)


class _Layer:
    """A population as a snnTorch neuron whose reset is ours."""

    def __init__(self, snntorch: Any, torch: Any, net: SpikingNet, p: Population, batch: int) -> None:
        kind = neuron(p.neuron)
        q = kind.values(p.parameters, False, net.dt_s)

        def tensor(value: Any) -> Any:
            return torch.from_numpy(np.broadcast_to(np.asarray(value, np.float64), p.shape).copy())

        self.torch, self.reset, self.readout = torch, p.reset, kind.readout
        rate = net.dt_s / q["tau_mem_s"] if "tau_mem_s" in q else np.float64(0.0)
        self.beta, rest = tensor(1 - rate), q.get("v_leak", np.float64(0.0))
        self.rest = tensor(rest)
        membrane = rate * q["r"] if "tau_mem_s" in q else net.dt_s * q["r"]
        self.threshold = tensor(q.get("v_threshold", np.inf) - rest)
        self.landing = tensor(q.get("v_reset", rest) - rest)
        options = {"threshold": self.threshold, "reset_mechanism": "none"}
        shape = (batch, *p.shape)
        self.mem = (tensor(q["v_initial"] - rest) + torch.zeros(shape, dtype=torch.float64)).clone()
        self.syn = torch.zeros(shape, dtype=torch.float64) if "tau_syn_s" in q else None
        self.bias, self.gain = tensor(membrane * q["bias"]), tensor(membrane)
        if self.syn is None:
            self.neuron = snntorch.Leaky(beta=self.beta, **options)
        else:
            synapse = net.dt_s / q["tau_syn_s"]
            self.neuron = snntorch.Synaptic(alpha=tensor(1 - synapse), beta=self.beta, **options)
            self.gain, self.scale = tensor(membrane * synapse * q["w_in"]), tensor(membrane)

    def step(self, current: Any) -> Any:
        """Messages of a step; the synapse of Synaptic holds r dt/tau_mem times the current."""
        if self.syn is None:
            spikes, mem = self.neuron(self.gain * current + self.bias, self.mem)
        else:
            spikes, self.syn, mem = self.neuron(self.gain * current, self.syn, self.mem)
            mem = mem + self.bias
            spikes = (mem > self.threshold).double()
        if self.readout:
            self.mem = mem
            return mem + self.rest
        if self.reset == "zero":
            mem = self.torch.where(spikes != 0, self.landing.expand_as(mem), mem)
        elif self.reset == "subtraction":
            mem = mem - spikes * (self.threshold - self.landing)
        self.mem = mem
        return spikes

    def states(self) -> dict[str, Array]:
        """u and v in the net's units."""
        states = {"v": (self.mem + self.rest).numpy()}
        return states if self.syn is None else states | {"u": (self.syn / self.scale).numpy()}


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
