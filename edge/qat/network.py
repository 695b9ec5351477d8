"""A graph in torch that rounds weights, biases and activations as the integer program does, gradients passing through.

Forward: weights as codes x scale (`lowbit`), biases in units of the sums, activations through QuantizeLinear and
DequantizeLinear of the program's own scales. Backward: the rounding counts as the identity inside its range and as a
constant outside it (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv
1712.05877). The scales of weights of fewer than 8 bits are trained with them: learned step size quantisation (Esser et
al. 2020, arXiv 1902.08153).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.devices.errors import InputError, MissingExtra
from trine.edge.lowbit import LARGEST, LEAST, SMALLEST_SCALE, WeightBits, scales_of
from trine.edge.program import QuantizedTensor
from trine.edge.qat.calls import CALLS, why_not
from trine.edge.quantize.layers import Clips, by_channel, weighted


def load_torch() -> Any:
    """The torch module. Raises MissingExtra."""
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingExtra("torch", "torch", "fine-tuning with quantisation in the loop") from None
    return torch


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread and ordered sums; torch's own settings come back afterwards. All draws are NumPy's."""
    torch = load_torch()
    threads, ordered = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(ordered)


def refuse(graph: Graph) -> None:
    """Raise InputError naming every node that cannot be trained through, and why."""
    found = [(node, why_not(node)) for node in graph.nodes]
    missing = [f"node {node.name} ({node.op}): {reason}" for node, reason in found if reason]
    if missing:
        raise InputError("cannot be fine-tuned with quantisation in the loop:\n  " + "\n  ".join(missing))


def through(torch: Any, real: Any, rounded: Any) -> Any:
    """The rounded value, with the gradient of the real one."""
    return real + (rounded - real).detach()


def rounded_activation(torch: Any, tensor: QuantizedTensor, x: Any) -> Any:
    """Through its integers and back, as `QuantizedTensor` does; outside its range the gradient is zero."""
    scale, zero, (least, most) = float(tensor.scale), tensor.zero_point, tensor.limits
    inside = torch.clamp(x, (least - zero) * scale, (most - zero) * scale)
    code = torch.clamp(torch.round(x / scale) + zero, least, most)
    return through(torch, inside, (code - zero) * scale)


def rounded_weight(torch: Any, weight: Any, scale: Any, bits: int) -> Any:
    """Codes x scale of a weight with its channels first; scale [channels, 1, ...]."""
    margin = 1.0 if bits == 2 else 0.5
    place = weight / scale
    code = 2 * torch.floor(place / 2) + 1 if bits == 2 else torch.round(place)
    code = torch.clamp(code, LEAST[bits], LARGEST[bits])
    inside = torch.clamp(place, LEAST[bits] - margin, LARGEST[bits] + margin)
    return through(torch, inside, code) * scale


class FakeQuantized:
    """The network with its weights as torch parameters.

    clips: real maximum of each channel by weight; where there is none, the largest weight. tensors: of the program.
    """

    def __init__(
        self, graph: Graph, tensors: Mapping[str, QuantizedTensor], clips: Clips, bits: WeightBits
    ) -> None:
        refuse(graph)
        self.torch, self.graph, self.tensors, self.bits = load_torch(), graph, tensors, bits
        self.weights = {node.inputs[1]: node for node in weighted(graph)}
        trained = {name for node in self.weights.values() for name in node.inputs[1:3]}
        # In C order: torch lays a gradient out like its parameter, and the sums over it would differ by their order.
        self.float = {
            name: self.torch.from_numpy(np.array(x, order="C")) for name, x in graph.constants.items()
        }
        self.parameters = {
            name: self.torch.nn.Parameter(self.float[name].float().clone()) for name in sorted(trained)
        }
        self.scales = {name: self._scale(node, clips.get(name)) for name, node in self.weights.items()}

    def _scale(self, node: Node, clip: Array | None) -> Any:
        """Scales of a weight's channels, to broadcast over it with channels first; trained below 8 bits."""
        name, bits = node.inputs[1], self.bits.get(node.inputs[1], 8)
        weight = np.ascontiguousarray(by_channel(node, self.graph.constants[name]))
        scale = self.torch.from_numpy(scales_of(weight.reshape(len(weight), -1), bits, clip))
        scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
        return self.torch.nn.Parameter(scale) if bits < 8 else scale

    def value(self, name: str) -> Any:
        """A constant as the integer program has it."""
        if name not in self.weights:
            return self.parameters.get(name, self.float[name])
        turned = self.weights[name].op == "MatMul"
        weight = self.parameters[name].T if turned else self.parameters[name]
        real = rounded_weight(self.torch, weight, self.scales[name], self.bits.get(name, 8))
        return real.T if turned else real

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs for torch inputs {name: [n, *shape]}."""
        return self._run(inputs, rounded=True)

    def exact(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The float network's outputs, without gradients."""
        with self.torch.no_grad():
            return self._run(inputs, rounded=False)

    def _run(self, inputs: Mapping[str, Any], rounded: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}

        def keep(name: str, x: Any) -> None:
            there = rounded and name in self.tensors and self.tensors[name].quantized
            values[name] = rounded_activation(self.torch, self.tensors[name], x) if there else x

        constant = self.value if rounded else self.float.__getitem__
        for name, x in inputs.items():
            keep(name, x)
        for node in self.graph.nodes:
            arguments = [constant(n) if n in self.graph.constants else values[n] for n in node.inputs]
            if rounded and node.inputs[1:2] and node.inputs[1] in self.weights and len(arguments) > 2:
                arguments[2] = self.rounded_bias(node, arguments[2])
            keep(node.outputs[0], CALLS[node.op](self.torch, node, arguments))
        return {name: values[name] for name in self.graph.outputs}

    def rounded_bias(self, node: Node, bias: Any) -> Any:
        """A bias as the int32 sums have it: in units of input scale x weight scale."""
        scale = self.scales[node.inputs[1]].detach().reshape(-1)
        unit = scale * float(self.tensors[node.inputs[0]].scale)
        return through(self.torch, bias, self.torch.round(bias / unit) * unit)

    def hold(self) -> None:
        """Bring trained scales back to what a program may have; call it after every step."""
        with self.torch.no_grad():
            for name, scale in self.scales.items():
                if self.bits.get(name, 8) < 8:
                    scale.clamp_(min=float(SMALLEST_SCALE))

    def state(self) -> dict[str, Any]:
        """A copy of everything that is trained."""
        trained = {**self.parameters, **{f"scale of {name}": scale for name, scale in self.scales.items()}}
        return {name: value.detach().clone() for name, value in trained.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`."""
        with self.torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(state[name])
            for name, value in self.scales.items():
                value.copy_(state[f"scale of {name}"])

    def trained(self) -> tuple[Graph, dict[str, Array]]:
        """The network with weights on their codes, so that lowering finds just these, and the clip of each weight."""
        with self.torch.no_grad():
            values = {name: self.value(name).numpy().copy() for name in self.parameters}
            clips = {
                name: (scale.detach().reshape(-1) * LARGEST[self.bits.get(name, 8)]).numpy().copy()
                for name, scale in self.scales.items()
            }
        return self.graph.with_constants(values), clips
