"""The torch module that `to_snntorch` builds. Imported only where torch and snntorch are to be used."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import snntorch
import torch
from torch.nn import functional

from trine.neuromorphic.conversion.layers import Term
from trine.neuromorphic.net import INPUT, Array, Projection, SpikingNet
from trine.neuromorphic.timing import arrivals

Values = Mapping[str, Mapping[str, Array]]


def build(
    net: SpikingNet, values: Values, lag: Mapping[str, int], constants: Set[str], dtype: Any
) -> SnnTorchNet:
    """The module, in evaluation mode. values: checked float parameters; lag: delays without pipeline, in steps."""
    module = SnnTorchNet(net, values, lag, constants, dtype)
    module.eval()
    return module


class SnnTorchNet(torch.nn.Module):  # type: ignore[misc]  # torch is untyped to mypy here
    """Populations in an order in which every undelayed message is there in time; delayed ones from memory."""

    def __init__(
        self, net: SpikingNet, values: Values, lag: Mapping[str, int], constants: Set[str], dtype: Any
    ) -> None:
        super().__init__()
        self.net, self.lag, self.dtype, self.depth = net, dict(lag), dtype, arrivals(net)
        self.order = _order(net, lag, constants)
        self.constants = constants
        self.layers = torch.nn.ModuleDict()
        self.rest: dict[str, Mapping[str, torch.Tensor]] = {}
        for name in self.order:
            self.layers[_key(name)], self.rest[name] = _layer(net, name, values[name], dtype)
        self.weights = torch.nn.ParameterDict()
        for q in net.projections:
            weight = torch.as_tensor(np.asarray(q.weight) * 2.0**q.weight_exponent, dtype=dtype)
            self.weights[_key(q.name)] = torch.nn.Parameter(weight, requires_grad=False)

    def forward(self, inputs: Any) -> dict[str, torch.Tensor]:
        """As `to_snntorch` says."""
        given = inputs if isinstance(inputs, Mapping) else {self.net.inputs[0]: inputs}
        x = {k: torch.as_tensor(np.asarray(v), dtype=self.dtype) for k, v in given.items()}
        batch, steps = next(iter(x.values())).shape[:2]
        lead = max(self.depth.values())  # what populations do before their first input counts too
        sent: dict[str, list[torch.Tensor]] = {p.name: [] for p in self.net.populations}
        state: dict[str, tuple[torch.Tensor, ...]] = {}
        for t in range(-lead, steps):
            for name in self.net.inputs:
                sent[name].append(x[name][:, t] if t >= 0 else torch.zeros_like(x[name][:, 0]))
            for name in self.order:
                if t >= -self.depth[name]:
                    sent[name].append(self._advance(name, self._current(name, sent, batch, t, lead), state))
                else:
                    sent[name].append(torch.zeros(batch, *self.net.population(name).shape, dtype=self.dtype))
        for name in self.constants:
            sent[name] = [torch.ones(batch, 1, dtype=self.dtype)] * (lead + steps)
        return {name: torch.stack(xs[lead:], 1) for name, xs in sent.items()}

    def _current(
        self, name: str, sent: Mapping[str, list[torch.Tensor]], batch: int, t: int, lead: int
    ) -> torch.Tensor:
        shape = self.net.population(name).shape
        total = torch.zeros(batch, *shape, dtype=self.dtype)
        for q in self.net.into(name):
            if q.source in self.constants:
                if t + self.depth[name] > q.delay_steps:
                    total = total + self.weights[_key(q.name)].reshape(shape)
            elif t + lead >= self.lag[q.name]:
                message = sent[q.source][t + lead - self.lag[q.name]]
                message = message if q.graded else (message != 0).to(self.dtype)
                total = total + deliver(q, self.weights[_key(q.name)], message, shape)
        return total

    def _advance(
        self, name: str, current: torch.Tensor, state: dict[str, tuple[torch.Tensor, ...]]
    ) -> torch.Tensor:
        """One step of one layer; its message."""
        p, rest = self.net.population(name), self.rest[name]
        one = torch.ones_like(current)
        if name not in state:
            state[name] = tuple(rest[k] * one for k in ("syn", "mem") if k in rest)
        spikes, *new = self.layers[_key(name)](current * rest["gain"] + rest["drive"], *state[name])
        if "theta" in rest:
            new[-1] = new[-1] - (spikes != 0).to(self.dtype) * rest["theta"]
        state[name] = tuple(new)
        return new[-1] if p.neuron == "LI" else spikes


def _layer(
    net: SpikingNet, name: str, v: Mapping[str, Array], dtype: Any
) -> tuple[Any, dict[str, torch.Tensor]]:
    """A snntorch layer whose membrane is ours less v_reset, its input gain, its constant drive and its start."""
    p, dt = net.population(name), net.dt_s

    def tensor(x: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(x, np.float64), dtype=dtype)

    reset = v.get("v_reset", np.zeros(()))
    rate = dt / v["tau_mem_s"] if "tau_mem_s" in v else np.zeros(())
    gain = dt * v["r"] if p.neuron == "IF" else rate * v["r"]
    drive = gain * v["bias"] + rate * (v.get("v_leak", reset) - reset)
    how = "zero" if p.reset == "zero" else "none"
    theta = 1e30 if p.neuron == "LI" else v["v_threshold"] - reset
    rest = {"mem": tensor(v["v_initial"] - reset)}
    if p.reset == "subtraction":
        # snntorch 1.0.0 subtracts twice from a membrane that stays above its threshold: done by us instead
        rest["theta"] = tensor(theta)
    if p.neuron == "CubaLIF":
        slow = dt / v["tau_syn_s"]
        layer = snntorch.Synaptic(
            tensor(1 - slow), tensor(1 - rate), tensor(theta), reset_mechanism=how, reset_delay=False
        )
        rest = {
            "syn": tensor(drive),
            **rest,
            "gain": tensor(slow * v["w_in"] * gain),
            "drive": tensor(slow * drive),
        }
        return layer, rest
    layer = snntorch.Leaky(tensor(1 - rate), tensor(theta), reset_mechanism=how, reset_delay=False)
    return layer, {**rest, "gain": tensor(gain), "drive": tensor(drive)}


def deliver(
    q: Projection | Term, weight: torch.Tensor, x: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    """Sums of one projection of messages x [batch, *source], [batch, *shape]."""
    if q.kind == "dense":
        return functional.linear(x.flatten(1), weight).reshape(-1, *shape)
    if q.kind == "identity":
        return x.reshape(-1, *shape) * (weight.reshape(shape) if weight.numel() == np.prod(shape) else weight)
    axes = len(shape) - 1
    pads = tuple(q.attributes.get("pads", (0,) * 2 * axes))
    # torch pads the last axis first
    around = [n for i in reversed(range(axes)) for n in (pads[i], pads[axes + i])]
    x, ones = functional.pad(x, around), (1,) * axes
    group = int(q.attributes.get("group", 1))
    if q.kind == "pool":
        group = x.shape[1]
        weight = weight.reshape(()).expand(group, 1, *q.attributes["kernel_shape"])
    conv = functional.conv1d if axes == 1 else functional.conv2d
    stride, dilation = (tuple(q.attributes.get(k, ones)) for k in ("strides", "dilations"))
    return conv(x, weight, None, stride, 0, dilation, group)


def _order(net: SpikingNet, lag: Mapping[str, int], constants: Set[str]) -> list[str]:
    """Populations that compute, sources of undelayed messages first."""
    left = [p.name for p in net.populations if p.neuron != INPUT and p.name not in constants]
    made: list[str] = []
    while left:
        ready = [n for n in left if all(q.source not in left or lag[q.name] > 0 for q in net.into(n))]
        made += ready  # never empty: every cycle holds a step of delay
        left = [n for n in left if n not in ready]
    return made


def _key(name: str) -> str:
    """A name that torch takes for a submodule."""
    return name.replace(".", "\N{MIDDLE DOT}")
