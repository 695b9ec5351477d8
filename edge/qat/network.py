"""A graph in torch that rounds weights, biases and activations as the integer program does, gradients passing through.

Forward: weights as codes x scale (`lowbit`), biases in units of the sums, activations through QuantizeLinear and
DequantizeLinear of the program's own scales. Backward: the rounding counts as the identity inside its range and as a
constant outside it (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv
1712.05877).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trine.compilers.graph import Array, Graph, Node
from trine.devices.errors import InputError, MissingExtra
from trine.edge.lowbit import LARGEST, LEAST, WeightBits, scales_of
from trine.edge.program import QMAX, QMIN, QuantizedTensor
from trine.edge.quantize.layers import Clips, by_channel, weighted

Call = Callable[[Any, Node, Sequence[Any]], Any]  # torch, the node, its arguments -> the output


def load_torch() -> Any:
    """The torch module. Raises MissingExtra."""
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingExtra("torch", "torch", "fine-tuning with quantisation in the loop") from None
    return torch


def convolution(torch: Any, node: Node, arguments: Sequence[Any]) -> Any:
    """Conv of one or two dimensions, any padding."""
    x, weight, *bias = arguments
    a, rank = node.attributes, weight.dim() - 2
    pads = [p for i in reversed(range(rank)) for p in (a["pads"][i], a["pads"][rank + i])]
    run = torch.nn.functional.conv1d if rank == 1 else torch.nn.functional.conv2d
    x = torch.nn.functional.pad(x, pads)
    return run(x, weight, *bias, stride=a["strides"], dilation=a["dilations"], groups=int(a["group"]))


def pooled(torch: Any, node: Node, arguments: Sequence[Any], kind: str) -> Any:
    """MaxPool or AveragePool without padding or dilation."""
    a, x = node.attributes, arguments[0]
    if any(a["pads"]) or any(d != 1 for d in a.get("dilations", (1,))):
        raise InputError(f"node {node.name} ({node.op}): with padding or dilation it cannot be fine-tuned")
    run = getattr(torch.nn.functional, f"{kind}_pool{len(a['kernel_shape'])}d")
    return run(x, tuple(a["kernel_shape"]), tuple(a["strides"]))


CALLS: Mapping[str, Call] = {
    "Conv": convolution,
    "Gemm": lambda torch, node, a: torch.nn.functional.linear(*a),
    "MatMul": lambda torch, node, a: torch.matmul(*a),
    "Relu": lambda torch, node, a: torch.relu(a[0]),
    "Clip": lambda torch, node, a: torch.clamp(a[0], node.attributes.get("min"), node.attributes.get("max")),
    "MaxPool": lambda torch, node, a: pooled(torch, node, a, "max"),
    "AveragePool": lambda torch, node, a: pooled(torch, node, a, "avg"),
    "GlobalAveragePool": lambda torch, node, a: a[0].mean(dim=tuple(range(2, a[0].dim())), keepdim=True),
    "Reshape": lambda torch, node, a: a[0].reshape(len(a[0]), *node.attributes["shape"]),
    "Transpose": lambda torch, node, a: a[0].permute(0, *(p + 1 for p in node.attributes["perm"])),
    "Concat": lambda torch, node, a: torch.cat(list(a), dim=node.attributes["axis"] + 1),
    "Add": lambda torch, node, a: a[0] + a[1],
    "Mul": lambda torch, node, a: a[0] * a[1],
    "Identity": lambda torch, node, a: a[0],
    "Dropout": lambda torch, node, a: a[0],
    "Softmax": lambda torch, node, a: torch.softmax(a[0], dim=node.attributes["axis"] + 1),
    "Sigmoid": lambda torch, node, a: torch.sigmoid(a[0]),
    "Tanh": lambda torch, node, a: torch.tanh(a[0]),
}


def refuse(graph: Graph) -> None:
    """Raise InputError naming every node that has no form here."""
    missing = [f"node {n.name} ({n.op})" for n in graph.nodes if n.op not in CALLS]
    if missing:
        raise InputError("cannot be fine-tuned with quantisation in the loop: " + ", ".join(missing))


def through(torch: Any, real: Any, rounded: Any) -> Any:
    """The rounded value, with the gradient of the real one."""
    return real + (rounded - real).detach()


def rounded_activation(torch: Any, tensor: QuantizedTensor, x: Any) -> Any:
    """Through int8 and back, as `QuantizedTensor` does; outside its range the gradient is zero."""
    scale, zero = float(tensor.scale), tensor.zero_point
    low, high = (QMIN - zero) * scale, (QMAX - zero) * scale
    inside = torch.clamp(x, low, high)
    code = torch.clamp(torch.round(x / scale) + zero, QMIN, QMAX)
    return through(torch, inside, (code - zero) * scale)


def rounded_weight(torch: Any, weight: Any, scale: Any, bits: int) -> Any:
    """Codes x scale of a weight with its channels first; scale [channels, 1, ...]."""
    place = weight / scale
    code = 2 * torch.floor(place / 2) + 1 if bits == 2 else torch.round(place)
    code = torch.clamp(code, LEAST[bits], LARGEST[bits])
    margin = 1.0 if bits == 2 else 0.5
    inside = torch.clamp(weight, (LEAST[bits] - margin) * scale, (LARGEST[bits] + margin) * scale)
    return through(torch, inside, code * scale)


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
        self.parameters = {
            name: self.torch.nn.Parameter(self.torch.from_numpy(np.array(graph.constants[name], np.float32)))
            for name in sorted(trained)
        }
        self.scales = {name: self._scale(node, clips.get(name)) for name, node in self.weights.items()}

    def _scale(self, node: Node, clip: Array | None) -> Any:
        """Scales of a weight's channels, to broadcast over it with channels first."""
        weight = np.ascontiguousarray(by_channel(node, self.graph.constants[node.inputs[1]]))
        scale = scales_of(weight.reshape(len(weight), -1), self.bits.get(node.inputs[1], 8), clip)
        return self.torch.from_numpy(scale).reshape(-1, *[1] * (weight.ndim - 1))

    def value(self, name: str) -> Any:
        """A constant as the integer program has it."""
        if name not in self.weights:
            constant = self.parameters.get(name)
            return (
                self.torch.from_numpy(np.array(self.graph.constants[name])) if constant is None else constant
            )
        turned = self.weights[name].op == "MatMul"
        weight = self.parameters[name].T if turned else self.parameters[name]
        real = rounded_weight(self.torch, weight, self.scales[name], self.bits.get(name, 8))
        return real.T if turned else real

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs for torch inputs {name: [n, *shape]}."""
        values = {n: rounded_activation(self.torch, self.tensors[n], x) for n, x in inputs.items()}
        for node in self.graph.nodes:
            arguments = [self.value(n) if n in self.graph.constants else values[n] for n in node.inputs if n]
            if node.inputs[1:2] and node.inputs[1] in self.weights and len(arguments) > 2:
                arguments[2] = self.rounded_bias(node, arguments[2])
            y = CALLS[node.op](self.torch, node, arguments)
            (name,) = node.outputs
            values[name] = (
                rounded_activation(self.torch, self.tensors[name], y) if name in self.tensors else y
            )
        return {name: values[name] for name in self.graph.outputs}

    def rounded_bias(self, node: Node, bias: Any) -> Any:
        """A bias as the int32 sums have it: in units of input scale x weight scale."""
        unit = self.scales[node.inputs[1]].reshape(-1) * float(self.tensors[node.inputs[0]].scale)
        return through(self.torch, bias, self.torch.round(bias / unit) * unit)

    def trained(self) -> Graph:
        """The network with the parameters as they are now."""
        return self.graph.with_constants({n: p.detach().numpy().copy() for n, p in self.parameters.items()})
