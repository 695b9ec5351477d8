"""Spiking nets to snnTorch and back, by our own hand.

snnTorch's `export_to_nir` and `import_from_nir` lose the reset, need per-neuron tensors, and know neither Conv1d nor
recurrence (snntorch 1.0.0). Its neurons reset one step late by default: by subtraction, mem' = beta mem + x - theta S,
where S is the last step's spike; that is a synapse of weight -theta from each neuron to itself, and so it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.devices.errors import InputError, MissingExtra
from trine.neuromorphic.net import INPUT, Array, Population, Projection, Shape, SpikingNet
from trine.neuromorphic.neuron import neuron
from trine.neuromorphic.nir_graph import Node, output_shape
from trine.neuromorphic.nir_linear import apply_chain, chain, constant
from trine.neuromorphic.timing import bias_projection, bias_source, is_bias_source, lags

NEVER = 1e-300  # a threshold that lets every change pass


def to_snntorch(net: SpikingNet, double: bool = True) -> Any:
    """A torch module of snntorch neurons that does what a real-valued net does.

    Its forward takes {input: [batch, steps, *shape]} (or the array of the only input) and gives {population:
    [batch, steps, *shape]} for every population, in the time of tools without pipeline: step t here is step
    t + arrivals(net)[population] of the net. double: float64, as our definition; else float32.
    Raises InputError naming neurons that snnTorch has not and integer nets; MissingExtra without snntorch.
    """
    try:
        import torch

        from trine.neuromorphic.snntorch_module import build
    except ImportError:
        raise MissingExtra("snntorch", "neuromorphic", "running a net in snnTorch") from None
    problems = [f"population {p.name}: {p.neuron}" for p in net.populations
                if p.neuron not in (INPUT, "IF", "LIF", "CubaLIF", "LI")]  # fmt: skip
    if net.arithmetic != "float":
        problems.append(f"integer arithmetic ({net.arithmetic}); give the real-valued net it was made from")
    if problems:
        raise InputError(f"snnTorch cannot run {net.name}:\n  " + "\n  ".join(problems))
    net.check()
    constants = {p.name for p in net.populations if is_bias_source(net, p)}
    values = {p.name: neuron(p.neuron).values(p.parameters, False, net.dt_s) for p in net.populations
              if p.neuron != INPUT}  # fmt: skip
    return build(net, values, lags(net), constants, torch.float64 if double else torch.float32)


def from_snntorch(modules: Any, input_shape: Shape, dt_s: float = 1e-3, name: str = "snntorch") -> SpikingNet:
    """A SpikingNet from snnTorch modules in the order in which they run.

    modules: an nn.Sequential, or pairs (name, module) or modules: Linear, Conv1d, Conv2d, AvgPool2d, Flatten,
    MaxPool1d(2) in front of a neuron, Leaky, Synaptic, and RLeaky, RSynaptic with all_to_all Linear. input_shape:
    one example, one step. Inputs carry values. State is float64: run both in float64 to compare spike by spike.
    Raises InputError naming every module that cannot be carried over, and why.
    """
    listed = list(modules.named_children()) if hasattr(modules, "named_children") else list(modules)
    pairs = [m if isinstance(m, tuple) else (str(i), m) for i, m in enumerate(listed)]
    maker = _Maker(dt_s, [Population("input", INPUT, tuple(input_shape))])
    problems = []
    for label, module in pairs:
        try:
            maker.take(label, module)
        except InputError as error:
            problems.append(f"module {label!r} ({type(module).__name__}): {error}")
    if maker.pending or maker.pooled:
        problems.append("the last module must be a neuron")
    if problems:
        raise InputError(f"cannot carry over {name}:\n  " + "\n  ".join(problems))
    populations = [*maker.populations, *([bias_source(dt_s)] if maker.biased else [])]
    net = SpikingNet(name, dt_s, tuple(populations), tuple(maker.projections), ("input",), (maker.last.name,))
    net.check()
    return net


@dataclass
class _Maker:
    """Grows a net module by module. depth: that of the last population."""

    dt_s: float
    populations: list[Population]
    projections: list[Projection] = field(default_factory=list)
    pending: list[tuple[str, Node]] = field(default_factory=list)
    pooled: str = ""
    depth: int = 0
    biased: bool = False

    @property
    def last(self) -> Population:
        """The population that the next one listens to."""
        return self.populations[-1]

    def take(self, label: str, module: Any) -> None:
        """One module. Raises InputError where it cannot be carried over."""
        kind = type(module).__name__
        if kind in ("Leaky", "Synaptic", "RLeaky", "RSynaptic"):
            self._neuron(label, module, kind)
            return
        if kind in ("Dropout", "Identity"):
            return
        if self.pooled:
            raise InputError("MaxPool1d must stand directly in front of a neuron")
        if kind == "MaxPool1d":
            if _one(module.kernel_size) != 2 or _one(module.stride) != 2 or _one(module.padding):
                raise InputError("only kernel 2, stride 2, without padding")
            self.pooled = label
            return
        self.pending.append((label, _node(module, kind)))

    def _shape(self) -> Shape:
        shape = self.last.shape
        for _, node in self.pending:
            shape = output_shape(node, shape)
        return shape

    def _constant(self, target: Shape) -> Array:
        """What the pending modules add by themselves."""
        total, shape = np.zeros(target), self.last.shape
        for i, (_, node) in enumerate(self.pending):
            shape = output_shape(node, shape)
            value = constant(node, shape)
            if value is not None:
                total = total + apply_chain(self.pending[i + 1 :], value[None])[0]
        return total

    def _neuron(self, label: str, module: Any, kind: str) -> None:
        shape, source = self._shape(), self.last
        graded = source.neuron == INPUT
        bias = self._constant(shape)
        wiring: list[Projection] = []
        if self.pooled:
            shape = (shape[0], shape[1] // 2)
            bias = self._maximum(label, shape, bias, wiring, graded)
        else:
            m = chain(self.pending, source.shape)
            title = self.pending[-1][0] if self.pending else f"{source.name}->{label}"
            wiring.append(
                Projection(title, source.name, label, m.kind, m.weight, m.attributes, graded=graded)
            )
            self.depth += 1
        population, extra = _population(label, module, kind, shape, self.dt_s)
        self.populations.append(population)
        self.projections += [*wiring, *extra]
        if kind.startswith("R"):
            bias = bias + self._recurrence(label, module, population)
        if bias.any():
            self.biased = True
            self.projections.append(bias_projection(f"{label}.bias", population, bias, self.depth))
        self.pending, self.pooled = [], ""

    def _recurrence(self, label: str, module: Any, p: Population) -> Array:
        """The recurrent Linear of RLeaky and RSynaptic; its bias is returned."""
        inner = module.recurrent
        if type(inner).__name__ != "Linear":
            raise InputError(f"recurrence through {type(inner).__name__}; only all_to_all with Linear")
        self.projections.append(Projection(f"{label}.recurrent", label, label, "dense", _array(inner.weight)))
        return _array(inner.bias).astype(np.float64) if inner.bias is not None else np.zeros(p.shape)

    def _maximum(
        self, label: str, shape: Shape, bias: Array, wiring: list[Projection], graded: bool
    ) -> Array:
        """max(a, b) = b + max(0, a - b): a sigma-delta rectifier fed with changes, an integrator that sums what it
        sends, and b itself, two steps later. Returns the constant of b."""
        source, pool, dt = self.last, self.pooled, self.dt_s
        m = chain(self.pending, source.shape)
        if m.kind != "conv" or len(m.attributes["strides"]) != 1:
            raise InputError(f"MaxPool1d {pool!r} behind something else than a Conv1d")
        odd, even = bias[:, 1 : 2 * shape[1] : 2], bias[:, 0 : 2 * shape[1] : 2]
        if (odd != even).any():
            raise InputError(f"MaxPool1d {pool!r} over constants that differ along the axis")
        gap = m.attributes["strides"][0] * 1
        inner = m.attributes["dilations"][0]
        if gap % inner:
            raise InputError(f"MaxPool1d {pool!r} behind a stride of {gap} with dilation {inner}")
        zeros = np.zeros((*m.weight.shape[:2], gap // inner), m.weight.dtype)
        first, second = np.concatenate([m.weight, zeros], 2), np.concatenate([zeros, m.weight], 2)
        there = {**m.attributes, "strides": (2 * gap,)}
        there["pads"] = _cut(source.shape[1], first.shape[2], inner, 2 * gap, shape[1], m.attributes["pads"])
        rise, top = f"{pool}.rise", f"{pool}.max"
        self.populations += [
            Population(rise, "SigmaDelta", shape, {"v_threshold": NEVER}, "none"),
            Population(top, "LI", shape, {"tau_mem_s": dt, "r": 1.0}, "none"),
        ]
        self.projections += [
            Projection(f"{rise}.now", source.name, rise, "conv", first - second, there, graded=graded),
            Projection(f"{rise}.before", source.name, rise, "conv", second - first, there, 1, graded=graded),
            Projection(f"{rise}->{top}", rise, top, "identity", np.ones(()), graded=True),
            Projection(f"{top}.sum", top, top, "identity", np.ones(()), graded=True),
        ]
        wiring += [
            Projection(f"{top}->{label}", top, label, "identity", np.ones(()), graded=True),
            Projection(self.pending[-1][0], source.name, label, "conv", second, there, 2, graded=graded),
        ]
        self.depth += 3
        return odd


def _cut(size: int, kernel: int, dilation: int, stride: int, out: int, pads: Shape) -> Shape:
    """Padding with which a convolution gives `out` positions, the first where it was."""
    return (pads[0], max((out - 1) * stride + dilation * (kernel - 1) + 1 - size - pads[0], 0))


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy())


def _one(value: Any) -> int:
    return int(value[0]) if isinstance(value, (tuple, list)) else int(value)


def _node(module: Any, kind: str) -> Node:
    """A stateless module as the NIR node it equals."""
    if kind == "Linear":
        if module.bias is None:
            return Node("Linear", {"weight": _array(module.weight)})
        return Node("Affine", {"weight": _array(module.weight), "bias": _array(module.bias)})
    if kind == "Flatten":
        if module.start_dim < 1:
            raise InputError("start_dim must be 1 or more: axis 0 is the batch")
        last = module.end_dim if module.end_dim < 0 else module.end_dim - 1
        return Node("Flatten", {"start_dim": module.start_dim - 1, "end_dim": last})
    if kind in ("Conv1d", "Conv2d"):
        if module.padding_mode != "zeros":
            raise InputError(f"padding_mode {module.padding_mode!r}; only zeros")
        values = {k: np.asarray(getattr(module, k)) for k in ("stride", "dilation", "groups")}
        padding = module.padding if isinstance(module.padding, str) else np.asarray(module.padding)
        bias = np.zeros(module.out_channels, np.float32) if module.bias is None else _array(module.bias)
        return Node(kind, {**values, "padding": padding, "weight": _array(module.weight), "bias": bias})
    if kind == "AvgPool2d":
        values = {"kernel_size": module.kernel_size, "stride": module.stride, "padding": module.padding}
        return Node("AvgPool2d", {k: np.asarray(v) for k, v in values.items()})
    raise InputError("no counterpart in a SpikingNet")


def _population(
    label: str, module: Any, kind: str, shape: Shape, dt_s: float
) -> tuple[Population, list[Projection]]:
    """A snnTorch neuron layer: the population, and the synapses onto itself that its late reset is."""
    if module.inhibition or module.state_quant or float(module.graded_spikes_factor) != 1:
        raise InputError("inhibition, state_quant and graded_spikes_factor are not carried over")
    beta = np.clip(_array(module.beta).astype(np.float64), 0, 1)
    theta = _array(module.threshold).astype(np.float64)
    reset, late = ("subtraction", "zero", "none")[int(module.reset_mechanism_val)], bool(module.reset_delay)
    if reset == "subtraction" and not late:
        raise InputError(
            "reset by subtraction with reset_delay=False: snntorch 1.0.0 then subtracts twice from a membrane that "
            "stays above its threshold, which no neuron here does; use reset_delay=True"
        )
    kept: dict[str, Any] = {"v_threshold": theta}
    extra: list[Projection] = []
    if kind.endswith("Synaptic"):
        alpha = np.clip(_array(module.alpha).astype(np.float64), 0, 1)
        if (alpha == 1).any() or (beta == 1).any():
            raise InputError("alpha or beta of 1: no leak, for which CubaLIF has no time constant")
        if late and reset != "none":
            raise InputError(f"reset {reset!r} one step late acts on the membrane behind the synapse; "
                             "only zero with reset_delay=False, or none, can be had")  # fmt: skip
        kept |= {"tau_syn_s": dt_s / (1 - alpha), "w_in": 1 / (1 - alpha)}
    if (beta == 1).all():
        kept |= {"r": 1 / dt_s}
    elif (beta == 1).any():
        raise InputError("beta of 1 for some neurons and not for others")
    else:
        kept |= {"tau_mem_s": dt_s / (1 - beta), "r": 1 / (1 - beta)}
    name = "CubaLIF" if "tau_syn_s" in kept else "LIF" if "tau_mem_s" in kept else "IF"
    if late and reset == "subtraction":
        reset = "none"
        extra = [
            Projection(
                f"{label}.reset", label, label, "identity", -theta.reshape(-1) if theta.ndim else -theta
            )
        ]
    return Population(label, name, shape, kept, reset), extra


def modules_of(module: Any, order: Iterable[str]) -> list[tuple[str, Any]]:
    """Named submodules of a torch module in the order in which its forward uses them, for `from_snntorch`."""
    known: Mapping[str, Any] = dict(module.named_modules())
    return [(name, known[name]) for name in order]
