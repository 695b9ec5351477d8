"""Projections of a real-valued net as chains of NIR nodes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trine.devices.errors import InputError
from trine.neuromorphic.net import Array, Population, Projection, Shape, SpikingNet
from trine.neuromorphic.nir_graph import Node
from trine.neuromorphic.timing import is_bias_source, lags


@dataclass
class EdgeWriter:
    """Collects nodes and edges; one instance writes one net."""

    net: SpikingNet
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def write(self) -> tuple[dict[str, Node], list[tuple[str, str]]]:
        """All stateless nodes and all edges. Raises InputError naming everything that NIR's nodes cannot form."""
        net, lag = self.net, lags(self.net)
        constant = {p.name for p in net.populations if is_bias_source(net, p)}
        bias = {p.name: self._bias(p, constant) for p in net.populations if p.name not in constant}
        for q in sorted((q for q in net.projections if q.source not in constant), key=lambda q: q.name):
            steps = lag[q.name]
            if q.source == q.target and steps == 1:
                steps = 0  # every tool's feedback takes one step by itself
            self._projection(q, steps, bias)
        for name, value in sorted(bias.items()):
            if value is not None:
                self._separate_bias(net.population(name), value)
        if self.problems:
            raise InputError(f"NIR cannot hold {net.name}:\n  " + "\n  ".join(self.problems))
        return self.nodes, self.edges

    def _bias(self, p: Population, constant: set[str]) -> Array | None:
        """Constant current into a population, [*shape]; None for none."""
        total = np.zeros(p.shape)
        gain = np.asarray(p.parameters.get("w_in", 1.0), np.float64)
        total = total + np.asarray(p.parameters.get("bias", 0.0), np.float64) / gain
        for q in self.net.into(p.name):
            if q.source in constant:
                total = total + np.asarray(q.weight, np.float64).reshape(p.shape)
        return total if total.any() else None

    def _projection(self, q: Projection, steps: int, bias: dict[str, Array | None]) -> None:
        """One projection: delay, then its map, with the target's constant where the map can carry it."""
        source, target = self.net.population(q.source), self.net.population(q.target)
        chain: list[tuple[str, Node]] = []
        if steps:
            chain.append(
                (f"{q.name}.delay", Node("Delay", {"delay": np.full(source.shape, steps * self.net.dt_s)}))
            )
        weight = np.asarray(
            q.weight * 2.0**q.weight_exponent, q.weight.dtype if q.weight.dtype.kind == "f" else None
        )
        if q.kind == "dense":
            chain += self._dense(q, weight, source.shape, target, bias)
        elif q.kind == "identity":
            chain += self._identity(q, weight, source.shape, target.shape)
        else:
            chain += self._windows(q, weight, source.shape, target, bias)
        names = [q.source, *(name for name, _ in chain), q.target]
        self.nodes.update(chain)
        self.edges += itertools.pairwise(names)

    def _flat(self, q: Projection, shape: Shape) -> list[tuple[str, Node]]:
        """A Flatten node where a matrix follows axes."""
        if len(shape) == 1:
            return []
        values = {"input_type": np.array(shape), "start_dim": 0, "end_dim": -1}
        return [(f"{q.name}.flatten", Node("Flatten", values))]

    def _dense(
        self, q: Projection, weight: Array, source: Shape, target: Population, bias: dict[str, Array | None]
    ) -> list[tuple[str, Node]]:
        if len(target.shape) > 1:
            self.problems.append(
                f"projection {q.name}: a matrix into axes {target.shape}; NIR cannot unflatten"
            )
        constant = bias.get(target.name)
        bias[target.name] = None
        if constant is None:
            return [*self._flat(q, source), (q.name, Node("Linear", {"weight": weight}))]
        values = {"weight": weight, "bias": _narrow(constant.reshape(-1))}
        return [*self._flat(q, source), (q.name, Node("Affine", values))]

    def _identity(self, q: Projection, weight: Array, source: Shape, target: Shape) -> list[tuple[str, Node]]:
        made: list[tuple[str, Node]] = []
        if (weight != 1).any():
            scale = np.broadcast_to(
                weight.reshape(()) if weight.size == 1 else weight.reshape(source), source
            )
            made.append((q.name, Node("Scale", {"scale": np.ascontiguousarray(scale)})))
        if source != target:
            made += self._flat(q, source)
            if len(target) > 1:
                self.problems.append(f"projection {q.name}: {source} into {target}; NIR cannot unflatten")
        return made

    def _windows(
        self, q: Projection, weight: Array, source: Shape, target: Population, bias: dict[str, Array | None]
    ) -> list[tuple[str, Node]]:
        """Conv1d, Conv2d, SumPool2d or AvgPool2d."""
        axes = len(source) - 1
        ones: Shape = (1,) * axes
        stride = tuple(q.attributes.get("strides", ones))
        pads = tuple(q.attributes.get("pads", (0,) * 2 * axes))
        if q.kind == "pool":
            kernel = tuple(q.attributes["kernel_shape"])
            value = float(weight.reshape(()))
            named = {1.0: "SumPool2d", float(np.float32(1 / np.prod(kernel))): "AvgPool2d"}.get(value)
            if axes == 2 and named and pads[:2] == pads[2:]:
                values = {
                    "kernel_size": np.array(kernel),
                    "stride": np.array(stride),
                    "padding": np.array(pads[:2]),
                }
                return [(q.name, Node(named, values))]
            eye = np.eye(source[0], dtype=np.float64).reshape(source[0], source[0], *ones)
            weight = np.ascontiguousarray(np.broadcast_to(eye * value, (source[0], source[0], *kernel)))
            q = Projection(q.name, q.source, q.target, "conv", weight, {"strides": stride, "pads": pads})
        dilation = tuple(q.attributes.get("dilations", ones))
        weight, pads, dilation = square(ungrouped(weight, int(q.attributes.get("group", 1))), pads, dilation)
        constant = bias.get(target.name)
        channel = np.zeros(target.shape[0], weight.dtype)
        if (
            constant is not None
            and (constant == constant.reshape(target.shape[0], -1)[:, :1].reshape(-1, *ones)).all()
        ):
            channel = _narrow(constant.reshape(target.shape[0], -1)[:, 0])
            bias[target.name] = None
        filled: dict[str, Any] = {"weight": weight, "groups": 1, "bias": channel}
        if axes == 1:
            filled |= {
                "input_shape": source[1],
                "stride": stride[0],
                "padding": pads[0],
                "dilation": dilation[0],
            }
        else:
            filled |= {"input_shape": np.array(source[1:]), "stride": np.array(stride)}
            filled |= {"padding": np.array(pads[:2]), "dilation": np.array(dilation)}
        return [(q.name, Node(f"Conv{axes}d", filled))]

    def _separate_bias(self, p: Population, value: Array) -> None:
        """A constant that no node of the target's carries: a matrix of zeros with that constant."""
        feeds = sorted(
            q.source for q in self.net.into(p.name) if len(self.net.population(q.source).shape) == 1
        )
        if len(p.shape) > 1 or not feeds:
            self.problems.append(
                f"population {p.name}: a constant that differs within channels, or has no input"
            )
            return
        name, zero = f"{p.name}.bias", np.zeros((p.size, self.net.population(feeds[0]).size), np.float32)
        self.nodes[name] = Node("Affine", {"weight": zero, "bias": _narrow(value.reshape(-1))})
        self.edges += [(feeds[0], name), (name, p.name)]


def _narrow(value: Array) -> Array:
    """float32 where that holds it exactly."""
    short = value.astype(np.float32)
    return short if (short == value).all() else value


def ungrouped(weight: Array, group: int) -> Array:
    """The weight of a grouped convolution with zeros between groups: nir 1.0.8 infers no types for groups."""
    if group == 1:
        return weight
    out, into = weight.shape[0] // group, weight.shape[1]
    wide = np.zeros((weight.shape[0], into * group, *weight.shape[2:]), weight.dtype)
    for g in range(group):
        wide[g * out : (g + 1) * out, g * into : (g + 1) * into] = weight[g * out : (g + 1) * out]
    return wide


def square(weight: Array, pads: Shape, dilation: Shape) -> tuple[Array, Shape, Shape]:
    """Kernel widened with zeros until pads are equal at both ends and sides are equal (nir 1.0.8 takes the first side
    for all). Returns weight, pads and dilation that mean the same convolution."""
    axes = len(dilation)
    sides = weight.shape[2:]
    if pads[:axes] == pads[axes:] and len(set(zip(sides, dilation))) == 1:
        return weight, pads, dilation
    plain = np.zeros((*weight.shape[:2], *((k - 1) * d + 1 for k, d in zip(sides, dilation))), weight.dtype)
    taps: tuple[Any, ...] = (..., *(slice(None, None, d) for d in dilation))
    plain[taps] = weight
    skews = [pads[i] - pads[axes + i] for i in range(axes)]
    least = max(k + abs(skew) for k, skew in zip(plain.shape[2:], skews))
    fits = [
        n
        for n in (least, least + 1)
        if all((n - k - skew) % 2 == 0 for k, skew in zip(plain.shape[2:], skews))
    ]
    if not fits:
        raise InputError(
            "kernel sides of different parity with padding that NIR cannot hold: pad both ends alike"
        )
    grown = [fits[0] - k for k in plain.shape[2:]]
    begin = [(g - skew) // 2 for g, skew in zip(grown, skews)]
    wide = np.pad(plain, [(0, 0), (0, 0), *((b, g - b) for b, g in zip(begin, grown))])
    even = tuple(pads[i] + begin[i] for i in range(axes))
    return wide, even * 2, (1,) * axes
