"""The float network in torch: what a layer ought to answer. Imported only where torch is to be used."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from trine.neuromorphic.conversion.layers import FIRE, MAXIMUM, Layer, LayerNet
from trine.neuromorphic.snntorch_module import deliver


class Teacher:
    """The layers of a trained network, float32."""

    def __init__(self, net: LayerNet) -> None:
        self.net = net
        self.weights = {
            layer.name: [torch.tensor(t.weight, dtype=torch.float32) for t in layer.terms]
            for layer in net.layers
        }
        self.biases = {layer.name: torch.tensor(layer.bias, dtype=torch.float32) for layer in net.layers}

    def answer(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Activations of every layer, the sums of the readout; inputs [n, *shape] float32."""
        values = dict(inputs)
        with torch.no_grad():
            for layer in self.net.layers:
                values[layer.name] = self.activate(layer, values)
        return {layer.name: values[layer.name] for layer in self.net.layers}

    def activate(self, layer: Layer, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """One layer."""
        if layer.role == MAXIMUM:
            return greatest(layer.terms[0].attributes, values[layer.terms[0].source])
        total = self.biases[layer.name]
        for term, weight in zip(layer.terms, self.weights[layer.name]):
            total = total + deliver(term, weight, values[term.source], layer.shape)
        return total.clamp(0, layer.ceiling) if layer.role == FIRE else total


def greatest(attributes: Mapping[str, tuple[int, ...]], x: torch.Tensor) -> torch.Tensor:
    """Greatest value of each window of x [n, *shape], which is never negative."""
    axes = x.ndim - 2
    pads = tuple(attributes["pads"])
    around = [n for i in reversed(range(axes)) for n in (pads[i], pads[axes + i])]
    pool = torch.nn.functional.max_pool1d if axes == 1 else torch.nn.functional.max_pool2d
    padded = torch.nn.functional.pad(x, around)
    return pool(padded, tuple(attributes["kernel_shape"]), tuple(attributes["strides"]))
