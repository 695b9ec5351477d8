"""The spiking network of a scheme with weights that can learn. Imported only where torch and snntorch are to be used.

Forward, it is the integer network spike by spike: at every step the real weights are rounded by `whole_numbers`, and
membranes are whole multiples of 1/64 weight unit, which float32 holds exactly. Backward, rounding passes gradients
straight through (Bengio et al. 2013, arXiv 1308.3432), and a spike has the slope of an arctangent whose area is one
spike (Fang et al. 2021, arXiv 2007.05785, as snntorch.surrogate.atan). Neurons are snntorch.Leaky with beta 1 and reset
by subtraction; resets pass no gradient, as snntorch has it.

Layers run one after the other over their own windows, since a layer never hears from a later one: local step j is the
j-th in which a spike of its sources can arrive. *exact* and *ttfs* answer counts by counts: all arrives at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import snntorch
import torch
from snntorch import surrogate

from trine.compilers.graph import Array
from trine.neuromorphic.arithmetic import ACTIVATION_SHIFT
from trine.neuromorphic.conversion.code import evenly, lines_of
from trine.neuromorphic.conversion.convert import ConversionOptions, whole_numbers
from trine.neuromorphic.conversion.fix import gain_of
from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, Layer
from trine.neuromorphic.conversion.levels import LevelNet
from trine.neuromorphic.conversion.quantised import CountLayer, QuantisedNetwork
from trine.neuromorphic.conversion.schedule import Slot, Turn, timetable
from trine.neuromorphic.conversion.scheduled import bias_parts
from trine.neuromorphic.finetune.teacher import greatest
from trine.neuromorphic.snntorch_module import deliver

ONE = float(1 << ACTIVATION_SHIFT)
ATAN = surrogate.atan(alpha=2.0)  # area 1 for a distance in thresholds


class TrainableNet:
    """Real weights, biases and thresholds (float64, by name), and the spiking network that they stand for."""

    def __init__(self, start: LevelNet, options: ConversionOptions) -> None:
        self.start, self.options = start, options
        self.in_time = options.scheme == "rate"  # in the others a layer has taken everything before it fires
        self.parameters: dict[str, torch.Tensor] = {}
        for layer in start.net.layers:
            if layer.role == MAXIMUM:
                continue
            for k, term in enumerate(layer.terms):
                self.parameters[f"{layer.name}/weight{k}"] = torch.tensor(term.weight, dtype=torch.float64)
            self.parameters[f"{layer.name}/bias"] = torch.tensor(layer.bias, dtype=torch.float64)
            if layer.role == FIRE:
                scale = torch.tensor(start.scales[layer.name], dtype=torch.float64)
                self.parameters[f"{layer.name}/log_scale"] = scale.log()
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.neurons = {layer.name: neuron() for layer in start.net.layers if layer.role == FIRE}
        # A synapse that is not there does not appear: it would cost memory on the chip.
        self.there = {k: p.detach() != 0 for k, p in self.parameters.items() if "/weight" in k}

    def mask_gradients(self) -> None:
        """Zero the gradients of absent synapses."""
        for name, there in self.there.items():
            grad = self.parameters[name].grad
            if grad is not None:
                grad.mul_(there)

    def load(self, values: Mapping[str, Array]) -> None:
        """Set all parameters."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(torch.from_numpy(np.asarray(values[name])))

    def values(self) -> dict[str, Array]:
        """A copy of all parameters, float64."""
        return {name: p.detach().numpy().copy() for name, p in self.parameters.items()}

    def levels(self) -> LevelNet:
        """The network with coarse activations as it is now."""
        layers, scales = [], dict(self.start.scales)
        values = self.values()
        for layer in self.start.net.layers:
            if layer.role == MAXIMUM:
                scales[layer.name] = scales[layer.terms[0].source]
                layers.append(layer)
                continue
            terms = tuple(
                replace(t, weight=values[f"{layer.name}/weight{k}"]) for k, t in enumerate(layer.terms)
            )
            layers.append(replace(layer, terms=terms, bias=values[f"{layer.name}/bias"]))
            if layer.role == FIRE:
                scales[layer.name] = float(np.exp(values[f"{layer.name}/log_scale"]))
        return replace(self.start, net=replace(self.start.net, layers=tuple(layers)), scales=scales)

    def run(
        self, inputs: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], QuantisedNetwork]:
        """Real inputs [n, *shape] -> real logits [n, size], counts or membranes (weight units) by layer, whole numbers.

        Raises InputError where the weights have left what whole numbers can hold.
        """
        network = whole_numbers(self.levels(), self.options)
        turns = turns_of(network, self.options.scheme, self.options.lag)
        sent = self.trains(network, inputs)
        scales = {k: torch.tensor(c.step, dtype=torch.float64) for k, c in self.start.inputs.items()}
        shown: dict[str, torch.Tensor] = {}
        for layer, made in zip(self.start.net.layers, network.layers):
            if made.role == MAXIMUM:
                source = made.synapses[0].source
                shown[layer.name] = greatest(made.synapses[0].attributes, shown[source])
                sent[layer.name], scales[layer.name] = shown[layer.name][None], scales[source]
                continue
            arriving = self.currents(layer, made, sent, scales)
            if made.role == FIRE:
                scales[layer.name] = self.parameters[f"{layer.name}/log_scale"].exp()
                spikes = self.fire(layer, made, arriving, turns[layer.name])
                shown[layer.name] = spikes.sum(0)
                sent[layer.name] = spikes if self.in_time else shown[layer.name][None]
            else:
                bias = held(self.parameters[f"{layer.name}/bias"] / made.unit, made.bias / ONE)
                shown[layer.name] = sum(arriving[1:], arriving[0]) + bias
        output = network.output
        return shown[output.name].flatten(1) * output.unit, shown, network

    def answer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Counts of layers and the membrane of the readout in weight units, without gradients."""
        with torch.no_grad():
            shown = self.run({k: torch.from_numpy(x) for k, x in inputs.items()})[1]
        return {name: x.numpy() for name, x in shown.items()}

    def trains(
        self, network: QuantisedNetwork, inputs: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """What the input lines send in each step, in whole steps of the input: [steps, n, *shape]."""
        whole = network.encode({k: x.numpy() for k, x in inputs.items()})
        found = {}
        for code in network.inputs:
            train = whole[code.name][None]
            if self.in_time:
                assert network.levels is not None
                parts = (
                    line.sign * (evenly(line.digits(whole[code.name]), network.levels).astype(np.int32) << line.shift)
                    for line in lines_of(code, network.levels)
                )  # fmt: skip
                train = np.asarray(sum(parts, np.zeros((), np.int32))).swapaxes(0, 1)
            found[code.name] = torch.from_numpy(np.ascontiguousarray(train, np.float32))
        return found

    def currents(
        self,
        layer: Layer,
        made: CountLayer,
        sent: Mapping[str, torch.Tensor],
        scales: Mapping[str, torch.Tensor],
    ) -> list[torch.Tensor]:
        """Sums that arrive in each local step, weight units, [n, *shape] each."""
        arriving: list[torch.Tensor] = []
        octaves = 2.0 ** np.array(made.octaves or (0,))
        for k, s in enumerate(made.synapses):
            parameter = self.parameters[f"{layer.name}/weight{k}"]
            gain = torch.from_numpy(np.asarray(gain_of(layer.terms[k], octaves, made.shape)))
            real = parameter * (scales[s.source] / made.unit) * gain
            weight = held(real, s.weight.astype(np.float64) * 2.0**s.exponent)
            x = sent[s.source]
            sums = deliver(s.term, weight, x.flatten(0, 1), made.shape).unflatten(0, x.shape[:2])
            both = min(len(arriving), len(sums))
            arriving = [*(arriving[j] + sums[j] for j in range(both)), *arriving[both:], *sums[both:]]
        return arriving

    def fire(self, layer: Layer, made: CountLayer, arriving: list[torch.Tensor], turn: Turn) -> torch.Tensor:
        """Spikes of a layer, [T, n, *shape]. Before `begins` the neuron is closed and only takes."""
        wait = turn.begins - turn.start if self.in_time else 0
        scale = self.parameters[f"{layer.name}/log_scale"].exp() / made.unit
        theta = held(scale * finer(made), made.thresholds)
        half = ((made.thresholds << ACTIVATION_SHIFT) // 2 + 1) / ONE
        begun = held(theta / 2, half)
        come = self.biases(layer, made, wait, turn.window)
        neuron = self.neurons[layer.name]
        neuron.threshold = theta
        taken = sum(arriving[1 : wait + 1], arriving[0]) + come[0] + begun
        spikes, membrane = neuron(taken, torch.zeros_like(taken))
        fired = [spikes]
        for j in range(1, turn.window):
            more = come[j] - come[j - 1]
            if wait + j < len(arriving):
                more = more + arriving[wait + j]
            spikes, membrane = neuron(more.expand_as(membrane), membrane)
            fired.append(spikes)
        return torch.stack(fired)

    def biases(self, layer: Layer, made: CountLayer, wait: int, window: int) -> list[torch.Tensor]:
        """Bias that has come in by each step in which the layer may fire, weight units."""
        parameter = self.parameters[f"{layer.name}/bias"]
        real = parameter / made.unit * finer(made)
        if not self.in_time:
            return [held(real, made.bias / ONE)] * window
        mantissa, exponent = bias_parts(np.maximum(made.bias, 0), wait + window)
        share = mantissa << exponent
        rest = made.bias - (wait + window) * share
        passed = torch.from_numpy(np.where(made.bias > 0, 1.0 / (wait + window), 0.0)).reshape(real.shape)
        come = []
        for j in range(window):
            slope = torch.where(passed > 0, passed * (wait + 1 + j), torch.ones_like(passed))
            come.append(held(real * slope, (rest + (wait + 1 + j) * share) / ONE))
        return come


def turns_of(network: QuantisedNetwork, scheme: str, lag: int) -> Mapping[str, Turn]:
    """When layers take and fire: the timetable of the spiking net."""
    assert network.levels is not None
    slots = [
        Slot(x.name, x.role, tuple(s.source for s in x.synapses), x.levels or network.levels)
        for x in network.layers
    ]
    inputs = dict.fromkeys((code.name for code in network.inputs), network.levels)
    return timetable(slots, inputs, scheme, lag).turns


def finer(made: CountLayer) -> torch.Tensor:
    """By how much a channel's numbers are larger than the layer's; broadcasts to its shape."""
    return torch.from_numpy(np.asarray(made.thresholds / made.theta))


def neuron() -> snntorch.Leaky:
    """Integrate and fire. One for each layer and run: snntorch keeps every neuron that was ever made."""
    made = snntorch.Leaky(beta=1.0, reset_mechanism="subtract")
    made.spike_grad = lambda distance: ATAN(distance / made.threshold.detach())
    return made


def held(real: torch.Tensor, whole: Array) -> torch.Tensor:
    """A whole value that passes gradients on to the real one, float32."""
    fixed = torch.from_numpy(np.asarray(whole, np.float32)).reshape(real.shape)
    return fixed + (real - real.detach()).float()
